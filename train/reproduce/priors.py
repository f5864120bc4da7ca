"""Tomczak and Welling (2018): a VampPrior next to N(0, I), on fixed-binarised MNIST.

Every finished run is a row of docs/studies/priors.csv, and is not repeated.
"""

import functools
import math
import pathlib
import time

from train import studies
from train.benchmark import processes
from train.reproduce.rows import AtLeast, Row

FILE = pathlib.Path(__file__).parents[2] / "docs" / "studies" / "priors.csv"
K, LATENT_DIM, HIDDEN, EPOCHS, WARM_UP, BATCH_SIZE, RATE = 500, 40, 300, 100, 20, 100, 5e-4
NUM_SAMPLES, SEEDS = 5000, 2
COLUMNS = (
    *("recipe", "prior", "backend", "seed"),
    *("machine", "seconds", "elbo", "log_likelihood"),
)


def vamp(seed, **data):
    """What a VampPrior gains over N(0, I), in nats: 100 epochs, two seeds."""
    rows = []
    for i in range(seed, seed + SEEDS):
        normal, vamp = (
            float(run(name, i, data)["log_likelihood"]) for name in ("standard_normal", "vamp")
        )
        rows.append(Row(f"seed {i}", "NLL with N(0, I), nats", -normal, 88.56, 3.0))
        quantity = "NLL with N(0, I) minus NLL with the VampPrior, nats"
        rows.append(AtLeast(f"seed {i}", quantity, vamp - normal, 2.0))
    return rows


def run(prior, seed, data):
    """Return the row of the file for one run."""
    import keras

    key = {
        "recipe": f"gated {HIDDEN}-{HIDDEN} z={LATENT_DIM} epochs={EPOCHS} warm_up={WARM_UP} "
        f"batch={BATCH_SIZE} Adam {RATE} samples={NUM_SAMPLES}",
        "prior": f"vamp {K}" if prior == "vamp" else prior,
        "backend": keras.config.backend(),
        "seed": str(seed),
    }
    return studies.row_of(FILE, COLUMNS, key, functools.partial(train, prior, seed, data))


def train(prior, seed, data):
    """Train on the 50,000 training images; return the ELBO and log p(x) of the 10,000 of test."""
    import keras

    import keras_gen as kg

    train, test = kg.data.load("binarized_mnist", batch_size=BATCH_SIZE, seed=seed, **data)
    keras.utils.set_random_seed(seed)
    vae = kg.VAE(
        *networks(train.x.shape[1:]),
        beta=kg.schedules.LinearWarmUp(WARM_UP * len(train)),
        prior=kg.priors.VampPrior(K, seed=seed) if prior == "vamp" else prior,
        seed=seed,
    )
    vae.compile(keras.optimizers.Adam(RATE), jit_compile=True)
    begin = time.perf_counter()
    vae.fit(train, epochs=EPOCHS, shuffle=False, verbose=2)
    seconds = time.perf_counter() - begin
    elbo = vae.evaluate(test, return_dict=True, verbose=0)["elbo"]
    nats = vae.log_likelihood(test.x, num_samples=NUM_SAMPLES, verbose=0, seed=seed)
    return {
        "machine": processes.machine(),
        "seconds": round(seconds),
        "elbo": f"{elbo:.2f}",
        "log_likelihood": f"{nats.mean():.2f}",
    }


def networks(shape):
    """Return encoder and decoder with two hidden layers of gated units, W h + b times a gate."""
    import keras
    from keras import layers

    import keras_gen as kg

    x = keras.Input(shape)
    h = gated(gated(layers.Flatten()(x)))
    encoder = keras.Model(x, kg.networks.posterior_outputs(h, LATENT_DIM))
    z = keras.Input((LATENT_DIM,))
    h = layers.Dense(math.prod(shape))(gated(gated(z)))
    return encoder, keras.Model(z, layers.Reshape(shape)(h))


def gated(h):
    from keras import layers

    return layers.Multiply()([layers.Dense(HIDDEN)(h), layers.Dense(HIDDEN, "sigmoid")(h)])
