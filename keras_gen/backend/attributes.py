"""The plain attributes of a model, which a compiled function of it takes as they are."""

import itertools

import keras
import numpy as np


def plain_attributes(model):
    """Numbers and strings of a model and of its parts that are no networks, to be compared.

    `compile` changes them too.
    """
    parts = parts_of(model)
    return (
        getattr(model, "_compile_config", None),  # Another after each `compile`.
        _plain(model),
        *((type(part), id(part)) for part in parts),
        # In private ones Keras notes that a layer was called.
        *(_plain(part, "_") for part in parts if not isinstance(part, keras.Model)),
    )


def parts_of(model):
    """Layers, losses and the like among a model's attributes, and in the lists among them."""
    values = vars(model).values()
    return [
        part
        for part in itertools.chain(values, *lists_of(model))
        if hasattr(part, "get_config") and not isinstance(part, keras.optimizers.Optimizer)
    ]


def lists_of(model):
    return [value for value in vars(model).values() if isinstance(value, (list, tuple))]


def _plain(thing, without=None):
    return tuple(
        (name, value)
        for name, value in vars(thing).items()
        if _is_plain(value) and not (without and name.startswith(without))
    )


def _is_plain(value):
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str, type(None), np.generic))
