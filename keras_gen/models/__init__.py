"""Generative models: one file per paper, the algorithm from top to bottom."""

from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.gan import GAN
from keras_gen.models.vae import VAE

__all__ = ["GAN", "VAE", "Autoencoder"]
