"""Shapes of what need not be arrays."""

import numpy as np


def shape_of(value):
    """Return the shape of an array or of nested lists, judged by the first of them."""
    if hasattr(value, "shape"):
        return tuple(value.shape)
    if is_pil(value):
        return np.shape(value)
    if isinstance(value, (list, tuple)):
        return (len(value), *(shape_of(value[0]) if value else ()))
    return ()


def axes_of(tensor):
    """Return the shape of a tensor without its batch; () where it is not known while traced.

    After batches of two ranks TensorFlow traces a step for any.
    """
    shape = getattr(tensor, "shape", ())
    return () if getattr(shape, "rank", 0) is None else tuple(shape[1:])


def is_pil(value):
    """Return whether something is an image of Pillow."""
    return type(value).__module__.startswith("PIL.")
