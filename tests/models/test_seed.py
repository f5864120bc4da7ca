"""`seed=` of the methods that draw: the same each time, and no stream of noise is moved."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_gen as kg
from keras_gen import seeds
from tests.models import tiny

MODELS = [tiny.vae, tiny.two_layer_iwae, tiny.gan, tiny.conditional_gan]


def streams(model):
    return [np.array(ops.convert_to_numpy(state)) for state in seeds.states(model)]


def check_draws(draw, model):
    """`draw(seed)` depends on the seed alone; with None it moves on and is that of a fresh twin."""
    before = streams(model)
    first, again, other = draw(3), draw(np.int64(3)), draw(4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    for state, then in zip(streams(model), before, strict=True):
        np.testing.assert_array_equal(state, then)
    assert not np.array_equal(draw(None), draw(None))


@pytest.mark.parametrize("make", MODELS)
def test_a_seed_gives_the_same_samples_and_moves_no_stream(make):
    model = make()
    y = tiny.labels(model, 3)
    check_draws(lambda seed: model.sample(3, y=y, seed=seed), model)
    draw = model.draw_latents(3, seed=5)
    np.testing.assert_array_equal(model.sample(3, y=y, seed=5), model.generate(draw, y=y))


@pytest.mark.parametrize("make", [tiny.vae, tiny.gan])
def test_the_z_of_a_seed_are_numpys_and_so_the_same_everywhere(make):
    model = make()
    z = np.random.default_rng(5).standard_normal((4, model.latent_dim)).astype("float32")
    np.testing.assert_array_equal(model.draw_latents(4, seed=5), z)


def test_pixels_codes_and_likelihoods_can_be_drawn_again():
    vae, x = tiny.vae(), tiny.images(2)
    z = vae.draw_latents(2)
    check_draws(lambda seed: vae.sample(2, draw_pixels=True, seed=seed), vae)
    check_draws(lambda seed: vae.decode(z, draw_pixels=True, seed=seed), vae)
    check_draws(lambda seed: vae.reconstruct(x, sample=True, seed=seed), vae)
    check_draws(lambda seed: vae.log_likelihood(x, 5, verbose=0, seed=seed), vae)
    hidden = np.arange(8) < 4
    check_draws(lambda seed: vae.inpaint(x, hidden[:, None, None], steps=2, seed=seed), vae)
    scores = [vae.anomaly_score(x, "likelihood", num_samples=5, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert np.all(scores[0] != scores[2])


def test_noise_within_a_generator_follows_the_seed():
    z = keras.Input((2,))
    generator = keras.Model(z, kg.layers.Sampling(seed=1)([z, z]))
    x = keras.Input((2,))
    gan = kg.GAN(generator, keras.Model(x, layers.Dense(1)(x)), latent_dim=2)
    check_draws(lambda seed: gan.sample(3, seed=seed), gan)


@pytest.mark.parametrize("seed", [-1, 2**31, 1.0, np.float32(2), True, "1", (1, 2)])
def test_what_is_no_seed_is_refused(seed):
    vae, gan, x = tiny.vae(), tiny.gan(), tiny.images(2)
    for use in (
        lambda: vae.sample(1, seed=seed),
        lambda: gan.sample(1, seed=seed),
        lambda: vae.reconstruct(x, sample=True, seed=seed),
        lambda: vae.log_likelihood(x, 2, seed=seed),
        lambda: vae.inpaint(x, np.ones(x.shape, bool), seed=seed),
        lambda: kg.VAE(vae.encoder, vae.decoder, seed=seed),
        lambda: kg.GAN(gan.generator, gan.discriminator, 2, packing=2, seed=seed),
        lambda: kg.likelihoods.Gaussian(seed=seed),
    ):
        with pytest.raises(ValueError, match=r"`seed` is .*Pass an integer from 0 to 2\^31 - 1"):
            use()
