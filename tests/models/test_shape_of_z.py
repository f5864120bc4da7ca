"""A z of any shape: the same numbers as with that z flattened inside the networks."""

import json
import math

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_gen as kg
from keras_gen.inference.interpolation import path
from tests.models import tiny

SHAPE, SIZE = tiny.MAPS, 12
EAGERLY = keras.config.backend() != "jax"  # The quickest for a step or two.


def top_networks(flat):
    """z -> (mean, log_var) of a z_top of shape (1, 2), and back; or of vectors."""
    networks = []
    for shape, other in ((SHAPE, (1, 2)), ((1, 2), SHAPE)):
        z = keras.Input((math.prod(shape),) if flat else shape)
        heads = [layers.Dense(math.prod(other))(layers.Flatten()(z)) for _ in range(2)]
        if not flat:
            heads = [layers.Reshape(other)(head) for head in heads]
        networks.append(keras.Model(z, heads))
    return networks


def vaes(**kwargs):
    pair = []
    for flat in (False, True):
        likelihood = kg.likelihoods.Bernoulli(seed=2)
        pair.append(kg.VAE(*tiny.networks_of_maps(flat), likelihood, seed=1, **kwargs))
    return with_the_same_weights(*pair)


def two_layer_vaes():
    return with_the_same_weights(
        *(
            kg.TwoLayerIWAE(
                *tiny.networks_of_maps(flat), *top_networks(flat), num_samples=2, seed=1
            )
            for flat in (False, True)
        )
    )


def gans(**kwargs):
    """GANs whose generators take a z of (1, 1, 4), or the same z as a vector."""
    pair = []
    for flat in (False, True):
        z = keras.Input((4,) if flat else (1, 1, 4))
        h = layers.Reshape((1, 1, 4))(z) if flat else z
        h = layers.Conv2DTranspose(2, 2, data_format="channels_last")(h)
        x = keras.Input((2, 2, 2))
        players = keras.Model(z, h), keras.Model(x, layers.Dense(1)(layers.Flatten()(x)))
        latent_dim = 4 if flat else (1, 1, 4)
        pair.append(kg.GAN(*players, latent_dim=latent_dim, seed=1, **kwargs))
    return with_the_same_weights(*pair)


def with_the_same_weights(shaped, flat):
    flat.set_weights(shaped.get_weights())
    return shaped, flat


def equal(a, b, **options):
    """The arrays hold the same numbers; those of z may have another shape."""
    np.testing.assert_allclose(np.reshape(a, np.shape(b)), b, rtol=1e-5, atol=1e-6, **options)


def test_a_vae_of_maps_is_that_of_vectors():
    pair = vaes(beta=0.5, free_bits=0.01)
    shaped, flat = pair
    assert (shaped.latent_dim, shaped.latent_shape, shaped.latent_size) == (SHAPE, SHAPE, SIZE)
    assert (flat.latent_dim, flat.latent_shape, flat.latent_size) == (SIZE, (SIZE,), SIZE)
    x = tiny.images(6)
    logs = []
    for vae in pair:
        vae.compile(keras.optimizers.SGD(0.01), run_eagerly=EAGERLY)
        vae.train_on_batch(x)
        logs.append(vae.test_on_batch(x, return_dict=True))
    for name, value in logs[0].items():
        assert value == pytest.approx(logs[1][name], rel=1e-5), name
    mean, log_var = shaped.encode(x)
    assert mean.shape == log_var.shape == (6, *SHAPE)
    by_hand = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=(1, 2, 3)).mean()
    assert logs[0]["kl"] == pytest.approx(by_hand, rel=1e-5)
    assert kg.metrics.kl_per_latent(mean, log_var).sum() == pytest.approx(by_hand, rel=1e-5)
    assert kg.metrics.elbo_surgery(mean, log_var)["rate"] == pytest.approx(by_hand, rel=1e-5)

    equal(shaped.draw_latents(3), flat.draw_latents(3))
    equal(shaped.sample(3), flat.sample(3))
    equal(shaped.reconstruct(x, sample=True), flat.reconstruct(x, sample=True))
    equal(shaped.interpolate(x[:2], x[2:4], 3), flat.interpolate(x[:2], x[2:4], 3))
    equal(shaped.anomaly_score(x, num_samples=2), flat.anomaly_score(x, num_samples=2))
    equal(*(vae.log_likelihood(x, 4, verbose=0) for vae in pair))


@pytest.mark.once
def test_hidden_values_are_filled_in_with_a_z_of_maps():
    x = tiny.images(2)
    hidden = np.indices(x.shape)[1] < 4
    for method in ("elbo", "chains"):
        equal(*(vae.inpaint(x, hidden, method, steps=2) for vae in vaes()))


@pytest.mark.once
@pytest.mark.parametrize("pair", [vaes, two_layer_vaes])
def test_the_densities_and_the_noise_of_maps_are_those_of_vectors(pair):
    shaped, flat = pair()
    x = ops.convert_to_tensor(tiny.images(3))
    for a, b in zip(*(vae.log_densities(x, 2) for vae in (shaped, flat)), strict=True):
        equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    equal(*(ops.convert_to_numpy(vae.prior_draws(2, 3)) for vae in (shaped, flat)))
    assert shaped.draw_latents(4).shape == (4, *SHAPE)
    noise = ops.ones((2, shaped.noise_size))
    equal(*(ops.convert_to_numpy(vae.z_of_noise(noise)) for vae in (shaped, flat)))


def test_a_second_layer_has_a_shape_too():
    shaped, flat = two_layer_vaes()
    assert (shaped.top_latent_dim, flat.top_latent_dim) == ((1, 2), 2)
    z = shaped.draw_latents(3)
    for a, b in zip(shaped.encode_top(z), flat.encode_top(z.reshape(3, SIZE)), strict=True):
        assert a.shape == (3, 1, 2)
        equal(a, b)


def test_autoencoders_have_codes_of_maps():
    x = tiny.images(3)
    encoder, decoder = tiny.networks_of_maps()
    encoder = keras.Model(encoder.input, encoder.outputs[0])
    for model in (
        kg.Autoencoder(encoder, decoder),
        kg.DenoisingAutoencoder(encoder, decoder, stddev=0.1),
    ):
        z = model.encode(x)
        assert z.shape == (3, *SHAPE)
        equal(model.reconstruct(x), model.decode(z))
        assert model.signatures()["decode"].inputs[0].shape == (None, *SHAPE)
    equal(model.denoise(x), model.decode(z))


def test_a_gan_draws_z_of_the_shape_of_its_generator():
    shaped, flat = gans()
    assert shaped.latent_dim == (1, 1, 4)
    x = tiny.images(5, (2, 2, 2))
    for gan in (shaped, flat):
        gan.compile("sgd", "sgd", run_eagerly=EAGERLY)
        gan.train_on_batch(x)
    for a, b in zip(shaped.get_weights(), flat.get_weights(), strict=True):
        equal(a, b)
    equal(shaped.draw_latents(3), flat.draw_latents(3))
    equal(shaped.sample(3), flat.sample(3))
    z = shaped.draw_latents(6)
    strips = shaped.interpolate(z[:3], z[3:], steps=3)
    equal(strips, flat.interpolate(z[:3].reshape(3, 4), z[3:].reshape(3, 4), steps=3))
    assert path(z[:3], z[3:], 3, spherical=True).shape == (3, 3, 1, 1, 4)


@pytest.mark.once
def test_pictures_of_a_gan_with_a_z_of_any_shape(tmp_path):
    for a, b in zip(*(pictures(gan, tmp_path) for gan in gans()), strict=True):
        assert np.array_equal(a, b)


def pictures(gan, folder):
    gan.generate = lambda z, *_, **options: np.repeat(z.reshape(len(z), 2, 2, 1), 3, axis=-1)
    kinds = kg.callbacks.SampleGrid, kg.callbacks.InterpolationGrid, kg.callbacks.Traversals
    for callback in (kind(folder) for kind in kinds):
        callback.set_model(gan)
        yield callback.draw()


def test_the_shape_of_z_is_saved(tmp_path):
    z = np.random.default_rng(0).standard_normal((3, 1, 1, 4)).astype("float32")
    gan, vae = gans()[0], vaes()[0]
    for model, use in ((gan, lambda m: m.generate(z)), (vae, lambda m: m.encode(tiny.images(3)))):
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.latent_dim == model.latent_dim and type(loaded.latent_dim) is tuple
        for a, b in zip(use(loaded), use(model), strict=True):
            equal(a, b)
    config = json.loads(json.dumps(gan.get_config()))
    assert kg.GAN.from_config(config).latent_dim == (1, 1, 4)


def test_exported_functions_have_the_shape_of_z():
    vae, gan = vaes()[0], gans()[0]
    like = ops.zeros((2,), "int32")
    functions = {**vae.signatures(), **gan.signatures()}
    assert functions["decode"].inputs[0].shape == (None, *SHAPE)
    assert functions["generate"].inputs[0].shape == (None, 1, 1, 4)
    z = functions["encode"].function(ops.convert_to_tensor(tiny.images(2)))
    assert tuple(z["mean"].shape) == (2, *SHAPE)
    assert tuple(functions["decode"].function(z["mean"])["x"].shape) == (2, 8, 8, 1)
    for model in (vae, gan):
        drawn = model.signatures()["sample"].function(like)["x"]
        assert tuple(drawn.shape) == (2, *model.example_shape)


@pytest.mark.once
def test_sizes_that_the_encoder_leaves_open_are_the_decoders():
    encoder, decoder = tiny.networks_of_maps(image_shape=(None, None, 1))
    vae = kg.VAE(encoder, decoder)
    assert (vae.latent_dim, vae.example_shape) == (SHAPE, tiny.IMAGE_SHAPE)
    z = keras.Input((None, None, 3))
    decoder = keras.Model(z, layers.Conv2DTranspose(1, 4, strides=4)(z))
    with pytest.raises(ValueError, match=r"z has shape .None, None, 3.*fixed sizes"):
        kg.VAE(encoder, decoder)


@pytest.mark.once
def test_shapes_of_z_that_do_not_fit_are_refused_with_the_one_that_does():
    encoder, decoder = tiny.networks_of_maps()
    with pytest.raises(ValueError, match=r"z has shape .2, 2, 3., but the decoder expects .12,."):
        kg.VAE(encoder, tiny.networks_of_maps(flat=True)[1])
    gan = gans()[0]
    for latent_dim in (4, (2, 2, 4), (1, 4)):
        with pytest.raises(ValueError, match=r"z of shape .1, 1, 4.*Pass latent_dim=.1, 1, 4.\."):
            kg.GAN(gan.generator, gan.discriminator, latent_dim)
    for latent_dim in ([1, 1, 4], np.array([1, 1, 4])):
        model = kg.GAN(gan.generator, gan.discriminator, latent_dim)
        assert model.latent_dim == (1, 1, 4)
    flat = gans()[1]
    assert kg.GAN(flat.generator, flat.discriminator, (4,)).latent_dim == 4
    for latent_dim in ((1, 0, 4), 2.5, (), None):
        with pytest.raises(ValueError, match="`latent_dim` is .*Pass"):
            kg.GAN(gan.generator, gan.discriminator, latent_dim)
    with pytest.raises(ValueError, match=r"`z` has shape .3, 12.. Pass .n, 2, 2, 3., n at least 1"):
        kg.VAE(encoder, decoder).decode(np.zeros((3, SIZE)))
    with pytest.raises(ValueError, match=r"`z` has shape .3, 4.. Pass .n, 1, 1, 4., n at least 1"):
        gan.generate(np.zeros((3, 4)))
