"""The lines of code that make numbers of what holds none."""

import collections.abc
import contextlib
import datetime
import os
import re

import numpy as np

from keras_gen.arguments import one_shape_line
from keras_gen.door.shapes import is_pil, shape_of

THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d*)?")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Of Pillow, for each number of channels.
WIDE = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}  # Of more than 8 bits, which `convert` cuts.
EXAMPLES = ("x", "data", "images")  # Names of arguments that may be images.


def floats_line(x):
    """Return the line that makes floats of `x`, for its kind of array."""
    module = type(x).__module__.split(".")[0]
    if isinstance(x, (list, tuple)) and x and is_pil(x[0]):
        return 'np.stack([np.asarray(i) for i in x]).astype("float32")'
    if hasattr(x, "astype") and module != "h5py":
        return 'x.astype("float32")'
    if hasattr(x, "detach"):
        return "x.float()"
    return 'tf.cast(x, "float32")' if module == "tensorflow" else 'np.asarray(x, "float32")'


def numbers_line(value, array, name, shape=None):
    """Return in a sentence what makes numbers of `value`, of which NumPy has made `array`.

    `shape` is that of the examples that are expected, if known.
    """
    first = array.flat[0] if array.size else None
    if name == "y" and array.dtype.kind in "OUSMm" and np.ndim(first) == 0:
        return _labels_line(value, array)
    is_text = isinstance(first, (str, bytes, os.PathLike)) and not _is_number(first)
    if is_text and array.ndim == 1 and name in EXAMPLES and not array.dtype.names:
        return files_line(name if isinstance(value, list) else f"list({name})", shape)
    if array.ndim == 1 and np.ndim(first) > 0 and (line := unequal_line(array, name, shape)):
        return f"The shapes of its items differ, such as {line}"
    line = floats_line(value).replace("x", name, 1)
    is_table = hasattr(value, "select_dtypes") and array.ndim == 2
    are_dates = array.size and all(isinstance(v, datetime.date) for v in array[:1].flat)
    if array.dtype.kind == "c":
        line = f"np.abs({name})"
    elif array.dtype.kind in "Mm" or are_dates:  # In days.
        times = name if hasattr(value, "min") else f'np.asarray({name}, "datetime64[s]")'
        since = times if array.dtype.kind == "m" else f"({times} - {times}.min())"
        line = f'{since} / np.timedelta64(1, "D")'
    elif isinstance(first, collections.abc.Mapping):  # Rows of a table.
        line = f'pd.DataFrame(list({name})).astype("float32")'
    elif hasattr(value, "iloc") and array.shape[1:] == (1,) and np.ndim(first) > 0:
        line = f'np.stack({name}.iloc[:, 0]).astype("float32")'
    elif array.dtype.names:  # A structured array, as of `np.genfromtxt(names=True)`.
        kinds = {field: array.dtype[field].kind for field in array.dtype.names}
        kept = [field for field, kind in kinds.items() if kind in "fiub"]
        fields = "" if len(kept) == len(kinds) else f"[{kept}]"
        line = f'np.array({name}{fields}.tolist(), "float32")'
    elif is_table:
        return _table_line(array, name)
    elif is_pil(first):
        line = f"np.stack([np.asarray(i) for i in {name}]) / 255"
    elif np.ndim(first) > 0:
        line = f'np.stack({name}).astype("float32")'
    return f"Pass `{line}`."


def unequal_line(items, name, shape=None):
    """Return two shapes of items and what makes all the same; None if they are."""
    shapes = list(dict.fromkeys(map(shape_of, items)))
    if len(shapes) < 2:
        return None
    if is_pil(items[0]):
        height, width = _size(shape)
        line = f"np.stack([np.asarray(i.resize(({width}, {height}))) for i in {name}]) / 255"
    else:
        line = one_shape_line(items, shapes, name, shape if len(shape or ()) == 3 else None)
    return f"{shapes[0]} and {shapes[1]}. Give all the same: `{line}`."


def pil_line(x, shape):
    """Return in a sentence what makes `shape` of pictures of Pillow with other modes; else None."""
    pictures = [x] if is_pil(x) else x
    if not isinstance(pictures, (list, tuple)) or not pictures or not all(map(is_pil, pictures)):
        return None
    wanted = MODES.get(shape[2]) if shape is not None and len(shape) == 3 else None
    modes = {picture.mode for picture in pictures}
    is_clear = any(picture.has_transparency_data for picture in pictures) and wanted != "RGBA"
    alike = not is_clear and (modes == {wanted} or (modes == {"1"} and wanted == "L"))
    if wanted is None or alike or modes & WIDE:
        return None
    grey = "[..., None]" if wanted == "L" else ""
    opaque = "i"
    if is_clear:
        opaque = 'Image.alpha_composite(Image.new("RGBA", i.size, "white"), i.convert("RGBA"))'
    return (
        f"The pictures of Pillow are of mode {' and '.join(sorted(modes))}, and examples have "
        f'shape {tuple(shape)}. Pass `np.stack([np.asarray({opaque}.convert("{wanted}").resize('
        f"({shape[1]}, {shape[0]}))) for i in {'[x]' if is_pil(x) else 'x'}]){grey} / 255`."
    )


def files_line(paths, shape=None):
    """Return in a sentence how images are read."""
    height, width = _size(shape)
    size = height if height == width else (height, width)
    channels = ""
    if shape is not None and len(shape) == 3 and shape[2] in (1, 3):
        channels = f", channels={shape[2]}"
    return (
        f"Pass arrays of numbers; images are read from their paths by `train, _ = "
        f"kg.data.folder({paths}, size={size}{channels}, test=0)`."
    )


def _size(shape):
    """Return the height and width of the images that are expected, or of some."""
    return shape[:2] if shape is not None and len(shape) == 3 else (64, 64)


def classes_line(axis="", labels="y"):
    """Return in a sentence how classes become numbers, the same in training and in each use."""
    return (
        f"Number the classes, in training and in every use alike: with `classes = "
        f"{f'np.unique(y_train{axis}).tolist()' if axis else 'list(np.unique(y_train))'}` of the "
        f"labels that `fit` is given, pass "
        f"`[classes.index(label) for label in {labels}]`."
    )


def _labels_line(value, array):
    """Return in a sentence what makes integers of labels that are no numbers, or are missing."""
    if missing := sum(map(_is_missing, array.flat)):
        kept = f"{'np.array(y, object)' if isinstance(value, (list, tuple)) else 'y'}[known]"
        return (
            f"{missing} of {array.size} labels are missing, None or NaN. Leave these examples "
            f"out: with `known = np.ravel(pd.notna(y))`, pass `x[known]` and `{kept}`."
        )
    return classes_line(labels="y.iloc[:, 0]" if hasattr(value, "columns") else "y")


def _table_line(array, name):
    """Return what makes numbers of a table of pandas: of all cells, or of those that are some."""
    with contextlib.suppress(TypeError, ValueError):
        if not np.isnan(array.astype("float32")).any():
            return f'Pass `{name}.astype("float32")`.'
    columns = [[_is_number(cell) for cell in column] for column in array.T]
    cells = list(map(str, array.flat))
    if all(_is_number(cell.replace(",", "")) for cell in cells):
        line = f'`{name}.astype(str).replace(",", "{{}}", regex=True).astype("float32")`'
        if all(THOUSANDS.fullmatch(cell) for cell in cells if "," in cell):
            return (
                f"If its commas stand between thousands, pass {line.format('')}; if they are "
                f"decimal, pass {line.format('.')}."
            )
        return f"Pass {line.format('.')}."
    if not any(map(any, columns)):
        return "None of its columns holds numbers."
    if not any(any(column) and not all(column) for column in columns):
        line = f'{name}.select_dtypes(["number", "bool"], exclude="timedelta").astype("float32")'
        return f"Pass `{line}`."
    line = f'{name}.apply(pd.to_numeric, errors="coerce")'
    if not all(map(any, columns)):
        line += '.dropna(axis=1, how="all")'
    line += '.dropna().astype("float32")'
    return f"Pass the rows whose cells are all numbers: `{line}`."


def _is_missing(label):
    # NA of pandas has no truth value.
    return label is None or type(label).__name__ in ("NAType", "NaTType") or label != label


def _is_number(cell):
    try:
        return not np.isnan(float(cell))
    except (TypeError, ValueError):
        return False
