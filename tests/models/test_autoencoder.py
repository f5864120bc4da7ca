import tracemalloc

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_gen as kg
from tests.models import tiny


def digits():
    return (load_digits().data / 16).astype("float32")  # (1797, 64)


@pytest.mark.once
def test_an_autoencoder_cannot_generate_and_a_vae_can():
    # How far from the nearest real digit, mean squared: of codes drawn from N(0, I) the plain
    # autoencoder's decoder knows nothing.
    x = digits()
    distances, errors = {}, {}
    for name, build in (("ae", kg.networks.mlp_autoencoder), ("vae", kg.networks.mlp_vae)):
        keras.utils.set_random_seed(0)
        model = {"ae": kg.Autoencoder, "vae": kg.VAE}[name](*build((64,), 8, hidden=(128,)))
        model.compile(keras.optimizers.Adam(3e-3))
        model.fit(x, epochs=40, batch_size=128, verbose=0)
        errors[name] = np.square(model.reconstruct(x) - x).sum(1).mean()
        z = np.random.default_rng(0).standard_normal((200, 8))
        squares = np.square(model.decode(z)[:, None] - x[None]).sum(-1)
        distances[name] = squares.min(1).mean()
    assert errors["ae"] < errors["vae"]  # It compresses better,
    assert distances["ae"] > 2 * distances["vae"]  # and its samples are no digits.


def test_the_loss_is_minus_the_log_likelihood_at_the_code():
    model, x = tiny.autoencoder(), tiny.images(5)
    model.compile("sgd")
    p = model.reconstruct(x).astype("float64")
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3)).mean()
    logs = model.evaluate(x, return_dict=True, verbose=0)
    np.testing.assert_allclose([logs["loss"], logs["reconstruction"]], expected, rtol=1e-5)


def test_a_regulariser_enters_the_loss():
    x = keras.Input((4,))
    dense = keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.5))
    _, decoder = kg.networks.mlp_autoencoder((4,), 2)
    model = kg.Autoencoder(keras.Model(x, dense(x)), decoder)
    model.compile("sgd")
    logs = model.evaluate(tiny.images(5, shape=(4,)), return_dict=True, verbose=0)
    penalty = 0.5 * np.square(dense.get_weights()[0]).sum()
    np.testing.assert_allclose(logs["loss"] - logs["reconstruction"], penalty, rtol=1e-4)


def test_an_encoder_of_a_vae_is_refused():
    with pytest.raises(ValueError, match="gives one tensor z.*use VAE"):
        kg.Autoencoder(*kg.networks.mlp_vae((8, 8, 1), 3))


def test_decode_never_holds_the_parameters_of_all_examples():
    # 256 logits a pixel: those of all 256 images would take 51 MB.
    network = kg.networks.mlp_autoencoder((14, 14, 1), 2, hidden=(4,), parameters_per_value=256)
    model = kg.Autoencoder(*network, likelihood=kg.likelihoods.Categorical())
    z = np.zeros((256, 2), "float32")
    model.decode(z[:16], batch_size=16)
    tracemalloc.start()
    try:
        assert model.decode(z, batch_size=16).shape == (256, 14, 14, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16e6
