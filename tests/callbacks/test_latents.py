import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

import keras_gen as kg
from tests.callbacks.test_grids import read
from tests.models import tiny


class ShowsZ:
    """A stand-in for a model: an image of one pixel per latent, which is z itself."""

    def __init__(self, latent_dim, used=None):
        self.latent_dim = latent_dim
        self.used = np.ones(latent_dim) if used is None else np.asarray(used)

    def generate(self, z):
        return (z * self.used)[:, None, :, None]


def plane():
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, hidden=(6,))
    return kg.VAE(*networks, seed=1)


def fitted(vae, callbacks, *labels):
    vae.compile(keras.optimizers.Adam(0.01))
    vae.fit(tiny.images(), *labels, epochs=2, verbose=0, callbacks=callbacks)
    return vae


def test_the_plane_is_cut_into_squares_of_equal_probability():
    images = kg.callbacks.manifold(ShowsZ(2), steps=5)
    assert images.shape == (5, 5, 1, 2, 1)
    z_1, z_2 = images[..., 0, 0, 0], images[..., 0, 1, 0]
    quantiles = stats.norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])
    np.testing.assert_allclose(z_1, np.tile(quantiles, (5, 1)), atol=1e-9)  # To the right.
    np.testing.assert_allclose(z_2, np.tile(quantiles[::-1, None], (1, 5)), atol=1e-9)  # Upwards.


def test_traversals_move_one_latent_and_show_the_strongest_first():
    z = [0.5, -1.0, 2.0]
    order, images = kg.callbacks.traversals(ShowsZ(3, [1, 0, 3]), steps=4, rows=2, z=z)
    assert order.tolist() == [2, 0]
    assert images.shape == (2, 4, 1, 3, 1)
    quantiles = stats.norm.ppf([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(images[0, :, 0, 2, 0], 3 * quantiles, atol=1e-9)
    np.testing.assert_allclose(images[0, :, 0, 0, 0], 0.5)
    np.testing.assert_allclose(images[1, :, 0, 0, 0], quantiles, atol=1e-9)
    np.testing.assert_allclose(images[1, :, 0, 2, 0], 6.0)


def test_a_z_of_another_shape_is_drawn_as_its_vector():
    class Shaped(ShowsZ):
        def generate(self, z):
            assert z.shape[1:] == self.latent_dim
            return super().generate(z.reshape(len(z), -1))

    shaped, flat = Shaped((1, 2)), ShowsZ(2)
    draw = kg.callbacks.manifold
    np.testing.assert_array_equal(draw(shaped, steps=3), draw(flat, steps=3))
    draw = kg.callbacks.traversals
    np.testing.assert_array_equal(draw(shaped, z=[[3, 4]])[1], draw(flat, z=[3, 4])[1])
    with pytest.raises(ValueError, match=r"has shape .2,.. Pass .1, 2., one z"):
        draw(shaped, z=[3, 4])
    mean = np.random.default_rng(0).normal(size=(20, 3))
    draw = kg.callbacks.scatter
    np.testing.assert_array_equal(draw(mean.reshape(20, 1, 3)), draw(mean))


def test_a_scatter_has_a_colour_for_every_class_and_shows_the_widest_latents():
    random = np.random.default_rng(0)
    y = np.arange(200) % 2
    mean = np.stack([0.01 * random.normal(size=200), 6 * y - 3, random.normal(size=200)], axis=1)
    picture = kg.callbacks.scatter(mean, y).astype(int)
    blue, orange = (np.abs(picture - c).sum(-1) < 30 for c in ([31, 119, 180], [255, 127, 14]))
    # The class stands on the first of the two axes: blue at its left, orange at its right.
    left, right = np.nonzero(blue[:, :470])[1].mean(), np.nonzero(orange[:, :470])[1].mean()
    assert right - left > 150
    plain = kg.callbacks.scatter(mean).astype(int)
    assert not np.any(np.abs(plain - [255, 127, 14]).sum(-1) < 30)


def test_callbacks_leave_what_the_functions_draw(tmp_path):
    x, y = tiny.images(), np.arange(20) % 3
    callbacks = [
        kg.callbacks.Manifold(tmp_path, steps=3, every=2),
        kg.callbacks.Traversals(tmp_path, steps=4, scale=1, every=2),
        kg.callbacks.LatentScatter(x, y, tmp_path, every=2),
    ]
    vae = fitted(plane(), callbacks)
    kinds = ("manifold", "scatter", "traversals")
    names = [f"{kind}_000{epoch}.png" for kind in kinds for epoch in (0, 2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    picture = read(tmp_path / "manifold_0002.png")
    assert picture.shape == (24 + 18, 240, 3)  # And the caption.
    z = stats.norm.ppf([1 / 6, 5 / 6])  # The upper right corner.
    corner = vae.decode(z[None, [1, 1]])[0, ..., 0]
    np.testing.assert_allclose(picture[:8, 16:24, 0], np.round(255 * corner), atol=1)
    _, images = kg.callbacks.traversals(vae, steps=4)
    expected = kg.callbacks.image_grid(images.reshape(-1, 8, 8, 1), columns=4, scale=1)
    picture = read(tmp_path / "traversals_0002.png")[: len(expected), : expected.shape[1]]
    np.testing.assert_array_equal(picture, expected)
    expected = kg.callbacks.scatter(vae.encode(x)[0], y, least=3.0)
    np.testing.assert_array_equal(read(tmp_path / "scatter_0002.png")[: len(expected)], expected)


def test_a_conditional_vae_is_pictured_one_class_at_a_time(tmp_path):
    networks = kg.networks.mlp_vae(tiny.IMAGE_SHAPE, 2, hidden=(6,), num_classes=3)
    vae = kg.VAE(*networks, num_classes=3, seed=1)
    y = np.arange(20) % 3
    fitted(vae, [kg.callbacks.LatentScatter(tiny.images(), y, tmp_path)], y)
    images = kg.callbacks.manifold(vae, steps=2, label=1)
    z = stats.norm.ppf([0.25, 0.75])
    np.testing.assert_allclose(images[0, 0], vae.decode(z[None], y=1)[0], rtol=1e-5)
    assert np.any(images != kg.callbacks.manifold(vae, steps=2, label=2))


def test_pictures_change_no_weight(tmp_path):
    def weights(callbacks):
        keras.utils.set_random_seed(0)
        return [ops.convert_to_numpy(w) for w in fitted(plane(), callbacks).weights]

    pictures = [
        kg.callbacks.Manifold(tmp_path, steps=2),
        kg.callbacks.Traversals(tmp_path),
        kg.callbacks.LatentScatter(tiny.images(), None, tmp_path),
    ]
    for a, b in zip(weights(pictures), weights([]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "callback, match",
    [
        (lambda path: kg.callbacks.Manifold(path), "z has size 3, and a plane has 2"),
        (lambda path: kg.callbacks.Traversals(path, z=[0.0]), r"`z` has shape \(1,\)"),
        (lambda path: kg.callbacks.Traversals(path, steps=0), "`steps` is 0"),
        (lambda path: kg.callbacks.Traversals(path, rows=0), "`rows` is 0"),
        (lambda path: kg.callbacks.LatentScatter(tiny.images(0), None, path), "empty"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_training(tmp_path, callback, match):
    with pytest.raises(ValueError, match=match):
        fitted(tiny.vae(), [callback(tmp_path)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.once
def test_scatter_wants_one_array_and_a_label_for_each_code():
    codes = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(ValueError, match="pair of arrays"):
        kg.callbacks.scatter((codes, codes))
    with pytest.raises(ValueError, match=r"shape \(4,\) for 5 codes"):
        kg.callbacks.scatter(codes, np.arange(4))


@pytest.mark.once
def test_a_scatter_of_many_labels_has_a_colour_bar_and_a_square_frame():
    codes = np.random.default_rng(0).normal(size=(60, 2))
    classes = kg.callbacks.scatter(codes, np.arange(60) % 20)
    many = kg.callbacks.scatter(codes, np.arange(60) % 21)
    np.testing.assert_array_equal(many, kg.callbacks.scatter(codes, np.arange(60) % 21 / 1.0))
    halves = kg.callbacks.scatter(codes, np.arange(60) % 2 / 2)  # Numbers, and no classes.
    yellow, violet = [253, 231, 37], [68, 1, 84]  # The ends of viridis.

    def height(picture, colour):
        return np.sum(np.abs(picture[:, 480:].astype(int) - colour).sum(-1) < 20, axis=0).max()

    for picture in (many, halves):
        assert height(picture, yellow) > 1 and height(picture, violet) > 1
    assert not height(classes, yellow)
    named = kg.callbacks.scatter(codes, np.arange(60) % 2, class_names=["cat", "a longer name"])
    assert np.any(named != kg.callbacks.scatter(codes, np.arange(60) % 2))
    with pytest.raises(ValueError, match="`class_names` has 1 names, and the labels go to 1"):
        kg.callbacks.scatter(codes, np.arange(60) % 2, class_names=["cat"])
