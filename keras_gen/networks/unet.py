"""Convolutional autoencoder whose code keeps every detail, for denoising."""

import math

import keras
from keras import layers

from keras_gen.arguments import check_integer
from keras_gen.dtypes import output_dtype
from keras_gen.networks.posterior import check_halvings, check_sizes

SAME = {"padding": "same", "data_format": "channels_last"}


def unet_autoencoder(image_shape, filters=(8, 16, 32), activation="relu", parameters_per_value=1):
    """Build encoder and decoder of a U-Net, whose z holds the features of every resolution.

    The first entry of `filters` is a 3x3 convolution at the resolution of the image; each of the
    others halves the resolution. z joins the features of all of them, so it is larger than the
    image. The decoder doubles the resolution step by step, and at every step it concatenates its
    features with those of z. So it sees both fine detail and large structures.

    An autoencoder of this kind that is trained to reproduce its input learns to copy it. It is
    useful if the target differs from the input, as in `DenoisingAutoencoder`.

    Args:
        image_shape: (height, width, channels); both sides divisible by 2^(len(filters) - 1).
        filters: Channels at each resolution, the finest first.
        activation, parameters_per_value: As in `mlp_vae`.

    Returns:
        `(encoder, decoder)`: x -> z (batch, latent_dim), and z -> parameters, (batch, height,
        width, channels * parameters_per_value).

    Example:

    ```python
    networks = kg.networks.unet_autoencoder((28, 28, 1))
    model = kg.DenoisingAutoencoder(*networks, stddev=0.5)
    ```

    Reference:
        Ronneberger et al. (2015), "U-Net: Convolutional Networks for Biomedical Image
        Segmentation": https://arxiv.org/abs/1505.04597
    """
    image_shape, _, filters = check_sizes(image_shape, 1, filters=filters)
    parameters_per_value = check_integer("parameters_per_value", parameters_per_value)
    if len(filters) < 2:
        raise ValueError(f"`filters` is {filters}. Pass at least two: one for each resolution.")
    check_halvings(image_shape, len(filters) - 1, "use `mlp_autoencoder`, or ")
    height, width, channels = image_shape
    shapes = [(height >> i, width >> i, depth) for i, depth in enumerate(filters)]
    x = h = keras.Input(image_shape, name="x")
    levels = []
    for i, depth in enumerate(filters):
        h = layers.Conv2D(depth, 3, min(i, 1) + 1, activation=activation, **SAME)(h)
        levels.append(layers.Flatten(data_format="channels_last")(h))
    code = layers.Concatenate(dtype=output_dtype(), name="code")(levels)

    z = keras.Input((code.shape[-1],), name="z")
    column = layers.Reshape((-1, 1))(z)
    levels, start, total = [], 0, code.shape[-1]
    for shape in shapes:
        end = start + math.prod(shape)
        # Not z[:, start:end], an operation that gets another name in every copy of the model.
        levels.append(layers.Reshape(shape)(layers.Cropping1D((start, total - end))(column)))
        start = end
    h = levels.pop()
    h = layers.Conv2D(filters[-1], 3, activation=activation, **SAME)(h)
    for level in reversed(levels):
        depth = level.shape[-1]
        h = layers.Conv2DTranspose(depth, 3, 2, activation=activation, **SAME)(h)
        h = layers.Concatenate()([h, level])
        h = layers.Conv2D(depth, 3, activation=activation, **SAME)(h)
    outputs = channels * parameters_per_value
    parameters = layers.Conv2D(outputs, 3, dtype=output_dtype(), name="parameters", **SAME)(h)
    return keras.Model(x, code, name="encoder"), keras.Model(z, parameters, name="decoder")
