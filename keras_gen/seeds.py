"""Seeds: several independent streams from one integer, and saving of their state."""

import random

import numpy as np
from keras import ops


def split(seed, count):
    """Return `count` seeds made from one integer; None draws that integer.

    A hash spreads them out. Neighbouring seeds would not do: the torch backend adds its counter
    to the seed, so their streams are one stream, shifted.
    """
    if seed is None:
        # It follows keras.utils.set_random_seed, like Keras's own layers.
        seed = random.getrandbits(31)
    return [int(s) for s in np.random.SeedSequence(seed).generate_state(count) & 0x7FFFFFFF]


class SavesSeeds:
    """Mixin for layers and models that saves their seed generators with the weights.

    Keras saves only weights, so a reloaded model would draw the same noise again.
    """

    def save_own_variables(self, store):
        super().save_own_variables(store)
        states = [ops.convert_to_numpy(state) for state in self._seed_states()]
        if states:
            store["seeds"] = np.stack(states).astype("int64")

    def load_own_variables(self, store):
        # The parent class counts the keys.
        super().load_own_variables({key: store[key] for key in store.keys() if key != "seeds"})
        states = self._seed_states()
        if "seeds" in store.keys() and len(store["seeds"]) == len(states):
            for state, saved in zip(states, store["seeds"], strict=True):
                state.assign(np.asarray(saved))

    def _seed_states(self):
        weights = {id(weight) for weight in self.weights}
        return [variable for variable in self.variables if id(variable) not in weights]
