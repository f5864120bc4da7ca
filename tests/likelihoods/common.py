"""Likelihoods of single values, NumPy in and out."""

import numpy as np
from keras import ops

from tests import steps


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def tensor(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def log_prob(likelihood, x, parameters):
    """log p of every number of `x` (n,), all under the same `parameters` (k,), or each (n, k)."""
    x = np.reshape(x, (-1, 1))
    parameters = np.broadcast_to(parameters, (len(x), np.shape(parameters)[-1]))
    return numpy(likelihood.log_prob(tensor(x), tensor(parameters))).astype("float64")


def gradient(fn, parameters):
    """d sum(fn(parameters)) / d parameters."""
    return steps.input_gradient(fn, np.asarray(parameters, "float32"))


def mean(likelihood, parameters):
    """E[x] under `parameters` (n, k): (n,)."""
    return numpy(likelihood.mean(tensor(parameters)))[:, 0].astype("float64")


def check_samples(likelihood, parameters, expected_mean, expected_variance, n=100_000):
    """Mean and variance of `n` draws lie within four standard errors."""
    parameters = np.broadcast_to(parameters, (n, len(parameters)))
    samples = numpy(likelihood.sample(tensor(parameters))).astype("float64")
    assert samples.shape == (n, 1)
    error = np.sqrt(expected_variance / n)
    assert abs(samples.mean() - expected_mean) <= 4 * error
    squares = (samples - expected_mean) ** 2
    assert abs(squares.mean() - expected_variance) <= 4 * squares.std() / np.sqrt(n) + 1e-12
    return samples[:, 0]
