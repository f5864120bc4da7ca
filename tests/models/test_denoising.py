import keras
import numpy as np
import pytest
from keras import ops

import keras_gen as kg
from tests.models import tiny


def normal_data(n, seed=0):
    """n draws from N(0, C) in 3 dimensions, and C."""
    C = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 0.5]])
    x = np.random.default_rng(seed).multivariate_normal(np.zeros(3), C, size=n)
    return x.astype("float32"), C


@pytest.mark.once
def test_a_linear_denoiser_arrives_at_the_wiener_filter():
    # E[x|x'] = C (C + s^2 I)^-1 x', x' = x + noise of stddev s: the best of all, as x is normal.
    x, C = normal_data(4096)
    x_in, z_in = keras.Input((3,)), keras.Input((3,))
    networks = [keras.Model(i, keras.layers.Dense(3)(i)) for i in (x_in, z_in)]
    model = kg.DenoisingAutoencoder(*networks, stddev=0.5, likelihood="gaussian", seed=0)
    data = kg.data.ArrayDataset(x, batch_size=256)
    decay = keras.optimizers.schedules.CosineDecay(0.02, 60 * len(data))
    model.compile(keras.optimizers.Adam(decay))
    model.fit(data, epochs=60, verbose=0)
    noisy = np.eye(3, dtype="float32")
    wiener = np.linalg.solve(C + 0.25 * np.eye(3), C)
    np.testing.assert_allclose(model.denoise(noisy), wiener, atol=0.03)
    assert np.abs(model.denoise(noisy) - noisy).max() > 0.2


@pytest.mark.once
def test_the_denoising_elbo_of_a_linear_vae_is_a_closed_form():
    # z is drawn from N(V (x + noise - mean), D), and at noise 0 the ELBO is log p(x). Noise of
    # variance s^2 adds s^2 |V|^2 / 2 to the KL and s^2 |W V|^2 / (2 sigma2) to the distortion.
    random, s = np.random.default_rng(0), 0.4
    orthogonal, _ = np.linalg.qr(random.normal(size=(6, 2)))
    ppca = kg.PPCA(orthogonal * [2.0, 1.0], 0.2, random.normal(size=6))
    exact = ppca.to_vae()
    likelihood = kg.likelihoods.Gaussian(np.sqrt(0.2))
    vae = kg.DenoisingVAE(exact.encoder, exact.decoder, s, likelihood, seed=0)
    vae.compile("sgd")
    x = ppca.sample(40_000, seed=1).astype("float32")
    elbo = vae.evaluate(x, batch_size=2000, return_dict=True, verbose=0)["elbo"]
    V = np.linalg.solve(ppca.M, ppca.W.T)
    loss = s**2 * (np.sum(V**2) / 2 + np.sum((ppca.W @ V) ** 2) / (2 * ppca.sigma2))
    assert loss > 0.5
    # What is drawn has a standard deviation of about 1.5 nats an example.
    assert abs(elbo - (ppca.log_likelihood(x).mean() - loss)) < 4 * 1.5 / np.sqrt(len(x))


@pytest.mark.once
def test_a_range_draws_a_standard_deviation_for_every_example():
    model = tiny.denoising_autoencoder()  # from .1 to .5
    x = ops.zeros((4000, 8, 8, 1))
    noise = ops.convert_to_numpy(model.corrupted(x)).reshape(4000, 64)
    stddev = noise.std(axis=1)
    # Of 64 values the standard deviation is off by a tenth.
    assert 0.05 < stddev.min() < 0.12 and 0.48 < stddev.max() < 0.75
    np.testing.assert_allclose(np.mean(noise**2), (0.1**2 + 0.1 * 0.5 + 0.5**2) / 3, rtol=0.03)
    np.testing.assert_allclose(noise.mean(), 0, atol=4 * 0.32 / np.sqrt(noise.size))


@pytest.mark.parametrize("build", [tiny.denoising_autoencoder, tiny.denoising_vae])
def test_training_and_evaluation_have_noises_of_their_own(build):
    model, x = build(), ops.zeros((1, 8, 8, 1))
    drawn = [ops.convert_to_numpy(model.corrupted(x, training)) for training in (True, True, False)]
    for i in range(3):
        assert np.all(drawn[i] != drawn[i - 1])


def test_the_target_is_the_clean_example():
    # A decoder of constant logits 0: -log p(x) is 64 log 2 for whatever noise there is.
    model = tiny.denoising_autoencoder()
    for weight in model.decoder.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    model.compile("sgd")
    loss = model.evaluate(tiny.images(), verbose=0)
    np.testing.assert_allclose(loss, 64 * np.log(2), rtol=1e-5)


@pytest.mark.parametrize("build", [tiny.denoising_autoencoder, tiny.denoising_vae])
def test_denoise_takes_values_that_no_clean_example_has(build):
    model, x = build(), 3 * tiny.images(5) - 1
    with pytest.raises(ValueError, match=r"values in \[0, 1\].* Noisy examples go to `denoise"):
        model.reconstruct(x)
    clean = model.denoise(x, batch_size=2)
    assert clean.shape == x.shape and 0 <= clean.min() and clean.max() <= 1
    inside = tiny.images(5)
    np.testing.assert_allclose(model.denoise(inside), model.reconstruct(inside), rtol=1e-4)
    x[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.denoise(x)
    with pytest.raises(ValueError, match="was built for"):
        model.denoise(x[:, :4])


@pytest.mark.once
@pytest.mark.parametrize("stddev", [0.0, -1.0, (0.5, 0.1), (0.0, 0.0), (0.1,), np.nan, None, "1"])
def test_a_noise_that_is_none_is_refused(stddev):
    networks = kg.networks.mlp_autoencoder((8, 8, 1), 3, hidden=(4,))
    with pytest.raises(ValueError, match="`stddev` is"):
        kg.DenoisingAutoencoder(*networks, stddev=stddev)


@pytest.mark.once
def test_a_pair_of_noisy_and_clean_examples_is_refused_with_what_to_pass():
    model, clean = tiny.denoising_autoencoder(), tiny.images(8)
    tiny.compile_model(model, tiny.sgd)
    with pytest.raises(ValueError, match="Pass the clean examples alone: each step adds noise"):
        model.fit(clean[::-1], clean, verbose=0)
