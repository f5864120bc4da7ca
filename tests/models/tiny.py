"""Tiny models for the contract tests: one builder a row. A new model adds its row here."""

import keras
import numpy as np

import keras_gen as kg

IMAGE_SHAPE = (8, 8, 1)


def images(n=20, shape=IMAGE_SHAPE, seed=0):
    return np.random.default_rng(seed).random((n, *shape), dtype="float32")


def sgd():
    return keras.optimizers.SGD(0.01)


def autoencoder(**kwargs):
    return kg.Autoencoder(*kg.networks.mlp_autoencoder(IMAGE_SHAPE, 3, hidden=(6,)), **kwargs)


def vae(**kwargs):
    return kg.VAE(*kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,)), seed=1, **kwargs)


def conv_vae(**kwargs):
    networks = kg.networks.conv_vae(IMAGE_SHAPE, 3, filters=(4, 6))
    return kg.VAE(*networks, seed=1, **kwargs)


def scheduled_vae():
    """With a weight in the likelihood, and a beta that grows."""
    return vae(
        likelihood=kg.likelihoods.Gaussian(0.5, learn_sigma=True),
        beta=keras.optimizers.schedules.PolynomialDecay(0.1, 10, 1.0),
    )


def regular_vae():
    """With everything that keeps state: dropout, batch norm, a regulariser."""
    x = keras.Input(IMAGE_SHAPE)
    h = keras.layers.Flatten()(x)
    h = keras.layers.Dense(6, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01))(h)
    h = keras.layers.BatchNormalization()(h)
    h = keras.layers.Dropout(0.3, seed=5)(h)
    encoder = keras.Model(x, [keras.layers.Dense(3)(h), keras.layers.Dense(3)(h)])
    _, decoder = kg.networks.mlp_vae(IMAGE_SHAPE, 3, hidden=(6,))
    return kg.VAE(encoder, decoder, seed=1)


MODELS = [autoencoder, vae, conv_vae, scheduled_vae, regular_vae]
