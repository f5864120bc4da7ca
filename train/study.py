"""Train GANs of images by several recipes, and keep one row of scores for each run.

A run that is already in the table is not repeated: start again after a stop.
"""

import argparse
import functools
import pathlib
import tempfile
import time

from train import environment, gan, options, recipes, studies

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "studies" / "gan_images.csv"
MNIST, DIGITS = "--dataset mnist --sample-every 50 ", "--sample-every 500 "
SHORT = MNIST + "--epochs 2 --ema 0.995 "
PLAIN = SHORT + "--no-conditional --filters 32 64 "
BATCH_NORM = DIGITS + "--loss non_saturating --discriminator-norm batch --beta-1 0.5 "
# One category of a folder of images in categories: --images.
FACES = "--dataset {images}/smileys_emotion --size 32 --flip --no-conditional "
FACES += "--sample-every 1000 "
EMOJI = FACES + "--epochs 600 --filters 32 64 128 --augment diff_augment "
NO_NORM = EMOJI + "--discriminator-norm none "
# What is added to `python -m train.gan`: what differs from the defaults.
RECIPES = {
    "mnist as before": PLAIN,
    "mnist r1": PLAIN + "--discriminator-norm none --penalty r1 --penalty-weight 0.25 --beta-1 0 "
    "--discriminator-learning-rate 5e-4",
    "mnist spectral": PLAIN + "--discriminator-norm spectral --discriminator-learning-rate 5e-4",
    "mnist labels": SHORT + "--filters 32 64",
    "mnist deep": SHORT + "--no-conditional",
    "mnist deep labels": SHORT,
    "mnist long labels": MNIST + "--epochs 5",
    "mnist longer labels": MNIST,
    "mnist long spectral": MNIST + "--epochs 5 --loss relativistic --discriminator-norm spectral "
    "--beta-1 0 --discriminator-learning-rate 5e-4",
    "digits as before": BATCH_NORM + "--no-conditional",
    "digits labels": BATCH_NORM,
    "digits short labels augmented": BATCH_NORM + "--epochs 40 --augment diff_augment",
    "digits short labels packed": BATCH_NORM + "--epochs 40 --packing 2",
    "digits labels packed": BATCH_NORM + "--packing 2",
    "digits packed 3": BATCH_NORM + "--packing 3",
    "digits packed slow D": BATCH_NORM + "--packing 2 --discriminator-learning-rate 2e-4",
    "digits relativistic": DIGITS
    + "--discriminator-norm none --penalty r1 r2 --penalty-weight 0.1",
    "digits spectral": DIGITS,
    "emoji": EMOJI,
    "emoji no augmentation": EMOJI.replace("diff_augment", "none"),
    "emoji adaptive": EMOJI.replace("diff_augment", "adaptive"),
    "emoji spectral": EMOJI + "--discriminator-norm spectral",
    "emoji r1": NO_NORM + "--penalty r1 --penalty-weight 1 --beta-1 0",
    "emoji r3gan loss": NO_NORM
    + "--loss relativistic --penalty r1 r2 --penalty-weight 1 --beta-1 0",
    "emoji hinge spectral": EMOJI + "--loss hinge --discriminator-norm spectral",
    "emoji wide": EMOJI.replace("32 64 128", "64 128 256"),
    "emoji slow D": EMOJI + "--discriminator-learning-rate 1e-4",
    "emoji long slow D": EMOJI.replace("600", "1500") + "--discriminator-learning-rate 1e-4",
    "emoji batch 64": EMOJI.replace("600", "1200") + "--batch-size 64",
    "emoji short average": EMOJI + "--ema 0.99",
    "emoji no flip": EMOJI.replace("--flip ", ""),
}
SCORES = (
    *("confident", "least_class", "most_class", "frechet_ratio", "precision", "recall"),
    *("real_precision", "real_recall", "accuracy"),
)
HEADER = (
    *("data", "recipe", "settings", "backend", "seed", "steps", "seconds", "ms_per_step"),
    *SCORES,
)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m train.study", description=__doc__)
    add = parser.add_argument
    add("recipe", nargs="*", help="default: all")
    add("--seed", type=options.seed, nargs="+", default=[0])
    add("--data-dir", type=options.folder_name, help="where TFDS keeps data sets")
    add("--images", type=pathlib.Path, help="folder of images in folders, for the emoji recipes")
    add("--pictures", type=pathlib.Path, help="folder for a grid of each run")
    args = parser.parse_args(argv)
    names = args.recipe or list(RECIPES)
    if unknown := [name for name in names if name not in RECIPES]:
        parser.error(f"there is no recipe {unknown[0]!r}. There are {', '.join(RECIPES)}")
    if not args.images and (needy := [name for name in names if "{images}" in RECIPES[name]]):
        parser.error(f"the recipe {needy[0]!r} needs --images FOLDER")
    for name in names:
        for seed in args.seed:
            words = [word.format(images=args.images) for word in RECIPES[name].split()]
            run(name, words, seed, args)


def run(name, words, seed, args):
    """Train and score, and append the row, unless it is there."""
    environment.quiet_tensorflow()
    import keras

    settings = gan.make_parser().parse_args(words)
    gan.settle(settings)
    key = {"data": pathlib.Path(settings.dataset).name, "recipe": name}
    key |= {"settings": describe(settings)}
    key |= {"backend": keras.config.backend(), "seed": str(seed)}
    trained = functools.partial(train_and_score, name, words, seed, settings, args)
    print(studies.row_of(PAGE, HEADER, key, trained), flush=True)


def train_and_score(name, words, seed, settings, args):
    """Return the steps, seconds and scores of a run."""
    import keras

    data = {"data_dir": args.data_dir}
    folder = ["--data-dir", args.data_dir] if args.data_dir else []
    with tempfile.TemporaryDirectory() as out:
        begin = time.perf_counter()
        gan.main([*words, *folder, "--seed", str(seed), "--out", f"{out}/run"])
        seconds = time.perf_counter() - begin
        model = keras.saving.load_model(f"{out}/run/model.keras")
    steps = int(model.optimizer.generator.iterations)
    *_, labels = load(settings.dataset, **data)
    images = sample(model, settings.ema is not None, labels)
    if args.pictures:
        draw(args.pictures / f"{name.replace(' ', '_')}_{seed}.png", images)
    row = {"steps": steps, "seconds": round(seconds)}
    row |= {"ms_per_step": round(1000 * seconds / steps, 1)}
    return row | score(settings.dataset, images, **data)


def describe(settings):
    """Return all settings that a recipe may have, in one line, and what its samples are asked for.

    y=real: the labels of real images. In the first rows of the table y=even: each class as often.
    """
    names = dict.fromkeys([*recipes.DEFAULTS["images"], "ema", "penalty_weight"])
    values = {name: getattr(settings, name) for name in names}
    if settings.conditional:
        values["y"] = "real"
    return " ".join(
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in values.items()
    )


def sample(model, ema, labels, seed=0):
    """Return a sample of a GAN for each label; labels mean nothing to one without classes."""
    y = {} if model.num_classes is None else {"y": labels}
    return model.sample(len(labels), ema=ema, seed=seed, **y)


def draw(path, images):
    """Write a PNG of the first hundred."""
    import keras_gen as kg

    kg.callbacks.save_png(path, kg.callbacks.image_grid(images[:100], columns=10))


def score(dataset, fake, **data):
    """Return the scores of samples next to as many held-out images, rounded."""
    import keras_gen as kg

    train, test, real, _ = load(dataset, **data)
    classifier = kg.features.Classifier.fit(train.x, train.y, test.x, test.y)
    names = "frechet", "precision", "recall"
    result = kg.metrics.quality(real, fake, classifier, metrics=names)
    shown = classifier.probabilities(fake), classifier.probabilities(test.x)
    confidence = kg.metrics.confident_share(*shown)
    values = {
        **{name: confidence[name] for name in ("confident", "least_class", "most_class")},
        **{name: result[name] for name in ("frechet_ratio", "precision", "recall")},
        "real_precision": result.floors["precision"][0],
        "real_recall": result.floors["recall"][0],
        "accuracy": classifier.accuracy,
    }
    return {name: round(value, 4) for name, value in values.items()}


@functools.cache
def load(dataset, **data):
    """Return training and test data, the real images to compare with, and labels for samples."""
    import numpy as np

    import keras_gen as kg

    if options.is_path(dataset):
        path = pathlib.Path(dataset)
        has_folders = any(child.is_dir() for child in path.iterdir())
        return load_folder(path) if has_folders else load_category(path)
    train, test = kg.data.load(dataset, labels=True, **data)
    # The digits have too few test images for a distance.
    sets = [test] if len(test.x) >= 5000 else [train, test]
    real, y = (np.concatenate([getattr(data, name) for data in sets]) for name in ("x", "y"))
    n = len(real) // 2
    real, y = real[: 2 * n], y[: 2 * n]
    # Those of the half of the real images that samples are in the place of: `quality`'s seed is 0.
    return train, test, real, y[np.random.default_rng(0).permutation(2 * n)[n:]]


def load_folder(path, size=32):
    """Return what `load` does for a folder of images in folders."""
    import numpy as np

    import keras_gen as kg

    train, test = kg.data.folder(path, size=size)
    real = np.concatenate([data.x for data in (train, test)])
    return train, test, real, np.zeros(len(real) // 2, int)


def load_category(path, size=32):
    """Return what `load` does for one folder among others: their names are the classes.

    So few images make few rows: five times as many samples as half of them, for five draws.
    """
    import numpy as np

    import keras_gen as kg

    train, test = kg.data.folder(path.parent, size=size)
    sets = kg.data.folder(path, size=size, labels=False)
    real = np.concatenate([data.examples(range(data.num_examples)) for data in sets])
    return train, test, real, np.zeros(5 * (len(real) // 2), int)


if __name__ == "__main__":
    main()
