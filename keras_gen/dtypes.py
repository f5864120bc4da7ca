"""Precision of at least float32, where digits matter."""

import keras
from keras import ops


def wide(dtype):
    """Return "float64" for that dtype, and "float32" for every other."""
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"


def output_dtype():
    """Return the dtype in which networks end: float32 for every policy but float64."""
    return wide(keras.config.dtype_policy().variable_dtype)


def in_float32(x):
    """Return `x` as float32 or wider: a sum over pixels, or exp(log_var), needs the digits."""
    # Not `keras.backend.result_type`, which would make float32 of float64.
    return x if wide(x.dtype) == "float64" else ops.cast(x, "float32")


def total_in_float32(losses):
    """Return the sum of the losses that layers add, which may be float16, in float32 or wider."""
    return sum(in_float32(ops.convert_to_tensor(loss)) for loss in losses)
