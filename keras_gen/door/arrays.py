"""What users give for an array becomes an array of numbers, or is refused with a reason."""

import collections
import numbers
import os

import keras
import numpy as np
from keras import ops

from keras_gen.arguments import check_unmasked, dense_line, filled, host, table_line
from keras_gen.door.advice import (
    EXAMPLES,
    classes_line,
    files_line,
    floats_line,
    numbers_line,
    pil_line,
    unequal_line,
)
from keras_gen.door.shapes import axes_of, is_pil, shape_of
from keras_gen.dtypes import wide

# Files of many images, which `kg.data.folder` reads by their path.
READ_WHOLE = (".npy", ".npz", ".zip", ".tar", ".tar.gz", ".tgz")
# For each kind of stream how to make batches of what has none.
BATCHED = {
    "tf.data.Dataset": "Batch it: `data.batch(32)`.",
    "DataLoader": "Batch it: `torch.utils.data.DataLoader(data.dataset, batch_size=32)`.",
    "grain dataset": "Batch it: `data.batch(32)`.",
    "PyDataset": "Return several examples from `__getitem__`: `x[None]` is a batch of one.",
    "generator": "Yield several examples at a time: `x[None]` is a batch of one.",
    None: "For a single example: `x[None]`.",
}


def as_examples(raw, example_shape, kind=None, white=None):
    """Return a batch of examples as a NumPy array of floats; ValueError unless it is one.

    `kind` is that of the stream, None if `raw` is whole. `white` is the integer that 1 stands for,
    if the model says so.
    """
    if isinstance(raw, collections.abc.Mapping):
        raise ValueError(_dictionary(raw, kind, example_shape))
    if line := pil_line(raw, example_shape):
        raise ValueError(line)
    if isinstance(raw, (list, tuple)) and example_shape is not None:
        shapes = list(map(shape_of, raw))
        if len(raw) > 1 and any(shape[1:] == example_shape for shape in shapes):
            raise ValueError(
                f"`x` holds {len(raw)} arrays, of shapes {', '.join(map(str, shapes))}, and one is "
                f"expected. Pass one; parts of the data are joined by `np.concatenate(x)`."
            )
    if isinstance(raw, (str, bytes)) and kind == "generator":  # Such as an open file.
        raise ValueError("The stream gives text. Read the table first: `pd.read_csv(x)`.")
    x = as_numpy(raw, shape=example_shape)
    if example_shape is not None and x.shape == example_shape:
        come = "an example" if kind is None else f"examples of a {kind}"
        way = BATCHED[kind]
        if kind is None and not (isinstance(raw, np.ndarray) or ops.is_tensor(raw)):
            way = f"For a single example: `np.asarray(x)[None]{' / 255' * is_pil(raw)}`."
        rows = ""
        if kind is None and x.ndim == 2:  # A series, or a table whose rows were counted in.
            rows = (
                f" If these are {len(x)} examples, build the networks for the shape of one, "
                f"`x.shape[1:]`."
            )
        raise ValueError(
            f"The data are not batched: {come} of shape {x.shape}, and (n, "
            f"{', '.join(map(str, example_shape))}) is expected. {way}{rows}"
        )
    if x.ndim == 0:
        raise ValueError(f"The data are a {_type(raw)}, and a batch (n, ...) is expected.")
    are_levels = white is not None and x.dtype.kind in "iu" and x.size
    first = int(are_levels and x.min() == 1 and x.max() == white + 1)
    if white is None and x.dtype.kind == "u" and x.size:  # Answers of 0 and 1, and counts.
        white = 1 if x.max() <= (np.iinfo(x.dtype).max // 2 if x.ndim < 3 else 1) else None
    check_type(raw, x.dtype, "" if kind is None else "in each batch ", white, first)
    return x


def as_numpy(value, name="x", shape=None):
    """Return `value` as a NumPy array of numbers, floats in Keras's type; ValueError for others.

    `shape` is that of the examples that are expected, for the error's advice.
    """
    array = as_numbers(value, name, shape)
    if "float" in array.dtype.name:
        return _narrow(array, wide(keras.config.floatx()), name)
    return array


def as_numbers(value, name="x", shape=None):
    """Return `value` as a NumPy array of numbers in their own type; ValueError for others."""
    if line := dense_line(value):
        raise ValueError(
            f"`{name}` is sparse or ragged, a {_type(value)}. Make it dense: "
            f"`{line.replace('x', name)}`."
        )
    check_unmasked(name, value)
    is_known = isinstance(value, (collections.abc.Sequence, numbers.Number))
    readable = any(hasattr(value, way) for way in ("__array__", "__array_interface__"))
    if isinstance(value, (str, bytes)) or not (is_known or readable):
        raise ValueError(_unknown(value, name, shape))
    try:
        array = np.asarray(host(filled(value)))
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(_no_array(value, name, shape)) from error
    if array.dtype.kind in "OUSVMmc" and "float" not in array.dtype.name:
        line = numbers_line(value, array, name, shape)
        raise ValueError(f"`{name}` holds no real numbers but type {array.dtype}. {line}")
    return array


def _narrow(array, dtype, name):
    """Return an array of floats in `dtype`; ValueError if its values are too large or small."""
    if array.size and array.dtype.itemsize > np.dtype(dtype).itemsize:
        size, limits = max(-array.min(), array.max()), np.finfo(dtype)
        if np.isfinite(size) and (size > limits.max or 0 < size < limits.tiny):
            raise ValueError(
                f"The values of `{name}` reach {size:.2g}, and {dtype} holds sizes from "
                f"{limits.tiny:.2g} to {limits.max:.2g}. Scale them, for example to a standard "
                f"deviation of 1: `{name} / {name}.std()`."
            )
    return array.astype(dtype, copy=False)


def as_array(value, name="x"):
    """Return a tensor of Keras's backend as it is, and anything else as `as_numpy`."""
    array = as_numpy(value, name)
    return value if ops.is_tensor(value) else array


def as_targets(y):
    """Return `y` as `as_array`; several targets, for a model of one's own, as they are."""
    several = isinstance(y, tuple) and all(hasattr(part, "shape") and part.shape for part in y)
    return y if several or isinstance(y, collections.abc.Mapping) else as_array(y, "y")


def as_weights(sample_weight):
    """Return one weight for each example, a NumPy array (n,); ValueError for another shape."""
    weights = as_numpy(sample_weight, "sample_weight").astype(wide(keras.config.floatx()))
    check_weights(weights)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(
            f"`sample_weight` goes from {weights.min():g} to {weights.max():g}. Pass finite "
            f"numbers that are not negative: 0 leaves an example out."
        )
    return weights.reshape(-1)


def as_labels(y, n, num_classes, owner):
    """Return labels as int32 (n,); ValueError unless they are n integers below `num_classes`.

    The integers may be floats or booleans, and their shape (n, 1).
    """
    labels = as_numpy(y, "y")
    if labels.shape == (n, num_classes) and np.all(np.sort(labels)[:, -2:] == [0, 1]):
        raise ValueError(
            f"The labels have shape {labels.shape}: they are one-hot. Pass `{_argmax(y)}`."
        )
    if labels.shape not in ((n,), (n, 1)):
        rows = labels.ndim == 2 and len(labels) == n
        line = f" {classes_line(', axis=0', 'y.tolist()')}" if rows else ""
        raise ValueError(
            f"The labels have shape {labels.shape} for {n} examples. Pass one integer for each "
            f"example, ({n},).{line}"
        )
    labels = labels.reshape(-1)
    broken = labels[labels != np.rint(labels)]
    if len(broken):
        raise ValueError(
            f"The labels are of type {labels.dtype} and hold {broken[0]:g}. Pass one integer for "
            f"each example."
        )
    low, high = float(labels.min()), float(labels.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"The labels go from {low:g} to {high:g}. {owner} was built with "
            f"num_classes={num_classes}: pass 0 to {num_classes - 1}."
        )
    return labels.astype("int32")


def check_type(x, dtype, where="", white=None, first=0):
    """Raise ValueError unless `dtype`, that of the examples `x`, is a float."""
    dtype = keras.backend.standardize_dtype(dtype)
    if not keras.backend.is_float_dtype(dtype):
        white = white or {"uint8": 255, "uint16": 65535}.get(dtype)
        scale = f" / {white}" if white not in (None, 1) else ""
        raise ValueError(
            f"The data are of type {dtype}, but floats are expected: "
            f"{where}`{f'({floats_line(x)} - {first})' if first else floats_line(x)}{scale}`."
        )


def check_weights(sample_weight):
    """Raise ValueError unless there is one weight for each example."""
    if sample_weight.shape == () or axes_of(sample_weight) not in ((), (1,)):
        raise ValueError(
            f"`sample_weight` has shape {tuple(sample_weight.shape)}. Pass one weight for each "
            f"example, (n,)."
        )


def _no_array(value, name, shape):
    if isinstance(value, (list, tuple)) and (line := unequal_line(value, name, shape)):
        return f"`{name}` is a list whose items have different shapes, such as {line}"
    if type(value).__module__.startswith("h5py") and not value:  # h5py's word for closed.
        return (
            f"`{name}` is a dataset of an HDF5 file that is closed. Pass it while the file is "
            f'open, or read it before: `file["NAME"][:]`.'
        )
    return (
        f"`{name}` is a {_type(value)}, of which NumPy makes no array. Pass `{floats_line(value)}`."
    )


def _unknown(value, name, shape):
    if any(cls.__module__.startswith("torch.utils.data") for cls in type(value).__mro__):
        return (
            f"The data are a {_type(value)}, which is not batched. Pass "
            f"`torch.utils.data.DataLoader(data, batch_size=32)`."
        )
    if isinstance(value, (str, os.PathLike)) and name in EXAMPLES:
        if line := table_line(value, name):
            return f"`{name}` is a path. Read the table first: `{line}`."
        whole = os.path.isdir(value) or str(value).lower().endswith(READ_WHOLE)
        paths = name if whole else f"[{name}]"
        return f"`{name}` is a {_type(value)}. {files_line(paths, shape)}"
    if isinstance(value, collections.abc.Set):
        return f"`{name}` is a {_type(value)}, which has no order. Pass a list."
    said = f"`{name}` is a {_type(value)}. Pass an array"
    if hasattr(value, "__next__"):  # A stream, where one array is expected.
        return f"{said}: `np.concatenate(list({name}))`."
    if name not in EXAMPLES:
        return f"{said} or a list of numbers."
    said += ", a list of arrays, or a stream of batches"
    if hasattr(value, "get_group"):  # Of pandas.
        return f"{said}: `(group for _, group in {name})`."
    return f"{said}: `iter({name})`." if hasattr(value, "__iter__") else f"{said}."


def _argmax(y):
    if "tensorflow" in type(y).__module__:
        return "tf.argmax(y, -1)"
    return "y.argmax(-1)" if hasattr(y, "argmax") else "np.argmax(y, -1)"


def _type(value):
    module = type(value).__module__.split(".")[0]
    name = type(value).__name__
    return name if module == "builtins" else f"{module} {name}"


def _dictionary(batch, kind, example_shape):
    keys = sorted(batch, key=lambda key: -len(shape_of(batch[key])))  # The examples come first.
    name = "data" if kind is None else "batch"
    line = f'{name}["{keys[0]}"]'
    are_columns = {len(shape_of(values)) for values in batch.values()} == {1}
    if are_columns and (len(keys) > 2 or example_shape == (len(keys),)):
        line = f"np.stack(list({name}.values()), axis=1)"
        if kind == "tf.data.Dataset":
            line = 'tf.stack([tf.cast(v, "float32") for v in batch.values()], axis=1)'
    elif len(keys) > 1 and len(shape_of(batch[keys[1]])) < len(shape_of(batch[keys[0]])):
        line = f'({line}, {name}["{keys[1]}"])'
    if kind == "tf.data.Dataset":
        line = f"data.map(lambda batch: {line})"
    elif kind == "generator":
        line = f"({line} for batch in data)"
    came = "The data are a dictionary" if kind is None else f"A batch of the {kind} is a dictionary"
    return f"{came} with the keys {', '.join(map(str, batch))}. Pass x, or (x, y): `{line}`."
