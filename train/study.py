"""Train GANs of images by several recipes, and keep one row of scores for each run.

A run that is already in the table is not repeated: start again after a stop.
"""

import argparse
import csv
import pathlib
import tempfile
import time

from train import environment, gan, options, recipes

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "studies" / "gan_images.csv"
MNIST, DIGITS = "--dataset mnist --sample-every 50 ", "--sample-every 500 "
SHORT = MNIST + "--epochs 2 --ema 0.995 "
PLAIN = SHORT + "--no-conditional --filters 32 64 "
# What is added to `python -m train.gan`: what differs from the defaults.
RECIPES = {
    "mnist as before": PLAIN,
    "mnist r1": PLAIN + "--discriminator-norm none --penalty r1 --penalty-weight 0.25 --beta-1 0 "
    "--discriminator-learning-rate 5e-4",
    "mnist spectral": PLAIN + "--discriminator-norm spectral --discriminator-learning-rate 5e-4",
    "mnist labels": SHORT + "--filters 32 64",
    "mnist deep": SHORT + "--no-conditional",
    "mnist deep labels": SHORT,
    "mnist long labels": MNIST,
    "digits as before": DIGITS + "--no-conditional --packing 1",
    "digits labels": DIGITS + "--packing 1",
    "digits short labels augmented": DIGITS + "--epochs 40 --augment diff_augment",
    "digits short labels packed": DIGITS + "--epochs 40",
    "digits labels packed": DIGITS,
}
HEADER = (
    *("data", "recipe", "settings", "backend", "seed", "steps", "seconds", "ms_per_step"),
    *("confident", "least_class", "most_class", "frechet_ratio", "precision", "recall"),
    *("real_precision", "real_recall", "accuracy"),
)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m train.study", description=__doc__)
    add = parser.add_argument
    add("recipe", nargs="*", help="default: all")
    add("--seed", type=options.seed, nargs="+", default=[0])
    add("--data-dir", type=options.folder_name, help="where TFDS keeps data sets")
    add("--pictures", type=pathlib.Path, help="folder for a grid of each run")
    args = parser.parse_args(argv)
    for name in args.recipe or RECIPES:
        for seed in args.seed:
            run(name, RECIPES[name], seed, args)


def run(name, typed, seed, args):
    """Train and score, and append the row, unless it is there."""
    environment.quiet_tensorflow()
    import keras

    import keras_gen as kg

    settings = gan.make_parser().parse_args(typed.split())
    gan.settle(settings)
    key = {"data": settings.dataset, "recipe": name, "settings": describe(settings)}
    key |= {"backend": keras.config.backend(), "seed": str(seed)}
    if any(key.items() <= row.items() for row in rows()):
        return
    folder = ["--data-dir", args.data_dir] if args.data_dir else []
    with tempfile.TemporaryDirectory() as out:
        begin = time.perf_counter()
        gan.main([*typed.split(), *folder, "--seed", str(seed), "--out", f"{out}/run"])
        seconds = time.perf_counter() - begin
        model = keras.saving.load_model(f"{out}/run/model.keras")
    steps = int(model.optimizer.generator.iterations)
    images, scores = score(settings.dataset, model, settings.ema is not None, args.data_dir)
    row = {**key, "steps": steps, "seconds": round(seconds)}
    row |= {"ms_per_step": round(1000 * seconds / steps, 1)}
    row |= {name: round(value, 4) for name, value in scores.items()}
    with open(PAGE, "a", newline="") as file:
        table = csv.DictWriter(file, HEADER)
        if not file.tell():
            table.writeheader()
        table.writerow(row)
    print(row, flush=True)
    if args.pictures:
        picture = kg.callbacks.image_grid(images[:100], columns=10)
        kg.callbacks.save_png(args.pictures / f"{name.replace(' ', '_')}_{seed}.png", picture)


def describe(settings):
    """Return all settings that a recipe may have, in one line."""
    names = dict.fromkeys([*recipes.DEFAULTS["images"], "ema", "penalty_weight"])
    values = {name: getattr(settings, name) for name in names}
    return " ".join(
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in values.items()
    )


def rows():
    if not PAGE.exists():
        return []
    with open(PAGE, newline="") as file:
        return list(csv.DictReader(file))


def score(dataset, model, ema, data_dir):
    """Return samples of a GAN, and their scores next to held-out images."""
    import numpy as np

    import keras_gen as kg

    train, test = kg.data.load(dataset, labels=True, data_dir=data_dir)
    classifier = kg.features.Classifier.fit(train.x, train.y, test.x, test.y)
    # The digits have too few test images for a distance.
    sets = [test] if len(test.x) >= 5000 else [train, test]
    real, y = (np.concatenate([getattr(data, name) for data in sets]) for name in ("x", "y"))
    order = np.random.default_rng(0).permutation(len(real))
    real, y = real[order], y[order]
    n = len(real) // 2
    labels = {} if model.num_classes is None else {"y": y[n : 2 * n]}
    fake = model.sample(n, ema=ema, seed=0, **labels)
    a, b, f = classifier(real[:n]), classifier(real[n : 2 * n]), classifier(fake)
    shown = classifier.probabilities(fake), classifier.probabilities(test.x)
    confidence = kg.metrics.confident_share(*shown)
    distance = kg.metrics.frechet_distance
    floor = kg.metrics.precision_recall(a, b)
    return fake, {
        **{name: confidence[name] for name in ("confident", "least_class", "most_class")},
        "frechet_ratio": distance(a, f) / distance(a, b),
        **kg.metrics.precision_recall(a, f),
        "real_precision": floor["precision"],
        "real_recall": floor["recall"],
        "accuracy": classifier.accuracy,
    }


if __name__ == "__main__":
    main()
