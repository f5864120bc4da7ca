import keras
import numpy as np
import pytest

import keras_gen as kg
from keras_gen.models import fitting

X = np.random.default_rng(0).random((10, 4, 4, 1), "float32")


class Seen(kg.VAE):
    """Logs the means of the first pixel, weighted, over the epoch's training batches."""

    logged = ("loss", "pixel")

    @kg.backend.step
    def train_step(self, data):
        x, _, weights = keras.utils.unpack_x_y_sample_weight(data)
        pixels = x[:, 0, 0, 0] if weights is None else x[:, 0, 0, 0] * weights
        return self.track({"loss": pixels[0], "pixel": keras.ops.mean(pixels)}, x)

    test_step = train_step


@pytest.fixture
def model():
    model = Seen(*kg.networks.mlp_vae((4, 4, 1), latent_dim=2, hidden=(4,)))
    model.compile("adam")
    return model


@pytest.mark.parametrize("kind", ["arrays", "weighted arrays", "dataset"])
def test_every_example_is_read_with_its_weight(model, kind):
    dataset, weighted = kind == "dataset", kind == "weighted arrays"
    weights = np.arange(10, dtype="float32") if weighted else None
    wanted = (X[:, 0, 0, 0] * (weights if weighted else 1)).mean()
    data = {"x": kg.data.ArrayDataset(X, batch_size=4)} if dataset else {"x": X, "batch_size": 4}
    if weighted:
        data["sample_weight"] = weights
    history = model.fit(**data, epochs=3, verbose=0).history
    np.testing.assert_allclose(history["pixel"], [wanted] * 3, rtol=1e-5)
    np.testing.assert_allclose(
        model.evaluate(**data, return_dict=True, verbose=0)["pixel"], wanted, rtol=1e-5
    )
    validation = data["x"] if dataset else (X, None, weights) if weighted else X
    history = model.fit(X, validation_data=validation, validation_batch_size=3, verbose=0).history
    np.testing.assert_allclose(history["val_pixel"], [wanted], rtol=1e-5)


def test_steps_and_a_split_are_kept(model):
    history = model.fit(
        X, batch_size=2, steps_per_epoch=2, validation_split=0.2, shuffle=False, verbose=0
    ).history
    np.testing.assert_allclose(history["pixel"], [X[:4, 0, 0, 0].mean()], rtol=1e-5)
    np.testing.assert_allclose(history["val_pixel"], [X[8:, 0, 0, 0].mean()], rtol=1e-5)
    history = model.fit(
        X, batch_size=2, shuffle=False, validation_data=X, validation_steps=1, verbose=0
    ).history
    np.testing.assert_allclose(history["val_pixel"], [X[:2, 0, 0, 0].mean()], rtol=1e-5)


def test_tensorflow_tunes_a_stream_of_the_users_own_and_nothing_else(backend):
    if backend != "tensorflow":
        pytest.skip("tf.data is TensorFlow's")
    import tensorflow as tf

    own = tf.data.Dataset.from_tensor_slices(X).batch(2)
    for data, tuned in ((X, False), (kg.data.ArrayDataset(X), False), (own, True)):
        arguments = {"x": data, "shuffle": False}
        fitting.prepare(None, "fit", arguments)
        options = arguments["x"].get_tf_dataset().options()
        assert options.autotune.enabled is (None if tuned else False)


def test_validation_comes_in_a_list_too(model):
    weights = np.arange(10, dtype="float32")
    wanted = X[:, 0, 0, 0].mean(), (X[:, 0, 0, 0] * weights).mean()
    for validation, mean in (([X], wanted[0]), ([X, None, weights], wanted[1])):
        history = model.fit(X, validation_data=validation, verbose=0).history
        np.testing.assert_allclose(history["val_pixel"], [mean], rtol=1e-5)


def test_a_generator_is_read_to_its_end(model):
    halves = ((X[i : i + 5],) for i in (0, 5))
    history = model.fit(halves, steps_per_epoch=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["pixel"], [X[:, 0, 0, 0].mean()], rtol=1e-5)


class Watching(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["pixel"]))


def test_a_callback_that_looks_at_steps_sees_each(model):
    watching = Watching()
    ends = []
    also = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    history = model.fit(X, batch_size=5, epochs=2, callbacks=[watching, also], verbose=0)
    assert [batch for batch, _ in watching.seen] == ends == [0, 1, 0, 1]
    assert watching.seen[3][1] == pytest.approx(history.history["pixel"][1])
    assert history is model.history and history.params["steps"] == 2
    assert watching.params == {"verbose": 0, "epochs": 2, "steps": 2}


@pytest.mark.parametrize("verbose", [0, 2])
def test_without_one_no_step_is_waited_for(model, verbose, monkeypatch):
    waited = []
    monkeypatch.setattr(
        keras.callbacks.CallbackList, "on_train_batch_end", lambda *_: waited.append(_)
    )
    ends = []
    epochs = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(logs))
    history = model.fit(X, batch_size=1, epochs=2, callbacks=[epochs], verbose=verbose).history
    assert not waited
    assert [logs["pixel"] for logs in ends] == history["pixel"]


def test_a_progress_bar_shows_the_steps_and_the_last_numbers(model, capsys):
    logs = model.fit(X, batch_size=1, verbose=1).history
    bar = capsys.readouterr().out
    assert "10/10" in bar and "1/10" in bar
    assert f"pixel: {logs['pixel'][0]:.4f}" in bar
    halves = ((X[i : i + 5],) for i in (0, 5))  # How many there are is seen at the end.
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(halves, shuffle=False, verbose=1)
    assert "2/2" in capsys.readouterr().out


def test_a_limit_on_steps_is_told_to_callbacks(model):
    watching = Watching()
    keras.config.set_max_steps_per_epoch(3)
    try:
        with pytest.warns(UserWarning, match="Limiting steps_per_epoch"):
            model.fit(kg.data.ArrayDataset(X, batch_size=2), callbacks=[watching], verbose=0)
    finally:
        keras.config.set_max_steps_per_epoch(None)
    assert watching.params["steps"] == len(watching.seen) == 3
