"""Where digits matter."""

import keras
from keras import ops


def in_float32(x):
    """`x` as float32 or wider: a sum over pixels, or exp(log_var), needs the digits."""
    # Not `keras.backend.result_type`: that takes float64 down to float32.
    return x if keras.backend.standardize_dtype(x.dtype) == "float64" else ops.cast(x, "float32")
