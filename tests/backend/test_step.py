"""A step is one transaction, seen from outside: logs, weights, statistics, counts."""

import threading

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend as kg
from tests.models import tiny


def value(variable):
    return np.array(ops.convert_to_numpy(variable))


class TwoPlayers(keras.Model):
    """A model of plain Keras: `a` descends on a sum times x, then `b` on one divided by x."""

    players = ("a", "b")

    def __init__(self, b_twice=False, counts=True):
        super().__init__()
        self.a = self.add_weight(shape=(2,), initializer="ones", name="a")
        self.b = self.add_weight(shape=(2,), initializer="ones", name="b")
        self.mean = self.add_weight(shape=(), initializer="zeros", trainable=False, name="mean")
        self.seen = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="seen"
        )
        if counts:
            self.skipped_updates = self.add_weight(
                shape=(2,), initializer="zeros", dtype="int32", trainable=False, name="skipped"
            )
        self.b_twice, self.built = b_twice, True
        self.second = keras.optimizers.SGD(0.1)
        self.second.build([self.b])
        self.compile(keras.optimizers.SGD(0.1))
        self.optimizer.build([self.a])

    def optimized(self):
        return [(self.optimizer, [self.a]), (self.second, [self.b])]

    @property
    def metrics(self):
        return []

    @kg.step
    def train_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self.mean.assign(0.5 * self.mean + 0.5 * ops.mean(x))
        self.seen.assign_add(1)
        loss_a = kg.descend(self.optimizer, [self.a], lambda x: ops.sum(self.a) * ops.mean(x), x)
        for _ in range(2 if self.b_twice else 1):
            loss_b = kg.descend(self.second, [self.b], lambda x: ops.sum(self.b) / ops.mean(x), x)
        return {"a": loss_a, "b": loss_b}

    @kg.step
    def test_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return {"a": ops.sum(self.a) * ops.mean(x), "b": ops.sum(self.b) / ops.mean(x)}


@pytest.fixture
def model(backend):
    if backend == "jax":
        pytest.skip("Keras carries the state of one optimizer there")
    return TwoPlayers()


def run(model, x):
    """Train on one batch whose mean is `x`."""
    return model.train_on_batch(np.full((2, 1), x, "float32"), return_dict=True)


class Plain(keras.Model):
    """A model of plain Keras with one optimizer, whose loss is w^2 / 2 times x."""

    def __init__(self):
        super().__init__()
        self.w = self.add_weight(shape=(), initializer="ones", name="w")
        self.mean = self.add_weight(shape=(), initializer="zeros", trainable=False, name="mean")
        self.seen = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="seen"
        )
        self.built, self.fails = True, None
        self.compile(keras.optimizers.SGD(0.5, momentum=0.5), run_eagerly=True)
        self.optimizer.build([self.w])

    @property
    def metrics(self):
        return []

    @kg.step
    def train_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self.mean.assign(0.5 * self.mean + 0.5 * ops.mean(x))
        self.seen.assign_add(1)
        if self.fails == "body":
            raise OSError("The body failed.")

        def loss_fn(x):
            if self.fails == "loss":
                raise OSError("The loss failed.")
            return 0.5 * ops.square(self.w) * ops.mean(x)

        return {"loss": kg.descend(self.optimizer, [self.w], loss_fn, x)}

    @kg.step
    def test_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        slope = kg.input_gradient(lambda x: 0.5 * ops.square(self.w) * ops.mean(x), x)
        return {"loss": ops.sum(slope)}


class Extended(Plain):
    """Its step is that of its parent twice, and one log more."""

    @kg.step
    def train_step(self, data):
        super().train_step(data)
        return {**super().train_step(data), "seen": self.seen + 0}


def test_a_plain_keras_model_fits_evaluates_and_is_saved():
    model = Plain()
    x = np.ones((4, 1), "float32")
    logs = run(model, 1.0)
    assert logs["loss"] == pytest.approx(0.5)
    assert float(value(model.w)) == pytest.approx(0.5)  # 1 - .5 * 1
    history = model.fit(x, batch_size=2, shuffle=False, verbose=0).history
    # Momentum: v = .5 (-.5) - .5 (.5) = -.5, so w = 0; then v = -.25.
    assert history["loss"] == [pytest.approx(0.0)]
    assert float(value(model.w)) == pytest.approx(-0.25)
    assert model.evaluate(x, verbose=0, return_dict=True)["loss"] == pytest.approx(0.25**2 / 2)


def test_a_step_within_a_step_is_one():
    """`super().train_step(data)` runs as it is; the step is one transaction for both."""
    model = Extended()
    logs = run(model, 1.0)
    assert logs["seen"] == 2
    assert float(value(model.w)) == pytest.approx(0.0)
    assert int(value(model.optimizer.iterations)) == 2
    assert float(value(model.mean)) == pytest.approx(0.75)
    w = float(value(model.w))
    run(model, np.nan)
    assert float(value(model.w)) == w
    assert float(value(model.mean)) == pytest.approx(0.75)  # As both descents were left out.
    assert int(value(model.optimizer.iterations)) == 2


def test_a_step_that_is_not_finite_leaves_weights_optimizer_and_statistics():
    model = Plain()
    run(model, 1.0)
    before = [value(v) for v in [model.w, model.mean, *model.optimizer.variables]]
    logs = run(model, np.inf)
    assert not np.isfinite(logs["loss"])
    for variable, old in zip(
        [model.w, model.mean, *model.optimizer.variables], before, strict=True
    ):
        np.testing.assert_array_equal(value(variable), old)
    assert int(value(model.seen)) == 2  # What counts is not put back.
    run(model, 1.0)
    assert float(value(model.mean)) == pytest.approx(0.75)


def test_a_descent_is_left_out_by_itself(model):
    run(model, 0.0)  # 1 / 0 is not finite, the other is 0.
    np.testing.assert_array_equal(value(model.skipped_updates), [0, 1])
    np.testing.assert_array_equal(value(model.b), [1, 1])
    run(model, 1.0)
    np.testing.assert_allclose(value(model.a), 0.9, rtol=1e-6)
    np.testing.assert_allclose(value(model.b), 0.9, rtol=1e-6)
    np.testing.assert_array_equal(value(model.skipped_updates), [0, 1])
    assert int(value(model.optimizer.iterations)) == 2 and int(value(model.second.iterations)) == 1


def test_statistics_go_back_if_any_descent_was_left_out(model):
    run(model, 2.0)
    assert float(value(model.mean)) == pytest.approx(1.0)
    run(model, 0.0)
    assert float(value(model.mean)) == pytest.approx(1.0)
    assert int(value(model.seen)) == 2


def test_updates_left_out_are_counted_for_each_player(backend):
    if backend == "jax":
        pytest.skip("Keras carries the state of one optimizer there")
    model = TwoPlayers(b_twice=True)
    for x, expected in ((0.0, [0, 2]), (1.0, [0, 2]), (np.nan, [1, 4]), (np.inf, [2, 4])):
        run(model, x)
        np.testing.assert_array_equal(value(model.skipped_updates), expected)


def test_a_model_that_counts_nothing_is_guarded_all_the_same(backend):
    if backend == "jax":
        pytest.skip("Keras carries the state of one optimizer there")
    model = TwoPlayers(counts=False)
    run(model, np.nan)
    np.testing.assert_array_equal(value(model.a), [1, 1])
    assert float(value(model.mean)) == 0


def test_a_count_is_that_of_the_players_of_a_gan():
    model = tiny.gan()
    tiny.compile_model(model, keras.optimizers.Adam)
    x = tiny.examples(model, 8)
    x[1] = np.nan  # Of two parts of the batch, the discriminator's second.
    keras.Model.train_on_batch(model, x)
    assert dict(zip(model.players, value(model.skipped_updates), strict=True)) == {
        "generator": 0,
        "discriminator": 1,
    }


@pytest.mark.parametrize("where", ["body", "loss"])
def test_after_an_error_within_a_step_the_next_one_works(where):
    model = Plain()
    model.fails = where
    with pytest.raises(OSError, match=f"The {where} failed"):
        run(model, 1.0)
    assert float(value(model.w)) == 1 and int(value(model.optimizer.iterations)) == 0
    model.fails = None
    run(model, 1.0)
    assert float(value(model.w)) == pytest.approx(0.5)
    x = np.ones((2, 1), "float32")
    assert model.test_on_batch(x, return_dict=True)["loss"] == pytest.approx(0.125)


def test_on_jax_an_error_leaves_no_step_behind(backend):
    if backend != "jax":
        pytest.skip("the others take gradients anywhere")
    model = Plain()
    model.fails = "loss"
    with pytest.raises(OSError, match="The loss failed"):
        run(model, 1.0)
    with pytest.raises(RuntimeError, match="@keras_gen.backend.step"):
        kg.input_gradient(ops.sum, ops.ones(3))


def test_steps_in_threads_do_not_meet():
    """Each thread trains a model of its own; one of them on what is not finite."""
    models, errors = [Plain() for _ in range(4)], []
    barrier = threading.Barrier(4)

    def train(model, x):
        try:
            barrier.wait()
            for _ in range(20):
                run(model, x)
        except Exception as error:
            errors.append(error)

    xs = (0.1, np.nan, 0.1, 0.2)
    threads = [threading.Thread(target=train, args=pair) for pair in zip(models, xs, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    alone = [Plain() for _ in range(4)]
    for model, x in zip(alone, xs, strict=True):
        for _ in range(20):
            run(model, x)
    for a, b in zip(models, alone, strict=True):
        assert float(value(a.w)) == pytest.approx(float(value(b.w)), rel=1e-6)
    assert float(value(models[1].w)) == 1
    assert int(value(models[0].optimizer.iterations)) == 20
