import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend, seeds
from keras_gen.arguments import check_integer
from keras_gen.checks import check_choice
from keras_gen.dtypes import wide
from keras_gen.inference.predict import filled_batch


def log_likelihood(
    vae,
    x,
    num_samples=5000,
    proposal="posterior",
    return_standard_error=False,
    chunk_size=5_000,
    verbose=1,
    y=None,
    seed=None,
):
    """Return log p(x) of each example in nats, estimated by importance sampling: NumPy (n,).

    log p(x) ~ log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), with K draws z_k from q(z|x). In
    expectation it never exceeds log p(x), and comes nearer with K; at K = 1 it is the ELBO. With
    classes it is log p(x|y).

    The computation is compiled once in each call: pass all examples at once.

    Args:
        vae: A `VAE` or one of its subclasses.
        x: Examples (n, ...), or a stream of their batches, as `fit` accepts.
        num_samples: K. Published values usually use 5,000.
        proposal: "posterior" draws z from q(z|x). "prior" draws it from p(z): few z explain
            a given x, so this naive estimate is far too low for all but small models.
        return_standard_error: True returns a pair, with the standard error of each estimate
            from the spread of its weights, in nats (NaN for one draw). It is inf where fewer than
            about nine draws decide: the weights that would matter were not drawn, and how far
            the estimate lies from log p(x) cannot be known from it. A finite one may be too small
            as well, where q(z|x) is narrower than p(z|x): with two or three latents compare with
            `proposal="prior"`.
        chunk_size: Draws through the decoder at a time; only this decides the memory needed. Under
            a `Mixture` or `VampPrior` of k components each draw needs k times the size of z too.
        verbose: 1 shows a progress bar, 0 does not.
        y: Labels (n,), or one for all, if the model has classes.
        seed: An integer draws the same z each time, on one backend, and leaves the streams of
            noise as they are.

    References:
        Burda et al. (2016), "Importance Weighted Autoencoders", section 5:
        https://arxiv.org/abs/1509.00519
        Rezende et al. (2014), "Stochastic Backpropagation": https://arxiv.org/abs/1401.4082
    """
    check_choice("proposal", proposal, LOG_WEIGHTS)
    num_samples = check_integer("num_samples", num_samples)
    chunk_size = check_integer("chunk_size", chunk_size)
    estimator = Estimator(vae, LOG_WEIGHTS[proposal], num_samples, chunk_size)
    target = len(x) if hasattr(x, "shape") else None  # Of examples, if they can be counted.
    progress = keras.utils.Progbar(target, verbose=verbose, unit_name="example")

    def use(x, y):
        x = ops.convert_to_numpy(vae.binarize(x, training=False))
        return estimator([x] if y is None else [x, y], progress)

    with seeds.seeded(vae, seed):
        values, errors = vae.over_parts(use, x, y)
    # The formula never exceeds 1, whatever was missed: 1/3 is the error of nine equal weights.
    errors[errors > 1 / 3] = np.inf
    return (values, errors) if return_standard_error else values


class Estimator:
    """Estimates log 1/K sum_k w_k of examples and its standard error, in nats.

    `log_weights(model, batch, num_draws)` returns log w, a tensor (num_draws, batch), with a list
    of tensors as its batch.
    """

    def __init__(self, model, log_weights, num_samples, chunk_size):
        self.num_samples = num_samples
        # Several examples with all their draws, or the draws of one in several parts.
        self.batch_size = max(1, chunk_size // num_samples)
        self.parts = math.ceil(num_samples / chunk_size)
        self.drawer = Drawer(model, log_weights, math.ceil(num_samples / self.parts))

    def __call__(self, inputs, progress):
        """Return the estimates and their errors, float64 (n,) each, for arrays of n examples."""
        n = len(inputs[0])
        batch_size = self.batch_size = min(n, self.batch_size)  # All of one size: compiled once.
        values, errors = np.empty(n), np.empty(n)
        for start in range(0, n, batch_size):
            batch = filled_batch(inputs, start, batch_size)
            log_w = [backend.predict_on_batch(self.drawer, batch) for _ in range(self.parts)]
            log_w = np.concatenate(log_w, dtype="float64")[: self.num_samples]
            stop = min(start + batch_size, n)
            values[start:stop] = log_mean(log_w)[: stop - start]
            errors[start:stop] = standard_error(log_w)[: stop - start]
            progress.add(stop - start)
        return values, errors


def log_mean(log_w):
    """Return log 1/K sum_k w_k, (K, batch) -> (batch,)."""
    return _log_sum_exp(log_w) - math.log(len(log_w))


def standard_error(log_w):
    """Return that of `log_mean`, by the delta method: the mean's standard error over the mean.

    It is NaN for one draw. It is an estimate from the same draws: if none of them has come near the
    posterior, it is too small, as `log_mean` is.
    """
    if len(log_w) == 1:
        return np.full(log_w.shape[1], np.nan)
    # The variance of w over the square of its mean.
    log_ratio = log_mean(2 * log_w) - 2 * log_mean(log_w)
    return np.sqrt(np.maximum(np.expm1(log_ratio), 0) / (len(log_w) - 1))


class Drawer(backend.Trainer, keras.Model):
    """A model whose prediction is log w of `num_samples` draws: Keras compiles it everywhere."""

    def __init__(self, model, log_weights, num_samples):
        super().__init__(dtype=wide(model.variable_dtype))  # The model's layers have their own.
        self.model = model
        self.log_weights = log_weights
        self.num_samples = num_samples
        self.run_eagerly = model.run_eagerly
        self.built = True

    def call(self, inputs):
        return backend.without_gradient(
            lambda x: self.log_weights(self.model, x, self.num_samples), inputs
        )


def _posterior_weights(vae, inputs, num_samples):
    """Return log p(x, z) - log q(z|x) at z from q(z|x)."""
    x, *y = inputs
    log_p_x, log_p_z, log_q_z = vae.log_densities(x, num_samples, *y)
    return log_p_x + log_p_z - log_q_z


def _prior_weights(vae, inputs, num_samples):
    """Return log p(x|z) at z from p(z)."""
    x, *y = inputs
    z = vae.prior_draws(num_samples, ops.shape(x)[0])
    return vae.log_prob_of_draws(x, z, *y)


def _log_sum_exp(log_w):
    greatest = log_w.max(axis=0)
    return greatest + np.log(np.sum(np.exp(log_w - greatest), axis=0))


LOG_WEIGHTS = {"posterior": _posterior_weights, "prior": _prior_weights}
