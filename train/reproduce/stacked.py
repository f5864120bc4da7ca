"""Stacked MNIST with small networks: how many of the 1,000 modes do samples have?

Every run appends a row to docs/studies/stacked.csv, and one that has a row there is not repeated.
"""

import functools
import pathlib
import time

from train import studies, study
from train.benchmark import processes
from train.reproduce.rows import AtLeast, AtMost

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "stacked.csv"
PICTURES = FILE.with_suffix("")
SEEDS = 3
LATENT_DIM, BATCH_SIZE, EPOCHS = 256, 128, 20  # Of 128,000 stacks.
G_RATE, D_RATE, BETA_1, EMA = 1e-3, 4e-3, 0.5, 0.999
MEASURED = ("modes", "mode_kl", "classifier_accuracy")
COLUMNS = ("recipe", "backend", "seed", "machine", "seconds", *MEASURED)


def stacked(seed, **data):
    """Modes of 1,000 and their KL, of samples of Stacked MNIST by small networks, three seeds."""
    rows = []
    for i in range(seed, seed + SEEDS):
        found = run(i, data)
        # PacGAN, table 3: 867 modes and a KL of .90 by packing 3, with such networks.
        rows.append(AtLeast(f"seed {i}", "modes of 1,000", int(found["modes"]), 950))
        rows.append(AtMost(f"seed {i}", "KL over modes, nats", float(found["mode_kl"]), 0.5))
    return rows


def run(seed, data):
    """Return the row of the file for one run."""
    import keras

    key = {
        "recipe": f"relativistic, batch norm, batch={BATCH_SIZE} z={LATENT_DIM} Adam {G_RATE} "
        f"{D_RATE} beta_1={BETA_1} ema={EMA} epochs={EPOCHS}",
        "backend": keras.config.backend(),
        "seed": str(seed),
    }
    return studies.row_of(FILE, COLUMNS, key, functools.partial(train, seed, data))


def train(seed, data):
    """Train and draw, and return the machine, the seconds and the modes of 26,000 samples."""
    import keras

    import keras_gen as kg
    from train import digit_modes

    keras.utils.set_random_seed(seed)
    stacks = kg.data.stacked_mnist(batch_size=BATCH_SIZE, seed=seed, **data)
    gan = kg.GAN(*players(), latent_dim=LATENT_DIM, loss="relativistic", seed=seed)
    falls = functools.partial(
        keras.optimizers.schedules.CosineDecay, decay_steps=EPOCHS * len(stacks)
    )
    gan.compile(
        keras.optimizers.Adam(falls(G_RATE), BETA_1, use_ema=True, ema_momentum=EMA),
        keras.optimizers.Adam(falls(D_RATE), BETA_1),
    )
    begin = time.perf_counter()
    gan.fit(stacks, epochs=EPOCHS, verbose=2)
    seconds = time.perf_counter() - begin
    samples = gan.sample(digit_modes.SAMPLES, ema=True, seed=seed)
    study.draw(PICTURES / f"{keras.config.backend()}_{seed}.png", samples)
    row = {"machine": processes.machine(), "seconds": round(seconds)}
    found = digit_modes.of_images(samples, **data)
    return row | {name: round(value, 4) for name, value in found.items()}


def players():
    """Return networks of the sizes of Metz et al. (2017), with a D of half the channels of G."""
    import keras
    from keras import layers

    import keras_gen as kg

    def twice(filters):
        yield layers.Conv2DTranspose(filters, 3, strides=2, padding="same", use_bias=False)
        yield kg.layers.BatchNormalization()
        yield layers.ReLU()

    def half(filters):
        yield layers.Conv2D(filters, 3, strides=2, padding="same")
        if filters > 4:
            yield kg.layers.BatchNormalization()
        yield layers.LeakyReLU(0.3)

    generator = keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            layers.Dense(4 * 4 * 64, use_bias=False),
            kg.layers.BatchNormalization(),
            layers.ReLU(),
            layers.Reshape((4, 4, 64)),
            *twice(32),
            layers.Cropping2D(((0, 1), (0, 1))),
            *twice(16),
            *twice(8),
            layers.Conv2D(3, 3, padding="same", activation="sigmoid"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 3)),
            *half(4),
            *half(8),
            *half(16),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    return generator, discriminator
