import numpy as np
import pytest
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
    for save, pictures in ((kg.callbacks.save_png, images[0]), (kg.callbacks.save_gif, images)):
        with pytest.raises(ValueError, match=r"type float32. Pass a uint8 array.*image_grid\(x\["):
            save(tmp_path / "a.gif", pictures)
    kg.callbacks.save_gif(tmp_path / "a.gif", [kg.callbacks.image_grid(x[None]) for x in images])
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 2
