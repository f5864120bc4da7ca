"""A GAN of 200 MNIST images with and without adaptive augmentation, at equal steps.

Every finished run is a row of docs/studies/few_images.csv, and is not repeated.
"""

import functools
import pathlib
import time

from train import studies
from train.reproduce.rows import AtMost

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "few_images.csv"
IMAGES, STEPS, BATCH_SIZE, LATENT_DIM, FILTERS = 200, 3000, 50, 32, (32, 64)
RATE, BETA_1, EMA = 3e-4, 0.5, 0.995
# Not those that make another digit: a mirrored 2, a 6 upside down.
TRANSFORMS = ("translation", "scaling", "color")
RAMP_IMAGES = 20_000
MEASURED = ("p", "gap", "frechet_ratio", "precision", "recall")
COLUMNS = ("recipe", "augment", "backend", "seed", "seconds", *MEASURED)
SEEDS = 3


def few_images(seed, **data):
    """A GAN of 200 MNIST images with adaptive augmentation next to none, three seeds."""
    rows = []
    for i in range(seed, seed + SEEDS):
        none, adaptive = (run(name, i, data) for name in ("none", "adaptive"))
        gap, ratio = (
            [float(row[name]) for row in (adaptive, none)] for name in ("gap", "frechet_ratio")
        )
        rows.append(
            AtMost(
                f"seed {i}",
                "D(training) - D(held out) (expected: half of that without augmentation)",
                gap[0],
                gap[1] / 2,
            )
        )
        rows.append(
            AtMost(f"seed {i}", "Fréchet ratio (expected: that without augmentation)", *ratio)
        )
    return rows


def run(augment, seed, data):
    """Return the row of the file for one run."""
    import keras

    transforms = f" {','.join(TRANSFORMS)} ramp_images={RAMP_IMAGES}"
    key = {
        "recipe": f"dcgan {FILTERS} images={IMAGES} steps={STEPS} batch={BATCH_SIZE} "
        f"z={LATENT_DIM} Adam {RATE} beta_1={BETA_1} ema={EMA}",
        "augment": augment + transforms * (augment != "none"),
        "backend": keras.config.backend(),
        "seed": str(seed),
    }
    return studies.row_of(FILE, COLUMNS, key, functools.partial(train, augment, seed, data))


def train(augment, seed, data):
    """Train on the first images of an order of its own, and return seconds and numbers."""
    import keras
    import numpy as np

    import keras_gen as kg

    keras.utils.set_random_seed(seed)
    full, test = kg.data.load("mnist", labels=True, **data)
    few = full.x[np.random.default_rng(seed).permutation(len(full.x))[:IMAGES]]
    adaptive = kg.augment.Adaptive(transforms=TRANSFORMS, ramp_images=RAMP_IMAGES)
    networks = kg.networks.dcgan((28, 28, 1), LATENT_DIM, filters=FILTERS)
    gan = kg.GAN(
        *networks,
        latent_dim=LATENT_DIM,
        augment=adaptive if augment == "adaptive" else None,
        seed=seed,
    )
    averages = {"use_ema": True, "ema_momentum": EMA}
    gan.compile(
        keras.optimizers.Adam(RATE, BETA_1, **averages), keras.optimizers.Adam(RATE, BETA_1)
    )
    images = kg.data.ArrayDataset(few, batch_size=BATCH_SIZE, seed=seed)
    begin = time.perf_counter()
    gan.fit(images, epochs=STEPS // len(images), verbose=0)
    seconds = time.perf_counter() - begin
    known, held_out = (
        float(np.mean(gan.discriminator.predict(x, verbose=0))) for x in (few, test.x[:2000])
    )
    classifier = kg.features.Classifier.fit(full.x, full.y, test.x, test.y)
    fake = gan.sample(len(test.x) // 2, ema=True, seed=seed)
    names = "frechet", "precision", "recall"
    result = kg.metrics.quality(test.x, fake, classifier, metrics=names, draws=1)
    numbers = {"p": float(adaptive.p), "gap": known - held_out}
    numbers |= {name: result[name] for name in MEASURED[2:]}
    return {"seconds": round(seconds), **{name: f"{n:.4g}" for name, n in numbers.items()}}
