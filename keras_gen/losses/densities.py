"""Log-densities of diagonal Gaussians, in nats, summed over the last axis."""

import math

from keras import ops

LOG_2_PI = math.log(2 * math.pi)


def log_normal(z, mean, log_var):
    """Return log N(z; mean, exp(log_var)), shape (..., d) -> (...)."""
    distance = ops.square(z - mean) * ops.exp(-log_var)
    return -0.5 * ops.sum(distance + log_var + LOG_2_PI, axis=-1)


def log_standard_normal(z):
    """Return log N(z; 0, I), shape (..., d) -> (...)."""
    return -0.5 * ops.sum(ops.square(z) + LOG_2_PI, axis=-1)
