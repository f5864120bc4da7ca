"""Densities of z as plain objects, made of the weights of a prior as they are at the moment."""

import numpy as np
from keras import ops

from keras_gen import seeds
from keras_gen.arguments import check_integer
from keras_gen.dtypes import in_float32, output_dtype
from keras_gen.losses import densities
from keras_gen.posteriors import Normal


class Distribution:
    """p(z): a subclass writes `log_prob` and `from_noise`.

    Both return the dtype of their argument, or float32 where that is narrower, whatever the dtype
    of the prior's weights.

    Args:
        noise_size: Number of draws from N(0, 1) that make one z.
    """

    def __init__(self, noise_size):
        self.noise_size = noise_size

    def log_prob(self, z):
        """Return log p(z) in nats, summed over the latents, shape (..., d) -> (...)."""
        raise NotImplementedError(f"{type(self).__name__} has no `log_prob`. Write it.")

    @property
    def size(self):
        """Number of values of one z."""
        return self.noise_size

    def check_width(self, z):
        """Raise ValueError unless `z` has one value for each latent on its last axis."""
        shape = tuple(z.shape if hasattr(z, "shape") else np.shape(z))
        if not shape or shape[-1] not in (None, self.size):
            raise ValueError(f"`z` has shape {shape}. Pass z of this prior, (..., {self.size}).")

    def from_noise(self, noise):
        """Return z from p(z), made of draws from N(0, I), (..., noise_size) -> (..., d)."""
        raise NotImplementedError(f"{type(self).__name__} has no `from_noise`. Write it.")

    def sample(self, n, seed=None):
        """Return n draws of z, a tensor (n, d): the same on every backend for an integer `seed`."""
        n = check_integer("n", n)
        if seed is None:
            (seed,) = seeds.split(None, 1)
        noise = np.random.default_rng(seed).standard_normal((n, self.noise_size))
        return self.from_noise(ops.convert_to_tensor(noise, dtype=output_dtype()))

    def kl_of_latents(self, q, z, log_q):
        """Return log q(z|x) - log p(z) at a draw z of q, with its log q(z|x): (..., 1).

        Its expectation is KL(q(z|x) || p(z)), for which there is no closed form. q is a
        `kg.posteriors.Distribution`.
        """
        return (log_q - self.log_prob(z))[..., None]


class UnitNormal(Distribution):
    """p(z) = N(0, I)."""

    def log_prob(self, z):
        self.check_width(z)
        return densities.log_standard_normal(z)

    def from_noise(self, noise):
        return noise

    def kl_of_latents(self, q, z, log_q):
        """Return KL(q(z|x) || p(z)) where it is a closed form: of a diagonal q (..., d)."""
        kl = q.kl_to_standard_normal()
        return super().kl_of_latents(q, z, log_q) if kl is None else kl


class PosteriorMixture(Distribution):
    """p(z) = sum_k w_k q_k(z).

    Args:
        log_weights: log w_k, (k,), whose exponentials add up to 1.
        components: The q_k, a `kg.posteriors.Distribution` of tensors (k, size) with a `log_prob`.
    """

    def __init__(self, log_weights, components):
        super().__init__(components.mean.shape[-1] + 2)
        self.log_weights = log_weights
        self.components = components

    @property
    def size(self):
        return self.noise_size - 2

    def log_prob(self, z):
        self.check_width(z)
        z, log_weights, components = self._in_dtype_of(z)
        # Not as products of matrices, which would be faster: they cancel where a variance is small.
        log_p = components.log_prob(z[..., None, :])  # (..., k)
        return ops.logsumexp(log_weights + log_p, axis=-1)

    def from_noise(self, noise):
        # Two numbers a, b choose k, as exp(-(a^2 + b^2) / 2) is uniform (Box and Muller, 1958). Not
        # the distribution function of one: JAX exports no erf that TensorFlow can read.
        noise, log_weights, components = self._in_dtype_of(noise)
        u = ops.exp(-0.5 * ops.sum(ops.square(noise[..., :2]), axis=-1, keepdims=True))
        ends = ops.cumsum(ops.exp(log_weights))[:-1]
        k = ops.sum(ops.cast(u > ends, "int32"), axis=-1)  # (...)
        z, _ = components.map(lambda v: ops.take(v, k, axis=0)).draw(noise[..., 2:])
        return z

    def _in_dtype_of(self, z):
        z = in_float32(ops.convert_to_tensor(z))
        components = self.components.map(lambda v: ops.cast(v, z.dtype))
        return z, ops.cast(self.log_weights, z.dtype), components


class NormalMixture(PosteriorMixture):
    """p(z) = sum_k w_k N(z; mean_k, diag(exp(log_var_k))).

    Args:
        log_weights: log w_k, (k,), whose exponentials add up to 1.
        mean: (k, d).
        log_var: (k, d).
    """

    def __init__(self, log_weights, mean, log_var):
        super().__init__(log_weights, Normal(mean, log_var))
