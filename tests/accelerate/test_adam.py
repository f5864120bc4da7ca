"""TensorFlow and torch: the fused Adam is Keras's, and what is not plain Adam is left to Keras."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend as kg

if keras.config.backend() == "jax":
    pytest.skip("XLA fuses Keras's own", allow_module_level=True)

NAMES = ("kernel", "table", "bias", "matrix")


class Player(keras.Model):
    """Descends on weights of several shapes, by the fused kernel or by Keras's `apply`."""

    def __init__(self, optimizer, dtype="float32", constraint=None, by_column=False):
        super().__init__(dtype=dtype)
        rng = np.random.default_rng(0)
        self.table = self.variable(rng.normal(size=(5, 3)), dtype, constraint)
        self.kernel = self.variable(rng.normal(size=(3, 4)), dtype, constraint)
        self.bias = self.variable(rng.normal(size=(4,)), dtype, constraint)
        matrix = ops.convert_to_tensor(rng.normal(size=(4, 4)), dtype)
        # In memory column by column, on torch.
        matrix = ops.transpose(matrix) if by_column else matrix
        self.matrix = self.variable(matrix, dtype, constraint)
        self.built = True
        self.compile(optimizer)
        self.optimizer.build(self.weights_to_train)

    def variable(self, value, dtype, constraint):
        variable = keras.Variable(ops.convert_to_tensor(value, dtype), dtype=dtype)
        variable.constraint = constraint
        return variable

    @property
    def weights_to_train(self):
        return [getattr(self, name) for name in NAMES]

    @property
    def metrics(self):
        return []

    @kg.step
    def train_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)

        def loss_fn(x):
            rows = ops.take(self.table, [0, 2, 2, 4], axis=0)  # A gradient in slices.
            h = ops.matmul(rows, self.kernel) + self.bias
            return ops.mean(ops.square(ops.matmul(ops.tanh(h), self.matrix) - x))

        loss = kg.descend(self.optimizer, self.weights_to_train, loss_fn, x)
        return {"loss": loss}

    def state(self):
        variables = [*self.weights_to_train, *self.optimizer.variables]
        return {v.path: np.array(ops.convert_to_numpy(v)) for v in variables}


def trained(monkeypatch, optimizer, fused, steps=10, **options):
    """Return the state after some steps, and how often Keras's `apply` was called."""
    keras.utils.clear_session()
    calls = []
    with monkeypatch.context() as patch:
        if not fused:
            patch.setattr(kg.parts, "apply", lambda optimizer, *args: optimizer.apply(*args))
        keras_s = keras.optimizers.Optimizer.apply

        def counting(self, *args, **kwargs):
            calls.append(self)
            return keras_s(self, *args, **kwargs)

        patch.setattr(keras.optimizers.Optimizer, "apply", counting)
        model = Player(optimizer(), **options)
        x = np.random.default_rng(1).normal(size=(10, 4, 4)).astype(options.get("dtype", "float32"))
        for step in range(steps):
            model.train_on_batch(x[step % 10])
    return list(model.state().values()), len(calls)


def schedule():
    return keras.optimizers.schedules.CosineDecay(0.05, 20, warmup_target=0.1, warmup_steps=3)


PLAIN = {
    "defaults": {},
    "betas": {"beta_1": 0.5, "beta_2": 0.9},
    "no momentum": {"beta_1": 0.0, "beta_2": 0.99},
    "epsilon": {"epsilon": 1e-2},
    "schedule": {"learning_rate": schedule},
}


@pytest.mark.parametrize(
    "options, others",
    [*((name, {}) for name in PLAIN), ("defaults", {"dtype": "float64"})],
    ids=[*PLAIN, "float64"],
)
def test_weights_and_state_are_those_of_keras_s_adam(options, others, monkeypatch, backend):
    def adam():
        chosen = {"learning_rate": 0.03, **PLAIN[options]}
        return keras.optimizers.Adam(**{k: v() if callable(v) else v for k, v in chosen.items()})

    fused, calls = trained(monkeypatch, adam, True, **others)
    keras_s, calls_of_keras = trained(monkeypatch, adam, False, **others)
    assert calls == 0 and calls_of_keras >= (1 if backend == "tensorflow" else 10)
    start, _ = trained(monkeypatch, adam, True, steps=0, **others)
    for a, b in zip(fused, keras_s, strict=True):
        assert a.dtype == b.dtype
        # 1 - beta^t of Keras has the rounding of its dtype, that of the kernel on torch has none.
        bound = 1e-6 if others else 1e-4
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound * np.abs(b).max())
    assert sum(np.any(a != b) for a, b in zip(fused, start, strict=True)) >= 4 + 8


def test_weights_that_lie_column_by_column_are_keras_s_on_torch(monkeypatch, backend):
    ends = [trained(monkeypatch, adam(), True, by_column=by_column) for by_column in (True, False)]
    assert (ends[0][1] > 0) == (backend == "torch") and ends[1][1] == 0
    keras_s, _ = trained(monkeypatch, adam(), False, by_column=True)
    for a, b in zip(ends[0][0], keras_s, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


class OnesOwn(keras.optimizers.Adam):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate / 2)


def with_replaced(name):
    def build():
        optimizer = keras.optimizers.Adam(0.03)
        method = getattr(optimizer, name)
        setattr(optimizer, name, lambda *args: method(*args))
        return optimizer

    return build


def adam(**options):
    return lambda: keras.optimizers.Adam(0.03, **options)


OTHERS = {
    "AdamW": lambda: keras.optimizers.AdamW(0.03),
    "SGD": lambda: keras.optimizers.SGD(0.03),
    "Nadam": lambda: keras.optimizers.Nadam(0.03),
    "subclass": lambda: OnesOwn(0.03),
    "weight_decay": adam(weight_decay=0.01),
    "clipnorm": adam(clipnorm=0.1),
    "clipvalue": adam(clipvalue=0.1),
    "global_clipnorm": adam(global_clipnorm=0.1),
    "use_ema": adam(use_ema=True),
    "amsgrad": adam(amsgrad=True),
    "loss_scale_factor": adam(loss_scale_factor=8.0),
    "accumulation": adam(gradient_accumulation_steps=2),
    "LossScaleOptimizer": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.03)),
    **{name: with_replaced(name) for name in ("apply", "update_step", "assign_sub", "assign")},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_not_plain_adam_is_keras_s(kind, monkeypatch):
    ours, calls = trained(monkeypatch, OTHERS[kind], True)
    keras_s, calls_of_keras = trained(monkeypatch, OTHERS[kind], False)
    assert calls == calls_of_keras > 0
    for a, b in zip(ours, keras_s, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_with_a_constraint_are_keras_s(monkeypatch):
    constraint = keras.constraints.NonNeg()
    ours, calls = trained(monkeypatch, adam(), True, constraint=constraint)
    assert calls > 0
    assert all(np.all(value >= 0) for value in ours[:4])


def test_a_variable_that_the_optimizer_does_not_know_is_refused_as_by_keras(monkeypatch):
    model = Player(keras.optimizers.Adam(0.1))
    model.kernel = keras.Variable(np.ones((3, 4), "float32"))
    with pytest.raises(ValueError, match="Unknown variable"):
        model.train_on_batch(np.ones((4, 4), "float32"))


def test_a_subset_of_the_weights_moves_alone(monkeypatch):
    model = Player(keras.optimizers.Adam(0.1))
    before = model.state()
    type(model).weights_to_train, every = (
        property(lambda self: [self.bias]),
        Player.weights_to_train,
    )
    try:
        model.train_on_batch(np.ones((4, 4), "float32"))
    finally:
        type(model).weights_to_train = every
    after = model.state()
    moved = [path for path in before if np.any(before[path] != after[path])]
    assert len(moved) == 4  # The bias, its m and v, and the count of iterations.


def test_iterations_count_on_between_keras_and_the_kernel(monkeypatch):
    """Five steps of each are ten of either."""
    whole, _ = trained(monkeypatch, adam(), True)
    keras.utils.clear_session()
    model = Player(keras.optimizers.Adam(0.03))
    x = np.random.default_rng(1).normal(size=(10, 4, 4)).astype("float32")
    for step in range(10):
        with monkeypatch.context() as patch:
            if step % 2:
                patch.setattr(kg.parts, "apply", lambda optimizer, *args: optimizer.apply(*args))
            model.train_function = None
            model.train_on_batch(x[step])
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 10
    for a, b in zip(model.state().values(), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())
