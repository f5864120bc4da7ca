"""The directions of z along which a model's images change most."""

import numpy as np

from keras_gen import features, metrics, priors

ROWS = 8
LEAST_KL, LEAST_SHARE = 0.01, 0.005  # Of a direction that is shown: nats, and of the variance.
SAMPLES = 500


def of_vae(vae, x, y=None):
    """Return the latents of the largest KL: a point, vectors, and weights; None if there are none.

    The point, (size,), is the mean of the codes of the examples `x`. The vectors, (rows, size), are
    a latent each. The weights, (rows,), are their KL, nats an example; where the prior is not
    N(0, I), the variance of their mean.
    """
    labels = {} if vae.num_classes is None else {"y": y}
    mean, log_var, *_ = (a.reshape(len(x), -1) for a in vae.encode(x, **labels))
    if not (np.isfinite(mean).all() and np.isfinite(log_var).all()):
        return None
    weights = metrics.kl_per_latent(mean, log_var) if has_kl(vae) else mean.var(axis=0)
    order = [k for k in np.argsort(-weights, kind="stable")[:ROWS] if weights[k] >= LEAST_KL]
    if not order:
        return None
    return mean.mean(axis=0), np.eye(mean.shape[1])[order], weights[order]


def has_kl(vae):
    """Return whether the KL of a VAE is a sum over its latents."""
    return isinstance(vae.prior, priors.StandardNormal)


def of_gan(gan, generate, seed=0):
    """Return a z, the directions along which the pixels change most, and their shares, or None.

    The vectors, (rows, size), are the left singular vectors of the linear map that fits the pixels
    of `generate(z)` to z, and the shares, (rows,), their parts of the pixels' variance.
    """
    n = num_fitted(gan)
    z = gan.draw_latents(n, seed=seed)
    images = generate(z)
    if not np.isfinite(images).all():
        return None
    flat, pixels = z.reshape(n, -1), features.Pixels(limit=256)(images).astype("float64")
    pixels -= pixels.mean(axis=0)
    fitted = np.linalg.lstsq(flat - flat.mean(axis=0), pixels, rcond=None)[0]
    vectors, sizes, _ = np.linalg.svd(fitted, full_matrices=False)
    shares = sizes**2 * (flat @ vectors).var(axis=0) / pixels.var(axis=0).sum()
    rows = min(ROWS, int(np.sum(shares >= LEAST_SHARE)))
    return (flat[0], vectors.T[:rows], shares[:rows]) if rows else None


def num_fitted(gan):
    """Return how many samples the directions of a GAN are fitted to."""
    return max(SAMPLES, 3 * gan.latent_size)


def moved(point, vectors, values):
    """Return the point, (..., size), with the values, (..., rows), in place of its coordinates."""
    return point + (values - point @ vectors.T) @ vectors
