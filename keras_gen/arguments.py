"""Arguments as Python's own integers and tuples: Keras's layers and configs hold no others."""

import numbers
import os
import pathlib

import numpy as np

# For the ending of a file what reads the table in it.
TABLES = {
    ".csv": "pd.read_csv({})",
    ".tsv": 'pd.read_csv({}, sep="\\t")',
    ".parquet": "pd.read_parquet({})",
    ".feather": "pd.read_feather({})",
    ".xls": "pd.read_excel({})",
    ".xlsx": "pd.read_excel({})",
    ".json": "pd.read_json({})",
    ".txt": "np.loadtxt({})",
    ".dat": "np.loadtxt({})",
    ".h5": "h5py.File({})",
    ".hdf5": "h5py.File({})",
    ".mat": "scipy.io.loadmat({})",
}

TWO_SETS = (
    "The data are several data sets. Pass one of them: `kg.data.folder` and `kg.data.load` return "
    "two, `train, test = ...`."
)


def check_integer(name, value, least=1):
    """Return a whole number, of NumPy or Python, as an int; ValueError for anything else."""
    number = plain(value)
    is_number = isinstance(number, numbers.Real) and not isinstance(number, bool)
    if not is_number or not float(number).is_integer() or number < least:
        check_no_array(name, value, f"an integer, at least {least}")
        raise ValueError(f"`{name}` is {value!r}. Pass an integer, at least {least}.")
    return int(number)


def check_integers(name, values):
    """Return positive whole numbers, or one alone, as a tuple of ints; ValueError for others."""
    values = as_sequence(values)
    if not values or len(values) > 1 and any(value is None for value in values):
        raise ValueError(f"`{name}` is {values}. Pass positive integers.")
    return tuple(check_integer(name, value) for value in values)


def check_bool(name, value):
    """Return True or False, of NumPy or Python; ValueError for anything else."""
    if not isinstance(plain(value), bool):
        raise ValueError(f"`{name}` is {value!r}. Pass True or False.")
    return bool(value)


def check_path(name, value, suffix=""):
    """Return a path as a `pathlib.Path`; ValueError for anything else, or without the suffix."""
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"`{name}` is a {type(value).__name__}, and a path is expected.")
    path = pathlib.Path(value)
    if suffix and path.suffix.lower() != suffix:
        raise ValueError(
            f"`{name}` is {str(path)!r}, and the file is written as {suffix[1:].upper()}. Let it "
            f"end in {suffix}."
        )
    return path


def check_latent_dim(value):
    """Return the size of z, an int, or its shape, a tuple of two or more; ValueError for others."""
    shape = check_integers("latent_dim", value)
    return shape if len(shape) > 1 else shape[0]


def check_seed(seed):
    """Return a seed that a method was given as an int, or None; ValueError for anything else."""
    seed = plain(seed)
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**31):
        raise ValueError(f"`seed` is {seed!r}. Pass an integer from 0 to 2^31 - 1, or None.")
    return seed


def check_no_array(name, value, wanted):
    """Raise ValueError for an array in the place of one thing, perhaps labels that lack a name."""
    shape = np.shape(value) if isinstance(value, (list, tuple)) else getattr(value, "shape", ())
    if len(shape):
        labels = " If it holds labels, pass them by name: `y=`."
        labels = "" if name == "num_classes" else labels  # It stands where no `y` is.
        raise ValueError(f"`{name}` is an array of shape {tuple(shape)}. Pass {wanted}.{labels}")


def check_fraction(name, value):
    """Raise ValueError unless `value` is a fraction of a whole, in [0, 1)."""
    number = plain(value)
    if not isinstance(number, numbers.Real) or not 0 <= number < 1:
        raise ValueError(f"`{name}` is {value!r}. Pass a fraction, at least 0 and less than 1.")


def check_unmasked(name, value):
    """Raise ValueError for masked values, of a list too: NumPy would use what the mask hides."""
    of_list = isinstance(value, (list, tuple)) and any(map(np.ma.is_masked, value))
    if not of_list and not (isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value)):
        return
    if name == "y":  # A label that is filled in would be one of class 0.
        hidden = f"np.ma.getmaskarray({'np.ma.array(y)' if of_list else 'y'})"
        raise ValueError(
            f"`y` has masked values. Leave these examples out: with `known = ~{hidden}`, pass "
            f"`x[known]` and `{'np.asarray(y)' if of_list else 'y.data'}[known]`."
        )
    line = f"np.ma.array({name}).filled(0)" if of_list else f"{name}.filled(0)"
    raise ValueError(f"`{name}` has masked values. Fill them: `{line}`.")


def check_one_array(name, value):
    """Raise ValueError for a pair of arrays, such as `VAE.encode` returns, instead of one."""
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2
    if is_pair and all(hasattr(part, "shape") and len(part.shape) > 1 for part in value):
        raise ValueError(
            f"`{name}` is a pair of arrays, and one is expected. Of a VAE's codes pass the means: "
            f"`mean, log_var = vae.encode(x)`."
        )


def as_one_array(name, values):
    """Return numbers as one array of NumPy; ValueError for text, and for items of several shapes.

    For what stands below the door, which knows more kinds of data.
    """
    if line := dense_line(values):
        raise ValueError(
            f"`{name}` is sparse or ragged. Make it dense: `{line.replace('x', name)}`."
        )
    try:
        array = np.asarray(host(filled(values)))
    except ValueError as error:  # NumPy speaks of "an inhomogeneous shape".
        raise ValueError(
            f"`{name}` holds examples of different shapes. Give all the same: "
            f"`{one_shape_line(values, [getattr(i, 'shape', (0,)) for i in values], name)}`."
        ) from error
    if array.dtype.kind in "OUSVMm" and "float" not in array.dtype.name:
        raise ValueError(
            f"`{name}` holds no real numbers but type {array.dtype}. "
            f"{_numbers_line(name, values, array)}"
        )
    return array


def one_shape_line(items, shapes, name, image_shape=None):
    """Return the line that pads series, or resizes images; `image_shape` is known to a model."""
    if max(map(len, shapes)) < (2 if image_shape else 3) and len({own[1:] for own in shapes}) == 1:
        return f'keras.utils.pad_sequences({name}, dtype="float32")'
    size = tuple(image_shape[:2]) if image_shape else (64, 64)
    image = "i" if {len(own) for own in shapes} == {3} else "np.atleast_3d(i)"
    depths = {own[2] if len(own) == 3 else 1 for own in shapes}
    if len(depths) > 1 and depths <= {1, 3, 4}:  # Grey ones, next to others.
        image = "np.atleast_3d(i)[..., :3] * np.float32([1, 1, 1])"
        if image_shape and image_shape[2] == 1:
            image = 'np.atleast_3d(i)[..., :3].mean(axis=-1, dtype="float32", keepdims=True)'
    scale = " / 255" if str(getattr(items[0], "dtype", "")).endswith("uint8") else ""
    return f"np.stack([keras.ops.image.resize({image}, {size}) for i in {name}]){scale}"


def _numbers_line(name, values, array):
    """Return in a sentence what makes numbers of `values`, of which NumPy has made `array`."""
    shapes = [getattr(item, "shape", ()) for item in array.flat[:9]]
    if len({*shapes}) > 1 and () not in shapes:
        return f"Give all examples the same shape: `{one_shape_line(array, shapes, name)}`."
    if array.dtype.names:  # A structured array.
        return f'Pass `np.array({name}.tolist(), "float32")`.'
    try:
        array.astype("float32")
    except (TypeError, ValueError):
        if hasattr(values, "select_dtypes"):  # A table of pandas.
            kinds = '["number", "bool"], exclude="timedelta"'
            return f'Pass `{name}.select_dtypes({kinds}).astype("float32")`.'
    else:
        return f'Pass `np.asarray({name}, "float32")`.'
    if array.size == 1 and (line := table_line(array.item(), name)):
        return f"It is a path. Read the table first: `{line}`."
    return (
        "Pass an array of numbers; images are read from their paths by `train, _ = "
        "kg.data.folder(paths, size=64, test=0)`."
    )


def table_line(path, name):
    """Return what reads the table in a file, by its ending; None if it ends otherwise."""
    ending = os.path.splitext(str(path))[1].lower()
    return TABLES[ending].format(name) if ending in TABLES else None


def filled(value):
    """Return numbers of pandas that may be missing as an array, with NaN for those that are."""
    dtypes = getattr(value, "dtypes", None)
    dtypes = list(dtypes) if hasattr(dtypes, "__iter__") else [dtypes]
    can_miss = [hasattr(dtype, "na_value") for dtype in dtypes]
    if not any(can_miss) or not all(getattr(dtype, "kind", "O") in "fiu" for dtype in dtypes):
        return value
    return value.to_numpy("float64", na_value=np.nan)


def dense_line(value):
    """Return what makes an array of a sparse or ragged `x`; None if it is neither."""
    name = type(value).__name__
    if hasattr(value, "toarray"):  # scipy
        return "x.toarray()"
    if name in ("SparseTensor", "RaggedTensor"):  # TensorFlow
        return "tf.sparse.to_dense(x)" if name == "SparseTensor" else "x.to_tensor()"
    if hasattr(value, "todense"):  # JAX
        return "x.todense()"
    return "x.to_dense()" if getattr(value, "is_sparse", False) else None


def host(value):
    """Return what NumPy can read: a tensor of PyTorch without its gradient, from any device."""
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], "detach"):
        return [np.asarray(host(item)) for item in value]
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    return value.float() if str(value.dtype) == "torch.bfloat16" else value


def as_sequence(values):
    """Return the items of a sequence as a tuple; one thing alone, such as a string, is its item."""
    if isinstance(values, np.ndarray) and values.ndim:
        values = values.tolist()
    return tuple(values) if isinstance(values, (tuple, list)) else (values,)


def plain(value):
    """Return a number of NumPy, or an array of shape (), as Python's; anything else unchanged."""
    is_number = isinstance(value, (np.generic, np.ndarray)) and not value.ndim
    return value.item() if is_number else value
