"""Grids of images, each pixel a square of whole pixels, with labels and a caption; PNG files."""

import functools
import math
import warnings

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_gen import files
from keras_gen.arguments import as_one_array, check_integer, check_path

# A warning is worth more than this share of pixels, this far outside, in units of the range. A
# Gaussian's mean is a little outside even for data that are not.
CLIPPED, MARGIN = 0.05, 0.1
MOST_CHANNELS = 16
LINE = 16  # Height of a line of text.
WIDEST_LABEL = 120
LEAST_WIDTH = 240  # Of a picture with a caption: the text must find room.


def image_grid(
    images,
    columns=None,
    padding=2,
    scale=2,
    value_range=(0, 1),
    column_labels=None,
    row_labels=None,
    caption=None,
):
    """Return one picture of many images, row by row, with white lines between them.

    Text stands below the images and to their right, so it moves none of them.

    Args:
        images: (n, height, width, channels). One channel is grey and three are colours; of any
            other number, up to 16, each is a grey image, from left to right.
        columns: Images in a row; by default about as many as there are rows.
        padding: Width of the lines, in pixels of the picture.
        scale: Every pixel becomes a square of this side.
        value_range: The values that are black and white, (low, high): (-1, 1) for images of a
            generator that ends in tanh. Values outside are clipped; if they are many, with a
            warning.
        column_labels: Words below each column, such as the names of classes, or None.
        row_labels: Words to the right of each row, or None.
        caption: Line of text below all, or None.

    Returns:
        uint8 array (rows, columns, 3).
    """
    images = as_one_array("images", images)
    message = clipping(images, value_range)
    if message:
        warnings.warn(message, stacklevel=2)
    picture = draw_grid(images, columns, padding, scale, value_range, column_labels, row_labels)
    return picture if caption is None else with_caption(picture, caption)


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


def draw_grid(images, columns, padding, scale, value_range, column_labels=None, row_labels=None):
    images = grey_or_colour(np.asarray(images), value_range[1])
    n, height, width, _ = images.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else check_integer("columns", columns)
    padding, scale = check_integer("padding", padding, least=0), check_integer("scale", scale)
    rows = math.ceil(n / columns)
    labels = [
        _as_words("column_labels", column_labels, columns),
        _as_words("row_labels", row_labels, rows),
    ]
    low, high = value_range
    images = (np.nan_to_num(images, nan=low) - low) / (high - low)
    pixels = (np.clip(images, 0, 1) * 255 + 0.5).astype("uint8")
    pixels = np.broadcast_to(pixels, (n, height, width, 3)).repeat(scale, 1).repeat(scale, 2)
    cell_height, cell_width = height * scale + padding, width * scale + padding
    picture = np.full((rows * cell_height + padding, columns * cell_width + padding, 3), 255)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * cell_height + padding, (i % columns) * cell_width + padding
        picture[top : top + height * scale, left : left + width * scale] = image
    picture = picture.astype("uint8")
    return _with_labels(picture, cell_height, cell_width, *labels) if any(labels) else picture


def grey_or_colour(images, high):
    """Return images of 1 or 3 channels: of other numbers the channels side by side, each grey."""
    channels = images.shape[-1] if images.ndim == 4 else 0
    if not 1 <= channels <= MOST_CHANNELS or not images.size:
        raise ValueError(
            f"`images` has shape {images.shape}. A picture needs (n, height, width, channels) "
            f"with 1 to {MOST_CHANNELS} channels, 3 for colours, and n at least 1."
        )
    if channels in (1, 3):
        return images
    # (n, height, channels, width), and a white line behind each but the last.
    images = np.pad(np.moveaxis(images, -1, 2), [(0, 0)] * 3 + [(0, 1)], constant_values=high)
    return images.reshape(*images.shape[:2], -1, 1)[:, :, :-1]


def _as_words(name, labels, n):
    labels = [] if labels is None else [str(label) for label in labels]
    if labels and len(labels) != n:
        raise ValueError(f"`{name}` has {len(labels)} labels for {n} of them. Pass one for each.")
    return labels


def _with_labels(picture, cell_height, cell_width, column_labels, row_labels):
    """Return the picture of a grid with words below its columns and to the right of its rows."""
    height, width, _ = picture.shape
    right = min(WIDEST_LABEL, max(map(text_width, row_labels), default=0))
    right = LINE * math.ceil(right / LINE + 0.5) if right else 0
    page = Image.new("RGB", (width + right, height + (LINE if column_labels else 0)), "white")
    page.paste(Image.fromarray(picture))
    write = Writer(page)
    for i, label in enumerate(column_labels):
        left = i * cell_width + max(0, (cell_width - text_width(label)) // 2)
        write(label, left, height, cell_width)
    for i, label in enumerate(row_labels):
        write(label, width + 2, i * cell_height + (cell_height - LINE) // 2, WIDEST_LABEL)
    return np.asarray(page)


def with_caption(picture, text):
    """Return a uint8 picture (rows, columns, 3) with a line of text below it."""
    check_picture(picture)
    height, width, _ = picture.shape
    page = Image.new("RGB", (max(width, LEAST_WIDTH), height + LINE + 2), "white")
    page.paste(Image.fromarray(picture))
    Writer(page)(text, 2, height, page.width - 2)
    return np.asarray(page)


class Writer:
    """Writes a line of text into a picture, cut off where there is no more room."""

    def __init__(self, picture):
        self.draw = ImageDraw.Draw(picture)

    def __call__(self, text, left, top, width, colour=None):
        text = _one_line(text)
        while len(text) > 1 and _font().getlength(text) > width:
            text = text[:-2] + "…"
        self.draw.text((left, top), text, fill=colour or (0, 0, 0), font=_font())


def text_width(text):
    """Return the width of a line of text in pixels, rounded up."""
    return math.ceil(_font().getlength(_one_line(text)))


@functools.cache
def _font():
    """Return matplotlib's font, which has Latin, Greek and Cyrillic letters, or else Pillow's."""
    try:
        import matplotlib
    except ImportError:
        return ImageFont.load_default(size=12)
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 11)


def _one_line(text):
    """Return what can be drawn of a text: names of classes may be a stranger's."""
    return " ".join(text[:300].encode(errors="replace").decode().split())


def check_range(value_range):
    """Return (low, high); ValueError unless these are two numbers in order."""
    if np.shape(value_range) != (2,) or not value_range[0] < value_range[1]:
        raise ValueError(f"`value_range` is {value_range}. Pass (low, high), low below high.")
    return tuple(value_range)


def save_png(path, picture):
    """Write a uint8 array (rows, columns, 3) to `path`, which ends in .png, whole or not at all."""
    path = check_path("path", path, ".png")
    check_picture(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as unfinished:
        Image.fromarray(picture).save(unfinished, format="PNG")


def check_picture(picture):
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
