"""JAX: several steps as one program give what they give one by one, and no weights are lost."""

import os
import signal

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny
from train.reproduce import faults

if keras.config.backend() != "jax":
    pytest.skip("TensorFlow's loop is Keras's, and torch has none", allow_module_level=True)

# Which program ran shows nowhere but in `fused` and `step`: how often each was compiled.


def compiled(build, steps, **options):
    keras.utils.set_random_seed(3)
    model = build()
    tiny.compile_model(model, keras.optimizers.Adam, steps_per_execution=steps, **options)
    return model


def fitted(steps, build, n=32):
    """A model, and all numbers that come of its training in batches of 8 and its evaluation."""
    model = compiled(build, steps)
    x, y = tiny.examples(model, n), tiny.labels(model, n)
    history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    evaluated = model.evaluate(x, y, batch_size=8, verbose=0)
    return model, [history, evaluated, *weights_of(model)]


def weights_of(model):
    return [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]


def assert_equal(results, others):
    keras.tree.map_structure(np.testing.assert_array_equal, results, others)


@pytest.mark.parametrize("build", [tiny.vae, tiny.gan])
def test_an_execution_is_one_program(build):
    _, alone = fitted(1, build)
    model, together = fitted(4, build)
    assert_equal(together, alone)
    for function in (model.train_function, model.test_function):
        assert function.fused._cache_size() == 1
        assert function.step._cache_size() == 0


def test_what_is_left_goes_step_by_step():
    _, alone = fitted(1, tiny.vae, n=60)  # 8 batches, the last of 4.
    model, together = fitted(3, tiny.vae, n=60)
    assert_equal(together, alone)
    assert model.train_function.step._cache_size() == 2  # For 8 and for 4.


def test_a_batch_by_itself_is_one_step():
    model = compiled(tiny.vae, 4)
    model.train_on_batch(tiny.examples(model, 8))
    assert tiny.steps(model) == 1


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": False}])
def test_what_is_not_compiled_stays_so(options):
    model = compiled(tiny.vae, 4, **options)
    model.fit(tiny.examples(model, 32), batch_size=8, verbose=0)
    assert tiny.steps(model) == 4
    assert model.train_function.fused is None


def test_a_convolution_is_not_run_in_a_loop_on_a_cpu():
    _, alone = fitted(1, tiny.conv_vae)
    model, together = fitted(4, tiny.conv_vae)
    assert_equal(together, alone)
    assert bool(model.train_function.fused) == (not kg.backend.dilates_slowly())


class Batches(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        if self.batches[index] is None:
            raise OSError("The disk is gone.")
        return self.batches[index]


def test_batches_of_another_type_are_not_turned_into_floats():
    model = compiled(tiny.vae, 3)
    floats = tiny.examples(model, 8)
    with pytest.raises(ValueError, match="of type int32, and floats are wanted"):
        model.fit(Batches([floats, floats, floats.astype("int32")]), verbose=0)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["compiled", "eager"])
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_data_that_cannot_be_read_cost_no_weights(method, options, steps):
    model, other = (compiled(tiny.vae, steps, **options) for _ in range(2))
    x = tiny.examples(model, 8)
    for one in (model, other):
        one.fit(x, shuffle=False, verbose=0)
    in_order = {"shuffle": False} if method == "fit" else {}
    for batches in ([None, x], [x, None]):
        with pytest.raises(OSError, match="The disk is gone"):
            getattr(model, method)(Batches(batches), verbose=0, **in_order)
    if method == "fit" and steps == 1:  # The second time it came to a step.
        other.fit(x, shuffle=False, verbose=0)
    assert_equal(weights_of(model), weights_of(other))
    assert np.isfinite(model.evaluate(x, verbose=0, return_dict=True)["loss"])


@pytest.mark.parametrize("steps", [1, 4])
def test_ctrl_c_within_a_step_costs_no_weights(steps):
    import jax

    class Interrupted(kg.VAE):
        interrupts = False

        def objective(self, *args, **kwargs):
            jax.debug.callback(self.interrupt)
            return super().objective(*args, **kwargs)

        def interrupt(self):
            if self.interrupts:
                self.interrupts = False
                os.kill(os.getpid(), signal.SIGINT)

    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
    model = compiled(lambda: Interrupted(*networks), steps)
    x = tiny.examples(model, 32)
    model.fit(x, batch_size=8, verbose=0)
    model.interrupts = True
    with faults.ctrl_c_is_heard():
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, batch_size=8, epochs=100, verbose=0)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert 4 < tiny.steps(model) < 404
    assert np.isfinite(model.evaluate(x, verbose=0, return_dict=True)["loss"])


CALLS = {
    "train_on_batch": lambda model, x: model.train_on_batch(x),
    "test_on_batch": lambda model, x: model.test_on_batch(x),
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "evaluate": lambda model, x: model.evaluate(x, verbose=0),
    "predict": lambda model, x: model.predict(x, verbose=0),
    "sample": lambda model, x: model.sample(8),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "log_likelihood": lambda model, x: model.log_likelihood(x, 10, verbose=0),
}


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_before_keras_has_put_the_weights_back_costs_none(call, monkeypatch):
    model = compiled(tiny.vae, 1)
    x = tiny.examples(model, 8)
    model.fit(x, verbose=0)
    put_back, interrupts = keras.Model.jax_state_sync, iter([signal.SIGINT])

    def interrupted(self):
        for number in interrupts:
            signal.raise_signal(number)
        put_back(self)

    monkeypatch.setattr(keras.Model, "jax_state_sync", interrupted)
    with faults.ctrl_c_is_heard(), pytest.raises(KeyboardInterrupt):
        CALLS[call](model, x)
    assert not list(interrupts)
    assert tiny.steps(model) == (2 if call == "train_on_batch" else 1)
    for each in CALLS.values():
        assert np.isfinite(each(model, x)).all()


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_a_callback_that_raises_costs_no_weights(method):
    class Raising(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            raise OSError("The disk is full.")

        on_predict_batch_end = on_test_batch_end

    model, other = compiled(tiny.vae, 1), compiled(tiny.vae, 1)
    x = tiny.examples(model, 16)
    for one in (model, other):
        one.fit(x, shuffle=False, verbose=0)
    with pytest.raises(OSError, match="The disk is full"):
        getattr(model, method)(x, batch_size=8, verbose=0, callbacks=[Raising()])
    assert_equal(weights_of(model), weights_of(other))
    model.evaluate(x, verbose=0)


def test_a_step_may_give_its_state_as_numpy():
    import jax

    class InNumpy(kg.VAE):
        def train_step(self, state, data):
            logs, state = super().train_step(state, data)
            return logs, jax.tree.map(np.asarray, state)

    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
    model = compiled(lambda: InNumpy(*networks), 1, run_eagerly=True)
    x = tiny.examples(model, 8)
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(((x,) for _ in range(3)), shuffle=False, verbose=0)
    assert tiny.steps(model) == 3
    with pytest.raises(OSError, match="The disk is gone"):
        model.fit(Batches([x, None]), shuffle=False, verbose=0)
    assert tiny.steps(model) == 4


@pytest.mark.parametrize("steps", [1, 4])
def test_predictions_are_those_of_all_batches(steps):
    model = compiled(tiny.vae, steps)
    x = tiny.examples(model, 44)
    predicted = model.predict(x, batch_size=8, verbose=0)
    alone = [model.predict(part, verbose=0) for part in np.split(x, [8, 16, 24, 32, 40])]
    np.testing.assert_allclose(predicted, np.concatenate(alone), rtol=1e-5)


def test_data_that_end_in_an_error_leave_the_steps_before():
    model, other = compiled(tiny.vae, 2), compiled(tiny.vae, 2)
    x = tiny.examples(model, 8)
    with pytest.raises(OSError, match="The disk is gone"):
        model.fit(Batches([x, x, x, None]), shuffle=False, verbose=0)
    other.fit(Batches([x, x]), shuffle=False, verbose=0)
    assert_equal(weights_of(model), weights_of(other))


@pytest.mark.parametrize("before", [1, 2])
def test_the_number_of_steps_may_change_between_fits(before):
    model = compiled(tiny.vae, before)
    x = tiny.examples(model, 40)
    model.fit(x, batch_size=8, verbose=0)
    model.steps_per_execution = 5
    model.fit(x, batch_size=8, verbose=0)
    assert tiny.steps(model) == 10


def test_a_step_of_ones_own_may_log_numbers_and_give_its_state_in_tuples():
    class Own(kg.VAE):
        def train_step(self, state, data):
            logs, state = super().train_step(state, data)
            logs = {**logs, "one": 1.0, "step": state[2][0]}  # The optimizer's `iterations`.
            return logs, [tuple(group) for group in state]

    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
    _, (history, *_) = fitted(4, lambda: Own(*networks))
    assert history["one"] == [1.0, 1.0]
    assert history["step"] == [4, 8]
