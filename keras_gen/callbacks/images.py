"""Many images in one, at native pixels times an integer, and PNG files of them."""

import math
import pathlib

import numpy as np


def image_grid(images, columns=None, padding=2, scale=2):
    """One picture of many images, row by row, with white lines between.

    Args:
        images: (n, height, width, channels) in [0, 1], channels 1 or 3; values outside are
            clipped.
        columns: Images in a row; by default about as many as there are rows.
        padding: Width of the lines, in pixels of the picture.
        scale: Every pixel becomes a square of this side.

    Returns:
        uint8 array (rows, columns, 3).
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"`images` has shape {images.shape}. A picture takes (n, height, width, channels) "
            f"with 1 or 3 channels and n at least 1."
        )
    n, height, width, _ = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    pixels = np.clip(np.nan_to_num(images) * 255 + 0.5, 0, 255).astype("uint8")
    pixels = np.broadcast_to(pixels, (n, height, width, 3)).repeat(scale, 1).repeat(scale, 2)
    cell_height, cell_width = height * scale + padding, width * scale + padding
    picture = np.full((rows * cell_height + padding, columns * cell_width + padding, 3), 255)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * cell_height + padding, (i % columns) * cell_width + padding
        picture[top : top + height * scale, left : left + width * scale] = image
    return picture.astype("uint8")


def save_png(path, picture):
    """Writes a uint8 array (rows, columns, 3) to `path`, whole or not at all."""
    from matplotlib import image  # Takes a while to import.

    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    image.imsave(unfinished, picture, format="png")
    unfinished.replace(path)
