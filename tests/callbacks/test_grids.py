import io
import warnings

import keras
import numpy as np
import pytest
from matplotlib import image as png
from PIL import Image

import keras_gen as kg
from keras_gen.callbacks.grids import class_columns
from tests.models import tiny


def read(path, like=None):
    """Return a picture; of one with a caption what is above it, as large as the picture `like`."""
    picture = np.round(png.imread(path)[..., :3] * 255).astype(int)
    return picture if like is None else picture[: len(like), : like.shape[1]]


def test_a_grid_shows_every_pixel_as_a_square_between_white_lines():
    images = np.zeros((3, 2, 2, 1))
    images[1, 0, 1] = 1.0
    images[2] = 0.5
    grid = kg.callbacks.image_grid(images, columns=2, padding=1, scale=3)
    assert grid.shape == (2 * 7 + 1, 2 * 7 + 1, 3)
    assert grid.dtype == np.uint8
    np.testing.assert_array_equal(grid[0], 255)  # A line.
    np.testing.assert_array_equal(grid[1:7, 1:7], 0)  # Image 0.
    np.testing.assert_array_equal(grid[1:4, 11:14], 255)  # The white pixel of image 1.
    np.testing.assert_array_equal(grid[4:7, 8:14], 0)
    np.testing.assert_array_equal(grid[8:14, 1:7], 128)  # Image 2, grey.
    np.testing.assert_array_equal(grid[8:14, 8:14], 255)  # No image 3.


def test_a_grid_keeps_colours_and_clips_what_is_out_of_range():
    images = np.array([[[[2.0, -1.0, 1.0]]]])
    with pytest.warns(UserWarning, match="clipped"):
        grid = kg.callbacks.image_grid(images, padding=0, scale=1)
    np.testing.assert_array_equal(grid, [[[255, 0, 255]]])


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 3, 3, 17), (0, 3, 3, 1)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="A picture needs"):
        kg.callbacks.image_grid(np.zeros(shape))


def trained(callbacks, epochs=4):
    keras.utils.set_random_seed(0)
    vae = tiny.vae()
    vae.compile(keras.optimizers.Adam(0.01))
    vae.fit(tiny.images(), epochs=epochs, verbose=0, callbacks=callbacks)
    return vae


def test_sample_grids_show_one_z_every_few_epochs(tmp_path):
    vae = trained([kg.callbacks.SampleGrid(tmp_path, num_samples=9, every=2, scale=1, seed=5)])
    names = ["epoch_0000.png", "epoch_0002.png", "epoch_0004.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    keras.utils.set_random_seed(0)
    untrained = kg.callbacks.image_grid(
        tiny.vae().decode(np.random.default_rng(5).standard_normal((9, 3))), scale=1
    )
    np.testing.assert_array_equal(read(tmp_path / "epoch_0000.png", untrained), untrained)
    z = np.random.default_rng(5).standard_normal((9, 3))
    expected = kg.callbacks.image_grid(vae.decode(z), scale=1)
    np.testing.assert_array_equal(read(tmp_path / "epoch_0004.png", expected), expected)
    assert np.any(read(tmp_path / "epoch_0002.png", expected) != expected)


def test_the_last_epoch_is_always_shown(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    trained([kg.callbacks.SampleGrid(tmp_path, every=2), Stop()], epochs=9)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"epoch_000{epoch}.png" for epoch in (0, 2, 3)
    ]


def test_reconstruction_grids_show_images_above_reconstructions(tmp_path):
    x = tiny.images(10)
    vae = trained([kg.callbacks.ReconstructionGrid(x, tmp_path, every=4, scale=1)])
    picture = read(tmp_path / "reconstruction_0004.png")
    # 8 and 2 images, each in two rows, and the caption.
    assert picture.shape == (4 * 10 + 2 + 18, 240, 3)
    reconstruction = vae.reconstruct(x)
    np.testing.assert_array_equal(picture[2:10, 2:10, 0], np.floor(x[0, ..., 0] * 255 + 0.5))
    np.testing.assert_array_equal(
        picture[32:40, 12:20, 1], np.floor(reconstruction[9, ..., 0] * 255 + 0.5)
    )
    np.testing.assert_array_equal(picture[32:42, 22:], 255)


def test_pictures_change_no_weight(tmp_path):
    pictures = [
        kg.callbacks.SampleGrid(tmp_path / "s"),
        kg.callbacks.ReconstructionGrid(tiny.images(3), tmp_path / "r"),
    ]
    for a, b in zip(trained(pictures).get_weights(), trained([]).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_picture_of_ones_own_needs_only_draw(tmp_path):
    class Corner(kg.callbacks.EpochPicture):
        def draw(self):
            return self.grid(self.model.decode(np.full((2, 3), 2.0)), columns=2)

    vae = trained([Corner(tmp_path, every=3, scale=1, name="corner")])
    names = ["corner_0000.png", "corner_0003.png", "corner_0004.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    last = kg.callbacks.image_grid(vae.decode(np.full((2, 3), 2.0)), columns=2, scale=1)
    np.testing.assert_array_equal(read(tmp_path / names[-1], last), last)


def test_pictures_go_to_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    def written(path):
        return [
            (event.step, value.tag, decode(value.tensor))
            for event in EventFileLoader(str(path)).Load()
            for value in event.summary.value
        ]

    def decode(tensor):
        _, _, content = tensor.string_val  # Width and height stand before it.
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    callback = kg.callbacks.SampleGrid(tmp_path / "png", tensorboard_dir=tmp_path / "log")
    assert not (tmp_path / "log").exists()
    for fits in (1, 2):  # A callback is good for more than one.
        trained([callback], epochs=2)
        logs = [written(path) for path in (tmp_path / "log").iterdir()]
        assert len(logs) == fits
        for values in logs:
            assert [(step, tag) for step, tag, _ in values] == [(k, "SampleGrid") for k in range(3)]
            for step, _, picture in values:
                np.testing.assert_array_equal(
                    picture, read(tmp_path / "png" / f"epoch_{step:04d}.png")
                )


def test_a_fit_after_one_that_was_interrupted_starts_another_file(tmp_path):
    pytest.importorskip("tensorboard")
    callback = kg.callbacks.SampleGrid(tmp_path / "png", tensorboard_dir=tmp_path / "log")

    def stop(epoch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained([callback, keras.callbacks.LambdaCallback(on_epoch_end=stop)], epochs=2)
    trained([callback], epochs=1)
    assert len(list((tmp_path / "log").iterdir())) == 2


def test_three_images_in_a_list_are_images(tmp_path):
    images = [*tiny.images(3)]
    np.testing.assert_array_equal(kg.callbacks.ReconstructionGrid(images, tmp_path).images, images)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: kg.callbacks.ReconstructionGrid(np.zeros((2, 64)), path),
        lambda path: kg.callbacks.ReconstructionGrid(np.zeros((2, 8, 8, 3)), path),
        lambda path: kg.callbacks.ReconstructionGrid(np.zeros((0, 8, 8, 1)), path),
        lambda path: kg.callbacks.SampleGrid(path, num_samples=0),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_training(tmp_path, make):
    vae = tiny.vae()
    vae.compile(keras.optimizers.Adam(0.01))
    before = vae.get_weights()
    with pytest.raises(ValueError, match="shape|num_samples"):
        vae.fit(tiny.images(), epochs=1, verbose=0, callbacks=[make(tmp_path)])
    for a, b in zip(before, vae.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert list(tmp_path.iterdir()) == []


def test_infinite_pixels_are_drawn_with_one_warning():
    images = np.array([np.inf, -np.inf, np.nan, 1], "float32").reshape(1, 1, 4, 1)
    with pytest.warns(UserWarning, match="NaN or infinite"):  # And none of NumPy's.
        grid = kg.callbacks.image_grid(images, padding=0, scale=1)
    assert grid[0, :, 0].tolist() == [255, 0, 0, 255]


@pytest.mark.parametrize("every", [0, -1])
def test_a_period_below_one_is_refused(tmp_path, every):
    with pytest.raises(ValueError, match="`every` is"):
        kg.callbacks.SampleGrid(tmp_path, every=every)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        kg.callbacks.SampleGrid(tmp_path / "file")


def tanh_gan():
    z = keras.Input((4,))
    pixels = keras.layers.Dense(64, activation="tanh", kernel_initializer="he_normal")(5.0 * z)
    generator = keras.Model(z, keras.layers.Reshape((8, 8, 1))(pixels))
    _, discriminator = kg.networks.mlp_gan((8, 8, 1), 4, (6,), (6,))
    gan = kg.GAN(generator, discriminator, latent_dim=4, seed=0)
    gan.compile("sgd", "sgd")
    return gan


def test_a_picture_of_another_range_shows_all_of_it():
    images = np.linspace(-1, 1, 256).reshape(4, 8, 8, 1)
    picture = kg.callbacks.image_grid(images, padding=0, scale=1, value_range=(-1, 1))
    assert sorted(set(picture.flat)) == list(range(256))
    with pytest.warns(UserWarning, match=r"\[-1, 1\].*shows \[0, 1\].*value_range"):
        clipped = kg.callbacks.image_grid(images, padding=0, scale=1)
    assert np.mean(clipped == 0) > 0.4
    for wrong in ((1, 0), 1.0, (0, float("nan"))):
        with pytest.raises(ValueError, match="value_range"):
            kg.callbacks.image_grid(images, value_range=wrong)


def test_a_clipped_grid_warns_once_and_its_range_can_be_given(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 1)).astype("float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tanh_gan().fit(x, epochs=3, verbose=0, callbacks=[kg.callbacks.SampleGrid(tmp_path)])
    assert sum("value_range" in str(warning.message) for warning in caught) == 1
    ranged = kg.callbacks.SampleGrid(tmp_path, value_range=(-1, 1), scale=1)
    between = kg.callbacks.InterpolationGrid(tmp_path, value_range=(-1, 1))
    gan = tanh_gan()
    gan.fit(x, epochs=2, verbose=0, callbacks=[ranged, between])  # A warning would be an error.
    z = np.random.default_rng(0).standard_normal((64, 4))
    expected = kg.callbacks.image_grid((gan.generate(z) + 1) / 2, scale=1)
    pixels = read(tmp_path / "epoch_0002.png", expected)
    assert np.mean(pixels == 0) < 0.4
    assert np.abs(pixels - expected).max() <= 1


def test_pictures_of_a_vae_take_a_range(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 1)).astype("float32")
    vae = kg.VAE(*kg.networks.mlp_vae((8, 8, 1), 2, (4,)), likelihood="gaussian")
    vae.compile("adam")
    kinds = [
        kg.callbacks.ReconstructionGrid(x, tmp_path, value_range=(-1, 1)),
        kg.callbacks.Manifold(tmp_path, steps=3, value_range=(-1, 1)),
        kg.callbacks.Traversals(tmp_path, steps=3, value_range=(-1, 1)),
    ]
    vae.fit(x, verbose=0, callbacks=kinds)
    pixels = np.asarray(Image.open(tmp_path / "reconstruction_0001.png").convert("L"))
    assert np.isclose(np.mean(pixels[2:18, 2:18] < 128), 0.5, atol=0.25)


@pytest.mark.once
@pytest.mark.parametrize(
    ("num_classes", "num_images", "columns"),
    [(2, 64, 8), (3, 64, 9), (5, 64, 10), (6, 64, 6), (10, 64, 10), (41, 64, 20), (2, 9, 4)],
)
def test_a_grid_of_few_classes_has_several_columns_of_each(num_classes, num_images, columns):
    y = class_columns(num_classes, num_images)
    assert len(y) == columns and y.tolist() == sorted(y)
    assert len(set(np.bincount(y)[np.unique(y)])) == 1  # As many of each.


@pytest.mark.once
def test_a_grid_has_several_images_of_a_class_below_each_other(tmp_path):
    networks = kg.networks.mlp_vae((8, 8, 1), 2, (4,), num_classes=41)
    vae = kg.VAE(*networks, num_classes=41)
    vae.compile("adam")
    names = [f"class {label}" for label in range(41)]
    grid = kg.callbacks.SampleGrid(tmp_path, scale=1, class_names=names)
    vae.fit(tiny.images(8), y=np.arange(8), verbose=0, callbacks=[grid])
    y = np.resize(np.linspace(0, 40, 20).round().astype(int), 60)
    images = vae.sample(60, seed=0, y=y)
    expected = kg.callbacks.image_grid(images, 20, scale=1)
    np.testing.assert_array_equal(read(tmp_path / "epoch_0001.png", expected), expected)
    grid.class_names = names[:3]
    with pytest.raises(ValueError, match="`class_names` has 3 names, and the labels go to 40"):
        vae.fit(tiny.images(8), y=np.arange(8), verbose=0, callbacks=[grid])


def test_letters_with_accents_are_drawn():
    pytest.importorskip("matplotlib", reason="Pillow's own font has no such letters")

    def label(name):
        return kg.callbacks.image_grid(np.ones((1, 32, 32, 1)), scale=3, column_labels=[name])

    pictures = [label(name) for name in ("café", "cafè", "cafñ", "cafŁ", "cafж", "cafΩ")]
    for i, picture in enumerate(pictures):  # Not all the same box.
        assert not any(np.array_equal(picture, other) for other in pictures[:i])
