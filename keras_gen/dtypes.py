"""Where digits matter."""

import keras
from keras import ops


def in_float32(x):
    """`x` as float32 or wider: a sum over pixels, or exp(log_var), needs the digits."""
    # Not `keras.backend.result_type`: that takes float64 down to float32.
    return x if keras.backend.standardize_dtype(x.dtype) == "float64" else ops.cast(x, "float32")


def total_in_float32(losses):
    """The sum of what layers add to a loss, in float32 or wider: they may be of half precision."""
    return sum(in_float32(ops.convert_to_tensor(loss)) for loss in losses)
