"""Ready-made networks, as Keras functional models: they output parameters, never squashed."""

from keras_gen.networks.conv import conv_autoencoder, conv_vae
from keras_gen.networks.mlp import mlp_autoencoder, mlp_vae

__all__ = ["conv_autoencoder", "conv_vae", "mlp_autoencoder", "mlp_vae"]
