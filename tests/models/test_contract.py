"""What every model does, whatever it is: one parametrised row per builder in `tiny`."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from keras_gen.data import ArrayDataset
from tests.models import tiny

every_model = pytest.mark.parametrize("build", tiny.MODELS, ids=lambda build: build.__name__)
# What depends on the step and the state alone: not once more for each likelihood and network.
every_step = pytest.mark.parametrize("build", tiny.STEPS, ids=lambda build: build.__name__)


def compiled(build, optimizer=keras.optimizers.Adam, **kwargs):
    keras.utils.set_random_seed(3)
    model = build()
    tiny.compile_model(model, lambda: optimizer(0.01), **kwargs)
    return model


def weights_of(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def assert_same_weights(model, other, rtol=0.0):
    for a, b in zip(weights_of(model), weights_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def dataset(model, **kwargs):
    # 24 examples, as GANs here want at least 4 in a batch; the likelihoods take a part of one.
    n = 24 if isinstance(model, kg.GAN) else 20
    x, y = tiny.examples(model, n), tiny.labels(model, n)
    return ArrayDataset(x, y, batch_size=8, seed=4, **kwargs)


@every_model
def test_fit_logs_what_it_says_and_a_likelihood_rises(build):
    model = compiled(build)
    history = model.fit(dataset(model), epochs=15, verbose=0).history
    assert set(history) == set(model.logged)
    assert np.all(np.isfinite(list(history.values())))
    if not isinstance(model, kg.GAN):  # Of a game no loss need fall.
        assert history["loss"][-1] < history["loss"][0]


# Of the others the next test says it, and more.
@pytest.mark.parametrize(
    "build", [m for m in tiny.MODELS if m not in tiny.STEPS], ids=lambda build: build.__name__
)
def test_same_seed_gives_the_same_weights_to_the_bit(build):
    runs = [compiled(build) for _ in range(2)]
    for model in runs:
        model.fit(dataset(model), epochs=2, verbose=0)
    assert_same_weights(*runs)


@every_step
def test_pictures_and_validation_leave_training_alone(build):
    class Nosy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            tiny.drawn(self.model)
            if hasattr(self.model, "sample"):
                self.model.sample(2, y=tiny.labels(self.model, 2))

    watched, alone = compiled(build), compiled(build)
    watched.fit(
        dataset(watched),
        epochs=3,
        verbose=0,
        callbacks=[Nosy()],
        validation_data=dataset(watched, shuffle=False),
    )
    alone.fit(dataset(alone), epochs=3, verbose=0)
    assert_same_weights(watched, alone)


@every_model
def test_config_round_trip_builds_the_same_architecture(build):
    model = build()
    rebuilt = type(model).from_config(model.get_config())
    assert rebuilt.get_config() == model.get_config()
    assert [w.shape for w in rebuilt.weights] == [w.shape for w in model.weights]


@every_step
def test_clone_trains(build):
    clone = keras.models.clone_model(compiled(build))
    tiny.compile_model(clone, lambda: keras.optimizers.Adam(0.01))
    before = tiny.drawn(clone)
    clone.fit(dataset(clone), epochs=2, verbose=0)
    assert np.abs(tiny.drawn(clone) - before).max() > 1e-3


@every_model
def test_saved_files_go_on_as_if_never_saved(build, tmp_path):
    """The model's, and that of its weights: optimizer and noise too, hence the same bits."""
    model = compiled(build)
    model.fit(dataset(model), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert_same_weights(model, loaded)
    np.testing.assert_array_equal(tiny.drawn(model), tiny.drawn(loaded))
    assert tiny.steps(loaded) == tiny.steps(model)
    models = [model, loaded]
    if build in tiny.STEPS:
        model.save_weights(tmp_path / "model.weights.h5")
        models.append(compiled(build))
        models[-1].load_weights(tmp_path / "model.weights.h5")
    for one in models:
        data = dataset(one)
        data.epoch = 2
        one.fit(data, epochs=2, verbose=0)
    for one in models[1:]:
        assert_same_weights(model, one)


@every_step
def test_a_model_that_is_not_compiled_saves_and_clones(build, tmp_path):
    model = build()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_weights(model, loaded)
    keras.models.clone_model(model)
    compiled(build).save(tmp_path / "compiled.keras")
    keras.saving.load_model(tmp_path / "compiled.keras", compile=False).save(tmp_path / "2.keras")


@pytest.mark.parametrize(
    "build",
    [*tiny.STEPS, tiny.conditional_vae, tiny.iwae, tiny.dreg_iwae, tiny.denoising_autoencoder],
    ids=lambda build: build.__name__,
)
def test_train_on_batch_is_a_step_of_fit(build):
    model, other = compiled(build), compiled(build)
    x, y = tiny.examples(model, 8), tiny.labels(model, 8)
    logs = model.train_on_batch(x, y, return_dict=True)
    history = other.fit(x, y, batch_size=8, shuffle=False, verbose=0).history
    assert logs.keys() == history.keys()
    np.testing.assert_allclose([logs[k] for k in logs], [history[k][0] for k in logs], rtol=1e-6)
    assert_same_weights(model, other)


@every_step
def test_steps_per_execution_changes_nothing(build, backend):
    if backend == "torch":
        pytest.skip("Keras's loop over data hands over single batches on torch")
    model, other = compiled(build), compiled(build, steps_per_execution=3)
    for one in (model, other):
        # In full batches: TensorFlow rounds otherwise where it does not know a batch's size.
        x, y = tiny.examples(one, 32), tiny.labels(one, 32)
        one.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert_same_weights(model, other, rtol=1e-6)


@every_step
def test_a_subclass_may_call_the_step_of_its_parent(build):
    parent = type(build())

    class Twice(parent):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.extra = keras.layers.Dense(2)  # A model that is built takes more layers.

        @kg.backend.step
        def train_step(self, data):
            super().train_step(data)
            return super().train_step(data)

    keras.utils.set_random_seed(3)
    config = build().get_config()
    keras.utils.set_random_seed(3)
    model = Twice.from_config(config)
    tiny.compile_model(model, lambda: keras.optimizers.Adam(0.01))
    once = compiled(build)
    for one in (model, once):
        x, y = tiny.examples(one, 8), tiny.labels(one, 8)
        one.fit(x, y, batch_size=8, epochs=3, verbose=0)
    assert tiny.steps(model) == 2 * tiny.steps(once) > 0


@every_model
def test_compiled_and_eager_agree(build):
    # SGD: Adam divides small gradients by their size, and so magnifies rounding.
    eager, graph = (
        compiled(build, keras.optimizers.SGD, run_eagerly=eagerly) for eagerly in (True, False)
    )
    for model in (eager, graph):
        model.fit(dataset(model), epochs=1, verbose=0)
    assert_same_weights(eager, graph, rtol=1e-5)


@every_step
def test_a_step_compiled_as_a_whole_trains_as_the_eager_one(build, backend):
    if backend == "jax":
        pytest.skip("JAX compiles by default")
    model = compiled(build, keras.optimizers.SGD, jit_compile=True)
    before = tiny.drawn(model)
    model.fit(dataset(model), epochs=1, verbose=0)
    change = np.abs(tiny.drawn(model) - before)
    assert 1e-6 < change.max() < np.inf
    if backend == "torch":  # XLA draws other noise on TensorFlow: tests/models/test_golden.py.
        eager = compiled(build, keras.optimizers.SGD, run_eagerly=True)
        tiny.drawn(eager)
        eager.fit(dataset(eager), epochs=1, verbose=0)
        assert_same_weights(eager, model, rtol=1e-5)


def test_pytorch_says_which_setting_keeps_a_step_eager(backend):
    if backend != "torch":
        pytest.skip("XLA compiles them")
    accumulating = keras.optimizers.Adam(gradient_accumulation_steps=2)
    model = tiny.vae()
    model.compile(accumulating, jit_compile=True)
    with pytest.warns(UserWarning, match="with gradient_accumulation_steps: it runs eagerly"):
        model.fit(dataset(model), verbose=0)
