"""Kullback-Leibler divergences of diagonal Gaussians, in nats.

They are summed over the last axis, except in `kl_of_latents`.
"""

from keras import ops


def kl_to_standard_normal(mean, log_var):
    """Return KL(N(mean, exp(log_var)) || N(0, I)), shape (..., d) -> (...).

    Kingma and Welling (2014), appendix B: the sum of (mean^2 + var - 1 - log var) / 2.
    """
    return ops.sum(kl_of_latents(mean, log_var), axis=-1)


def kl_of_latents(mean, log_var):
    """Return KL(N(mean, exp(log_var)) || N(0, 1)) of each latent, (..., d) -> (..., d)."""
    # expm1, because var - 1 loses its digits where the posterior equals the prior.
    return 0.5 * (ops.square(mean) + ops.expm1(log_var) - log_var)


def kl_between_normals(mean_q, log_var_q, mean_p, log_var_p):
    """Return KL(N(mean_q, exp(log_var_q)) || N(mean_p, exp(log_var_p))), (..., d) -> (...)."""
    log_ratio = log_var_q - log_var_p
    distance = ops.square(mean_q - mean_p) * ops.exp(-log_var_p)
    return 0.5 * ops.sum(distance + ops.expm1(log_ratio) - log_ratio, axis=-1)
