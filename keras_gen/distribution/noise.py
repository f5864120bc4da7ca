"""Noise of its own for every replica."""

import contextlib
import functools

import keras


@contextlib.contextmanager
def own_noise(seed_of_replica):
    """Within it all seed generators, a user's Dropout included, draw differently on each replica.

    A generator's state is the same on all replicas, as all variables are. `seed_of_replica` makes
    of a drawn state that of the replica which asks. Keras has no place for it but the class.
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
