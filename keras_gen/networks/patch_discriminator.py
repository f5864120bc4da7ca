"""Discriminator of patches, with its features, for an autoencoder's game."""

import keras
from keras import layers

from keras_gen.arguments import check_integers
from keras_gen.dtypes import output_dtype
from keras_gen.layers import SpectralNormalization
from keras_gen.networks import labels
from keras_gen.networks.conv import HALVING
from keras_gen.networks.players import centre_pixels
from keras_gen.networks.posterior import check_halvings
from keras_gen.networks.resnet import SAME


def patch_discriminator(image_shape, filters=(32, 64), num_classes=None):
    """Build a discriminator that judges patches of an image, each by itself, and gives features.

    Each entry of `filters` is a convolution 4x4 of stride 2 and a LeakyReLU of .2, whose output is
    one of the features; a convolution 3x3 gives one raw output for each place. With the defaults a
    patch has 18x18 pixels, as their places are 4 apart. All convolutions are spectrally
    normalised, which bounds the slope.

    Args:
        image_shape: (height, width, channels); both sides divisible by 2^len(filters).
        filters: Channels of the halvings.
        num_classes: For a model with `num_classes`: the network has an input for labels, as one
            channel a class next to x.

    Returns:
        A Keras model, x -> [raw outputs (batch, height / 2^n, width / 2^n, 1), features], one
        tensor of features for each entry of `filters`; with `num_classes` of [x, y].

    Example:

    ```python
    discriminator = kg.networks.patch_discriminator((28, 28, 1))
    logits, *features = discriminator(keras.ops.zeros((2, 28, 28, 1)))  # (2, 7, 7, 1), and two
    ```

    References:
        Isola et al. (2017), "Image-to-Image Translation with Conditional Adversarial Networks":
        https://arxiv.org/abs/1611.07004
        Miyato et al. (2018), "Spectral Normalization for Generative Adversarial Networks":
        https://arxiv.org/abs/1802.05957
    """
    image_shape = check_integers("image_shape", image_shape)
    filters = check_integers("filters", filters)
    check_halvings(image_shape, len(filters), "")
    num_classes = labels.check_num_classes(num_classes)
    inputs = x = keras.Input(image_shape, name="x")
    h = centre_pixels(x)
    if num_classes is not None:
        y = labels.label_input(num_classes)
        inputs, h = [x, y], labels.append_planes(h, y, num_classes)
    features = []
    for channels in filters:
        h = SpectralNormalization(layers.Conv2D(channels, 4, **HALVING))(h)
        h = layers.LeakyReLU(negative_slope=0.2)(h)
        features.append(h)
    logits = SpectralNormalization(layers.Conv2D(1, 3, dtype=output_dtype(), **SAME))(h)
    return keras.Model(inputs, [logits, *features], name="discriminator")
