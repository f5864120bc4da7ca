"""Networks of the IWAE paper: Burda et al. (2016), https://arxiv.org/abs/1509.00519."""

import keras
from keras import layers

from keras_gen.networks.mlp import mlp_vae
from keras_gen.networks.posterior import posterior_outputs


def burda_vae(image_shape=(28, 28, 1), mean_image=None):
    """Build encoder and decoder with one stochastic layer: x-200-200-z 50 and back, with tanh.

    Args:
        image_shape: Shape of one example, of any rank.
        mean_image: As in `mlp_vae`; the paper starts from the mean of the training images.

    Returns:
        `(encoder, decoder)`, for `VAE`, `IWAE` and `DReGIWAE`.

    Example:

    ```python
    iwae = kg.IWAE(*kg.networks.burda_vae(mean_image=x.mean(0)), num_samples=50)
    ```
    """
    return mlp_vae(image_shape, 50, (200, 200), activation="tanh", mean_image=mean_image)


def burda_two_layer_vae(image_shape=(28, 28, 1), mean_image=None):
    """Build networks with two stochastic layers, with tanh.

    They go x-200-200-z 100-100-100-z_top 50, and back.

    Args:
        image_shape, mean_image: As in `burda_vae`.

    Returns:
        `(encoder, decoder, top_encoder, top_decoder)`, for `TwoLayerIWAE`.

    Example:

    ```python
    model = kg.TwoLayerIWAE(*kg.networks.burda_two_layer_vae(mean_image=x.mean(0)))
    ```
    """
    encoder, decoder = mlp_vae(
        image_shape, 100, (200, 200), activation="tanh", mean_image=mean_image
    )
    top_encoder = normal_network(100, 50, (100, 100), "tanh", name="top_encoder")
    top_decoder = normal_network(50, 100, (100, 100), "tanh", name="top_decoder")
    return encoder, decoder, top_encoder, top_decoder


def normal_network(inputs, outputs, hidden, activation, name):
    """Build a Keras model of vectors, (batch, inputs) -> (mean, log_var), each (batch, outputs)."""
    z = h = keras.Input((inputs,), name="z")
    for width in hidden:
        h = layers.Dense(width, activation=activation)(h)
    return keras.Model(z, posterior_outputs(h, outputs), name=name)
