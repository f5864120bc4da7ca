"""A ring at batch 64 with and without minibatch discrimination: a setting in which it helps.

Every run appends a row to docs/studies/minibatch.csv, and one that has a row there is not repeated.
"""

import functools
import pathlib
import time

from train import studies
from train.reproduce.rows import AtLeast

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "minibatch.csv"
KERNELS = (10, 5)  # num_kernels, kernel_dim
STEPS, BATCH_SIZE, LATENT_DIM, WIDTH, SIGMA = 2500, 64, 16, 128, 0.1
RATE, BETA_1 = 5e-4, 0.5
MEASURED = ("modes", "modes_near", "high_quality", "mode_kl")
COLUMNS = ("recipe", "kernels", "backend", "seed", "steps", "seconds", *MEASURED)
SEEDS = 3


def minibatch(seed, **data):
    """Modes of a ring with and without minibatch discrimination in D, three seeds."""
    rows = []
    for i in range(seed, seed + SEEDS):
        without, with_it = (int(run(kernels, i)["modes"]) for kernels in (None, KERNELS))
        rows.append(
            AtLeast(
                f"seed {i}", "modes with discrimination (expected: those without)", with_it, without
            )
        )
    return rows


def run(kernels, seed):
    """Return the row of the file for one run."""
    import keras

    key = {
        "recipe": f"non_saturating ring(radius=2, sigma={SIGMA}) batch={BATCH_SIZE} z={LATENT_DIM} "
        f"hidden={WIDTH},{WIDTH} Adam {RATE} beta_1={BETA_1}",
        "kernels": str(kernels),
        "backend": keras.config.backend(),
        "seed": str(seed),
    }
    return studies.row_of(FILE, COLUMNS, key, functools.partial(train, kernels, seed))


def train(kernels, seed):
    """Train, and return the steps, seconds and numbers of 2,500 samples."""
    import keras

    import keras_gen as kg

    keras.utils.set_random_seed(seed)
    settings = {"radius": 2.0, "sigma": SIGMA, "batch_size": BATCH_SIZE, "seed": seed}
    points = kg.data.ring(STEPS * BATCH_SIZE, **settings)
    gan = kg.GAN(*players(kernels), latent_dim=LATENT_DIM, seed=seed)
    gan.compile(*(keras.optimizers.Adam(RATE, BETA_1) for _ in range(2)))
    begin = time.perf_counter()
    gan.fit(points, verbose=0)
    seconds = time.perf_counter() - begin
    samples = gan.sample(2500, seed=seed)
    coverage = kg.metrics.mode_coverage(samples, points.centres, points.sigma)
    numbers = {name: f"{coverage[name]:.4g}" for name in MEASURED}
    return {"steps": STEPS, "seconds": round(seconds), **numbers}


def players(kernels):
    """Return the generator, and the discriminator with so many kernels before its last layer."""
    import keras
    from keras import layers

    import keras_gen as kg

    def hidden():
        return [layers.Dense(WIDTH, activation="relu") for _ in range(2)]

    closeness = [] if kernels is None else [kg.layers.MinibatchDiscrimination(*kernels)]
    generator = keras.Sequential([keras.Input((LATENT_DIM,)), *hidden(), layers.Dense(2)])
    discriminator = keras.Sequential([keras.Input((2,)), *hidden(), *closeness, layers.Dense(1)])
    return generator, discriminator
