"""What every model does, whatever it is: one parametrised row per builder in `tiny`."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen.data import ArrayDataset
from tests.helpers import put_back, state_of
from tests.models import tiny

every_model = pytest.mark.parametrize("run", tiny.MODELS, indirect=True, ids=tiny.name)
# What depends on the step and the state alone: not once more for each likelihood and network.
every_step = pytest.mark.parametrize("run", tiny.STEPS, indirect=True, ids=tiny.name)
every_objective = pytest.mark.parametrize(
    "run",
    [*tiny.STEPS, tiny.conditional_vae, tiny.iwae, tiny.dreg_iwae, tiny.denoising_autoencoder],
    indirect=True,
    ids=tiny.name,
)


class Run:
    """A model and four epochs of its training: the weights after each, the files of the second."""

    def __init__(self, build, folder):
        self.build, self.model, self.weights = build, compiled(build), []
        self.file, self.weights_file = folder / "model.keras", folder / "model.weights.h5"
        self.start = state_of(self.model)
        data = dataset(self.model)
        for epoch in range(4):
            self.model.fit(data, verbose=0)
            self.weights.append(weights_of(self.model))
            if epoch == 1:
                self.model.save(self.file)
                self.model.save_weights(self.weights_file)
                self.drawn, self.steps = tiny.drawn(self.model), tiny.steps(self.model)
                self.batches = 2 * len(data)

    def restarted(self):
        """Return the model as it was before it trained."""
        put_back(self.model, self.start)
        return self.model


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    return Run(request.param, tmp_path_factory.mktemp("run"))


def compiled(build, **kwargs):
    keras.utils.set_random_seed(3)
    return compile_model(build(), **kwargs)


def compile_model(model, **kwargs):
    # With its usual epsilon Adam divides small gradients by their size, and so magnifies rounding.
    tiny.compile_model(model, lambda: keras.optimizers.Adam(0.01, epsilon=0.1), **kwargs)
    return model


def weights_of(model):
    return [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]


def assert_weights(model, expected, rtol=0.0):
    for a, b in zip(weights_of(model), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def dataset(model, n=16, **kwargs):
    x, y = tiny.examples(model, n), tiny.labels(model, n)
    return ArrayDataset(x, y, batch_size=8, seed=4, **kwargs)


def dataset_with_a_rest(run):
    """Two batches, the second of four examples where a step takes any number: likelihoods do.

    Each size is traced and compiled, so a step meets two once, and its other models one.
    """
    one_size = isinstance(run.model, kg.GAN) or run.build not in tiny.STEPS
    return dataset(run.model, 16 if one_size else 12)


@every_model
def test_fit_logs_what_it_says_and_a_likelihood_rises(run):
    model = run.restarted()
    history = model.fit(dataset_with_a_rest(run), epochs=20, verbose=0).history
    assert set(history) == set(model.logged)
    assert np.all(np.isfinite(list(history.values())))
    falls = "reconstruction" if hasattr(model, "discriminator") else "loss"
    if not isinstance(model, kg.GAN):  # In a game no loss need fall.
        assert history[falls][-1] < history[falls][0]


@every_step
def test_pictures_validation_and_a_return_to_a_file_of_weights_leave_training_alone(run):
    """The file of weights restores optimizer and noise too, hence the same bits."""

    class Nosy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            tiny.drawn(self.model)
            if hasattr(self.model, "sample"):
                self.model.sample(2, y=tiny.labels(self.model, 2))

    model = compiled(run.build)
    validation = dataset(model, shuffle=False)
    watched = {"validation_data": validation, "callbacks": [Nosy()], "verbose": 0}
    model.fit(dataset(model), epochs=3, **watched)
    assert_weights(model, run.weights[2])
    model.load_weights(run.weights_file)
    assert_weights(model, run.weights[1])
    data = dataset(model)
    data.epoch = 2
    model.fit(data, epochs=2, **watched)
    assert_weights(model, run.weights[3])


@every_model
def test_config_round_trip_builds_the_same_architecture(run):
    model = run.model
    rebuilt = type(model).from_config(model.get_config())
    assert rebuilt.get_config() == model.get_config()
    assert [w.shape for w in rebuilt.weights] == [w.shape for w in model.weights]


@every_step
def test_clone_trains(run):
    clone = compile_model(keras.models.clone_model(run.model))
    before = tiny.drawn(clone)
    clone.fit(dataset(clone), epochs=10, verbose=0)
    assert np.abs(tiny.drawn(clone) - before).max() > 1e-3


@every_model
def test_a_saved_model_goes_on_as_if_never_saved(run):
    """Optimizer and noise too, hence the same bits: of another instance, so of any."""
    loaded = keras.saving.load_model(run.file, safe_mode=True)
    assert_weights(loaded, run.weights[1])
    np.testing.assert_array_equal(tiny.drawn(loaded), run.drawn)
    assert tiny.steps(loaded) == run.steps
    data = dataset(loaded)
    data.epoch = 2
    loaded.fit(data, epochs=2, verbose=0)
    assert_weights(loaded, run.weights[3])


@every_step
def test_a_model_that_is_not_compiled_saves_and_clones(run, tmp_path):
    model = run.build()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_weights(loaded, weights_of(model))
    keras.models.clone_model(model)
    keras.saving.load_model(run.file, compile=False).save(tmp_path / "2.keras")


@every_objective
def test_train_on_batch_is_a_step_of_fit(run):
    model = run.restarted()
    x, y = tiny.examples(model, 8), tiny.labels(model, 8)
    logs = model.train_on_batch(x, y, return_dict=True)
    weights = weights_of(model)
    model = run.restarted()
    history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0).history
    assert logs.keys() == history.keys()
    np.testing.assert_allclose([logs[k] for k in logs], [history[k][0] for k in logs], rtol=1e-6)
    assert_weights(model, weights)


@every_step
def test_steps_per_execution_changes_nothing(run, backend):
    if backend == "torch":
        pytest.skip("Keras's loop over data hands over single batches on torch")
    model, other = run.restarted(), compiled(run.build, steps_per_execution=3)
    for one in (model, other):
        # In full batches: TensorFlow rounds otherwise where it does not know a batch's size.
        x, y = tiny.examples(one, 32), tiny.labels(one, 32)
        one.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert_weights(other, weights_of(model), rtol=1e-6)


@every_step
def test_a_subclass_may_call_the_step_of_its_parent(run):
    class Twice(type(run.model)):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            # A model that is built takes more layers.
            self.extra = keras.layers.Dense(2, trainable=False)
            self.extra.build((None, 2))

        @kg.backend.step
        def train_step(self, data):
            super().train_step(data)
            return super().train_step(data)

    model = compile_model(Twice.from_config(run.model.get_config()))
    x, y = tiny.examples(model, 8), tiny.labels(model, 8)
    model.fit(x, y, batch_size=8, epochs=run.batches, verbose=0)
    assert tiny.steps(model) == 2 * run.steps > 0


@every_objective
def test_compiled_and_eager_agree(run):
    model, eager = run.restarted(), compiled(run.build, run_eagerly=True)
    for one in (model, eager):
        one.fit(dataset_with_a_rest(run), verbose=0)
    assert_weights(eager, weights_of(model), rtol=1e-5)


@every_step
def test_a_step_compiled_as_a_whole_trains_as_the_eager_one(run, backend):
    if backend == "jax":
        pytest.skip("JAX compiles by default")
    model = compiled(run.build, jit_compile=True)
    before = tiny.drawn(model)
    model.fit(dataset(model), verbose=0)
    change = np.abs(tiny.drawn(model) - before)
    assert 1e-6 < change.max() < np.inf
    if backend == "torch":  # XLA draws other noise on TensorFlow: tests/models/test_golden.py.
        assert_weights(model, run.weights[0], rtol=1e-5)


def test_pytorch_says_which_setting_keeps_a_step_eager(backend):
    if backend != "torch":
        pytest.skip("XLA compiles them")
    accumulating = keras.optimizers.Adam(gradient_accumulation_steps=2)
    model = tiny.vae()
    model.compile(accumulating, jit_compile=True)
    with pytest.warns(UserWarning, match="with gradient_accumulation_steps: it runs eagerly"):
        model.fit(dataset(model), verbose=0)
