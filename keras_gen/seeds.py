"""Seeds: streams far apart from one integer, and their state in what is saved."""

import random

import numpy as np
from keras import ops


def split(seed, count):
    """`count` integers from one (None: a random one), for seed generators of their own.

    They are spread out by a hash, as the torch backend adds its counter to the seed: the
    streams of two neighbouring seeds are one stream, shifted.
    """
    if seed is None:
        # Follows keras.utils.set_random_seed, as Keras's own layers do.
        seed = random.getrandbits(31)
    return [int(s) for s in np.random.SeedSequence(seed).generate_state(count) & 0x7FFFFFFF]


class SavesSeeds:
    """Mixin for layers and models: the seed generators in them are saved with the weights.

    Keras saves weights alone, so a reloaded model would draw the same noise again.
    """

    def save_own_variables(self, store):
        super().save_own_variables(store)
        states = [ops.convert_to_numpy(state) for state in self._seed_states()]
        if states:
            store["seeds"] = np.stack(states).astype("int64")

    def load_own_variables(self, store):
        # The parent counts the keys.
        super().load_own_variables({key: store[key] for key in store.keys() if key != "seeds"})
        states = self._seed_states()
        if "seeds" in store.keys() and len(store["seeds"]) == len(states):
            for state, saved in zip(states, store["seeds"], strict=True):
                state.assign(np.asarray(saved))

    def _seed_states(self):
        weights = {id(weight) for weight in self.weights}
        return [variable for variable in self.variables if id(variable) not in weights]
