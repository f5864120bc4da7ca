"""Residual encoder and decoder with group normalisation, for colour images."""

import math

import keras
from keras import layers

from keras_gen.arguments import check_integer
from keras_gen.dtypes import output_dtype
from keras_gen.networks import labels
from keras_gen.networks.mean_image import initial_bias
from keras_gen.networks.posterior import check_sizes, posterior_outputs
from keras_gen.networks.resnet import SAME, double_size, halve_size, stages

GROUPS = 8  # Of a normalisation, where they divide the channels.


def resnet_vae(
    image_shape,
    latent_dim,
    width=16,
    depth=1,
    attention=False,
    parameters_per_value=1,
    num_classes=None,
    mean_image=None,
    posterior="diagonal_normal",
):
    """Build a residual encoder and decoder of a VAE, for images such as 64x64 in colour.

    The encoder halves the resolution by averages until the shorter side is 4 to 7; the decoder
    doubles it by bilinear interpolation. At each resolution there are `depth` blocks,
    x + f(x), where f is group norm, SiLU and a 3x3 convolution, twice; the last convolution of
    a block starts at 0. The defaults are for a CPU.

    Args:
        image_shape: (height, width, channels), such as (64, 64, 3). Both sides are divisible by
            the power of two that makes the shorter one 4 to 7.
        latent_dim: Size of z.
        width: Channels at the resolution of the image, doubled at each coarser one, up to eight
            times as many.
        depth: Blocks at each resolution.
        attention: True adds self-attention after the blocks at 16x16, in both networks.
        parameters_per_value, num_classes, mean_image, posterior: As in `conv_vae`.

    Returns:
        `(encoder, decoder)`, with the inputs and outputs of those of `conv_vae`.

    Example:

    ```python
    networks = kg.networks.resnet_vae((32, 32, 3), latent_dim=64, parameters_per_value=2)
    vae = kg.VAE(*networks, likelihood=kg.likelihoods.DiscretizedLogistic())
    ```

    References:
        He et al. (2016), "Identity Mappings in Deep Residual Networks":
        https://arxiv.org/abs/1603.05027
        Wu and He (2018), "Group Normalization": https://arxiv.org/abs/1803.08494
    """
    image_shape, latent_dim = check_sizes(image_shape, latent_dim)
    width = check_integer("width", width)
    depth = check_integer("depth", depth)
    outputs = image_shape[-1] * check_integer("parameters_per_value", parameters_per_value)
    num_classes = labels.check_num_classes(num_classes)
    sizes = stages(image_shape, width)
    if attention and not any(16 in size[:2] for size in sizes):
        raise ValueError(
            f"`attention` is at a resolution of 16, and images of {image_shape[:2]} never have it. "
            f"Pass attention=False."
        )
    bias = initial_bias(mean_image, image_shape, parameters_per_value)
    return (
        _encoder(image_shape, latent_dim, sizes, depth, attention, num_classes, posterior),
        _decoder(outputs, latent_dim, sizes, depth, attention, num_classes, bias),
    )


def _encoder(image_shape, latent_dim, sizes, depth, attention, num_classes, posterior):
    inputs = h = keras.Input(image_shape, name="x")
    if num_classes is not None:
        y = labels.label_input(num_classes)
        inputs, h = [h, y], labels.append_planes(h, y, num_classes)
    h = layers.Conv2D(sizes[0][-1], 3, **SAME)(h)
    for size in sizes:
        h = h if size is sizes[0] else halve_size(h)
        h = _blocks(h, size, depth, attention)
    h = layers.Flatten(data_format="channels_last")(_activated(h))
    return keras.Model(inputs, posterior_outputs(h, latent_dim, posterior), name="encoder")


def _decoder(outputs, latent_dim, sizes, depth, attention, num_classes, bias):
    base = sizes[-1]
    inputs, h = labels.latent_input(latent_dim, num_classes)
    h = layers.Reshape(base)(layers.Dense(math.prod(base))(h))
    for size in reversed(sizes):
        h = h if size is base else double_size(h)
        h = _blocks(h, size, depth, attention)
    last = {"dtype": output_dtype(), "name": "parameters", **SAME}
    parameters = layers.Conv2D(outputs, 3, bias_initializer=bias, **last)(_activated(h))
    return keras.Model(inputs, parameters, name="decoder")


def _blocks(h, size, depth, attention):
    """Return h + f(h), `depth` times, and where the image is 16x16 what attention adds."""
    *sides, channels = size
    for _ in range(depth):
        f = layers.Conv2D(channels, 3, **SAME)(_activated(h))
        f = layers.Conv2D(channels, 3, kernel_initializer="zeros", **SAME)(_activated(f))
        if h.shape[-1] != channels:
            h = layers.Conv2D(channels, 1, **SAME)(h)
        h = layers.Add()([h, f])
    if not (attention and 16 in sides):
        return h
    f = layers.Reshape((math.prod(sides), channels))(_normalised(h))
    f = layers.MultiHeadAttention(1, channels)(f, f)
    return layers.Add()([h, layers.Reshape(size)(f)])


def _activated(h):
    return layers.Activation("silu")(_normalised(h))


def _normalised(h):
    # Keras's own serves: nothing takes a second derivative of a VAE.
    return layers.GroupNormalization(math.gcd(GROUPS, h.shape[-1]), epsilon=1e-5)(h)
