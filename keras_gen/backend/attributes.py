"""The plain attributes of a model, which a compiled function of it takes as they are."""

import functools
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
        *((type(part), id(part)) for part in parts),
        *map(_plain, (model, *_without_networks(parts))),
    )


class _Seen:
    """What a model's attributes were at the last step."""

    def __init__(self):
        self.contents = []
        self.number = None
        self.numbers = {}  # Of plain attributes.


def numbered(model):
    """A number for what the plain attributes of a model are; None if there were too many.

    They are read anew only where some attribute is another object than at the last call.
    """
    seen = vars(model).setdefault("_attributes_seen", _Seen())  # With the model it goes.
    if not seen.contents or not all([contents.holds() for contents in seen.contents]):
        owners = [model, *_without_networks(parts_of(model))]
        lists = [
            value
            for owner in owners
            for name, value in vars(owner).items()
            if isinstance(value, (list, tuple))
            # PyTorch's modules are no attributes in `vars`, but Keras has them there.
            and (name == "_layers" or name not in _noted_by_keras(_kind(owner)))
        ]
        seen.contents = [_Contents(vars(owner), _noted_by_keras(_kind(owner))) for owner in owners]
        seen.contents += map(_Contents, lists)
        attributes = plain_attributes(model)
        if len(seen.numbers) < MOST:
            seen.numbers.setdefault(attributes, len(seen.numbers))
        seen.number = seen.numbers.get(attributes)
    return seen.number


class _Contents:
    """What a dictionary of attributes or a list held, but for the names that do not count."""

    def __init__(self, held, without=()):
        self.held, self.size = held, len(held)
        names = held if isinstance(held, dict) else range(len(held))
        self.keys = [name for name in names if name not in without]
        self.read = operator.itemgetter(*self.keys) if len(self.keys) > 1 else self._read
        self.objects = self.read(held)

    def _read(self, held):
        return [held[key] for key in self.keys]

    def holds(self):
        if len(self.held) != self.size:
            return False
        try:
            return all(map(operator.is_, self.read(self.held), self.objects))
        except KeyError:  # Another in place of one.
            return False


def _kind(owner):
    return next((kind for kind in (keras.Model, keras.Layer) if isinstance(owner, kind)), None)


@functools.cache
def _noted_by_keras(kind):
    """Attributes that Keras, and this library, change by themselves: of calls, fits, data."""
    if kind is None:  # A loss, a likelihood: all that it has is its author's.
        return frozenset()
    # These say how a step is computed.
    computing = {"_trainable", "_run_eagerly", "_jit_compile", "activity_regularizer"}
    constructed = set(vars(kind(name="attributes"))) - computing
    if kind is keras.Layer:
        return constructed
    return constructed | {
        *("stop_training", "stop_evaluating", "stop_predicting", "history", "optimizer"),
        *("_jax_state", "_jax_state_synced", "_eval_epoch_iterator", "_compile_config"),
        *("_compiled_trainable_state", "_same_on_all", "_attributes_seen", "_drawers"),
    }


def parts_of(model):
    """Layers, losses and the like among a model's attributes, in the lists among them, and theirs.

    Of networks, optimizers and metrics nothing more is looked for.
    """
    found = {}
    owners = [model]
    while owners:
        owner = owners.pop()
        values = vars(owner).values()
        lists = [value for value in values if isinstance(value, (list, tuple))]
        for value in itertools.chain(values, *lists):
            if hasattr(value, "get_config") and id(value) not in found and _is_part(value):
                found[id(value)] = value
                owners += _without_networks([value])
    return list(found.values())


def _is_part(value):
    return not isinstance(value, (type, keras.optimizers.Optimizer, keras.metrics.Metric))


def _without_networks(parts):
    return [part for part in parts if not isinstance(part, keras.Model)]


def _plain(thing):
    return tuple(
        (name, value)
        for name, value in vars(thing).items()
        if name not in _noted_by_keras(_kind(thing)) and _is_plain(value)
    )


def _is_plain(value):
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str, type(None), np.generic))
