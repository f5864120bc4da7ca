"""Arguments as Python's own integers and tuples: Keras's layers and configs hold no others."""

import numbers
import os
import pathlib

import numpy as np


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
    """Raise ValueError for an array with masked values: NumPy would use what the mask hides."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"`{name}` has masked values. Fill them: `{name}.filled(0)`.")


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
    try:
        array = np.asarray(host(values))
    except ValueError as error:  # NumPy speaks of "an inhomogeneous shape".
        raise ValueError(
            f"`{name}` holds examples of different shapes. Resize them to one: "
            f"`np.stack([keras.ops.image.resize(i, (64, 64)) for i in {name}])`."
        ) from error
    if array.dtype.kind in "OUSVMm" and "float" not in array.dtype.name:
        raise ValueError(
            f"`{name}` holds no numbers but type {array.dtype}. Pass an array of numbers; images "
            f"are read from their paths by `train, _ = kg.data.folder(paths, size=64, test=0)`."
        )
    return array


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
