"""Where digits matter."""

import keras
from keras import ops


def in_float32(x):
    """`x` as float32 or wider: a sum over pixels, or exp(log_var), needs the digits."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
