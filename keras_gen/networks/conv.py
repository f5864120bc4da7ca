"""Convolutional encoders and decoders for small images."""

import math

import keras
from keras import layers

from keras_gen.arguments import check_integer
from keras_gen.dtypes import output_dtype
from keras_gen.networks import labels
from keras_gen.networks.mean_image import initial_bias
from keras_gen.networks.posterior import check_halvings, check_sizes, code_output, posterior_outputs

HALVING = {"strides": 2, "padding": "same", "data_format": "channels_last"}


def conv_vae(
    image_shape,
    latent_dim,
    filters=(32, 64),
    activation="relu",
    parameters_per_value=1,
    num_classes=None,
    mean_image=None,
    posterior="diagonal_normal",
):
    """Build encoder and decoder of a VAE for images, such as 28x28 or 32x32, grey or colour.

    Every entry of `filters` is a 3x3 convolution of stride 2; the decoder mirrors it with
    transposed ones.

    Args:
        image_shape: (height, width, channels); both sides divisible by 2^len(filters).
        filters: Channels of the encoder's layers; the decoder mirrors them.
        latent_dim, activation, parameters_per_value, posterior: As in `mlp_vae`.
        num_classes: For a VAE with `num_classes`: both networks have an input for labels, as one
            channel a class next to x, and one-hot next to z.
        mean_image: For Bernoulli logits: the decoder's last bias, one a channel, starts at the
            logits of the mean over the pixels of this array, such as `x.mean(0)`; by default
            at 0.

    Returns:
        `(encoder, decoder)`: x -> (mean, log_var), each (batch, latent_dim), and
        z -> parameters, (batch, height, width, channels * parameters_per_value); with
        `num_classes` [x, y] and [z, y], y (batch,) integers.

    Example:

    ```python
    vae = kg.VAE(*kg.networks.conv_vae((32, 32, 3), latent_dim=64))
    ```
    """
    image_shape, latent_dim, filters = check_sizes(image_shape, latent_dim, filters=filters)
    num_classes = labels.check_num_classes(num_classes)
    inputs, h = _encoder_trunk(image_shape, filters, activation, num_classes)
    encoder = keras.Model(inputs, posterior_outputs(h, latent_dim, posterior), name="encoder")
    bias = initial_bias(mean_image, image_shape, parameters_per_value)
    return encoder, _decoder(
        image_shape, latent_dim, filters, activation, parameters_per_value, num_classes, bias
    )


def conv_autoencoder(
    image_shape, latent_dim, filters=(32, 64), activation="relu", parameters_per_value=1
):
    """Build encoder and decoder of a plain autoencoder: `conv_vae` with an encoder x -> z."""
    image_shape, latent_dim, filters = check_sizes(image_shape, latent_dim, filters=filters)
    check_halvings(image_shape, len(filters), "use `mlp_autoencoder`, or ")
    x, h = _encoder_trunk(image_shape, filters, activation)
    encoder = keras.Model(x, code_output(h, latent_dim), name="encoder")
    return encoder, _decoder(image_shape, latent_dim, filters, activation, parameters_per_value)


def _encoder_trunk(image_shape, filters, activation, num_classes=None):
    check_halvings(image_shape, len(filters))
    inputs = h = keras.Input(image_shape, name="x")
    if num_classes is not None:
        y = labels.label_input(num_classes)
        inputs, h = [h, y], labels.append_planes(h, y, num_classes)
    for channels in filters:
        h = layers.Conv2D(channels, 3, activation=activation, **HALVING)(h)
    return inputs, layers.Flatten(data_format="channels_last")(h)


def _decoder(
    image_shape,
    latent_dim,
    filters,
    activation,
    parameters_per_value,
    num_classes=None,
    bias="zeros",
):
    height, width, channels = image_shape
    factor = 2 ** len(filters)
    start = (height // factor, width // factor, filters[-1])
    parameters_per_value = check_integer("parameters_per_value", parameters_per_value)
    inputs, h = labels.latent_input(latent_dim, num_classes)
    h = layers.Dense(math.prod(start), activation=activation)(h)
    h = layers.Reshape(start)(h)
    for hidden_channels in reversed(filters[:-1]):
        h = layers.Conv2DTranspose(hidden_channels, 3, activation=activation, **HALVING)(h)
    parameters = layers.Conv2DTranspose(
        channels * parameters_per_value,
        3,
        **HALVING,
        bias_initializer=bias,
        dtype=output_dtype(),
        name="parameters",
    )(h)
    return keras.Model(inputs, parameters, name="decoder")
