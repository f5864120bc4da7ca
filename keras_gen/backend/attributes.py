"""The plain attributes of a model, which a compiled function of it takes as they are."""

import itertools
import operator

import keras
import numpy as np

MOST = 64  # Of sizes of batches, or values of attributes: more may come without an end.


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


class _Seen:
    """What a model's attributes were at the last step."""

    def __init__(self):
        self.objects = []  # (dictionary or list, what it held)
        self.number = None
        self.numbers = {}  # Of plain attributes.


def numbered(model):
    """A number for what the plain attributes of a model are; None if there were too many.

    They are read anew only where some attribute is another object than at the last call.
    """
    seen = vars(model).setdefault("_attributes_seen", _Seen())  # With the model it goes.
    if not seen.objects or not all(itertools.starmap(_holds, seen.objects)):
        plain = [part for part in parts_of(model) if not isinstance(part, keras.Model)]
        looked_at = [*map(vars, (model, *plain)), *lists_of(model)]
        seen.objects = [(held, tuple(_values(held))) for held in looked_at]
        attributes = plain_attributes(model)
        if len(seen.numbers) < MOST:
            seen.numbers.setdefault(attributes, len(seen.numbers))
        seen.number = seen.numbers.get(attributes)
    return seen.number


def _values(held):
    return held.values() if isinstance(held, dict) else held


def _holds(held, objects):
    return len(held) == len(objects) and all(map(operator.is_, _values(held), objects))


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
