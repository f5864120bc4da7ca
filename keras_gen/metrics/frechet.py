"""Fréchet distance between the Gaussians that fit two sets of features."""

import numpy as np

from keras_gen.metrics.rows import as_features


def frechet_distance(real, fake):
    """Return the squared Fréchet distance between the Gaussians fitted to two sets of features.

    With means m and covariances S of the rows,

        d^2 = |m_r - m_f|^2 + tr S_r + tr S_f - 2 tr (S_r S_f)^(1/2).

    On features of Inception this is the FID. On other features it means nothing by itself: compare
    it with the distance between two halves of the real data. It is biased upwards, by about a
    constant over the number of rows: compare only between equal numbers of rows. With fewer rows
    than features the covariances are singular; the distance is still exactly that of the fitted
    Gaussians, but most of it may be this bias.

    Args:
        real: (n, d), n at least 2.
        fake: (m, d), m at least 2.

    Returns:
        A float, in the squared unit of the features. The time grows as (n + m) d^2 + d^3: for
        10,000 rows of 128 features less than a second.

    Example:

    ```python
    real, fake = np.random.default_rng(0).normal(size=(2, 1000, 8))
    kg.metrics.frechet_distance(real, fake + [1, 0, 0, 0, 0, 0, 0, 0])  # 1.0
    ```

    Reference:
        Heusel et al. (2017), "GANs trained by a two time-scale update rule", equation 6:
        https://arxiv.org/abs/1706.08500; Dowson and Landau (1982) for the distance.
    """
    real, fake = as_features(least=2, real=real, fake=fake)
    root_r, root_f = _root(real), _root(fake)
    # tr (S_r S_f)^(1/2) is the sum of the singular values of R_r R_f', where S = R' R: so no root
    # is taken of a product that may be singular.
    overlap = np.linalg.svd(root_r @ root_f.T, compute_uv=False).sum()
    trace_r, trace_f = np.sum(root_r**2), np.sum(root_f**2)
    means = np.sum((real.mean(axis=0) - fake.mean(axis=0)) ** 2)
    # Rounding may leave less than 0.
    return float(max(means + trace_r + trace_f - 2 * overlap, 0.0))


def _root(x):
    """Return R, upper triangular, with R' R the covariance of the rows of `x`."""
    return np.linalg.qr((x - x.mean(axis=0)) / np.sqrt(len(x) - 1), mode="r")
