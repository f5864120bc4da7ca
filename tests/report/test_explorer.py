"""What the explorer's page asks of a model, without the page."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gen as kg
from keras_gen.report import directions
from keras_gen.report.explorer import Explorer
from tests.models import tiny
from train import explore

SHAPE = (2, 3, 1)
RANDOM = np.random.default_rng(0)
W, B = RANDOM.standard_normal((2, 6)), RANDOM.standard_normal(6)


def image_gan(num_classes=None):
    sizes = {"generator_hidden": (6,), "discriminator_hidden": (6,), "num_classes": num_classes}
    networks = kg.networks.mlp_gan((8, 8, 1), 4, **sizes)
    return kg.GAN(*networks, latent_dim=4, num_classes=num_classes, seed=1)


def linear_gan():
    """G(z) = z W + b, as images (2, 3, 1)."""
    z, x = keras.Input((2,)), keras.Input(SHAPE)
    generator = keras.Model(z, layers.Reshape(SHAPE)(layers.Dense(6)(z)))
    generator.set_weights([W, B])
    discriminator = keras.Model(x, layers.Dense(1)(layers.Flatten()(x)))
    return kg.GAN(generator, discriminator, latent_dim=2, seed=1)


@pytest.mark.once
@pytest.mark.parametrize("make", [tiny.conditional_vae, lambda: image_gan(3)])
def test_a_slider_moves_z_along_one_direction_and_nothing_else(make):
    model = make()
    explorer = Explorer(model)
    z = model.draw_latents(1, seed=5)
    values = explorer.coordinates(5)
    image = explorer.move(5, values, 2)
    np.testing.assert_allclose(image, model.generate(z, y=2)[0], atol=1e-6)
    values[1] += 0.5
    moved = model.generate((z + 0.5 * explorer.vectors[1]).astype("float32"), y=2)[0]
    np.testing.assert_allclose(explorer.move(5, values, 2), moved, atol=1e-6)
    assert np.abs(moved - image).max() > 1e-4
    assert len(explorer.texts()) == len(explorer.vectors) == len(explorer.ranges)


def test_samples_and_interpolations_are_those_of_the_model():
    gan = image_gan(3)
    explorer = Explorer(gan, class_names=["a", "b", "c"])
    samples = gan.sample(6, y=np.arange(6) % 3, seed=7)
    np.testing.assert_allclose(explorer.samples(7, n=6), samples, atol=1e-6)
    ends = (gan.draw_latents(1, seed=seed) for seed in (3, 4))
    strip = gan.interpolate(*ends, steps=8, y=1)[0]
    np.testing.assert_allclose(explorer.interpolate(3, 4, 1), strip, atol=1e-6)
    assert explorer.names == ["a", "b", "c"]


@pytest.mark.once
def test_the_first_direction_of_a_linear_generator_is_its_largest_singular_vector():
    gan = linear_gan()
    _, vectors, shares = directions.of_gan(gan, gan.generate)
    left, sizes, _ = np.linalg.svd(W)
    np.testing.assert_allclose(np.abs(vectors @ left), np.eye(2), atol=1e-3)
    np.testing.assert_allclose(shares, sizes**2 / np.sum(sizes**2), atol=0.1)  # 500 draws.


@pytest.mark.once
def test_the_latents_of_a_vae_are_sorted_by_kl():
    vae = tiny.vae()
    x = tiny.images(50)
    _, vectors, kl = directions.of_vae(vae, x)
    by_hand = kg.metrics.kl_per_latent(*vae.encode(x))
    np.testing.assert_array_equal(vectors.argmax(axis=1), np.argsort(-by_hand)[: len(kl)])
    np.testing.assert_allclose(kl, np.sort(by_hand)[::-1][: len(kl)], rtol=1e-4)


@pytest.mark.once
def test_a_picture_of_any_size_becomes_an_example():
    explorer = Explorer(tiny.vae())
    x = RANDOM.integers(256, size=(8, 8), dtype="uint8")
    large = x.repeat(3, axis=0).repeat(3, axis=1)
    for picture in (large, np.stack([large] * 3, axis=-1)):
        np.testing.assert_allclose(explorer.prepare(picture)[0, ..., 0], x / 255, atol=1e-6)
    painted = np.zeros((40, 40), "uint8")
    painted[:20] = 128
    np.testing.assert_array_equal(explorer.hidden(painted), np.arange(8)[:, None] < np.full(8, 4))


def test_a_vae_reconstructs_scores_and_fills_in_what_is_hidden():
    vae, x = tiny.conditional_vae(), tiny.images(1)
    explorer = Explorer(vae)
    np.testing.assert_allclose(explorer.reconstruct(x, 1), vae.reconstruct(x, y=1), atol=1e-6)
    image, score, unit = explorer.score(x, 1)
    np.testing.assert_allclose(score, vae.anomaly_score(x, y=1)[0], rtol=1e-5)
    np.testing.assert_allclose(image, vae.reconstruct(x, y=1), atol=1e-6)
    hidden = np.zeros((8, 8), bool)
    hidden[4:] = True
    filled = explorer.inpaint(x, hidden, 1)
    np.testing.assert_array_equal(filled[:, :4], x[:, :4])
    assert np.all(filled[:, 4:] != x[:, 4:])
    other = np.where(hidden[..., None], 1 - x, x)  # What is hidden is not looked at.
    np.testing.assert_array_equal(explorer.inpaint(other, hidden, 1), filled)
    assert not explorer.can_denoise and Explorer(tiny.denoising_vae()).can_denoise


def test_a_gan_fills_in_what_fits_the_visible_pixels_best():
    explorer = Explorer(linear_gan())
    noise = np.random.default_rng(1).standard_normal(6)
    x = ([0.5, -0.8] @ W + B + 0.3 * noise).astype("float32").reshape(1, *SHAPE)
    hidden = np.array([[0, 0, 1], [0, 1, 0]], bool)
    seen = ~hidden.ravel()
    z = np.linalg.lstsq(W.T[seen], x.ravel()[seen] - B[seen], rcond=None)[0]
    filled = explorer.inpaint(x, hidden)
    np.testing.assert_array_equal(filled.ravel()[seen], x.ravel()[seen])
    np.testing.assert_allclose(filled.ravel()[~seen], (z @ W + B)[~seen], atol=0.01)
    z = np.linalg.lstsq(W.T, x.ravel() - B, rcond=None)[0]
    image, score, _ = explorer.score(x)
    np.testing.assert_allclose(image.ravel(), z @ W + B, atol=0.01)
    np.testing.assert_allclose(score, np.mean((x.ravel() - z @ W - B) ** 2), rtol=0.02)


@pytest.mark.once
def test_every_answer_is_timed():
    seconds = Explorer(tiny.denoising_vae()).warm_up()
    assert [*seconds] == [
        *("slider", "samples", "interpolation", "reconstruction", "inpainting", "score"),
        "denoising",
    ]
    assert all(0 < value < 60 for value in seconds.values())


@pytest.mark.once
@pytest.mark.parametrize("likelihood", ["discretized_logistic", kg.likelihoods.Categorical(4)])
def test_pictures_of_levels_are_what_such_a_model_takes(likelihood):
    likelihood = kg.likelihoods.get(likelihood)
    sizes = {"hidden": (8,), "parameters_per_value": likelihood.parameters_per_value}
    vae = kg.VAE(*kg.networks.mlp_vae((4, 4, 3), 3, **sizes), likelihood=likelihood)
    explorer = Explorer(vae)
    assert "score" in explorer.warm_up()
    x = explorer.prepare(np.full((9, 7, 3), 100, "uint8"))
    np.testing.assert_allclose(x * likelihood.white, np.round(100 / 255 * likelihood.white))


@pytest.mark.once
def test_models_without_samples_or_images_are_refused():
    with pytest.raises(ValueError, match="an? Autoencoder, which makes no samples"):
        Explorer(tiny.autoencoder())
    with pytest.raises(ValueError, match="a VQVAE, which makes no samples of vectors z"):
        Explorer(tiny.vqvae())
    with pytest.raises(ValueError, match=r"\(8,\), which are no images"):
        Explorer(tiny.r3gan())


@pytest.mark.once
def test_a_file_that_carries_code_ends_the_command(tmp_path, capsys):
    x = keras.Input((2,))
    path = tmp_path / "hostile.keras"
    keras.Model(x, layers.Lambda(lambda x: x)(x)).save(path)
    with pytest.raises(SystemExit) as end:
        explore.main([str(path)])
    assert end.value.code == 2 and "Lambda" in capsys.readouterr().err
