"""Measurements of q(z|x): how many latents it uses, and what their rate consists of.

The functions take the output of `VAE.encode`: `mean` and `log_var` of q(z|x), each (n, latent_dim),
or (n, ...) where z has another shape.
"""

import functools
import math

import numpy as np
from keras import ops

from keras_gen.arguments import check_integer, check_one_array, host
from keras_gen.dtypes import output_dtype
from keras_gen.priors import UnitNormal

# Values of q(z_i|x_j) in memory at a time.
CHUNK = 2**22
# Values of z whose density is computed at a time.
ROWS = 1024


def kl_per_latent(mean, log_var):
    """Return KL(q(z_k|x) || N(0, 1)) of every latent, in the shape of one z, in nats.

    They are means over examples, for diagonal normals q(z|x). Their sum is the rate, the `kl` that
    a `VAE` with the default prior and posterior logs. A latent whose KL is near 0 has collapsed
    onto the prior.

    Reference:
        Kingma and Welling (2014), appendix B: https://arxiv.org/abs/1312.6114
    """
    mean, log_var = _posteriors(mean, log_var)
    # expm1, because var - 1 loses its digits where the posterior equals the prior.
    return 0.5 * np.mean(mean**2 + np.expm1(log_var) - log_var, axis=0)


def active_units(mean, threshold=0.01):
    """Return how many latents have a mean whose variance over the data exceeds `threshold`.

    Example:

    ```python
    mean, log_var = vae.encode(test.x)
    kg.metrics.active_units(mean)
    ```

    Reference:
        Burda et al. (2016), "Importance Weighted Autoencoders", section 5.2:
        https://arxiv.org/abs/1509.00519
    """
    check_one_array("mean", mean)
    mean = host(mean)
    mean, _ = _posteriors(mean, np.zeros_like(mean))
    return int(np.sum(np.var(mean, axis=0) > threshold))


def elbo_surgery(mean, log_var, num_samples=2, seed=0, prior=None):
    """Split the rate into the information of z about the example, and KL(q(z) || p(z)).

    With q(z) = 1/n sum_i q(z|x_i), the aggregate posterior of these n examples,

        1/n sum_i KL(q(z|x_i) || p(z)) = I(i; z) + KL(q(z) || p(z)).

    I(i; z) is the mutual information between z and the number of its example. It lies between 0
    and log n, and is near log n if z identifies its example: compare it with log n, and only
    between equal n. The rate is exact under N(0, I), I(i; z) is a Monte Carlo estimate, and
    KL(q(z) || p(z)) is their difference. So the identity holds for the results. Under another
    prior the rate is an estimate too, at the same draws: log p(z) has no closed-form mean there.

    Args:
        mean: (n, latent_dim), or (n, ...).
        log_var: The same.
        num_samples: Draws of z per example, at least 2; the time grows as num_samples * n^2.
        seed: Seed of NumPy's generator.
        prior: p(z), an object with `log_prob(z)`; None is N(0, I). Give that of a model with
            another prior: `vae.prior_of_z()`. Of a `TwoLayerIWAE` that is N(0, I), not its prior.

    Returns:
        A dictionary of `rate`, `mutual_information`, `aggregate_kl`, and `standard_error`, that of
        `aggregate_kl`, in nats; under N(0, I) it is that of `mutual_information` as well.

    Example:

    ```python
    kg.metrics.elbo_surgery(*vae.encode(test.x), prior=vae.prior_of_z())
    ```

    Reference:
        Hoffman and Johnson (2016), "ELBO surgery: yet another way to carve up the variational
        evidence lower bound": http://approximateinference.org/accepted/HoffmanJohnson2016.pdf
    """
    if prior is not None and not hasattr(prior, "log_prob"):
        raise ValueError(
            f"`prior` is {prior!r}, and an object with `log_prob(z)` is expected. Pass the density "
            f"of a model's prior: `vae.prior_of_z()`."
        )
    if np.ndim(num_samples):
        raise ValueError(
            "`elbo_surgery` works only with diagonal normals, (mean, log_var), and three arrays "
            "came: the posterior of this model is another. Pass those of one with the default."
        )
    mean, log_var = (v.reshape(len(v), -1) for v in _posteriors(mean, log_var))
    # At least 2: the standard error comes from the differences between draws of one example.
    num_samples = check_integer("num_samples", num_samples, least=2)
    random = np.random.default_rng(seed)
    if isinstance(prior, UnitNormal):
        prior = None
    n = len(mean)
    information, cross_entropy = np.empty((num_samples, n)), np.zeros((num_samples, n))
    for i in range(num_samples):
        z = mean + np.exp(0.5 * log_var) * random.normal(size=mean.shape)
        information[i] = _information(z, mean, log_var)
        if prior is not None:
            cross_entropy[i] = -_log_prob(prior, z)
    rate = float(np.sum(kl_per_latent(mean, log_var)))
    if prior is not None:
        entropy = 0.5 * np.sum(1 + math.log(2 * math.pi) + log_var, axis=1)  # of q(z|x)
        rate = float(np.mean(cross_entropy - entropy))
    mutual_information = float(information.mean())
    # Every example has its own draws, so differences between examples are not an error.
    variance = (cross_entropy - information).var(axis=0, ddof=1).mean() / (num_samples * n)
    return {
        "rate": rate,
        "mutual_information": mutual_information,
        "aggregate_kl": rate - mutual_information,
        "standard_error": math.sqrt(variance),
    }


def _log_prob(prior, z):
    """Return log p(z) of rows, NumPy (n,), some at a time: a mixture is large for many."""
    parts = (z[start : start + ROWS] for start in range(0, len(z), ROWS))
    z_of = functools.partial(ops.convert_to_tensor, dtype=output_dtype())
    return np.concatenate([ops.convert_to_numpy(prior.log_prob(z_of(part))) for part in parts])


def _information(z, mean, log_var):
    """Return KL(q(i|z) || uniform) = log n - H(q(i|z)) of every z, (n,).

    Its mean over q(z) is I(i; z). The mean of log q(z|x_i) - log q(z), with the i that z was drawn
    for, is the same; but this one is never negative, and varies less.
    """
    n = len(mean)
    precision = np.exp(-log_var)
    # log q(z|x_j) is linear in (z^2, z, 1), so one matrix product needs no (n, n, latent_dim).
    constant = -0.5 * np.sum(log_var + mean**2 * precision, axis=1, keepdims=True)
    weights = np.concatenate([-0.5 * precision, mean * precision, constant], axis=1).T
    features = np.concatenate([z**2, z, np.ones((n, 1))], axis=1)
    result = []
    rows = max(1, CHUNK // n)
    for start in range(0, n, rows):
        log_q = features[start : start + rows] @ weights  # log q(z|x_j) + constant: (rows, n)
        log_q -= log_q.max(axis=1, keepdims=True)
        q = np.exp(log_q)
        total = q.sum(axis=1)
        # The sum of q(j|z) log(n q(j|z)), with q(j|z) = q / total.
        result.append(np.sum(q * log_q, axis=1) / total - np.log(total / n))
    return np.concatenate(result)


def _posteriors(mean, log_var):
    mean, log_var = (np.asarray(host(v), "float64") for v in (mean, log_var))
    if mean.ndim < 2 or mean.shape != log_var.shape or not mean.size:
        raise ValueError(
            f"`mean` has shape {mean.shape} and `log_var` {log_var.shape}. Pass both as "
            f"(n, latent_dim), n at least 1."
        )
    if not (np.isfinite(mean).all() and np.isfinite(log_var).all()):
        raise ValueError("`mean` or `log_var` holds NaN or infinite values: the encoder diverged.")
    return mean, log_var
