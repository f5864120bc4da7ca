"""The quality of samples: what it is measured on, the callback of --keep-best, and its table."""

from train.config import POINTS

BEST = "best.keras"
LEAST = 20  # Real examples of a measurement.
ROWS = 1000  # Of a measurement while a model is trained.
MEASUREMENTS = 20  # Of a run, about.
LEAST_FOR_A_CLASSIFIER = 1000  # Images, below which it learns them by heart.
MOST_FOR_A_CLASSIFIER = 20_000  # Of those that are not floats in memory anyway.
FEATURES = ("classifier", "pixels")


def callbacks(args, train, test):
    """Return the callback that --keep-best and --stop-after ask for, in a list, or none."""
    if args.preview or not (args.keep_best or args.stop_after):
        return []
    import keras_gen as kg

    # By the settings and not by the clock: the same command leaves the same model.
    args.evaluate_every = args.evaluate_every or max(1, args.epochs // MEASUREMENTS)
    real = real_examples(train, test, 2 * ROWS)[0]
    if len(real[0]) < LEAST:
        option = "--keep-best" if args.keep_best else "--stop-after"
        raise ValueError(
            f"{option} measures samples next to real examples, at least {LEAST}, and "
            f"{args.dataset} has {len(real[0])}. Leave {option} out."
        )
    return [
        kg.callbacks.SampleQuality(
            real,
            # Mean and covariance of a ring's points say nothing of its modes.
            metrics="sliced_wasserstein" if args.dataset in POINTS else "frechet",
            features=features(args.dataset, train, test),
            every=args.evaluate_every,
            samples=min(ROWS, len(real[0]) // 2),
            keep_best=args.out / BEST if args.keep_best else None,
            stop_after=args.stop_after,
            seed=args.seed,
            ema=is_averaged(args),
        )
    ]


def take_best(args, model):
    """Give the model its best weights, if they were kept; their file stays till the run's end."""
    path = args.out / BEST
    if args.keep_best and path.exists():
        model.load_weights(path)
        print("The model is the one with the best samples, as history.csv has them.")


def is_averaged(settings):
    """Return whether samples of a run come from averaged weights."""
    return getattr(settings, "ema", None) is not None


def real_examples(train, test, limit):
    """Return (x, y) of up to `limit` real examples, and which they are.

    They are held-out ones if there are so many. y is None without labels.
    """
    from keras_gen import door

    # A stream does not know its number, and reading it would move its order.
    there, held_out = (getattr(data, "num_examples", None) for data in (train, test))
    if there is not None and held_out is not None and held_out < min(limit, there):
        return door.some(train, limit), "training"
    return door.some(test, limit), "test"


def features(dataset, train, test, kind=None):
    """Return the features of a data set: of a classifier where it has labels, else of pixels."""
    if dataset in POINTS:
        if kind == "classifier":
            raise ValueError(f"{dataset} is points, which are measured as they are.")
        return None
    import numpy as np

    import keras_gen as kg

    can_learn = (
        all(_is_at_hand(data) and data.y is not None for data in (train, test))
        and len(train.y) >= LEAST_FOR_A_CLASSIFIER
        and len(np.unique(train.y)) > 1
    )
    if kind == "classifier" and not can_learn:
        raise ValueError(
            f"A classifier needs labels, and {LEAST_FOR_A_CLASSIFIER} training images in memory. "
            f"Pass --features pixels."
        )
    if kind == "pixels" or not can_learn:
        return kg.features.Pixels(limit=256)
    print("The features are those of a classifier of the data's labels, trained once.", flush=True)
    return kg.features.Classifier.fit(*_labelled(train), *_labelled(test))


def _is_at_hand(data):
    """Return whether a set is arrays, or a folder's images, and no stream."""
    return hasattr(data, "arrays") or hasattr(data, "images")


def _labelled(data):
    """Return images and labels of a set: all that are in memory, or some of a folder's."""
    import numpy as np

    if hasattr(data, "arrays"):
        return data.x, data.y
    rows = np.random.default_rng(0).permutation(len(data.y))[:MOST_FOR_A_CLASSIFIER]
    x = data.examples(rows)
    return x[0] if data.labels else x, data.y[rows]


def measure(model, settings, train, test, args):
    """Return the `Quality` of a run's samples, as text and numbers, and how it was made."""
    import keras_gen as kg
    from keras_gen.callbacks.grids import drawing_arguments

    draws = 5
    (real, y), kind = real_examples(train, test, 2 * args.samples // draws)
    num_samples = min(args.samples, draws * (len(real) // 2))
    if min(len(real), num_samples) < LEAST:
        text = f"{len(real)} real examples and {num_samples} samples: too few to measure quality."
        return text, {}, {}
    is_ema = is_averaged(settings)
    arguments = drawing_arguments(model, num_samples, is_ema, y)
    fake = model.sample(num_samples, seed=args.seed, **arguments)
    taken = features(settings.dataset, train, test, args.features)
    result = kg.metrics.quality(
        real,
        fake,
        taken,
        # Held-out examples are needed next to those that were trained on.
        train=train if kind == "test" and _is_at_hand(train) else None,
        draws=draws,
        seed=args.seed,
    )
    if kind == "training" and hasattr(taken, "probabilities"):
        _of_held_out(result, taken, fake, real_examples(None, test, args.samples)[0][0])
    weights = {"weights_of_samples": "averaged" if is_ema else "raw"}
    how = {**result.provenance(), "real_examples": kind, **weights}
    text = f"Samples next to real examples\n{result}"
    if kind == "training":
        text += (
            f"\nThe test set has fewer than {len(real)} examples, so these are of the training "
            f"set, and copies of it cannot be counted."
        )
    return text, result.as_dict(), how


def is_figure(name):
    """Return whether a number of metrics.json is a figure of `kg.metrics.quality`."""
    from keras_gen.metrics.samples import ALL

    return name.removesuffix("_sd").removesuffix("_floor") in (*ALL, "frechet_ratio")


def _of_held_out(result, classifier, fake, x):
    """Measure the classes next to held-out images: a classifier knows the others by heart."""
    import keras_gen as kg

    known = classifier.probabilities(x)
    figures = kg.metrics.confident_share(classifier.probabilities(fake), known)
    floors = kg.metrics.confident_share(known, known)
    for name in set(figures) & set(result.figures):
        result.figures[name] = (figures[name], float("nan"))
        result.floors[name] = (floors[name], float("nan"))


def describe_modes(coverage, train):
    """Return the line that a run ends with whose data have modes."""
    if not hasattr(train, "centres"):  # Stacked MNIST.
        return (
            f"{coverage['modes']} of 1,000 modes in 26,000 samples, KL {coverage['mode_kl']:.3f} "
            f"nats (a perfect sampler: 1,000 and .024), by a classifier that is right on "
            f"{100 * coverage['classifier_accuracy']:.1f}% of held-out digits"
        )
    return (
        f"{coverage['modes']:.0f} of {len(train.centres)} modes "
        f"({coverage['modes_near']:.0f} within a quarter of their spacing), "
        f"KL {coverage['mode_kl']:.4f} nats, high quality "
        f"{100 * coverage['high_quality']:.1f}% (a perfect sampler: 98.9%)"
    )
