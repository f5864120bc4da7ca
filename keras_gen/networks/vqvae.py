"""Convolutional encoder and decoder of a VQ-VAE."""

import keras
from keras import layers

from keras_gen.arguments import check_integer, check_integers
from keras_gen.dtypes import output_dtype
from keras_gen.networks import labels
from keras_gen.networks.conv import HALVING
from keras_gen.networks.mean_image import initial_bias
from keras_gen.networks.posterior import check_halvings
from keras_gen.networks.resnet import SAME


def vqvae(
    image_shape,
    code_dim=16,
    filters=(32, 64),
    depth=1,
    parameters_per_value=1,
    num_classes=None,
    mean_image=None,
):
    """Build encoder and decoder of a VQ-VAE, with maps of vectors between them.

    Each entry of `filters` is a convolution of stride 2, then come `depth` residual blocks, ReLU,
    3x3, ReLU, 1x1, and a convolution 1x1 to the vectors; the decoder mirrors that with transposed
    convolutions. With the default `filters` 28x28 pixels become 7x7 vectors; for 64x64 pixels
    `filters=(32, 64, 64)` makes 8x8.

    Args:
        image_shape: (height, width, channels); both sides divisible by 2^len(filters).
        code_dim: d, the size of a vector; for `kg.layers.FSQ` the number of its levels.
        filters: Channels of the encoder's halvings; the decoder mirrors them.
        depth: Residual blocks in each network.
        parameters_per_value, mean_image: As in `conv_vae`.
        num_classes: For a VQ-VAE with `num_classes`: both networks have an input for labels, as one
            channel a class next to x and to the vectors.

    Returns:
        `(encoder, decoder)`: x -> z, (batch, height / 2^n, width / 2^n, code_dim), and z ->
        parameters, (batch, height, width, channels * parameters_per_value); with `num_classes`
        [x, y] and [z, y], y (batch,) integers.

    Example:

    ```python
    networks = kg.networks.vqvae((28, 28, 1), code_dim=16)
    vqvae = kg.VQVAE(*networks, kg.layers.VectorQuantizer(64))
    ```

    Reference:
        van den Oord et al. (2017), "Neural Discrete Representation Learning", section 4.1:
        https://arxiv.org/abs/1711.00937
    """
    image_shape, filters = (
        check_integers("image_shape", image_shape),
        check_integers("filters", filters),
    )
    code_dim = check_integer("code_dim", code_dim)
    check_halvings(image_shape, len(filters), "")
    num_classes = labels.check_num_classes(num_classes)
    outputs = image_shape[-1] * check_integer("parameters_per_value", parameters_per_value)
    bias = initial_bias(mean_image, image_shape, parameters_per_value)
    sides = [side // 2 ** len(filters) for side in image_shape[:2]]

    inputs, h = _image_input(image_shape, "x", num_classes)
    for channels in filters:
        h = layers.Conv2D(channels, 4, activation="relu", **HALVING)(h)
    h = _residual(layers.Conv2D(filters[-1], 3, **SAME)(h), depth)
    z = layers.Conv2D(code_dim, 1, dtype=output_dtype(), name="z", **SAME)(h)
    encoder = keras.Model(inputs, z, name="encoder")

    inputs, h = _image_input((*sides, code_dim), "z", num_classes)
    h = _residual(layers.Conv2D(filters[-1], 3, **SAME)(h), depth)
    for channels in reversed(filters[:-1]):
        h = layers.Conv2DTranspose(channels, 4, activation="relu", **HALVING)(h)
    last = {"bias_initializer": bias, "dtype": output_dtype(), "name": "parameters", **HALVING}
    parameters = layers.Conv2DTranspose(outputs, 4, **last)(h)
    return encoder, keras.Model(inputs, parameters, name="decoder")


def _image_input(shape, name, num_classes):
    """Return the inputs of a network, maps or [maps, y], and the maps made of them."""
    inputs = h = keras.Input(shape, name=name)
    if num_classes is not None:
        y = labels.label_input(num_classes)
        inputs, h = [h, y], labels.append_planes(h, y, num_classes)
    return inputs, h


def _residual(h, depth):
    channels = h.shape[-1]
    for _ in range(check_integer("depth", depth, least=0)):
        f = layers.Conv2D(max(channels // 2, 1), 3, **SAME)(layers.Activation("relu")(h))
        f = layers.Conv2D(channels, 1, **SAME)(layers.Activation("relu")(f))
        h = layers.Add()([h, f])
    return layers.Activation("relu")(h)
