"""A picture of the first batch, to be looked at before an hour is spent."""

import os
import pathlib

import keras
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from keras_gen import files, pictures
from keras_gen.arguments import TWO_SETS, as_one_array, check_integer, check_path
from keras_gen.data.ordered import order_of

SIDE = 80  # Pixels of the picture that an image has at least, about.
LINE = pictures.LINE
PADDING = 4
LEAST_WIDTH = 480  # Of the picture: the text must find room.
RED = (200, 0, 0)


def preview(data, path="preview.png", num_images=64):
    """Write a picture of the first batch as a model sees it: images, labels, shape and range.

    A wrong range, a lost colour channel or shuffled labels can be seen in it. The data of
    `kg.data` are as before, in the same order; a loader that shuffles has drawn an order more.

    Args:
        data: what `fit` accepts, except a generator, which would lose its first batch: images (n,
            height, width, channels), with up to 16 channels, arrays or a stream, with labels or
            without.
        path: PNG file that is written.
        num_images: images that are drawn at most.

    Raises:
        ValueError: if the data are no images.

    Example:

    ```python
    train, test = kg.data.load("digits", labels=True)
    kg.data.preview(train, "preview.png")
    ```
    """
    num_images = check_integer("num_images", num_images)
    check_path("path", path, ".png")
    x, y = _first_batch(data)
    if x.ndim != 4 or not 1 <= x.shape[-1] <= pictures.MOST_CHANNELS or not len(x):
        raise ValueError(
            f"The first batch has shape {x.shape}. A preview shows images (n, height, width, "
            f"channels) with 1 to {pictures.MOST_CHANNELS} channels, 3 for colours."
        )
    shown = pictures.grey_or_colour(x[:num_images].astype("float64"), 1)
    scale = max(1, round(SIDE / max(x.shape[1:3])))
    shown = np.clip(shown, 0, 1).repeat(scale, 1).repeat(scale, 2)
    if y is not None:  # Room for a line under each.
        shown = np.pad(shown, ((0, 0), (0, LINE), (0, 0), (0, 0)), constant_values=1)
    columns = int(np.ceil(np.sqrt(len(shown))))
    grid = pictures.draw_grid(shown, columns, PADDING, 1, (0, 1))
    notes = _notes(x, len(shown))
    picture = Image.new("RGB", (max(LEAST_WIDTH, grid.shape[1]), grid.shape[0] + LINE * len(notes)))
    picture.paste((255, 255, 255), (0, 0, *picture.size))
    picture.paste(Image.fromarray(grid), (0, LINE * len(notes)))
    draw = pictures.Writer(picture)
    for i, (note, colour) in enumerate(notes):
        draw(note, PADDING, LINE * i, picture.width - PADDING, colour)
    if y is not None:
        names = getattr(data, "class_names", None)
        height, width = shown.shape[1] + PADDING, shown.shape[2] + PADDING
        for i, label in enumerate(np.asarray(y)[:num_images]):
            bottom = LINE * len(notes) + (i // columns + 1) * height - LINE
            draw(_name(label, names), PADDING + i % columns * width, bottom, width - PADDING)
    _save(pathlib.Path(path), picture, notes)


def _save(path, picture, notes):
    """Write the picture, and its lines as text in the file: a page shows them by themselves."""
    words = PngInfo()
    words.add_text("notes", "\n".join(note for note, _ in notes))
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as unfinished:
        picture.save(unfinished, format="PNG", pnginfo=words)


def _first_batch(data):
    """Return (x, y) of the first batch, or of arrays whole; y is None if there is none."""
    if hasattr(data, "__next__"):
        raise ValueError(
            "The data are a generator, which would lose its first batch. Pass one batch of it: "
            "`preview(next(make_batches()))`."
        )
    if isinstance(data, (str, os.PathLike)):
        raise ValueError(
            f"`data` is a path. Read the images first: `train, _ = kg.data.folder({str(data)!r})`."
        )
    order = order_of(data)
    epoch = None if order is None else order.epoch
    if isinstance(data, keras.utils.PyDataset):
        batch = data[0]
    elif isinstance(data, list) and _are_images(list(map(np.shape, data))):
        return as_one_array("data", data), None  # Three images are no (x, y, sample_weight).
    elif hasattr(data, "shape") or isinstance(data, (tuple, list)):
        batch = data
    else:
        batch = next(iter(data))
    if order is not None:
        order.epoch = epoch  # Some streams count the passes that have begun.
    is_pair = isinstance(batch, (tuple, list)) and len(batch) <= 3
    x, y, *_ = (*batch, None) if is_pair else (batch, None)
    if isinstance(x, keras.utils.PyDataset) or hasattr(x, "element_spec"):
        raise ValueError(TWO_SETS)
    return as_one_array("data", x), y


def _are_images(shapes):
    return len(set(shapes)) == 1 or {len(shape) for shape in shapes} == {3}


def _notes(x, shown):
    """Return the lines above the images, each with its colour."""
    size = "x".join(map(str, x.shape[1:]))
    low, high, mean = float(x.min()), float(x.max()), float(x.mean())
    notes = [
        (f"{shown} of {len(x)} images, {size}, {x.dtype}", None),
        (f"values from {low:.3g} to {high:.3g}, mean {mean:.3g}", None),
    ]
    if not (low >= 0 and high <= 1):
        notes.append(("Images are floats in [0, 1]; what lies outside is cut off here.", RED))
    elif high <= 1 / 127:
        notes.append(("This is nearly black. Were bytes divided by 255 twice?", RED))
    return notes


def _name(label, names):
    label = np.asarray(label)
    if names is None or label.ndim:
        return " ".join(map(str, label.ravel()))
    return f"{label} {names[int(label)]}"
