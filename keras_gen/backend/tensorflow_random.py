"""The draws of `keras.random`; of type float32, in a step under XLA, the same at the same speed.

There TensorFlow makes other numbers of the same random bits, and for `keras.random` selects a
generator that takes twenty times as long.
"""

import math

import tensorflow as tf

from keras_gen.backend.tensorflow import in_xla


def normal(shape, dtype, stream):
    """Draws from N(0, 1) of a `keras.random.SeedGenerator`."""
    seed = _seed(stream)
    if not in_xla() or dtype != "float32":
        return tf.random.stateless_normal(shape, seed, dtype=dtype, alg="philox")
    # Two at a time, Box and Muller (1958), as TensorFlow's kernel does.
    size = tf.reduce_prod(tf.cast(shape, tf.int32))
    radius, angle = tf.unstack(_uniform_of_bits(((size + 1) // 2, 2), seed), axis=1)
    radius = tf.sqrt(-2 * tf.math.log(tf.maximum(radius, 1e-7)))
    angle = 2 * math.pi * angle
    draws = tf.stack([radius * tf.sin(angle), radius * tf.cos(angle)], axis=1)
    return tf.reshape(tf.reshape(draws, [-1])[:size], shape)


def uniform(shape, dtype, stream):
    """Draws from U[0, 1) of a `keras.random.SeedGenerator`."""
    seed = _seed(stream)
    if not in_xla() or dtype != "float32":
        return tf.random.stateless_uniform(shape, seed, dtype=dtype, alg="philox")
    return _uniform_of_bits(shape, seed)


def _uniform_of_bits(shape, seed):
    """As TensorFlow's kernel: 23 random bits behind the point of a number in [1, 2), less 1."""
    bits = tf.random.stateless_uniform(
        shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    fraction = tf.bitwise.bitwise_and(bits, tf.constant(0x007FFFFF, tf.uint32))
    one = tf.constant(0x3F800000, tf.uint32)
    return tf.bitcast(tf.bitwise.bitwise_or(fraction, one), tf.float32) - 1


def _seed(stream):
    # As `keras.random` does: XLA takes no seed of 64 bits.
    return tf.cast(tf.math.floormod(stream.next(), tf.int32.max - 1), tf.int32)
