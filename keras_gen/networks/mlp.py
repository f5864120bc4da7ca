"""Fully connected encoders and decoders."""

import math

import keras
from keras import layers

from keras_gen.arguments import check_integer
from keras_gen.dtypes import output_dtype
from keras_gen.networks import labels
from keras_gen.networks.mean_image import initial_bias
from keras_gen.networks.posterior import check_sizes, code_output, posterior_outputs


def mlp_vae(
    image_shape,
    latent_dim,
    hidden=(500,),
    activation="relu",
    parameters_per_value=1,
    num_classes=None,
    mean_image=None,
    posterior="diagonal_normal",
):
    """Build encoder and decoder of a VAE; the default is the textbook's 784-500-z with ReLU.

    Args:
        image_shape: Shape of one example, such as (28, 28, 1); any rank, tables too.
        latent_dim: Size of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Activation of the hidden layers.
        parameters_per_value: Decoder outputs for every value of x, as the likelihood's
            attribute of that name says.
        num_classes: For a VAE with `num_classes`: both networks have an input for labels, one-hot
            next to x and z.
        mean_image: For Bernoulli logits: the decoder's last bias starts at the logits of this
            array of shape `image_shape`, such as `x.mean(0)`; by default at 0.
        posterior: That of the VAE, a layer of `kg.posteriors` or its name: the encoder gives what
            it needs, by `posterior_outputs`.

    Returns:
        `(encoder, decoder)`: x -> (mean, log_var), each (batch, latent_dim), and
        z -> parameters, (batch, *image_shape) with the last axis times parameters_per_value;
        with `num_classes` [x, y] and [z, y], y (batch,) integers.

    Example:

    ```python
    vae = kg.VAE(*kg.networks.mlp_vae((28, 28, 1), latent_dim=20, hidden=(400,)))
    ```

    Reference:
        Kingma and Welling (2014), section 5: one hidden layer of 500 units on MNIST.
    """
    image_shape, latent_dim, hidden = check_sizes(image_shape, latent_dim, hidden=hidden)
    num_classes = labels.check_num_classes(num_classes)
    inputs, h = _encoder_trunk(image_shape, hidden, activation, num_classes)
    encoder = keras.Model(inputs, posterior_outputs(h, latent_dim, posterior), name="encoder")
    bias = initial_bias(mean_image, image_shape, parameters_per_value)
    return encoder, _decoder(
        image_shape, latent_dim, hidden, activation, parameters_per_value, num_classes, bias
    )


def mlp_autoencoder(
    image_shape, latent_dim, hidden=(500,), activation="relu", parameters_per_value=1
):
    """Build encoder and decoder of a plain autoencoder: `mlp_vae` with an encoder x -> z."""
    image_shape, latent_dim, hidden = check_sizes(image_shape, latent_dim, hidden=hidden)
    x, h = _encoder_trunk(image_shape, hidden, activation)
    encoder = keras.Model(x, code_output(h, latent_dim), name="encoder")
    return encoder, _decoder(image_shape, latent_dim, hidden, activation, parameters_per_value)


def _encoder_trunk(image_shape, hidden, activation, num_classes=None):
    inputs = x = keras.Input(image_shape, name="x")
    h = layers.Flatten(data_format="channels_last")(x)
    if num_classes is not None:
        y = labels.label_input(num_classes)
        inputs, h = [x, y], labels.append_one_hot(h, y, num_classes)
    for width in hidden:
        h = layers.Dense(width, activation=activation)(h)
    return inputs, h


def _decoder(
    image_shape,
    latent_dim,
    hidden,
    activation,
    parameters_per_value,
    num_classes=None,
    bias="zeros",
):
    parameters_per_value = check_integer("parameters_per_value", parameters_per_value)
    inputs, h = labels.latent_input(latent_dim, num_classes)
    for width in reversed(hidden):
        h = layers.Dense(width, activation=activation)(h)
    h = layers.Dense(
        math.prod(image_shape) * parameters_per_value, bias_initializer=bias, dtype=output_dtype()
    )(h)
    output_shape = (*image_shape[:-1], image_shape[-1] * parameters_per_value)
    parameters = layers.Reshape(output_shape, dtype=output_dtype(), name="parameters")(h)
    return keras.Model(inputs, parameters, name="decoder")
