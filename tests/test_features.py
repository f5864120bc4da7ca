"""Features of images: which numbers they are, and that a classifier's file is worth its name."""

import errno

import keras
import numpy as np
import pytest

import keras_gen as kg

pytestmark = pytest.mark.once


def stripes(n, seed):
    """Images of 8x8, dark above or dark below, with noise, and which half is bright."""
    random = np.random.default_rng(seed)
    y = random.integers(2, size=n)
    x = random.uniform(0, 0.4, (n, 8, 8, 1))
    x[y == 0, :4] += 0.5
    x[y == 1, 4:] += 0.5
    return x.astype("float32"), y


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A classifier, and the arguments that gave it."""
    cache = tmp_path_factory.mktemp("features")
    arguments = (*stripes(200, 0), *stripes(100, 1))
    settings = {"steps": 60, "cache": cache}
    return kg.features.Classifier.fit(*arguments, **settings), arguments, settings


def test_a_classifier_tells_bright_halves_apart(trained):
    classifier, (_, _, x, y), _ = trained
    assert classifier.accuracy == 1.0
    p = classifier.probabilities(x)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert np.all(p.argmax(axis=1) == y)
    # The probabilities are those of the features, by the last layer.
    kernel, bias = classifier.network.layers[-1].get_weights()
    features = classifier(x)
    assert features.shape == (100, 64)
    logits = features @ kernel + bias
    np.testing.assert_allclose(
        np.log(p[:, 1] / p[:, 0]), logits[:, 1] - logits[:, 0], rtol=1e-4, atol=1e-4
    )


def test_a_classifier_is_read_from_its_file_and_a_damaged_file_is_replaced(trained):
    classifier, arguments, settings = trained
    (path,) = settings["cache"].glob("*.npz")
    # Other weights in the file: they are what comes back, so nothing was trained.
    with np.load(path) as file:
        weights = dict(file)
    np.savez(path, **{name: np.zeros_like(w) for name, w in weights.items()})
    assert not kg.features.Classifier.fit(*arguments, **settings)(arguments[2]).any()
    path.write_bytes(b"PK\x03\x04 and no more")
    again = kg.features.Classifier.fit(*arguments, **settings)
    np.testing.assert_allclose(again(arguments[2]), classifier(arguments[2]), atol=1e-4)
    with np.load(path) as file:
        assert file.keys() == weights.keys()


def test_a_file_that_cannot_be_written_is_a_warning(trained, tmp_path, monkeypatch):
    classifier, arguments, settings = trained
    (tmp_path / "file").write_text("no folder")
    with pytest.warns(UserWarning, match="cannot be written to .*file/under: Not a directory"):
        again = kg.features.Classifier.fit(
            *arguments, **{**settings, "cache": tmp_path / "file" / "under"}
        )
    np.testing.assert_allclose(again(arguments[2]), classifier(arguments[2]), atol=1e-4)

    def fill_the_disk(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_the_disk)
    with pytest.warns(UserWarning, match="No space left on device"):
        kg.features.Classifier.fit(*arguments, steps=1, cache=tmp_path / "full")
    assert not list((tmp_path / "full").iterdir())


def test_other_data_or_another_seed_have_another_file(trained, tmp_path):
    _, (x, y, x_test, y_test), _ = trained
    fit = kg.features.Classifier.fit
    few = {"steps": 1, "cache": tmp_path}
    fit(x, y, x_test, y_test, **few)
    fit(x, y, x_test, y_test, seed=1, **few)
    fit(1 - x, y, x_test, y_test, **few)
    assert len(list(tmp_path.glob("*.npz"))) == 3
    fit(x, y, x_test[:50], y_test[:50], **few)  # These only measure the accuracy.
    assert len(list(tmp_path.glob("*.npz"))) == 3


def test_pixels_are_flat_or_means_of_squares():
    x = np.random.default_rng(0).random((3, 4, 6, 2), "float32")
    np.testing.assert_array_equal(kg.features.Pixels()(x), x.reshape(3, -1))
    pooled = x.reshape(3, 2, 2, 3, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(kg.features.Pixels(limit=12)(x), pooled.reshape(3, -1), rtol=1e-6)
    # Of 5x5 pixels, squares of 3 leave a last row and column of 2.
    x = np.arange(25.0).reshape(1, 5, 5, 1)
    corners = [x[0, :3, :3], x[0, :3, 3:], x[0, 3:, :3], x[0, 3:, 3:]]
    np.testing.assert_allclose(kg.features.Pixels(limit=4)(x)[0], [c.mean() for c in corners])


def test_a_layer_of_any_model_gives_features():
    x = keras.Input((4, 4, 1))
    h = keras.layers.Conv2D(2, 3, name="maps")(x)
    model = keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(h)))
    images = np.random.default_rng(0).random((5, 4, 4, 1), "float32")
    maps = kg.features.Network(model, "maps")(images)
    kernel, bias = model.get_layer("maps").get_weights()
    corner = np.einsum("nij,ijk->nk", images[:, :3, :3, 0], kernel[:, :, 0]) + bias
    assert maps.shape == (5, 8)
    np.testing.assert_allclose(maps[:, :2], corner, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(kg.features.Network(model, 1)(images), maps)
    assert kg.features.Network(model)(images).shape == (5, 1)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x, y: kg.features.Pixels()(x[0]), r"shape \(8, 8, 1\)"),
        (lambda x, y: kg.features.Pixels()((255 * x).astype("uint8")), "floats in"),
        (lambda x, y: kg.features.Pixels(limit=2)(np.repeat(x, 3, -1)), "at least 3"),
        (lambda x, y: kg.features.Classifier.fit(x, y[1:], x, y), "9 images|an integer"),
        (lambda x, y: kg.features.Classifier.fit(x, y / 2, x, y), "type float64"),
        (lambda x, y: kg.features.Classifier.fit(x, y, x, y, steps=0), "steps"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(*stripes(10, 0))
