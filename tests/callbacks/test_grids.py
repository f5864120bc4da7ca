import keras
import numpy as np
import pytest
from matplotlib import image as png

import keras_gen as kg
from tests.models import tiny


def read(path):
    return np.round(png.imread(path)[..., :3] * 255).astype(int)


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
    grid = kg.callbacks.image_grid(images, padding=0, scale=1)
    np.testing.assert_array_equal(grid, [[[255, 0, 255]]])


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 3, 3, 2), (0, 3, 3, 1)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="A picture takes"):
        kg.callbacks.image_grid(np.zeros(shape))


def trained(callbacks, epochs=4):
    keras.utils.set_random_seed(0)
    vae = tiny.vae()
    vae.compile(keras.optimizers.Adam(0.01))
    vae.fit(tiny.images(), epochs=epochs, verbose=0, callbacks=callbacks)
    return vae


def test_sample_grids_show_one_z_every_few_epochs(tmp_path):
    vae = trained([kg.callbacks.SampleGrid(tmp_path, num_samples=9, every=2, scale=1, seed=5)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    z = np.random.default_rng(5).standard_normal((9, 3))
    expected = kg.callbacks.image_grid(vae.decode(z), scale=1)
    np.testing.assert_array_equal(read(tmp_path / "epoch_0004.png"), expected)
    assert np.any(read(tmp_path / "epoch_0002.png") != expected)


def test_the_last_epoch_is_always_shown(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    trained([kg.callbacks.SampleGrid(tmp_path, every=2), Stop()], epochs=9)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch_0002.png", "epoch_0003.png"]


def test_reconstruction_grids_show_images_above_reconstructions(tmp_path):
    x = tiny.images(10)
    vae = trained([kg.callbacks.ReconstructionGrid(x, tmp_path, every=4, scale=1)])
    picture = read(tmp_path / "reconstruction_0004.png")
    assert picture.shape == (4 * 10 + 2, 8 * 10 + 2, 3)  # 8 and 2 images, each in two rows.
    reconstruction = vae.reconstruct(x)
    np.testing.assert_array_equal(picture[2:10, 2:10, 0], np.floor(x[0, ..., 0] * 255 + 0.5))
    np.testing.assert_array_equal(
        picture[32:40, 12:20, 1], np.floor(reconstruction[9, ..., 0] * 255 + 0.5)
    )
    np.testing.assert_array_equal(picture[32:40, 22:], 255)


def test_pictures_change_no_weight(tmp_path):
    pictures = [
        kg.callbacks.SampleGrid(tmp_path / "s"),
        kg.callbacks.ReconstructionGrid(tiny.images(3), tmp_path / "r"),
    ]
    for a, b in zip(trained(pictures).get_weights(), trained([]).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_pictures_go_to_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    trained([kg.callbacks.SampleGrid(tmp_path / "png", tensorboard_dir=tmp_path / "log")], 2)
    (events,) = (tmp_path / "log").iterdir()
    values = [
        (event.step, value.tag, value)
        for event in EventFileLoader(str(events)).Load()
        for value in event.summary.value
    ]
    assert [(step, tag) for step, tag, _ in values] == [(0, "SampleGrid"), (1, "SampleGrid")]


@pytest.mark.parametrize("every", [0, -1])
def test_a_period_below_one_is_refused(tmp_path, every):
    with pytest.raises(ValueError, match="`every` is"):
        kg.callbacks.SampleGrid(tmp_path, every=every)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        kg.callbacks.SampleGrid(tmp_path / "file")
