"""VAEs and GANs for Keras 3, on TensorFlow, JAX and PyTorch."""

import keras_gen.frameworks  # First: says what is missing where Keras fails.
from keras_gen import (
    augment,
    backend,
    callbacks,
    data,
    distribution,
    export,
    features,
    inference,
    layers,
    likelihoods,
    losses,
    metrics,
    models,
    networks,
    optimizers,
    posteriors,
    priors,
    saving,
    schedules,
)
from keras_gen.models import (
    GAN,
    IWAE,
    VAE,
    VAEGAN,
    VQGAN,
    VQVAE,
    WGAN,
    Autoencoder,
    DenoisingAutoencoder,
    DenoisingVAE,
    DReGIWAE,
    TwoLayerIWAE,
)
from keras_gen.ppca import PPCA
from keras_gen.runs import load_run

__version__ = "0.1.0"
