import functools

import keras
import numpy as np
from keras import ops

from keras_gen.losses import densities, divergences
from keras_gen.posteriors.base import Distribution, Posterior


@keras.saving.register_keras_serializable("keras_gen")
class FullCovariance(Posterior):
    """q(z|x) = N(mean, L L'), a normal whose latents depend on each other.

    The encoder gives mean and log_var, each (batch, d), and `lower`, (batch, d (d - 1) / 2): L is
    the lower triangular matrix with exp(log_var / 2) on its diagonal, and `lower` below it, row by
    row. With `lower` 0 this is a `DiagonalNormal`. z = mean + L eps with eps from N(0, I), and

        log q(z|x) = log N(eps; 0, I) - 1/2 sum_i log_var_i
        KL(q(z|x) || N(0, I)) = 1/2 (|mean|^2 + |L|^2 - d - sum_i log_var_i)

    A decoder that is linear in z has a normal p(z|x), and q(z|x) can be equal to it.

    Example:

    ```python
    networks = kg.networks.mlp_vae((28, 28, 1), latent_dim=10, posterior="full_covariance")
    vae = kg.VAE(*networks, posterior=FullCovariance())
    mean, log_var, lower = vae.encode(x)
    ```

    Reference:
        Kingma and Welling (2019), "An Introduction to Variational Autoencoders", section 2.5.1,
        full-covariance Gaussian posterior: https://arxiv.org/abs/1906.02691
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def outputs(self, size):
        if size < 2:
            raise ValueError(
                "FullCovariance is of two latents and more, and z has size 1. Use DiagonalNormal."
            )
        return {"mean": size, "log_var": size, "lower": size * (size - 1) // 2}

    def distribution(self, mean, log_var, lower):
        return FullNormal(mean, log_var, lower)

    def get_config(self):
        return super().get_config()  # As in DiagonalNormal.


class FullNormal(Distribution):
    """q(z|x) = N(mean, L L')."""

    @functools.cached_property
    def L(self):
        """The lower triangular matrices, (..., d, d)."""
        (lower,) = self.others
        values = [ops.zeros_like(lower[..., :1]), ops.exp(0.5 * self.log_var), lower]
        d = self.mean.shape[-1]
        places = np.zeros((d, d), "int32")  # Of the numbers of L among the values: a zero, ...
        places[np.diag_indices(d)] = 1 + np.arange(d)
        places[np.tril_indices(d, -1)] = 1 + d + np.arange(lower.shape[-1])
        return ops.take(ops.concatenate(values, axis=-1), places, axis=-1)

    @functools.cached_property
    def inverse(self):
        d = self.mean.shape[-1]
        identity = ops.broadcast_to(ops.eye(d, dtype=self.L.dtype), ops.shape(self.L))
        return ops.solve_triangular(self.L, identity, lower=True)

    def draw(self, noise):
        z = self.mean + ops.einsum("...ij,...j->...i", self.L, noise)
        return z, self._log_prob_of(noise)

    def log_prob(self, z):
        return self._log_prob_of(ops.einsum("...ij,...j->...i", self.inverse, z - self.mean))

    def kl_to_standard_normal(self):
        (lower,) = self.others
        diagonal = divergences.kl_to_standard_normal(self.mean, self.log_var)
        return (diagonal + 0.5 * ops.sum(ops.square(lower), axis=-1))[..., None]

    def _log_prob_of(self, eps):
        return densities.log_standard_normal(eps) - 0.5 * ops.sum(self.log_var, axis=-1)
