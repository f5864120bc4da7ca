"""pythae's VAE with its convolutional networks for MNIST, and two of its samplers."""

import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
from pythae.samplers import (
    GaussianMixtureSampler,
    GaussianMixtureSamplerConfig,
    NormalSampler,
)


def vae(seed):
    """Train with the settings of its scripts for MNIST."""
    torch.manual_seed(seed)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="mse")
    model = VAE(config, Encoder_Conv_VAE_MNIST(config), Decoder_Conv_AE_MNIST(config))
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    seen = []  # The mixture is fitted to the codes of images that were trained on.

    def step(x, y):
        x = torch.from_numpy(x).permute(0, 3, 1, 2)
        if len(seen) < 100:
            seen.append(x)
        loss = model({"data": x}).loss
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    def draw(labels):
        model.eval()
        mixture = GaussianMixtureSampler(model, GaussianMixtureSamplerConfig(n_components=10))
        mixture.fit(torch.cat(seen))
        samplers = {"N(0, I)": NormalSampler(model), "mixture of 10": mixture}
        return {name: images(sampler, len(labels)) for name, sampler in samplers.items()}

    return 100, step, draw


def images(sampler, n):
    return np.ascontiguousarray(sampler.sample(n).cpu().permute(0, 2, 3, 1))
