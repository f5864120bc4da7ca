"""The cases that are timed: models, sizes, data, and the ratios that the project promises."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and the data of one round, which is one pass over `steps` batches.

    A round of a likelihood is one pass over `batch` images. Models without `filters` are dense.
    """

    about: str
    batch: int
    steps: int
    latent_dim: int = 20
    hidden: tuple = ()
    filters: tuple = ()
    d_steps: int = 1
    num_samples: int = 1
    best_bar: float | None = None

    @property
    def examples(self):
        return self.batch * self.steps * self.d_steps

    def default_bar(self, backend):
        """Return the least ratio promised between the plain loop and a default `fit`."""
        return 0.6 if self.hidden and backend != "jax" else 0.8


CASES = {
    "mlp_vae": Case(
        "VAE 784-400-20, batch 128, Adam", batch=128, steps=200, hidden=(400,), best_bar=0.95
    ),
    "conv_vae": Case(
        "VAE, 3x3 convolutions with 32 and 64 filters, batch 64, Adam",
        batch=64,
        steps=200,
        filters=(32, 64),
        best_bar=0.95,
    ),
    "pythae_vae": Case(
        "pythae's VAE, 784-512-20, batch 128, Adam", batch=128, steps=200, hidden=(512,)
    ),
    "dcgan": Case(
        "DCGAN, 5x5 convolutions with 64 and 128 filters, batch 64, two Adams",
        batch=64,
        steps=30,
        latent_dim=64,
        filters=(64, 128),
        best_bar=0.95,
    ),
    "wgan_gp": Case(
        "the same with layer norm and gradient penalty, 5 critic updates a step",
        batch=64,
        steps=10,
        latent_dim=64,
        filters=(64, 128),
        d_steps=5,
        best_bar=0.9,
    ),
    "iwae": Case(
        "IWAE 784-200-200-50, 50 draws, batch 20, Adam",
        batch=20,
        steps=60,
        latent_dim=50,
        hidden=(200, 200),
        num_samples=50,
    ),
    "nll": Case(
        "log-likelihood under 784-200-200-50, 5,000 draws an image; times are for one image",
        batch=50,
        steps=1,
        latent_dim=50,
        hidden=(200, 200),
        num_samples=5_000,
    ),
}


def sized(name, quick):
    """Return a case; a quick one has rounds of two batches, or two images."""
    small = {"batch" if name == "nll" else "steps": 2} if quick else {}
    return dataclasses.replace(CASES[name], **small)


def data(case, seed=0):
    """Return random pictures, (examples, 28, 28, 1), black and white where there are draws."""
    x = np.random.default_rng(seed).random((case.examples, 28, 28, 1), "float32")
    return (x < 0.2).astype("float32") if case.num_samples > 1 else x


def batches(x, size):
    """Yield one epoch of the loops by hand: NumPy arrays, shuffled."""
    order = np.random.permutation(len(x))
    return (x[order[start : start + size]] for start in range(0, len(x), size))
