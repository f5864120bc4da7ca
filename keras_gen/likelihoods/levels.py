"""Data on a grid in [0, 1], such as decoded images: x = k / (num_levels - 1)."""

import numpy as np
from keras import ops

from keras_gen.likelihoods.base import check_in_unit_interval


def check_levels(x, num_levels, likelihood):
    """Raise ValueError unless every value of the NumPy array `x` lies on the grid."""
    check_in_unit_interval(x, likelihood, top=num_levels - 1)
    scaled = x * (num_levels - 1)
    off = np.abs(scaled - np.rint(scaled))
    # In levels. The rounding of float32 is below that, even for 16-bit images.
    if np.max(off) > 0.01:
        top = num_levels - 1
        to_eight_bits = 'For 8-bit images: `x.astype("float32") / 255`. ' if top == 255 else ""
        raise ValueError(
            f"{type(likelihood).__name__} takes the {num_levels} values k / {top}, "
            f"k = 0, ..., {top}, and the data hold {x.flat[np.argmax(off)]:g}. {to_eight_bits}"
            f"To round others: `np.round({top} * x) / {top}`. Or pass a likelihood of real "
            f"numbers, such as ContinuousBernoulli()."
        )


def round_to_level(x, num_levels):
    """Return the number k of the level nearest to each value, as a float."""
    return ops.round(ops.clip(x, 0.0, 1.0) * (num_levels - 1))
