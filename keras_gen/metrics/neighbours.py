"""What the nearest neighbours of two sets of features say: fidelity, diversity, and copying."""

import numpy as np

from keras_gen.arguments import check_integer
from keras_gen.metrics.rows import as_features, needs_sklearn


def precision_recall(real, fake, k=3):
    """Measure how much of the samples looks real, and how much of the real data is sampled.

    Around every row of a set lies a ball that reaches to its k-th nearest neighbour in that set;
    the balls together are the set's manifold. Precision is the share of `fake` on the manifold of
    `real`, recall the share of `real` on the manifold of `fake`. A generator that drops modes
    keeps its precision and loses recall. Both depend on the numbers of rows: compare only
    between equal ones. One outlier among the real rows has a large ball that lifts the precision,
    and one among the samples lifts the recall: see `density_coverage`.

    Args:
        real: (n, d), n at least k + 1.
        fake: (m, d), m at least k + 1.
        k: Neighbours.

    Returns:
        A dictionary of `precision` and `recall`, between 0 and 1. The time grows as (n + m)^2 d.

    Example:

    ```python
    real, fake = np.random.default_rng(0).normal(size=(2, 1000, 8))
    kg.metrics.precision_recall(real, fake)  # {"precision": 0.8, "recall": 0.8}
    ```

    Reference:
        Kynkäänniemi et al. (2019), "Improved precision and recall metric for assessing generative
        models", equations 1 and 2: https://arxiv.org/abs/1904.06991
    """
    k = check_integer("k", k)
    real, fake = as_features(least=k + 1, real=real, fake=fake)
    return {
        "precision": float(np.mean(_balls_around(fake, real, _radii(real, k)) > 0)),
        "recall": float(np.mean(_balls_around(real, fake, _radii(fake, k)) > 0)),
    }


def density_coverage(real, fake, k=5):
    """Measure fidelity and diversity with balls around the real rows alone.

    Every real row has the ball of `precision_recall`. Density is the mean number of balls that a
    row of `fake` lies in, over k; it may exceed 1. Coverage is the share of real rows whose ball
    holds at least one row of `fake`. For n and m rows of one law, in any dimension, the means are

        E[density] = 1,  E[coverage] = 1 - prod_{i=1..k} (n - i) / (n + m - i),

    the latter .969 for n = m = 1000 and k = 5.

    Args:
        real: (n, d), n at least k + 1.
        fake: (m, d).
        k: Neighbours.

    Returns:
        A dictionary of `density` and `coverage`. The time grows as n (n + m) d.

    Example:

    ```python
    real, fake = np.random.default_rng(0).normal(size=(2, 1000, 8))
    kg.metrics.density_coverage(real, fake)  # {"density": 1.0, "coverage": 0.97}
    ```

    Reference:
        Naeem et al. (2020), "Reliable fidelity and diversity metrics for generative models",
        equations 2, 3 and 10: https://arxiv.org/abs/2002.09797
    """
    k = check_integer("k", k)
    real, fake = as_features(real=real, fake=fake)
    as_features(least=k + 1, real=real)
    radii = _radii(real, k)
    return {
        "density": float(np.mean(_balls_around(fake, real, radii)) / k),
        "coverage": float(np.mean(_nearest(real, fake) <= radii)),
    }


def memorization(train, test, fake):
    """Compare how near samples and held-out real rows lie to the nearest training row.

    A generator that has learned the law lies as far from the training rows as held-out rows do;
    one that returns training images lies much nearer. Blurred samples lie a little nearer too,
    because a mean is near to all: so look at `copies`, and at the nearest pairs themselves.

    Args:
        train: (n, d), features of the images that the generator was trained on, best all of them.
        test: (m, d), of held-out real images, at least 100 for `copies` to mean something.
        fake: (l, d), of samples.

    Returns:
        A dictionary of `copies`, the share of samples that are nearer to a training row than 99%
        of the held-out rows, .01 for a perfect generator; `nearer`, the probability that a sample
        is nearer than a held-out row, .5 for a perfect generator; `copying_z`, the same as a z
        score of Mann and Whitney, which is N(0, 1) for a perfect generator and positive for one
        that copies; and `distance_ratio`, the median distance of the samples over that of
        the held-out rows. The time grows as n (m + l) d.

    Example:

    ```python
    train, test = np.random.default_rng(0).normal(size=(2, 1000, 8))
    kg.metrics.memorization(train, test, train[:500])  # {"copies": 1.0, "nearer": 1.0, ...}
    ```

    Reference:
        Meehan et al. (2020), "A non-parametric test to detect data-copying in generative models",
        section 3.1 (there the sign of z is the opposite): https://arxiv.org/abs/2004.05675
    """
    train, test, fake = as_features(train=train, test=test, fake=fake)
    of_test, of_fake = _nearest(test, train), _nearest(fake, train)
    m, n = len(of_test), len(of_fake)
    ordered = np.sort(of_test)
    # Of the held-out rows, for every sample: how many are farther, and how many just as far.
    below, up_to = (np.searchsorted(ordered, of_fake, side) for side in ("left", "right"))
    nearer = np.mean(m - up_to + 0.5 * (up_to - below)) / m
    limit = np.quantile(of_test, 0.01)
    middle = np.median(of_test)
    return {
        "copies": float(np.mean(of_fake < limit)),
        "nearer": float(nearer),
        "copying_z": float((nearer - 0.5) / np.sqrt((m + n + 1) / (12 * m * n))),
        "distance_ratio": float(np.median(of_fake) / middle) if middle else float("nan"),
    }


def _radii(x, k):
    """Return the distance of every row to its k-th nearest neighbour among the others, (n,)."""
    return _fit(x, k).kneighbors()[0][:, -1]


def _nearest(x, y):
    """Return the distance of every row of `x` to the nearest row of `y`, (n,)."""
    return _fit(y, 1).kneighbors(x)[0][:, 0]


def _balls_around(x, centres, radii):
    """Return in how many balls every row of `x` lies, (n,)."""
    try:
        from sklearn.metrics import pairwise_distances_chunked
    except ImportError as error:
        raise needs_sklearn() from error
    counts = pairwise_distances_chunked(
        x,
        centres,
        reduce_func=lambda distances, start: np.sum(distances <= radii, axis=1),
        working_memory=64,  # MiB.
    )
    return np.concatenate(list(counts))


def _fit(x, k):
    try:
        from sklearn.neighbors import NearestNeighbors
    except ImportError as error:
        raise needs_sklearn() from error
    return NearestNeighbors(n_neighbors=k).fit(x)
