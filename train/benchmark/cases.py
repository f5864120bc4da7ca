"""What is timed: the sizes that both sides build to, and how much arithmetic a step is."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Case:
    """One model and the data of one round.

    A round is one pass over `steps` batches; of the likelihood, over `batch` images.
    """

    about: str
    batch: int
    steps: int
    latent_dim: int = 20
    hidden: tuple = ()
    filters: tuple = ()
    d_steps: int = 1
    num_samples: int = 1

    @property
    def examples(self):
        return self.batch * self.steps * self.d_steps


CASES = {
    "mlp_vae": Case("VAE 784-400-20, batch 128, Adam", 128, 200, hidden=(400,)),
    "conv_vae": Case("VAE, 3x3 convolutions 32 and 64, batch 64, Adam", 64, 200, filters=(32, 64)),
    "pythae_vae": Case("pythae's VAE, 784-512-20, batch 128, Adam", 128, 200, hidden=(512,)),
    "dcgan": Case("DCGAN, 5x5, 64 and 128, batch 64, two Adams", 64, 30, 64, filters=(64, 128)),
    "wgan_gp": Case(
        "the same with layer norm and gradient penalty, 5 critic steps a step",
        *(64, 10, 64),
        filters=(64, 128),
        d_steps=5,
    ),
    "iwae": Case(
        "IWAE 784-200-200-50, k 50, batch 20, Adam", 20, 60, 50, (200, 200), num_samples=50
    ),
    "nll": Case(
        "log-likelihood of 784-200-200-50, 5,000 draws an image",
        *(50, 1, 50),
        hidden=(200, 200),
        num_samples=5_000,
    ),
}


def sized(name, steps=None):
    """A case, with other `steps` where they are given; of the likelihood so many images."""
    if steps is None:
        return CASES[name]
    return dataclasses.replace(CASES[name], **{"batch" if name == "nll" else "steps": steps})


def data(case, seed=0):
    """Random pictures, (examples, 28, 28, 1); black and white for the likelihoods of draws."""
    import numpy as np

    x = np.random.default_rng(seed).random((case.examples, 28, 28, 1), "float32")
    return (x < 0.2).astype("float32") if case.num_samples > 1 else x


def forward_flops(network):
    """Floating-point operations of one example through the dense and convolution layers."""
    from keras import layers

    total = 0
    for layer in network._flatten_layers():
        if isinstance(layer, layers.Dense):
            total += 2 * math.prod(layer.kernel.shape)
        elif isinstance(layer, layers.Conv2D):
            total += 2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
        elif isinstance(layer, layers.Conv2DTranspose):
            total += 2 * math.prod(layer.kernel.shape) * math.prod(layer.input.shape[1:3])
    return total


def step_flops(name, case, model):
    """Of one training step, or of one image's likelihood; a gradient costs two passes more."""
    if name == "nll":
        return forward_flops(model.encoder) + case.num_samples * forward_flops(model.decoder)
    if hasattr(model, "encoder"):
        encoder, decoder = forward_flops(model.encoder), forward_flops(model.decoder)
        return 3 * case.batch * (encoder + case.num_samples * decoder)
    G, D = forward_flops(model.generator), forward_flops(model.discriminator)
    # A critic's slope is one pass and its gradient; that of the penalty goes back over both.
    critic = G + 3 * 2 * D + (6 * D if model.penalties else 0)
    # The generator's gradient passes through the discriminator, not to its weights.
    return case.batch * (case.d_steps * critic + 3 * G + 2 * D)
