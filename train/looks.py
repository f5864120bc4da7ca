"""What the report shows that needs the model: made once, at the end of a run, in a few seconds."""

import math

from train import quality
from train.config import POINTS

SAMPLES = 500
# Training images among which the nearest are looked for, and their values: a quarter of a GB.
REAL, MOST_VALUES = 5_000, 2**26
SHOWN, COLUMNS = 16, 8
STEPS = 11  # Of the directions.
MOST_LATENTS = 512
FIGURES = ("precision", "recall", "coverage")


def take(args, model, train, test):
    """Write the pictures of the end to samples/; return facts for report.json, {} for points."""
    from keras_gen import distribution

    at_hand = all(hasattr(data, "arrays") or hasattr(data, "images") for data in (train, test))
    alone = distribution.processes() == 1  # Not all of several have all of the data.
    if args.dataset in POINTS or not at_hand or not alone or len(model.example_shape) != 3:
        return {}
    facts, rows = {"samples": measure(args, model, train, test)}, {}
    (*_, last) = sorted((args.out / "samples").glob("epoch_*.png"))
    for name, draw in (("nearest", nearest), ("directions", directions)):
        drawn = draw(args, model, train, test)
        if drawn:
            images, columns, row_labels, rows[name] = drawn
            _save(last.with_name(last.name.replace("epoch", name)), images, columns, row_labels)
    return {**facts, "rows": rows}


def measure(args, model, train, test):
    """Return figures of samples next to their floors, and how many classes the samples cover."""
    import numpy as np

    import keras_gen as kg

    features = kg.features.Pixels(limit=256)
    real, y = quality.real_examples(train, test, 2 * SAMPLES)[0]
    fake = _samples(args, model, SAMPLES, y)
    if len(real) < 40 or not np.isfinite(fake).all():
        return {}
    measured = kg.metrics.quality(real, fake, features, metrics=FIGURES, draws=1, seed=args.seed)
    figures = {k: v for k, v in measured.as_dict().items() if not k.endswith("_sd")}
    figures["n"] = len(fake)
    x, y = _training(train)
    if y is None:
        return figures
    shares = np.bincount(y) / len(y)
    found = np.bincount(y[_nearest(features(x), features(fake), 1)[:, 0]], minlength=len(shares))
    likely = shares * len(fake) >= 10  # Of rarer ones none among the samples may be chance.
    figures["classes"] = int(np.sum(likely & (found >= 0.1 * shares * len(fake))))
    figures["classes_floor"] = int(likely.sum())
    return figures


def nearest(args, model, train, test):
    """Return rows of samples, and below each the two nearest training images."""
    import numpy as np

    samples = _samples(args, model, SHOWN)
    x, _ = _training(train)
    flat = [images.reshape(len(images), -1) for images in (x, samples)]
    if len(x) < 2 or not np.isfinite(samples).all():
        return None
    first, second = x[_nearest(*flat, 2)].swapaxes(0, 1)
    blocks = [
        part[start : start + COLUMNS]
        for start in range(0, SHOWN, COLUMNS)
        for part in (samples, first, second)
    ]
    caption = (
        f"Rows 1 and 4 are samples; below each are the two training images that are nearest in "
        f"pixels, of {len(x):,}. A sample that equals its neighbour was learned by heart."
    )
    labels = ["sample", "nearest", "second"] * (SHOWN // COLUMNS)
    return np.concatenate(blocks), COLUMNS, labels, caption


def directions(args, model, train, test):
    """Return images along the directions of z that matter, one a row."""
    size = math.prod(model.latent_shape)
    if size > MOST_LATENTS or size < 3:
        return None
    found = _of_gan(args, model) if hasattr(model, "generator") else _of_vae(model, test)
    return found and (*_along(args, model, *found[:2]), *found[2:])


def _of_vae(vae, test):
    """Return a point, the latents of the largest KL as directions, their names, and a caption."""
    from keras_gen import door
    from keras_gen.report import directions

    found = directions.of_vae(vae, *door.some(test, SAMPLES))
    if not found:
        return None
    point, vectors, weights = found
    names = [f"z_{k + 1}" for k in vectors.argmax(axis=1)]
    labels = [f"{name}: {w:.2f}" for name, w in zip(names, weights, strict=True)]
    by = "its rate in nats per image" if directions.has_kl(vae) else "the variance of its mean"
    caption = (
        f"One latent in each row, through the quantiles of N(0, 1), while the others stay at their "
        f"mean over held-out images. To the right of a row: its latent, and {by}, by which the "
        f"rows are sorted. From the top: {', '.join(labels)}."
    )
    return point, vectors, labels, caption


def _of_gan(args, gan):
    """Return a z, the directions along which the pixels change most, shares, and a caption."""
    from keras_gen.callbacks.latents import quantiles
    from keras_gen.report import directions

    def generate(z):
        return gan.generate(z, **_arguments(args, gan, len(z)))

    found = directions.of_gan(gan, generate, args.seed)
    if not found:
        return None
    point, vectors, shares = found
    shares, low = [f"{share:.0%}" for share in shares], quantiles(STEPS)[0]
    caption = (
        f"One direction of z in each row, from {low:.1f} to {-low:.1f} standard deviations, while "
        f"the others stay as they are: those along which pixels change most, by a linear fit to "
        f"{directions.num_fitted(gan)} samples. To the right of a row: its share of the pixels' "
        f"variance. From the top: {', '.join(shares)}."
    )
    return point, vectors, shares, caption


def _along(args, model, point, vectors):
    """Return images along the vectors through a point, and how many are in a row."""
    from keras_gen.callbacks.latents import quantiles

    steps = quantiles(STEPS)
    rest = point - vectors * (vectors @ point)[:, None]  # (rows, size)
    z = rest[:, None] + steps[:, None] * vectors[:, None]  # (rows, steps, size)
    z = z.reshape(-1, *model.latent_shape).astype("float32")
    return model.generate(z, **_arguments(args, model, len(z))), STEPS


def _arguments(args, model, n):
    """Return the arguments of `generate` for images of one class."""
    from keras_gen.callbacks.grids import drawing_arguments

    one = None if model.num_classes is None else [model.num_classes // 3]
    return drawing_arguments(model, n, quality.is_averaged(args), one)


def _samples(args, model, n, y=None):
    from keras_gen.callbacks.grids import drawing_arguments

    arguments = drawing_arguments(model, n, quality.is_averaged(args), y)
    return model.sample(n, seed=args.seed, **arguments)


def _training(train):
    """Return (x, y) of training images, not too many for memory; y is None without labels."""
    import numpy as np

    values = math.prod((train.images if hasattr(train, "images") else train.x).shape[1:])
    limit = min(REAL, max(1, MOST_VALUES // values))
    rows = np.random.default_rng(0).permutation(train.num_examples)[:limit]
    x = train.examples(rows)
    y = getattr(train, "y", None)
    return (x[0] if isinstance(x, tuple) else x), None if y is None else np.asarray(y)[rows]


def _nearest(known, rows, k):
    """Return which rows of `known` are the k nearest to each row, (n, k)."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k).fit(known).kneighbors(rows)[1]


def _save(path, images, columns, row_labels):
    import keras_gen as kg

    images = images.clip(0, 1)  # A Gaussian's means may lie outside.
    picture = kg.callbacks.image_grid(images, columns=columns, row_labels=row_labels)
    kg.callbacks.save_png(path, picture)
