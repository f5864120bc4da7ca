"""VAEs and GANs for Keras 3, on TensorFlow, JAX and PyTorch."""

from keras_gen import (
    backend,
    callbacks,
    data,
    layers,
    likelihoods,
    losses,
    metrics,
    models,
    networks,
    optimizers,
)
from keras_gen.models import (
    GAN,
    VAE,
    WGAN,
    Autoencoder,
    ConditionalGAN,
    ConditionalVAE,
    DenoisingAutoencoder,
    DenoisingVAE,
)
from keras_gen.ppca import PPCA

__version__ = "0.1.0"

__all__ = [
    "GAN",
    "VAE",
    "WGAN",
    "PPCA",
    "Autoencoder",
    "ConditionalGAN",
    "ConditionalVAE",
    "DenoisingAutoencoder",
    "DenoisingVAE",
    "backend",
    "callbacks",
    "data",
    "layers",
    "likelihoods",
    "losses",
    "metrics",
    "models",
    "networks",
    "optimizers",
]
