"""Every figure of the quality of samples, next to the same figure between real images."""

import dataclasses
import warnings

import numpy as np

from keras_gen.arguments import as_one_array, as_sequence
from keras_gen.data.ordered import OrderedDataset
from keras_gen.metrics.bins import ndb
from keras_gen.metrics.confidence import confident_share
from keras_gen.metrics.frechet import frechet_distance
from keras_gen.metrics.kernels import kernel_distance, mmd
from keras_gen.metrics.neighbours import density_coverage, memorization, precision_recall
from keras_gen.metrics.wasserstein import sliced_wasserstein


def _ndb(real, fake):
    return ndb(real, fake, num_bins=min(100, max(2, len(real) // 50)))


# Measurements of two sets of features, and the figures of each: a number, or a dictionary.
MEASUREMENTS = {
    frechet_distance: ("frechet",),
    kernel_distance: ("kid",),
    mmd: ("mmd",),
    sliced_wasserstein: ("sliced_wasserstein",),
    precision_recall: ("precision", "recall"),
    density_coverage: ("density", "coverage"),
    _ndb: ("ndb_share", "jensen_shannon"),
}
OF_FEATURES = tuple(name for names in MEASUREMENTS.values() for name in names)
OF_CLASSES = ("confident", "least_class", "most_class")
COPYING = ("copies", "nearer")
ALL = (*OF_FEATURES, *OF_CLASSES, *COPYING)
LEAST = 20  # Examples on a side.
PART = 1000  # Training images that are described at a time.
HIGHER_IS_BETTER = ("precision", "recall", "density", "coverage", "confident", "least_class")
MEANINGS = {
    "frechet": "Fréchet distance, in the features' unit squared",
    "frechet_ratio": "the same over its floor",
    "kid": "kernel distance, unbiased: may lie below 0",
    "mmd": "the same with an RBF kernel",
    "sliced_wasserstein": "along 500 directions",
    "precision": "share of the samples on the manifold of the real",
    "recall": "share of the real on the manifold of the samples",
    "density": "how densely the samples lie there; 1 for real ones",
    "coverage": "share of the real with a sample in their neighbourhood",
    "ndb_share": "bins of k-means with a wrong share of the samples",
    "jensen_shannon": "nats, between the shares of the bins",
    "copies": "samples nearer to a training image than 99% of real ones",
    "nearer": "P(a sample is nearer to one than a real image is)",
    "confident": "samples of which the classifier is as sure as of 90% of real images",
    "least_class": "share of the rarest class",
    "most_class": "share of the most frequent class",
}


@dataclasses.dataclass
class Quality:
    """What `quality` returns; `print` shows it as a table.

    Args:
        figures: Name -> (mean, standard deviation over draws, NaN for one draw).
        floors: The same between two halves of the real images.
        n_real, n_fake: Rows on both sides of each comparison.
        draws: Comparisons that the means are over.
        features: Name of the features.
        accuracy: Of the classifier whose features they are, or None.

    Example:

    ```python
    real, fake = np.random.default_rng(0).random((2, 400, 28, 28, 1))
    result = kg.metrics.quality(real, fake, metrics=("frechet", "recall"))
    result["frechet_ratio"]  # 1.0
    print(result)
    ```
    """

    figures: dict
    floors: dict
    n_real: int
    n_fake: int
    draws: int
    features: str
    accuracy: float | None = None

    def __getitem__(self, name):
        return self.figures[name][0]

    def as_dict(self):
        """Return all numbers by name, such as `frechet`, `frechet_sd` and `frechet_floor`."""
        numbers = {}
        for name, (mean, sd) in self.figures.items():
            numbers |= {name: mean, f"{name}_sd": sd, f"{name}_floor": self.floors[name][0]}
        return numbers

    def provenance(self):
        """Return how the figures were made, by name."""
        known = {"features": self.features, "feature_accuracy": self.accuracy}
        known |= {"n_real": self.n_real, "n_fake": self.n_fake, "draws": self.draws}
        return {name: value for name, value in known.items() if value is not None}

    def __str__(self):
        lines = [f"{'':<20}{'samples':>12}{'sd':>12}{'real':>12}{'sd':>12}"]
        for name, figure in self.figures.items():
            numbers = (*figure, *self.floors[name])
            cells = (f"{_short(number):>12}" for number in numbers)
            lines.append(f"{name:<20}{''.join(cells)}  {MEANINGS.get(name, '')}")
        made = ", ".join(f"{name} {_short(value)}" for name, value in self.provenance().items())
        return "\n".join([*lines, made])


def quality(real, fake, features=None, *, train=None, metrics=None, draws=5, seed=0):
    """Measure samples in every way of `kg.metrics`, and real images in the same way.

    The real images are shuffled and split into two halves. Each figure compares the first half
    with as many samples; its floor is the same figure between the two halves: what a perfect
    generator would have. So both have the same numbers of rows, on which most of these figures
    depend. That is done `draws` times, each time with another split and with other samples while
    they last.

    Args:
        real: Held-out images (n, height, width, channels), or other examples (n, ...); or a set
            of `kg.data`. No more of them are read than as many halves as samples need.
        fake: Samples (m, ...); best m = draws * n / 2.
        features: Function of images to (n, d), such as a `kg.features.Classifier`, whose
            `probabilities` and `accuracy` are used too; None takes the numbers themselves.
        train: The images that the generator was trained on, for `copies` and `nearer`; or None.
            A set of `kg.data` is read in parts: only its features are kept.
        metrics: Names of figures; by default all: "frechet", "kid", "mmd", "sliced_wasserstein",
            "precision", "recall", "density", "coverage", "ndb_share", "jensen_shannon"; of a
            classifier "confident", "least_class", "most_class"; with `train` "copies", "nearer".
        draws: Comparisons; fewer if the samples do not suffice for parts of equal size.
        seed: Seed of the splits.

    Returns:
        A `Quality`. For 2,000 real images, 5,000 samples and 64 features it takes some seconds.

    Raises:
        ValueError: If there are fewer than 20 real images or samples, if they hold NaN, if only
            one of them is of floats, or if a named figure is unknown or cannot be measured.

    Example:

    ```python
    gan = kg.GAN(*kg.networks.mlp_gan((28, 28, 1), 4), latent_dim=4)
    result = kg.metrics.quality(test.x, gan.sample(64, seed=0), draws=2)
    print(result)
    ```
    """
    names = check_names(metrics)
    fake = _check_examples("fake", fake)
    random = np.random.default_rng(seed)
    real = _check_examples("real", _some(real, 2 * len(fake), random))
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            f"`real` holds examples of shape {real.shape[1:]} and `fake` {fake.shape[1:]}. Pass "
            f"both of one shape."
        )
    if real.dtype.kind != fake.dtype.kind:
        raise ValueError(
            f"`real` is {real.dtype} and `fake` {fake.dtype}. Pass both as floats, in one range."
        )
    _warn_of_ranges(real, fake)
    rows = min(len(real) // 2, len(fake))
    draws = min(draws, max(1, len(fake) // rows))
    known = None if train is None else _features_of_all(train, features)
    real, fake = describe(real, features), describe(fake, features)
    figures, floors = [], []
    for draw in range(draws):
        order = random.permutation(len(real[0]))
        half = take(real, order[:rows])
        samples = take(fake, slice(draw * rows, (draw + 1) * rows))
        figures.append(compare(half, samples, names, known))
        floors.append(compare(half, take(real, order[rows : 2 * rows]), names, known))
    figures, floors = _over_draws(figures), _over_draws(floors)
    missing = [name for name in names if name not in figures]
    if metrics is not None and missing:
        raise ValueError(
            f"{', '.join(missing)} cannot be measured: a classifier's figures need "
            f"`features=kg.features.Classifier`, and copies need `train=`."
        )
    if "frechet" in figures:
        floor = floors["frechet"][0]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = tuple(float(np.divide(number, floor)) for number in figures["frechet"])
        figures["frechet_ratio"], floors["frechet_ratio"] = ratio, (1.0, float("nan"))
    name = "pixels" if features is None else getattr(features, "__name__", type(features).__name__)
    accuracy = getattr(features, "accuracy", None)
    return Quality(figures, floors, rows, rows, draws, name, accuracy)


def _some(x, n, random):
    """Return `n` examples of an array or of a set of `kg.data`, or all if there are no more."""
    if isinstance(x, OrderedDataset):
        return _read(x, random.permutation(x.num_examples)[:n])
    x = as_one_array("real", x)
    return x[random.permutation(len(x))[:n]] if x.ndim and len(x) > n else x


def _read(data, rows):
    x = data.examples(rows)
    return x[0] if isinstance(x, tuple) else x


def _features_of_all(x, features):
    if not isinstance(x, OrderedDataset):
        return describe(as_one_array("train", x), features)[0]
    starts = range(0, x.num_examples, PART)
    parts = (_read(x, slice(start, min(start + PART, x.num_examples))) for start in starts)
    return np.concatenate([describe(part, features)[0] for part in parts])


def describe(images, features):
    """Return the features (n, d) and, of a classifier, the probabilities (n, classes) or None."""
    if features is None:
        return images.reshape(len(images), -1), None
    probabilities = getattr(features, "probabilities", None)
    return features(images), probabilities and probabilities(images)


def take(described, rows):
    """Return some rows of what `describe` returns."""
    return tuple(None if values is None else values[rows] for values in described)


def compare(real, fake, names, train=None):
    """Return the named figures of two sets, as `describe` returns them; without what is unknown."""
    (real, p_real), (fake, p_fake) = real, fake
    numbers = {}
    for function, figures in MEASUREMENTS.items():
        if set(figures) & set(names):
            found = function(real, fake)
            numbers |= found if isinstance(found, dict) else {figures[0]: found}
    if p_real is not None:
        numbers |= confident_share(p_fake, p_real)
    if train is not None and set(COPYING) & set(names):
        numbers |= memorization(train, real, fake)
    return {name: numbers[name] for name in names if name in numbers}


def _over_draws(results):
    """Return the mean and the standard deviation of every figure, NaN for one draw."""
    values = {name: [result[name] for result in results] for name in results[0]}
    return {
        name: (float(np.mean(v)), float(np.std(v, ddof=1)) if len(v) > 1 else float("nan"))
        for name, v in values.items()
    }


def check_names(names):
    names = ALL if names is None else as_sequence(names)
    unknown = [name for name in names if name not in ALL]
    if unknown or not names:
        raise ValueError(f"`metrics` is {names}. Pass some of {', '.join(ALL)}.")
    return names


def _check_examples(name, x):
    x = as_one_array(name, x)
    if x.ndim < 2 or len(x) < LEAST:
        raise ValueError(f"`{name}` has shape {x.shape}. Pass at least {LEAST} examples, (n, ...).")
    if not np.isfinite(x).all():
        raise ValueError(f"`{name}` holds NaN or infinite values. If a model made it, it diverged.")
    return x


def _warn_of_ranges(real, fake):
    """Warn if one side is in [0, 1], and the mean of the other is far from all such images."""
    means = float(real.mean()), float(fake.mean())
    within = [x.dtype.kind == "f" and x.min() >= 0 and x.max() <= 1 for x in (real, fake)]
    if any(within) and not all(-0.1 < mean < 1.1 for mean in means):
        warnings.warn(
            f"The mean of `real` is {means[0]:.3g}, and that of `fake` {means[1]:.3g}. Pass both "
            f"in one range: `(x + 1) / 2` brings [-1, 1] to [0, 1], and `x / 255` brings [0, 255] "
            f"there.",
            stacklevel=3,
        )


def _short(value):
    if not isinstance(value, float):
        return str(value)
    return "-" if np.isnan(value) else f"{value:.4g}"
