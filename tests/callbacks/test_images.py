import re
import subprocess
import sys

import numpy as np
import pytest
from keras import ops
from PIL import Image

import keras_gen as kg
from tests.models import tiny


def frames(path):
    """What a GIF shows, as arrays, and for how long, in milliseconds."""
    with Image.open(path) as gif:
        pictures, durations = [], []
        for k in range(gif.n_frames):
            gif.seek(k)
            pictures.append(np.array(gif.convert("RGB")))
            durations.append(gif.info["duration"])
        return pictures, durations, gif.info["loop"]


def greys(n=3):
    """Pictures that differ, with all 256 levels of grey."""
    ramp = np.arange(256, dtype="uint8").reshape(16, 16, 1).repeat(3, axis=-1)
    return [np.roll(ramp, 5 * k, axis=0) for k in range(n)]


def test_a_gif_shows_png_files_in_order(tmp_path):
    pictures = greys()
    paths = [tmp_path / f"epoch_{k}.png" for k in range(3)]
    for path, picture in zip(paths, pictures, strict=True):
        kg.callbacks.save_png(path, picture)
    kg.callbacks.save_gif(tmp_path / "new" / "all.gif", paths, seconds=0.1, last_seconds=1.0)
    shown, durations, loop = frames(tmp_path / "new" / "all.gif")
    np.testing.assert_array_equal(shown, pictures)
    assert (durations, loop) == ([100, 100, 1000], 0)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["all.gif"]


def test_a_gif_shows_arrays_and_their_colours(tmp_path):
    red, blue = np.zeros((2, 4, 6, 3), "uint8")
    red[..., 0], blue[..., 2] = 255, 200
    kg.callbacks.save_gif(tmp_path / "a.gif", [red, blue])
    shown, durations, _ = frames(tmp_path / "a.gif")
    np.testing.assert_array_equal(shown, [red, blue])
    assert durations == [200, 2000]


def test_a_gif_of_one_picture(tmp_path):
    kg.callbacks.save_gif(tmp_path / "a.gif", greys(1))
    with Image.open(tmp_path / "a.gif") as gif:
        np.testing.assert_array_equal(np.array(gif.convert("RGB")), greys(1)[0])


@pytest.mark.parametrize("pictures", [[], [np.zeros((2, 2, 3), "uint8"), *greys(1)]])
def test_pictures_of_no_one_size_are_refused_and_the_old_file_stays(tmp_path, pictures):
    kg.callbacks.save_gif(tmp_path / "a.gif", greys())
    before = (tmp_path / "a.gif").read_bytes()
    with pytest.raises(ValueError, match="Pass at least one, and all of one size"):
        kg.callbacks.save_gif(tmp_path / "a.gif", pictures)
    assert (tmp_path / "a.gif").read_bytes() == before


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ValueError):
        kg.callbacks.save_png(tmp_path / "a.png", np.zeros((2, 2, 7), "uint8"))
    assert list(tmp_path.iterdir()) == []


def test_floats_are_no_picture_and_the_advice_makes_one(tmp_path):
    images = tiny.images(2, (4, 4, 3))
    with pytest.raises(ValueError, match=r"type float32. Pass a uint8 array.*image_grid\(x\["):
        kg.callbacks.save_png(tmp_path / "a.png", images[0])
    kg.callbacks.save_gif(tmp_path / "a.gif", [kg.callbacks.image_grid(x[None]) for x in images])
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 2


@pytest.mark.once
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 4), (2, 4, 5, 1), (2, 3, 4, 5, 3)])
def test_the_advice_makes_a_picture_of_images_of_any_shape(tmp_path, shape, dtype):
    white = 255 if dtype == "uint8" else 1
    x = np.full(shape, white, dtype)
    x[(0, 0) if len(shape) == 2 else (..., 0, 0, slice(None))] = 0  # The first pixel of each.
    with pytest.raises(ValueError) as error:
        kg.callbacks.save_png(tmp_path / "a.png", x)
    line = re.findall(r"`([^`]+)`", str(error.value))[-1]
    picture = eval(line, {"x": x, "image_grid": kg.callbacks.image_grid})  # noqa: S307
    kg.callbacks.save_png(tmp_path / "a.png", picture)
    assert (picture[2:4, 2:4] == 0).all() and (picture[2:10, 4:12] == 255).all()


@pytest.mark.once
def test_an_array_that_is_no_image_gets_no_such_advice(tmp_path):
    with pytest.raises(ValueError, match="such as `image_grid` returns.$"):
        kg.callbacks.save_png(tmp_path / "a.png", np.zeros((2, 2, 7), "uint8"))


def test_what_a_model_gives_is_drawn_and_measured_without_its_gradient(tmp_path):
    model, x = tiny.vae(), tiny.images(24)
    given = model(x)  # On PyTorch with a gradient, which NumPy does not read.
    expected = ops.convert_to_numpy(given)
    np.testing.assert_array_equal(kg.callbacks.image_grid(given), kg.callbacks.image_grid(expected))
    kg.data.preview(given, tmp_path / "a.png")
    np.testing.assert_array_equal(kg.data.ArrayDataset(given).x, expected)
    rows = ops.reshape(given, (24, -1))
    assert kg.metrics.frechet_distance(rows, rows) < 1e-6
    mean, log_var = model.encoder(x)
    assert kg.metrics.active_units(mean) == kg.metrics.active_units(ops.convert_to_numpy(mean))
    found = kg.metrics.kl_per_latent(mean, log_var)
    np.testing.assert_allclose(found, kg.metrics.kl_per_latent(*model.encode(x)), rtol=1e-4)


PICTURE, IMAGES = np.zeros((4, 4, 3), "uint8"), np.zeros((3, 4, 4, 3), "float32")
BAD = {
    "a film as PNG": (lambda at: kg.callbacks.save_gif(at / "a.png", [PICTURE]), "end in .gif"),
    "a film as MP4": (lambda at: kg.callbacks.save_gif(at / "a.mp4", [PICTURE]), "end in .gif"),
    "a film as MOV": (lambda at: kg.callbacks.save_film(at / "a.mov", [PICTURE]), "gif, .webp or"),
    "a film of a number": (lambda at: kg.callbacks.save_film(at / "a.gif", 3), "is a int"),
    "a film of codes": (
        lambda at: kg.callbacks.save_film(at / "a.gif", np.zeros((3, 8))),
        "A picture needs",
    ),
    "a film of a mixture": (
        lambda at: kg.callbacks.save_film(at / "a.gif", [PICTURE, PICTURE[..., 0]]),
        "Pass a uint8 array",
    ),
    "a label too few": (
        lambda at: kg.callbacks.image_grid(IMAGES, column_labels="a"),
        "`column_labels` has 1 labels for 2",
    ),
    "a picture as JPEG": (lambda at: kg.callbacks.save_png(at / "a.jpg", PICTURE), "end in .png"),
    "a preview as JPEG": (lambda at: kg.data.preview(IMAGES, at / "a.jpg"), "end in .png"),
    "a film, swapped": (
        lambda at: kg.callbacks.save_gif([PICTURE], at / "a.gif"),
        "is a list",
    ),
    "a picture, swapped": (
        lambda at: kg.callbacks.save_png(PICTURE, at),
        "`path` is a ndarray",
    ),
    "a film of one path": (lambda at: kg.callbacks.save_gif(at / "a.gif", at), "is one path"),
    "a path as picture": (lambda at: kg.callbacks.save_png(at / "a.png", at), "`picture` is a Po"),
    "seconds as words": (
        lambda at: kg.callbacks.save_gif(at / "a.gif", [PICTURE], seconds="1"),
        "`seconds` is '1'. Pass a number of seconds",
    ),
    "columns below 1": (lambda at: kg.callbacks.image_grid(IMAGES, columns=-2), "`columns` is -2"),
    "no scale": (lambda at: kg.callbacks.image_grid(IMAGES, scale=0), "`scale` is 0"),
    "half a scale": (lambda at: kg.callbacks.image_grid(IMAGES, scale=1.5), "`scale` is 1.5"),
    "no padding": (lambda at: kg.callbacks.image_grid(IMAGES, padding=-1), "`padding` is -1"),
    "a grid of paths": (
        lambda at: kg.callbacks.image_grid(["a.png"]),
        "`images` holds no real numbers",
    ),
    "samples of images": (lambda at: kg.callbacks.SampleGrid(IMAGES), "`directory` is a ndarray"),
    "reconstructions, swapped": (
        lambda at: kg.callbacks.ReconstructionGrid(at, IMAGES),
        "`directory` is a ndarray, and a path is expected",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("case", BAD)
def test_arguments_of_pictures_are_checked_by_name(tmp_path, case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.once
def test_labels_and_captions_leave_the_images_where_they_are():
    images, plain = tiny.images(6, (8, 8, 1)), kg.callbacks.image_grid
    picture = plain(
        images, 3, 2, 4, column_labels=["0", "x\ny", "a long name"], row_labels="AB", caption="c"
    )
    grid = plain(images, 3, 2, 4)
    height, width, _ = grid.shape
    np.testing.assert_array_equal(picture[:height, :width], grid)
    assert len(picture) == height + 16 + 18 and picture.shape[1] == 240
    below, right = picture[height : height + 16], picture[:height, width:]
    for i in range(3):  # Each stands below its own column, and the long one is cut off.
        assert (below[:, 34 * i + 2 : 34 * i + 36] < 128).any()
    assert (below[:, width + 2 :] == 255).all()
    assert (right[:36] < 128).any() and (right[36:] < 128).any() and (picture[-18:] < 128).any()


@pytest.mark.once
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_channels_that_are_no_colours_stand_side_by_side(channels):
    x = tiny.images(3, (4, 4, channels))
    grid = kg.callbacks.image_grid(x, 1, padding=1, scale=1)
    assert grid.shape == (3 * 5 + 1, channels * 5 + 1, 3)
    flat = x.transpose(0, 3, 1, 2).reshape(-1, 4, 4, 1)  # As if each were an image.
    np.testing.assert_array_equal(grid, kg.callbacks.image_grid(flat, channels, 1, 1))


@pytest.mark.once
@pytest.mark.parametrize("kind", ["gif", "webp", "mp4"])
def test_a_film_shows_images_in_order(tmp_path, kind):
    if kind == "mp4":
        program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    images = np.linspace(-1, 1, 4)[:, None, None, None] * np.ones((4, 5, 7, 1))
    path = tmp_path / f"a.{kind}"
    kg.callbacks.save_film(path, images, 0.1, last_seconds=0.3, value_range=(-1, 1))
    grey = [0, 85, 170, 255]
    if kind == "mp4":  # The last is shown three times as long; the sides are even.
        command = [program, "-v", "error", "-i", path, *"-f rawvideo -pix_fmt rgb24 -".split()]
        film = subprocess.run(command, capture_output=True, check=True).stdout
        shown = np.frombuffer(film, "uint8").reshape(-1, 180, 252, 3)
        grey += 2 * [255]
    else:
        with Image.open(path) as film:
            assert film.n_frames == 4 and film.size == (252, 180) and film.info["loop"] == 0
            shown = []
            for k in range(4):
                film.seek(k)
                shown.append(np.array(film.convert("RGB")))
    np.testing.assert_allclose([frame.mean() for frame in shown], grey, atol=3)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{kind}"]


@pytest.mark.once
def test_an_mp4_without_its_encoder_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match="`pip install imageio-ffmpeg`, or let the film end in"):
        kg.callbacks.save_film(tmp_path / "a.mp4", [PICTURE])
    assert list(tmp_path.iterdir()) == []
