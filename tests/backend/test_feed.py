import keras
import numpy as np
import pytest

import keras_gen as kg

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
    for data in (X, kg.data.ArrayDataset(X)):
        read, *rest = kg.backend.feed((data, None, None), batch_size=None, steps=None, shuffle=True)
        assert rest == [None, None]
        assert read.get_tf_dataset().options().autotune.enabled is False
    import tensorflow as tf

    data = (tf.data.Dataset.from_tensor_slices(X).batch(2), None, None)
    assert kg.backend.feed(data, batch_size=None, steps=None, shuffle=True) is data


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
