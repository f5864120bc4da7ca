"""Wasserstein distance between two sets of features, along random directions."""

import math

import numpy as np

from keras_gen.arguments import check_integer
from keras_gen.metrics.rows import as_features


def sliced_wasserstein(real, fake, num_directions=500, seed=0):
    """Return the sliced 2-Wasserstein distance between two sets of features.

        SW^2 = E_u int_0^1 (F_u^-1(t) - G_u^-1(t))^2 dt,

    where u is uniform on the unit sphere and F_u, G_u are the distribution functions of the rows
    of `real` and of `fake` along u. The integral is exact, for unequal numbers of rows too; the
    mean is over `num_directions` draws of u. Between finite samples of one law it is above 0:
    compare it with the distance between two halves of the real data. Between N(a, s^2 I) and
    N(b, t^2 I) in d dimensions, SW^2 = |a - b|^2 / d + (s - t)^2.

    Args:
        real: (n, d).
        fake: (m, d).
        num_directions: Draws of u; the relative error of SW^2 is about sqrt(2 / num_directions).
        seed: Seed of NumPy's generator.

    Returns:
        SW, a float in the unit of the features. The time grows as
        num_directions (n + m) (d + log n).

    Example:

    ```python
    real, fake = np.random.default_rng(0).normal(size=(2, 1000, 4))
    kg.metrics.sliced_wasserstein(real, fake + [2, 0, 0, 0])  # 1.0
    ```

    Reference:
        Bonneel et al. (2015), "Sliced and Radon Wasserstein barycenters of measures", section 2.3:
        https://doi.org/10.1007/s10851-014-0506-3
    """
    real, fake = as_features(real=real, fake=fake)
    num_directions = check_integer("num_directions", num_directions)
    u = np.random.default_rng(seed).normal(size=(num_directions, real.shape[1]))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    n, m = len(real), len(fake)
    # Both quantile functions are constant between these.
    t = np.union1d(np.arange(n + 1) / n, np.arange(m + 1) / m)
    middles, widths = (t[1:] + t[:-1]) / 2, np.diff(t)
    i, j = (middles * n).astype("int64"), (middles * m).astype("int64")
    squares = [
        widths @ (np.sort(real @ direction)[i] - np.sort(fake @ direction)[j]) ** 2
        for direction in u
    ]
    return math.sqrt(np.mean(squares))
