import keras
import numpy as np
import pytest

import keras_gen as kg

random = np.random.default_rng(0)


def means_of(decoder):
    """What the decoder's last bias alone would give."""
    return 1 / (1 + np.exp(-decoder.get_weights()[-1].astype("float64")))


def test_a_decoder_whose_other_weights_are_zero_gives_the_mean_image():
    mean = random.uniform(0.05, 0.95, size=(3, 4, 2))
    networks = kg.networks.mlp_vae((3, 4, 2), 2, hidden=(5,), mean_image=mean)
    *weights, bias = networks[1].get_weights()
    networks[1].set_weights([*(0 * w for w in weights), bias])
    samples = kg.VAE(*networks).sample(3)
    np.testing.assert_allclose(samples, np.stack([mean] * 3), rtol=1e-5)


def test_a_convolution_starts_at_the_mean_of_each_channel():
    mean = random.uniform(0.05, 0.95, size=(8, 8, 3))
    _, decoder = kg.networks.conv_vae((8, 8, 3), 2, filters=(4,), mean_image=mean)
    np.testing.assert_allclose(means_of(decoder), mean.mean((0, 1)), rtol=1e-5)


def test_pixels_that_are_never_or_always_on_have_a_finite_bias():
    mean = np.array([[[0.0], [1.0]], [[0.5], [1e-6]]])
    _, decoder = kg.networks.mlp_vae((2, 2, 1), 2, mean_image=mean)
    np.testing.assert_allclose(means_of(decoder), [0.001, 0.999, 0.5, 0.001], rtol=1e-4)


def test_a_clone_and_a_saved_model_start_there_too(tmp_path):
    mean = random.uniform(0.05, 0.95, size=(2, 2, 1)).astype("float32")
    networks = kg.networks.mlp_vae((2, 2, 1), 2, mean_image=mean, num_classes=3)
    vae = kg.VAE(*networks, num_classes=3)
    clone = keras.models.clone_model(vae)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    for model in (vae, clone, loaded):
        np.testing.assert_allclose(means_of(model.decoder), mean.ravel(), rtol=1e-5)
    rebuilt = kg.VAE.from_config(vae.get_config())
    assert rebuilt.get_config() == vae.get_config()


@pytest.mark.parametrize(
    "mean, arguments, match",
    [
        (np.zeros((2, 2)), {}, r"shape \(2, 2\). Pass that of one example, \(2, 2, 1\)"),
        (np.full((2, 2, 1), 33.0), {}, r"lies in \[33, 33\]. Pass the mean of images in \[0, 1\]"),
        (np.full((2, 2, 1), np.nan), {}, "lies in"),
        (np.zeros((2, 2, 1)), {"parameters_per_value": 2}, "decoder gives something else"),
    ],
)
def test_what_is_no_mean_image_is_refused(mean, arguments, match):
    with pytest.raises(ValueError, match=match):
        kg.networks.mlp_vae((2, 2, 1), 2, mean_image=mean, **arguments)
