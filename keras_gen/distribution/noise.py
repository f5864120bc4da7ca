"""Different noise on every replica."""

import contextlib
import functools

import keras


@contextlib.contextmanager
def different_noise(seed_of_replica):
    """Make all seed generators draw differently on each replica, those of Dropout too.

    The state of a generator is the same on all replicas, like every variable. `seed_of_replica`
    turns it into a state for the replica that draws. Keras offers no hook for this, so the method
    of the class is replaced within the block.
    """
    plain = keras.random.SeedGenerator.next

    @functools.wraps(plain)
    def next_of_replica(self, ordered=True):
        return seed_of_replica(plain(self, ordered))

    keras.random.SeedGenerator.next = next_of_replica
    try:
        yield
    finally:
        keras.random.SeedGenerator.next = plain
