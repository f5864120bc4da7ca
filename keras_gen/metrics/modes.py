"""Coverage of the modes of a known mixture by samples: how many, how well, and how evenly."""

import numpy as np

from keras_gen.arguments import host


def mode_coverage(samples, centres, sigma, weights=None):
    """Measure how well samples cover the modes of a mixture of round Gaussians.

    A sample within 3 sigma of the nearest centre is of high quality, and belongs to that mode. The
    other samples belong to no mode. Perfect samples in the plane are of high quality with
    probability 1 - exp(-9 / 2) = .98889, and the KL of n of them is about (modes - 1) / (2 n).

    Args:
        samples: (n, dimensions).
        centres: (modes, dimensions), as `kg.data.ring().centres`.
        sigma: Standard deviation of every mode along every axis.
        weights: True probability of every mode, (modes,); by default all are equal.

    Returns:
        A dictionary of `modes`, the number of modes with at least one sample of high quality;
        `modes_near`, the number with at least one sample within a quarter of the least distance
        between two centres, which tells a generator that is imprecise from one that has collapsed;
        `high_quality`, the share of samples of high quality; `mode_sd`, their root mean square
        distance from the centres along an axis, divided by sigma; and `mode_kl`, KL(modes of the
        samples of high quality || weights) in nats. Without such samples the last two are NaN.
        Perfect samples in the plane have a `mode_sd` of .974, as their tails are cut; more high
        quality than theirs, with a smaller `mode_sd`, is that of shrunken modes.

    Example:

    ```python
    test = kg.data.ring(num_examples=2500, seed=1)
    kg.metrics.mode_coverage(test.x, test.centres, test.sigma)
    # {"modes": 8, "modes_near": 8, "high_quality": 0.99, "mode_sd": 0.97, ...}
    ```

    Reference:
        Lin et al. (2018), "PacGAN", section 4, and its authors' code:
        https://arxiv.org/abs/1712.04086; the first two are VEEGAN's (Srivastava et al., 2017).
    """
    samples, centres = np.asarray(host(samples), "float64"), np.asarray(centres, "float64")
    if samples.ndim != 2 or samples.shape[1:] != centres.shape[1:] or not len(samples):
        raise ValueError(
            f"`samples` has shape {samples.shape} and `centres` {centres.shape}. Pass "
            f"(n, dimensions) and (modes, dimensions), with n at least 1."
        )
    if weights is None:
        weights = np.full(len(centres), 1 / len(centres))
    weights = np.asarray(weights, "float64")
    if weights.shape != (len(centres),) or not np.isclose(weights.sum(), 1) or weights.min() < 0:
        raise ValueError(
            f"`weights` is {weights}. Pass a probability for each of the {len(centres)} modes."
        )
    distances = np.linalg.norm(samples[:, None] - centres, axis=-1)  # (n, modes)
    # A sample that is not finite belongs to no mode.
    high_quality = distances.min(axis=1) <= 3 * sigma
    nearest = distances.argmin(axis=1)
    counts = np.bincount(nearest[high_quality], minlength=len(centres))
    squares = distances.min(axis=1)[high_quality] ** 2
    near = distances.min(axis=1) <= max(3 * sigma, _spacing(centres) / 4)
    return {
        "modes": int(np.count_nonzero(counts)),
        "modes_near": len(np.unique(nearest[near])),
        "high_quality": float(high_quality.mean()),
        "mode_sd": float(np.sqrt(squares.mean() / centres.shape[1])) / sigma
        if len(squares)
        else np.nan,
        "mode_kl": _kl(counts, weights),
    }


def class_coverage(classes, num_classes=1000):
    """Measure how well the predicted classes of samples cover all classes, equally likely ones.

    On Stacked MNIST, draw 26,000 samples; the class of each is 100 a + 10 b + c, with the digits
    that a classifier sees in the three channels. A perfect sampler has a KL of .0237 +- .0010:
    .0194 because of the 26,000 draws, and .0043 because MNIST's digits are not equally frequent.

    Args:
        classes: Predicted classes (n,), integers from 0 to `num_classes` - 1.
        num_classes: Number of classes.

    Returns:
        A dictionary of `modes`, the number of classes that occur, and `mode_kl`,
        KL(classes of the samples || uniform) in nats.

    Example:

    ```python
    digits = np.random.default_rng(0).integers(10, size=(26000, 3))  # By a classifier, of channels.
    kg.metrics.class_coverage(digits @ [100, 10, 1])  # {"modes": 1000, "mode_kl": 0.024}
    ```

    Reference:
        Metz et al. (2017), "Unrolled Generative Adversarial Networks", section 3.3.1:
        https://arxiv.org/abs/1611.02163
    """
    classes = np.asarray(classes)
    if classes.ndim != 1 or not len(classes) or not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(
            f"`classes` has shape {classes.shape} and type {classes.dtype}. Pass one integer per "
            f"sample, (n,)."
        )
    if classes.min() < 0 or classes.max() >= num_classes:
        raise ValueError(
            f"`classes` goes from {classes.min()} to {classes.max()}. Pass integers from 0 to "
            f"{num_classes - 1}, or another `num_classes`."
        )
    counts = np.bincount(classes, minlength=num_classes)
    return {
        "modes": int(np.count_nonzero(counts)),
        "mode_kl": _kl(counts, np.full(num_classes, 1 / num_classes)),
    }


def _spacing(centres):
    """Return the least distance between two centres, 0 if there is one centre."""
    gaps = np.linalg.norm(centres[:, None] - centres, axis=-1)
    return gaps[gaps > 0].min() if len(centres) > 1 else 0.0


def _kl(counts, weights):
    """Return KL(counts / n || weights), with 0 log 0 = 0."""
    if not counts.any():
        return float("nan")
    seen = counts > 0
    p = counts[seen] / counts.sum()
    # A sample of a mode of weight 0 makes the KL infinite.
    with np.errstate(divide="ignore"):
        return float(np.sum(p * (np.log(p) - np.log(weights[seen]))))
