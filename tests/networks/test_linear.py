import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import networks


def test_the_linear_vae_is_two_affine_maps_and_a_constant():
    encoder, decoder = networks.linear_vae((2, 2, 1), latent_dim=3)
    random = np.random.default_rng(0)
    for network in (encoder, decoder):
        network.set_weights([random.normal(size=w.shape) for w in network.weights])
    V, bias, log_variances = encoder.get_weights()
    W, mu = decoder.get_weights()
    x, z = random.normal(size=(5, 2, 2, 1)), random.normal(size=(5, 3))
    mean, log_var = map(ops.convert_to_numpy, encoder(x))
    np.testing.assert_allclose(mean, x.reshape(5, 4) @ V + bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(log_var, np.tile(log_variances, (5, 1)))
    parameters = ops.convert_to_numpy(decoder(z))
    expected = (z @ W + mu).reshape(5, 2, 2, 1)
    np.testing.assert_allclose(parameters, expected, rtol=1e-5, atol=1e-6)


def test_the_linear_vae_of_mnist_has_a_weight_for_each_pixel_and_latent():
    encoder, decoder = networks.linear_vae((28, 28, 1), latent_dim=10)
    assert encoder.count_params() == 784 * 10 + 10 + 10
    assert decoder.count_params() == 784 * 10 + 784


def test_the_linear_vae_survives_a_keras_file(tmp_path):
    encoder, _ = networks.linear_vae((4,), latent_dim=2)
    encoder.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in encoder.weights])
    encoder.save(tmp_path / "encoder.keras")
    again = keras.saving.load_model(tmp_path / "encoder.keras", safe_mode=True)
    for before, after in zip(encoder(np.ones((3, 4))), again(np.ones((3, 4))), strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (before, after)))


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="latent_dim"):
        networks.linear_vae((28, 28, 1), 0)
    with pytest.raises(ValueError, match="image_shape"):
        networks.linear_vae((28, None, 1), 2)
