"""The lines of code that make numbers of what holds none."""

import contextlib

import numpy as np


def floats_line(x):
    """Return the line that makes floats of `x`, for its kind of array."""
    module = type(x).__module__.split(".")[0]
    if hasattr(x, "astype") and module != "h5py":
        return 'x.astype("float32")'
    if hasattr(x, "detach"):
        return "x.float()"
    return 'tf.cast(x, "float32")' if module == "tensorflow" else 'np.asarray(x, "float32")'


def numbers_line(value, array, name):
    """Return in a sentence what makes numbers of `value`, of which NumPy has made `array`."""
    first = array.flat[0] if array.size else None
    if name == "y" and isinstance(first, (str, bytes)):
        return classes_line()
    line = floats_line(value).replace("x", name, 1)
    if array.dtype.kind == "c":
        line = f"np.abs({name})"
    elif array.dtype.names:  # A structured array, as of `np.genfromtxt(names=True)`.
        kinds = {field: array.dtype[field].kind for field in array.dtype.names}
        kept = [field for field, kind in kinds.items() if kind in "fiub"]
        fields = "" if len(kept) == len(kinds) else f"[{kept}]"
        line = f'np.array({name}{fields}.tolist(), "float32")'
    elif hasattr(value, "select_dtypes") and array.ndim == 2:
        return _table_line(array, name)
    elif np.ndim(first) > 0:
        line = f'np.stack({name}).astype("float32")'
    return f"Pass `{line}`."


def classes_line(axis="", labels="y"):
    """Return in a sentence how classes become numbers, the same in training and in each use."""
    return (
        f"Number the classes, in training and in every use alike: with `classes = "
        f"np.unique(y_train{axis}).tolist()` of the labels that `fit` is given, pass "
        f"`[classes.index(label) for label in {labels}]`."
    )


def _table_line(array, name):
    """Return what makes numbers of a table of pandas: of all cells, or of those that are some."""
    with contextlib.suppress(TypeError, ValueError):
        array.astype("float32")
        return f'Pass `{name}.astype("float32")`.'
    columns = [[_is_number(cell) for cell in column] for column in array.T]
    if not any(any(column) and not all(column) for column in columns):
        return f'Pass `{name}.select_dtypes("number").astype("float32")`.'
    line = f'{name}.apply(pd.to_numeric, errors="coerce")'
    if not all(map(any, columns)):
        line += '.dropna(axis=1, how="all")'
    line += '.dropna().astype("float32")'
    return f"Pass the rows whose cells are all numbers: `{line}`."


def _is_number(cell):
    try:
        return not np.isnan(float(cell))
    except (TypeError, ValueError):
        return False
