"""JAX: an interrupt, or data that cannot be read, costs no weights."""

import collections
import contextlib
import gc
import importlib
import inspect
import itertools
import os
import signal
import sys
import threading
import weakref

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny
from train import interrupts

if keras.config.backend() != "jax":
    pytest.skip("on TensorFlow and torch the variables hold the state", allow_module_level=True)

jax = pytest.importorskip("jax")
jax_backend = importlib.import_module("keras_gen.backend.jax")


@contextlib.contextmanager
def handling_ctrl_c():
    """Within it SIGINT raises: what a shell starts in the background inherits that it does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(params=[False, True], ids=["keeps", "donates"])
def donates(request, monkeypatch):
    """Whether a step of `fit` writes over the old state, as on a GPU."""
    monkeypatch.setattr("keras_gen.backend.jax.donates", lambda model: request.param)
    return request.param


def compiled(build=tiny.vae, steps=1, **options):
    keras.utils.set_random_seed(3)
    model = build()
    tiny.compile_model(model, keras.optimizers.Adam, steps_per_execution=steps, **options)
    return model


def weights_of(model):
    return [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]


def assert_equal(results, others):
    keras.tree.map_structure(np.testing.assert_array_equal, results, others)


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


class CtrlC(keras.callbacks.Callback):
    """Sends Ctrl-C, from another thread, soon after the seventh step begins."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.seconds, self.countdown = seconds, 7

    def on_train_batch_begin(self, batch, logs=None):
        self.countdown -= 1
        if self.countdown == 0:
            threading.Timer(self.seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.mark.parametrize("build", [tiny.vae, tiny.gan])
def test_several_steps_an_execution_give_what_they_give_one_by_one(build):
    ends = []
    for steps in (1, 3):
        model = compiled(build, steps)
        x = tiny.examples(model, 60)  # 8 batches, the last of 4.
        history = model.fit(x, batch_size=8, epochs=2, shuffle=False, verbose=0).history
        assert tiny.steps(model) == 16 * (1 if build is tiny.vae else 3)
        ends.append([history, model.evaluate(x, batch_size=8, verbose=0), *weights_of(model)])
    assert_equal(*ends)


def test_where_a_step_donates_training_is_the_same():
    ends = []
    for jit_compile in ("auto", True):
        model = compiled(jit_compile=jit_compile)
        assert jax_backend.donates(model) == (jit_compile is True or jax.default_backend() != "cpu")
        x = tiny.examples(model, 32)
        model.train_on_batch(x[:8])
        history = model.fit(x, batch_size=8, epochs=2, validation_data=x, verbose=0).history
        model.train_on_batch(x[:8])
        ends.append([history, model.predict(x, verbose=0), *weights_of(model)])
    assert_equal(*ends)


@pytest.mark.parametrize("steps", [1, 4])
def test_data_that_cannot_be_read_leave_the_steps_before(steps, donates):
    model, other = compiled(steps=steps), compiled()
    x = tiny.examples(model, 8)
    with pytest.raises(OSError, match="The disk is gone"):
        model.fit(Batches([x, x, x, None]), shuffle=False, verbose=0)
    other.fit(Batches([x, x, x]), shuffle=False, verbose=0)
    assert_equal(weights_of(model), weights_of(other))
    assert_equal(
        *([ops.convert_to_numpy(v) for v in m.optimizer.variables] for m in (model, other))
    )


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["compiled", "eager"])
@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_data_that_cannot_be_read_leave_the_weights(method, options, donates):
    model = compiled(**options)
    x = tiny.examples(model, 8)
    model.fit(x, verbose=0)
    before = weights_of(model)
    for batches in ([None, x], [x, None]):
        with pytest.raises(OSError, match="The disk is gone"):
            getattr(model, method)(Batches(batches), verbose=0)
        assert_equal(weights_of(model), before)
    assert np.isfinite(model.evaluate(x, verbose=0, return_dict=True)["loss"])


@pytest.mark.parametrize("seconds", [0, 0.0005, 0.001, 0.002])
def test_ctrl_c_within_fit_keeps_the_last_finished_step(seconds):
    model, other = compiled(), compiled()
    x = tiny.examples(model, 32)
    for one in (model, other):
        one.fit(x, batch_size=8, shuffle=False, verbose=0)
    with handling_ctrl_c(), interrupts.remembered():
        handler = signal.getsignal(signal.SIGINT)
        # Python drops one that comes within a destructor: `fit` then ends with the epoch.
        callbacks = [CtrlC(seconds), interrupts.stop_when_interrupted()]
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, batch_size=8, epochs=999, shuffle=False, verbose=0, callbacks=callbacks)
        assert signal.getsignal(signal.SIGINT) is handler
    made = tiny.steps(model) - 4
    assert 6 <= made < 3996
    other.fit(x, batch_size=8, epochs=made // 4, shuffle=False, verbose=0)
    if made % 4:
        other.fit(x[: 8 * (made % 4)], batch_size=8, shuffle=False, verbose=0)
    assert_equal(weights_of(model), weights_of(other))
    assert np.isfinite(model.evaluate(x, verbose=0, return_dict=True)["loss"])


def interrupt_within(monkeypatch, calls):
    """Make programs raise Ctrl-C, at these calls, when they have run but nobody has the result."""
    jit, made = jax.jit, []

    def interrupting_jit(function, **options):
        jitted = jit(function, **options)

        def run(*args):
            result = jitted(*args)
            made.append(1)
            if len(made) in calls:
                raise KeyboardInterrupt
            return result

        return run

    monkeypatch.setattr(jax, "jit", interrupting_jit)


@pytest.mark.parametrize("call", [1, 4, 5, 6, 11])
def test_where_a_step_donates_ctrl_c_gives_back_the_beginning_of_the_epoch(
    call, monkeypatch, donates
):
    interrupt_within(monkeypatch, [4 + call])
    model, beginnings = compiled(), []
    x = tiny.examples(model, 32)
    model.fit(x, batch_size=8, verbose=0)
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: beginnings.append(weights_of(model))
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, batch_size=8, epochs=9, shuffle=False, verbose=0, callbacks=[note])
    begun = 4 * ((call - 1) // 4)
    assert len(beginnings) == 1 + begun // 4
    assert tiny.steps(model) == 4 + (begun if donates else call - 1)
    if donates:
        assert_equal(weights_of(model), beginnings[-1])
    model.fit(x, batch_size=8, verbose=0)
    assert np.isfinite(model.evaluate(x, verbose=0, return_dict=True)["loss"])


def test_a_callback_that_reads_weights_in_each_step_changes_nothing(donates, monkeypatch):
    """Where it does, Keras takes the values out of the variables once a step."""
    copies, device_get = [], jax.device_get

    def counting(x):
        copies.append(isinstance(x, tuple))  # A state is one.
        return device_get(x)

    class Reads(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.read = []

        def on_train_batch_end(self, batch, logs=None):
            self.read.append(weights_of(self.model))

    monkeypatch.setattr(jax, "device_get", counting)
    ends, reads = [], Reads()
    for callbacks in ([], [reads]):
        model = compiled()
        x = tiny.examples(model, 32)
        model.fit(x, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        ends.append(weights_of(model))
    assert_equal(*ends)
    assert len(reads.read) == 8
    assert_equal(reads.read[-1], ends[-1])
    assert sum(copies) == 4 * donates  # Once an epoch.


CALLS = {
    "train_on_batch": lambda model, x: model.train_on_batch(x),
    "test_on_batch": lambda model, x: model.test_on_batch(x),
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "evaluate": lambda model, x: model.evaluate(x, verbose=0),
    "predict": lambda model, x: model.predict(x, verbose=0),
    "sample": lambda model, x: model.sample(8),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "encode": lambda model, x: model.encode(x),
    "log_likelihood": lambda model, x: model.log_likelihood(x, 10, verbose=0),
}


def assert_floats_kept(model, before):
    """Only the state of noise may have moved."""
    for now, then, weight in zip(weights_of(model), before, model.weights, strict=True):
        if keras.backend.is_float_dtype(weight.dtype):
            np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_within_the_program_of_a_call_costs_no_weights(call, monkeypatch, donates):
    model = compiled()
    x = tiny.examples(model, 8)
    model.fit(x, verbose=0)
    before = weights_of(model)
    interrupt_within(monkeypatch, [1])
    model.compile(keras.optimizers.Adam())  # Forgets the programs.
    with pytest.raises(KeyboardInterrupt):
        CALLS[call](model, x)
    assert_floats_kept(model, before)
    # The call itself, one that takes all variables and one that takes the networks alone.
    for name in (call, "train_on_batch", "reconstruct"):
        assert np.isfinite(CALLS[name](model, x)).all(), name


@pytest.mark.parametrize("call", [1, 3, 5])
def test_ctrl_c_within_inpainting_costs_no_weights(call, monkeypatch):
    model = compiled()
    x = tiny.examples(model, 8)
    model.fit(x, verbose=0)
    before = weights_of(model)
    interrupt_within(monkeypatch, [call])
    with pytest.raises(KeyboardInterrupt):
        model.inpaint(x, x > 0.5, steps=6)
    assert_floats_kept(model, before)


def interrupted_before_line(number, function):
    """Run `function` with Ctrl-C before this line of what takes values out of variables.

    A line counts twice: what comes later within a loop is the same as before.
    """
    files = (inspect.getfile(keras.Model.jax_state_sync), inspect.getfile(kg.backend.Trainer))
    seen, countdown = collections.Counter(), iter(range(number))

    def trace_lines(frame, event, argument):
        if event == "line":
            seen[frame.f_code, frame.f_lineno] += 1
            if seen[frame.f_code, frame.f_lineno] <= 2 and next(countdown, None) is None:
                raise KeyboardInterrupt
        return trace_lines

    def trace_calls(frame, event, argument):
        return trace_lines if frame.f_code.co_filename in files else None

    before = sys.gettrace()
    sys.settrace(trace_calls)
    try:
        function()
        return False
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(
    "method, steps",
    [
        ("fit", 1),
        ("fit", 2),
        *((m, 1) for m in ("train_on_batch", "evaluate", "predict", "sample")),
    ],
)
def test_ctrl_c_before_any_line_leaves_the_values_of_one_step(method, steps, donates):
    model = compiled(steps=steps)
    x = tiny.examples(model, 16)
    variables = [*model.trainable_variables, *model.optimizer.variables]
    start = [np.array(ops.convert_to_numpy(v)) for v in model.variables + model.optimizer.variables]

    def run(n=16):
        if method == "fit":
            model.fit(x[:n], batch_size=8, shuffle=False, verbose=0)
        else:
            CALLS[method](model, x)

    def begin():
        together = model.variables + model.optimizer.variables
        for variable, value in zip(together, start, strict=True):
            variable.assign(value)

    def state():
        return [np.array(ops.convert_to_numpy(variable)) for variable in variables]

    states = {0: state()}
    for n in (8, 16):
        begin()
        run(n)
        states[tiny.steps(model)] = state()
    for line in itertools.count():
        begin()
        if not interrupted_before_line(line, run):
            break
        assert_equal(state(), states[tiny.steps(model)])
    assert line > 50


def test_a_network_that_is_called_is_compiled_once_and_freed(monkeypatch):
    made, jit = [], jax.jit

    def counting_jit(function, **options):
        made.append(1)
        return jit(function, **options)

    monkeypatch.setattr(jax, "jit", counting_jit)
    model = compiled()
    for _ in range(3):
        model.sample(8)
        model.decoder.set_weights([0 * weight for weight in model.decoder.get_weights()])
    assert len(made) == 1
    np.testing.assert_allclose(model.sample(8), 0.5)  # The weights of today: logits are 0.
    decoder = weakref.ref(model.decoder)
    del model
    gc.collect()
    assert decoder() is None


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_a_callback_that_raises_costs_no_weights(method, donates):
    class Raising(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            raise OSError("The disk is full.")

        on_train_batch_end = on_predict_batch_end = on_test_batch_end

    model, other = compiled(), compiled()
    x = tiny.examples(model, 16)
    for one in (model, other):
        one.fit(x, shuffle=False, verbose=0)
    in_order = {"shuffle": False} if method == "fit" else {}
    with pytest.raises(OSError, match="The disk is full"):
        call = getattr(model, method)
        call(x, batch_size=8, verbose=0, callbacks=[Raising()], **in_order)
    if method == "fit":
        other.train_on_batch(x[:8])
    assert_equal(weights_of(model), weights_of(other))
    model.evaluate(x, verbose=0)


def test_weights_that_a_callback_has_set_survive_its_error(donates):
    model = compiled()
    x = tiny.examples(model, 16)

    def set_and_raise(epoch, logs):
        for variable in model.trainable_variables:
            variable.assign(0.01 * ops.ones(variable.shape))
        raise OSError("The disk is full.")

    for when in ("on_epoch_begin", "on_epoch_end"):
        model.fit(x, verbose=0)
        with pytest.raises(OSError, match="The disk is full"):
            model.fit(
                x, callbacks=[keras.callbacks.LambdaCallback(**{when: set_and_raise})], verbose=0
            )
        for weight in model.trainable_variables:
            np.testing.assert_array_equal(weight, np.full(weight.shape, 0.01, "float32"))


def test_averages_are_not_shared_after_ctrl_c(donates):
    model = compiled()
    model.compile(keras.optimizers.Adam(use_ema=True))
    x = tiny.examples(model, 32)
    with handling_ctrl_c(), interrupts.remembered(), pytest.raises(KeyboardInterrupt):
        callbacks = [CtrlC(), interrupts.stop_when_interrupted()]
        model.fit(x, batch_size=8, epochs=999, verbose=0, callbacks=callbacks)
    model.fit(x, batch_size=8, verbose=0)
    assert np.isfinite(model.evaluate(x, verbose=0, return_dict=True)["loss"])


def test_a_step_may_give_its_state_as_numpy():
    class InNumpy(kg.VAE):
        def train_step(self, state, data):
            logs, state = super().train_step(state, data)
            return logs, jax.tree.map(np.asarray, state)

    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 3, hidden=(6,))
    model = compiled(lambda: InNumpy(*networks), run_eagerly=True)
    x = tiny.examples(model, 8)
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(((x,) for _ in range(3)), shuffle=False, verbose=0)
    assert tiny.steps(model) == 3
    with pytest.raises(OSError, match="The disk is gone"):
        model.fit(Batches([x, None]), shuffle=False, verbose=0)
    assert tiny.steps(model) == 4


@pytest.mark.parametrize("steps", [1, 4])
def test_predictions_are_those_of_all_batches(steps):
    model = compiled(steps=steps)
    x = tiny.examples(model, 44)
    predicted = model.predict(x, batch_size=8, verbose=0)
    alone = [model.predict(part, verbose=0) for part in np.split(x, [8, 16, 24, 32, 40])]
    np.testing.assert_allclose(predicted, np.concatenate(alone), rtol=1e-5)


def test_batches_of_another_type_are_not_turned_into_floats():
    model = compiled(steps=3)
    floats = tiny.examples(model, 8)
    with pytest.raises(ValueError, match="of type int32, but floats are expected"):
        model.fit(Batches([floats, floats, floats.astype("int32")]), verbose=0)


@pytest.mark.parametrize("before", [1, 2])
def test_the_number_of_steps_may_change_between_fits(before):
    model = compiled(steps=before)
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
    model = compiled(lambda: Own(*networks), steps=4)
    history = model.fit(tiny.examples(model, 32), batch_size=8, epochs=2, verbose=0).history
    assert history["one"] == [1.0, 1.0]
    assert history["step"] == [4, 8]


def test_a_model_may_be_evaluated_within_its_own_fit():
    model = compiled()
    x = tiny.examples(model, 16)
    losses = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(model.evaluate(x, verbose=0)[0])
    )
    model.fit(x, batch_size=8, verbose=0, callbacks=[look])
    assert np.all(np.isfinite(losses)) and len(losses) == 2
    assert tiny.steps(model) == 2
