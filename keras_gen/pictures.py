"""Grids of images, each pixel a square of whole pixels, and their PNG and GIF files."""

import math
import os
import warnings

import numpy as np
from PIL import Image

from keras_gen import files
from keras_gen.arguments import as_one_array, check_integer, check_path, plain

# A warning is worth more than this share of pixels, this far outside, in units of the range. A
# Gaussian's mean is a little outside even for data that are not.
CLIPPED, MARGIN = 0.05, 0.1


def image_grid(images, columns=None, padding=2, scale=2, value_range=(0, 1)):
    """Return one picture of many images, row by row, with white lines between them.

    Args:
        images: (n, height, width, channels), channels 1 or 3.
        columns: Images in a row; by default about as many as there are rows.
        padding: Width of the lines, in pixels of the picture.
        scale: Every pixel becomes a square of this side.
        value_range: The values that are black and white, (low, high): (-1, 1) for images of a
            generator that ends in tanh. Values outside are clipped; if they are many, with a
            warning.

    Returns:
        uint8 array (rows, columns, 3).
    """
    images = as_one_array("images", images)
    message = clipping(images, value_range)
    if message:
        warnings.warn(message, stacklevel=2)
    return draw_grid(images, columns, padding, scale, value_range)


def clipping(images, value_range):
    """Return a message if many pixels of the images lie outside a picture's range, else None."""
    low, high = check_range(value_range)
    margin = MARGIN * (high - low)
    values = np.asarray(images)[np.isfinite(images)]
    if np.size(images) - values.size > CLIPPED * np.size(images):
        return "Many pixels of the images are NaN or infinite. If a model made them, it diverged."
    if not values.size or np.mean((values < low - margin) | (values > high + margin)) < CLIPPED:
        return None
    return (
        f"The images lie in [{values.min():.3g}, {values.max():.3g}], and the picture shows "
        f"[{low:g}, {high:g}]; the rest is clipped. Pass value_range=(low, high)."
    )


def draw_grid(images, columns, padding, scale, value_range):
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"`images` has shape {images.shape}. A picture needs (n, height, width, channels) "
            f"with 1 or 3 channels and n at least 1."
        )
    n, height, width, _ = images.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else check_integer("columns", columns)
    padding, scale = check_integer("padding", padding, least=0), check_integer("scale", scale)
    rows = math.ceil(n / columns)
    low, high = value_range
    images = (np.nan_to_num(images, nan=low) - low) / (high - low)
    pixels = (np.clip(images, 0, 1) * 255 + 0.5).astype("uint8")
    pixels = np.broadcast_to(pixels, (n, height, width, 3)).repeat(scale, 1).repeat(scale, 2)
    cell_height, cell_width = height * scale + padding, width * scale + padding
    picture = np.full((rows * cell_height + padding, columns * cell_width + padding, 3), 255)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * cell_height + padding, (i % columns) * cell_width + padding
        picture[top : top + height * scale, left : left + width * scale] = image
    return picture.astype("uint8")


def check_range(value_range):
    """Return (low, high); ValueError unless these are two numbers in order."""
    if np.shape(value_range) != (2,) or not value_range[0] < value_range[1]:
        raise ValueError(f"`value_range` is {value_range}. Pass (low, high), low below high.")
    return tuple(value_range)


def save_png(path, picture):
    """Write a uint8 array (rows, columns, 3) to `path`, which ends in .png, whole or not at all."""
    path = check_path("path", path, ".png")
    _check_picture(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as unfinished:
        Image.fromarray(picture).save(unfinished, format="PNG")


def save_gif(path, pictures, seconds=0.2, last_seconds=2.0):
    """Write pictures to `path` as an animation that repeats, whole or not at all.

    Args:
        path: Path of the GIF, which ends in .gif.
        pictures: Paths of PNG files in the order of the animation, or uint8 arrays (rows, columns,
            3); all of one size.
        seconds: Time that a picture is shown, in steps of .01.
        last_seconds: Time that the last picture is shown.

    Example:

    ```python
    pictures = sorted(pathlib.Path("runs/gan/samples").glob("epoch_*.png"))
    kg.callbacks.save_gif("runs/gan/samples.gif", pictures)
    ```
    """
    path = check_path("path", path, ".gif")
    for name, value in {"seconds": seconds, "last_seconds": last_seconds}.items():
        if not isinstance(plain(value), (int, float)) or not 0 <= value < math.inf:
            raise ValueError(f"`{name}` is {value!r}. Pass a number of seconds, 0 or more.")
    if isinstance(pictures, (str, os.PathLike)):
        raise ValueError("`pictures` is one path. Pass a list of them, or of pictures.")
    frames = [_frame(picture) for picture in pictures]
    sizes = sorted({frame.size for frame in frames})
    if len(sizes) != 1:
        raise ValueError(
            f"There are {len(frames)} pictures of the sizes (width, height) {sizes}. Pass at least "
            f"one, and all of one size."
        )
    durations = [round(100 * seconds) * 10] * (len(frames) - 1) + [round(100 * last_seconds) * 10]
    # Each frame has its own palette, so a grey one keeps its 256 levels.
    first, *rest = [frame.convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as unfinished:
        first.save(
            unfinished,
            format="GIF",
            save_all=True,
            append_images=rest,
            duration=durations if rest else durations[0],
            loop=0,
        )


def _frame(picture):
    if isinstance(picture, (str, os.PathLike)):
        with Image.open(picture) as file:
            return file.convert("RGB")
    _check_picture(picture)
    return Image.fromarray(picture)


def _check_picture(picture):
    if not isinstance(picture, np.ndarray):
        raise ValueError(
            f"`picture` is a {type(picture).__name__}. Pass a uint8 array (rows, columns, 3), such "
            f"as `image_grid` returns."
        )
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(
            f"`picture` has shape {picture.shape} and type {picture.dtype}. Pass a uint8 array "
            f"(rows, columns, 3), such as `image_grid` returns{_grid_line(picture)}."
        )


def _grid_line(x):
    """Return what makes a picture of an array `x` that holds images, or one."""
    images = "x[None]"
    shape = (*x.shape, 1) if x.ndim == 2 else x.shape  # Grey, without an axis of channels.
    if x.ndim == 2:
        images = "x[None, ..., None]"
    elif x.ndim > 3:
        images = "x" if x.ndim == 4 else f"x.reshape(-1, {', '.join(map(str, x.shape[-3:]))})"
    if len(shape) < 3 or shape[-1] not in (1, 3, 4) or not x.size:
        return ""
    without_alpha = "[..., :3]" if shape[-1] == 4 else ""
    white = ", value_range=(0, 255)" if x.dtype == np.uint8 else ""
    what = "of one image" if len(shape) == 3 else "of several"
    return f": {what} `image_grid({images}{without_alpha}{white})`"
