"""The words, on numbers known from calculus."""

import ast
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend as kg


class OneStep(keras.Model):
    """Runs `body(model, x)` as a training step."""

    def __init__(self, body, optimizer=None, jit_compile="auto"):
        super().__init__()
        self.body = body
        self.w = self.add_weight(shape=(2,), initializer="ones", name="w")
        self.other = self.add_weight(shape=(2,), initializer="ones", name="other")
        self.moved = self.add_weight(shape=(), initializer="zeros", trainable=False, name="moved")
        self.seed_generator = keras.random.SeedGenerator(0)
        self.built = True
        self.compile(optimizer or keras.optimizers.SGD(0.1), jit_compile=jit_compile)
        self.optimizer.build([self.w])

    @property
    def metrics(self):
        return []

    @kg.step
    def train_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.body(self, x)

    @kg.step
    def test_step(self, data):
        return self.train_step(data)

    def run(self, x):
        logs = self.train_on_batch(np.asarray(x, "float32"), return_dict=True)
        return {name: np.asarray(value) for name, value in logs.items()}


@pytest.mark.once
def test_each_engine_has_every_word_with_the_same_arguments():
    folder = pathlib.Path(kg.__file__).parent
    taken = {
        node.attr
        for node in ast.walk(ast.parse((folder / "__init__.py").read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "_engine"
    }
    assert len(taken) >= 11 and taken <= set(kg.__all__)
    words = [
        {
            node.name: ast.unparse(getattr(node, "args", []))
            for node in ast.parse((folder / f"{engine}.py").read_text()).body
            if getattr(node, "name", None) in taken
        }
        for engine in ("tensorflow", "jax", "torch")
    ]
    assert words[0].keys() == taken
    assert words[0] == words[1] == words[2]


def value(variable):
    return ops.convert_to_numpy(variable)


def test_descend_takes_one_gradient_step_on_these_variables_alone():
    def body(model, x):
        def loss_fn(x):
            return ops.sum(x * ops.square(model.w) * model.other)

        return {"loss": kg.descend(model.optimizer, [model.w], loss_fn, x)}

    model = OneStep(body)
    logs = model.run([[2.0, 3.0]])
    np.testing.assert_allclose(logs["loss"], 5)
    # d/dw x w^2 = 2 x w, times the learning rate 0.1.
    np.testing.assert_allclose(value(model.w), [1 - 0.4, 1 - 0.6], rtol=1e-6)
    np.testing.assert_array_equal(value(model.other), [1, 1])
    assert int(value(model.optimizer.iterations)) == 1


def test_descend_returns_what_the_loss_returns():
    def body(model, x):
        def loss_fn(x):
            return ops.sum(model.w), {"double": 2 * ops.sum(model.w), "x": ops.sum(x), "two": 2.0}

        loss, aux = kg.descend(model.optimizer, [model.w], loss_fn, x)
        return {"loss": loss, **aux}

    logs = OneStep(body).run([[3.0]])
    assert {name: float(v) for name, v in logs.items()} == {
        "loss": 2,
        "double": 4,
        "x": 3,
        "two": 2,
    }


def test_state_that_moves_inside_a_loss_is_carried_out():
    def body(model, x):
        def loss_fn(x):
            model.moved.assign_add(1.0)
            noise = keras.random.normal((), seed=model.seed_generator)
            return ops.sum(model.w) * model.moved, noise

        _, first = kg.descend(model.optimizer, [model.w], loss_fn, x)
        _, second = kg.descend(model.optimizer, [model.w], loss_fn, x)
        return {"first": first, "second": second}

    model = OneStep(body)
    before = value(model.seed_generator.state).copy()
    logs = model.run([[1.0]])
    assert float(value(model.moved)) == 2
    # The gradients were 1 and 2: the second descent saw what the first one had moved.
    np.testing.assert_allclose(value(model.w), 1 - 0.1 - 0.2, rtol=1e-6)
    assert logs["first"] != logs["second"]
    assert np.any(value(model.seed_generator.state) != before)


def test_a_variable_that_the_loss_does_not_reach_stays():
    def body(model, x):
        return {"loss": kg.descend(model.optimizer, [model.w], lambda x: ops.sum(model.other), x)}

    model = OneStep(body)
    model.run([[1.0]])
    np.testing.assert_array_equal(value(model.w), [1, 1])


def test_loss_scaling_is_undone_and_overflow_skips_the_step():
    def body(model, x):
        return {"loss": kg.descend(model.optimizer, [model.w], lambda x: ops.sum(x * model.w), x)}

    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=1024.0)
    model = OneStep(body, optimizer)
    logs = model.run([[1.0, 2.0]])
    np.testing.assert_allclose(logs["loss"], 3)  # Not the scaled one.
    np.testing.assert_allclose(value(model.w), [0.9, 0.8], rtol=1e-6)
    model.run([[np.inf, 1.0]])
    np.testing.assert_allclose(value(model.w), [0.9, 0.8], rtol=1e-6)
    assert float(value(optimizer.dynamic_scale)) == 512


def test_input_gradient_of_a_cube_is_three_times_the_square():
    def body(model, x):
        return {"slope": ops.sum(kg.input_gradient(lambda x: model.w * x**3, x))}

    np.testing.assert_allclose(OneStep(body).run([[1.0, 2.0]])["slope"], 3 + 12)


def test_input_gradient_is_differentiable_once_more():
    def body(model, x):
        def loss_fn(x):
            # |d (w^2 x^2) / dx|^2 = 4 w^4 x^2, whose gradient by w is 16 w^3 x^2.
            gradient = kg.input_gradient(lambda x: ops.square(model.w) * ops.square(x), x)
            return ops.sum(ops.square(gradient))

        return {"loss": kg.descend(model.optimizer, [model.w], loss_fn, x)}

    model = OneStep(body)
    logs = model.run([[0.5, 1.0]])
    np.testing.assert_allclose(logs["loss"], 4 * 0.25 + 4)
    np.testing.assert_allclose(value(model.w), [1 - 0.1 * 4, 1 - 0.1 * 16], rtol=1e-5)


def test_state_that_moves_inside_an_input_gradient_is_carried_out():
    def body(model, x):
        def fn(x):
            model.moved.assign_add(1.0)
            return x * model.moved

        return {"slope": ops.sum(kg.input_gradient(fn, x))}

    model = OneStep(body)
    np.testing.assert_allclose(model.run([[1.0]])["slope"], 1)
    assert float(value(model.moved)) == 1


def test_input_gradient_works_in_evaluation():
    def body(model, x):
        return {"slope": ops.sum(kg.input_gradient(lambda x: x**2, x))}

    model = OneStep(body)
    logs = model.test_on_batch(np.ones((1, 2), "float32"), return_dict=True)
    np.testing.assert_allclose(logs["slope"], 4)


def test_on_jax_a_gradient_outside_a_step_says_what_is_missing(backend):
    if backend != "jax":
        pytest.skip("the others take gradients anywhere")
    with pytest.raises(RuntimeError, match="@keras_gen.backend.step"):
        kg.input_gradient(ops.sum, ops.ones(3))


@pytest.mark.parametrize("epsilon", [1e-7, 1e-2])
@pytest.mark.parametrize("Adam", [keras.optimizers.Adam, keras.optimizers.AdamW])
def test_adam_is_that_of_the_paper(Adam, epsilon):
    def body(model, x):
        def loss_fn(x):
            return ops.sum(x * ops.power(model.w, 3))

        return {"loss": kg.descend(model.optimizer, [model.w], loss_fn, x)}

    decay = {"weight_decay": 0.04} if Adam is keras.optimizers.AdamW else {}
    optimizer = Adam(0.1, beta_1=0.5, beta_2=0.9, epsilon=epsilon, **decay)
    model = OneStep(body, optimizer)
    w, m, v = np.ones(2), np.zeros(2), np.zeros(2)
    for t in range(1, 8):
        model.run([[2.0, -0.003]])
        w_before = w
        gradient = np.array([2.0, -0.003]) * 3 * w**2
        # Kingma and Ba (2015), section 2: the more efficient order of computation, whose epsilon
        # is added to sqrt(v) as it is; weights decay as in Loshchilov and Hutter (2019).
        m = 0.5 * m + 0.5 * gradient
        v = 0.9 * v + 0.1 * gradient**2
        rate = 0.1 * np.sqrt(1 - 0.9**t) / (1 - 0.5**t)
        w = w - 0.1 * decay.get("weight_decay", 0) * w - rate * m / (np.sqrt(v) + epsilon)
        assert np.all(w != w_before)
    np.testing.assert_allclose(value(model.w), w, rtol=2e-5)
    assert int(value(optimizer.iterations)) == 7


def test_adam_moves_weights_that_lie_column_by_column_in_memory():
    def body(model, x):
        def loss_fn(x):
            return ops.sum(x * ops.power(model.kernel, 3))

        return {"loss": kg.descend(model.optimizer, [model.kernel], loss_fn, x)}

    weights = np.arange(1, 7, dtype="float32").reshape(2, 3)
    ends = []
    for kernel in (ops.convert_to_tensor(weights), ops.transpose(weights.T.copy())):
        model = OneStep(body)
        model.kernel = keras.Variable(kernel)
        model.optimizer = keras.optimizers.Adam(0.1)
        model.optimizer.build([model.kernel])
        for _ in range(3):
            model.run([[1.0]])
        ends.append(value(model.kernel))
    np.testing.assert_allclose(*ends, rtol=1e-5)  # 1 - beta^t is rounded differently.
    assert np.all(ends[0] != weights)


def test_adam_adds_up_the_rows_of_an_embedding(backend):
    """Two examples of one label are one gradient, on TensorFlow too, where it comes in slices."""

    def body(model, x):
        def loss_fn(x):
            return ops.sum(ops.take(model.table, [0, 2, 2], axis=0) * x)

        return {"loss": kg.descend(model.optimizer, [model.table], loss_fn, x)}

    model = OneStep(body)
    model.table = keras.Variable(np.zeros((3, 2), "float32"))
    model.optimizer = keras.optimizers.Adam(0.1, beta_2=0.5, epsilon=1.0)
    model.optimizer.build([model.table])
    model.run([[1.0, -3.0]])
    gradient = np.array([[1.0, -3.0], [0.0, 0.0], [2.0, -6.0]])
    # m = .1 g and v = .5 g^2, so the first step is .1 sqrt(.5) / .1 m / (sqrt(v) + 1).
    step = 0.1 * np.sqrt(0.5) * gradient / (np.sqrt(0.5) * np.abs(gradient) + 1)
    np.testing.assert_allclose(value(model.table), -step, rtol=1e-5)


class _Halved(keras.optimizers.Adam):
    def assign_sub(self, variable, value):
        super().assign_sub(variable, value / 2)


def test_adam_that_is_changed_is_left_as_it_is(backend):
    if backend != "tensorflow":
        pytest.skip("the others do not take a variable's own update")

    def body(model, x):
        return {"loss": kg.descend(model.optimizer, [model.w], lambda x: ops.sum(x * model.w), x)}

    model = OneStep(body, _Halved(0.1))
    model.run([[1.0, 1.0]])
    np.testing.assert_allclose(value(model.w), 0.95, rtol=1e-5)

    calls = []
    optimizer = keras.optimizers.Adam(0.1)
    update = optimizer.update_step
    optimizer.update_step = lambda *args: (calls.append(args), update(*args))
    OneStep(body, optimizer).run([[1.0, 1.0]])
    assert len(calls) == 1 and "update_step" in vars(optimizer)


@pytest.mark.parametrize("compiled", [False, True], ids=["default", "compiled"])
@pytest.mark.parametrize("shape", [(), (1,), (5, 3), (128, 20)])
def test_a_step_draws_what_keras_draws(shape, compiled, backend):
    if compiled and backend == "tensorflow":
        pytest.skip("XLA makes other floats of the same random bits")

    def body(model, x):
        draws = (draw(shape, "float32", model.seed_generator) for draw in (kg.normal, kg.uniform))
        return dict(zip(("normal", "uniform"), draws, strict=True))

    logs = OneStep(body, jit_compile=compiled or "auto").run([[0.0]])
    stream = keras.random.SeedGenerator(0)
    for name in ("normal", "uniform"):
        expected = getattr(keras.random, name)(shape, seed=stream)
        np.testing.assert_allclose(logs[name], ops.convert_to_numpy(expected), atol=3e-6)


def test_under_xla_draws_are_of_their_distributions_and_differ_from_step_to_step(backend):
    def body(model, x):
        return {
            "normal": kg.normal((4000,), "float32", model.seed_generator),
            "uniform": kg.uniform((4000,), "float32", model.seed_generator),
        }

    model = OneStep(body, jit_compile="auto" if backend == "torch" else True)
    first, second = model.run([[0.0]]), model.run([[0.0]])
    # Means, and variances, of 4,000 draws: their standard errors are .016, .022 and .0046.
    assert abs(first["normal"].mean()) < 0.06 and abs(first["normal"].var() - 1) < 0.09
    assert abs(first["uniform"].mean() - 0.5) < 0.018 and first["uniform"].min() >= 0
    for name in first:
        assert abs(np.corrcoef(first[name], second[name])[0, 1]) < 0.06
