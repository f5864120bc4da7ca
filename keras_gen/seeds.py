"""Seeds: several independent streams from one integer, and saving of their state."""

import contextlib
import random

import numpy as np
from keras import ops

from keras_gen.arguments import check_seed


def split(seed, count):
    """Return `count` seeds made from one integer; None draws that integer.

    A hash spreads them out. Neighbouring seeds would not do: the torch backend adds its counter
    to the seed, so their streams are one stream, shifted.
    """
    seed = check_seed(seed)
    if seed is None:
        # It follows keras.utils.set_random_seed, like Keras's own layers.
        seed = random.getrandbits(31)
    return [int(s) for s in np.random.SeedSequence(seed).generate_state(count) & 0x7FFFFFFF]


def states(layer):
    """Return the states of the seed generators of a layer or model: vectors, but no weights."""
    weights = {id(weight) for weight in layer.weights}
    return [v for v in layer.variables if id(v) not in weights and len(v.shape) == 1]


@contextlib.contextmanager
def unchanged(layer):
    """Put the streams of noise of a layer or model back where they were, after the block."""
    before = [(state, np.array(ops.convert_to_numpy(state))) for state in states(layer)]
    try:
        yield
    finally:
        for state, value in before:
            state.assign(value)


@contextlib.contextmanager
def seeded(layer, seed):
    """Within the block let all streams of a layer or model start at `seed`; None changes nothing.

    After it they are back where they were.
    """
    seed = check_seed(seed)
    if seed is None:
        yield
        return
    with unchanged(layer):
        streams = states(layer)
        for state, start in zip(streams, split(seed, len(streams)), strict=True):
            state.assign(np.array([start, 0]))
        yield


class SavesSeeds:
    """Mixin for layers and models that saves their seed generators with the weights.

    Keras saves only weights, so a reloaded model would draw the same noise again.
    """

    def save_own_variables(self, store):
        super().save_own_variables(store)
        numbers = [ops.convert_to_numpy(state) for state in states(self)]
        if numbers:
            store["seeds"] = np.stack(numbers).astype("int64")

    def load_own_variables(self, store):
        # The parent class counts the keys.
        super().load_own_variables({key: store[key] for key in store.keys() if key != "seeds"})
        own = states(self)
        if "seeds" in store.keys() and len(store["seeds"]) == len(own):
            for state, saved in zip(own, store["seeds"], strict=True):
                state.assign(np.asarray(saved))
