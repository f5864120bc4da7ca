"""log p(x) by importance sampling, some draws at a time: the memory does not grow with them."""

import math
import numbers

import keras
import numpy as np

from keras_gen import backend
from keras_gen.models.base import filled_batch


def log_mean_weight(model, log_weights, inputs, num_samples, chunk_size, verbose):
    """log 1/K sum_k w_k of every example and its standard error, in nats, float64 (n,) each.

    Args:
        model: Keras model that owns the weights and the noise of `log_weights`.
        log_weights: (inputs, number of draws) -> log w, a tensor (number of draws, batch).
        inputs: List of NumPy arrays, of n examples each.
        num_samples: K, draws per example.
        chunk_size: How many draws are made at a time, those of all examples together.
        verbose: 1 shows a progress bar, 0 does not.
    """
    for name, value in (("num_samples", num_samples), ("chunk_size", chunk_size)):
        if not isinstance(value, numbers.Integral) or value < 1:
            raise ValueError(f"`{name}` is {value!r}. Pass an integer, at least 1.")
    n = len(inputs[0])
    # Several examples with all their draws, or the draws of one in several parts.
    batch_size = min(n, max(1, chunk_size // num_samples))
    parts = math.ceil(num_samples / chunk_size) if batch_size == 1 else 1
    drawer = Drawer(model, log_weights, math.ceil(num_samples / parts))
    progress = keras.utils.Progbar(n, verbose=verbose, unit_name="example")
    values, errors = np.empty(n), np.empty(n)
    for start in range(0, n, batch_size):
        batch = filled_batch(inputs, start, batch_size)
        weights = RunningWeights()
        for _ in range(parts):
            log_w = backend.predict_on_batch(drawer, batch)
            weights.update(log_w[: num_samples - weights.count])
        stop = min(start + batch_size, n)
        values[start:stop] = weights.log_mean()[: stop - start]
        errors[start:stop] = weights.standard_error()[: stop - start]
        progress.update(stop)
    return values, errors


class RunningWeights:
    """Of weights that come in parts and as logarithms: the log of their mean, and its error."""

    def __init__(self):
        self.count = 0
        self.log_sum = self.log_sum_of_squares = -np.inf

    def update(self, log_w):
        """Adds log w, (number of draws, batch)."""
        log_w = np.asarray(log_w, "float64")
        self.count += len(log_w)
        self.log_sum = np.logaddexp(self.log_sum, _log_sum_exp(log_w))
        self.log_sum_of_squares = np.logaddexp(self.log_sum_of_squares, _log_sum_exp(2 * log_w))

    def log_mean(self):
        """log 1/K sum w, (batch,)."""
        return self.log_sum - math.log(self.count)

    def standard_error(self):
        """Of `log_mean`, by the delta method: the standard error of the mean over the mean.

        NaN for one draw. It is an estimate from the same draws: where none of them has come near
        the posterior it is too small, as `log_mean` is.
        """
        if self.count == 1:
            return np.full_like(self.log_sum, np.nan)
        # The variance of w over the square of its mean.
        log_ratio = self.log_sum_of_squares - 2 * self.log_sum + math.log(self.count)
        return np.sqrt(np.maximum(np.expm1(log_ratio), 0) / (self.count - 1))


def _log_sum_exp(log_w):
    greatest = log_w.max(axis=0)
    return greatest + np.log(np.sum(np.exp(log_w - greatest), axis=0))


class Drawer(backend.Trainer, keras.Model):
    """A model whose prediction is log w of `num_samples` draws: Keras compiles it everywhere."""

    def __init__(self, model, log_weights, num_samples):
        super().__init__(dtype=keras.config.floatx())  # The model's layers have their own.
        self.model = model
        self.log_weights = log_weights
        self.num_samples = num_samples
        self.run_eagerly = model.run_eagerly
        self.built = True

    def call(self, inputs):
        return backend.without_gradient(self.drawn, inputs)

    def drawn(self, inputs):
        return self.log_weights(inputs, self.num_samples)
