"""Residual generator and discriminator without normalisation, for colour images."""

import math

import keras
from keras import layers

from keras_gen.arguments import check_integer
from keras_gen.dtypes import output_dtype
from keras_gen.networks import labels, players
from keras_gen.networks.posterior import check_sizes
from keras_gen.networks.resnet import LAST, SAME, double_size, halve_size, stages

SLOPE = 0.2  # Of LeakyReLU below 0.
LAYERS_OF_A_BLOCK = 3


def resnet_gan(
    image_shape,
    latent_dim,
    width=16,
    depth=1,
    groups=1,
    expansion=1,
    packing=1,
    num_classes=None,
    conditioning="projection",
):
    """Build the residual generator and discriminator of R3GAN, which have no normalisation.

    The generator begins at 4x4 (5x5 to 7x7 for sides that are no power of two), and doubles the
    resolution by bilinear interpolation until it has the size of the image; the discriminator
    mirrors it. At each resolution there are `depth` blocks, x + f(x), where f is a convolution
    1x1, one 3x3 and one 1x1, with LeakyReLU(0.2) after the first two. The last one of each block
    starts at 0 and the others as He's, times (number of blocks)^(-1/4), so that a network of any
    depth starts with outputs of the same size (fix-up initialisation). The generator ends in tanh
    rescaled to [0, 1], and the discriminator rescales its input from [0, 1] to [-1, 1].

    The defaults are for a CPU. The paper's networks are about `width=96`, `depth=2`, `expansion=2`,
    and `groups` so that each group has 16 channels. They end without the tanh, and begin with
    4x4 learned maps in place of a dense layer.

    Args:
        image_shape: (height, width, channels), such as (64, 64, 3). Both sides are divisible by
            the power of two that makes the shorter one 4 to 7.
        latent_dim: Size of z.
        width: Channels at the resolution of the image, doubled at each coarser one, up to eight
            times as many.
        depth: Blocks at each resolution.
        groups: Groups of the 3x3 convolutions. On a CPU TensorFlow has their gradient only with
            `compile(jit_compile=True)`.
        expansion: Channels inside a block, as a multiple of those outside.
        packing, num_classes, conditioning: As in `dcgan`.

    Returns:
        `(generator, discriminator)`, with the inputs and outputs of those of `dcgan`.

    Example:

    ```python
    networks = kg.networks.resnet_gan((32, 32, 3), latent_dim=64)
    penalties = [kg.losses.R1(1.0), kg.losses.R2(1.0)]
    gan = kg.GAN(*networks, latent_dim=64, loss="relativistic", penalties=penalties)
    ```

    References:
        Huang et al. (2024), "The GAN is dead; long live the GAN! A Modern Baseline GAN":
        https://arxiv.org/abs/2501.05441
        Zhang et al. (2019), "Fixup Initialization": https://arxiv.org/abs/1901.09321
    """
    image_shape, latent_dim = check_sizes(image_shape, latent_dim)
    width = check_integer("width", width)
    depth = check_integer("depth", depth)
    groups, expansion = check_integer("groups", groups), check_integer("expansion", expansion)
    num_classes = labels.check_num_classes(num_classes)
    if width * expansion % groups:
        raise ValueError(
            f"`groups` is {groups}, and a block has {width * expansion} channels inside. Pass a "
            f"divisor of that."
        )
    sizes = stages(image_shape, width)
    block = _Block(depth, len(sizes), groups, expansion)
    label = players.LabelConditioning(num_classes, conditioning, packing)
    return (
        _generator(image_shape[-1], latent_dim, sizes, block, num_classes),
        _discriminator(players.packed_shape(image_shape, packing), sizes, block, label),
    )


class _Block:
    """The blocks of one resolution: h -> h + f(h), `depth` times."""

    def __init__(self, depth, resolutions, groups, expansion):
        self.depth, self.groups, self.expansion = depth, groups, expansion
        # Fix-up: L^(-1 / (2 m - 2)) for L blocks of m layers, here as a factor of the variance.
        factor = (depth * resolutions) ** (-1 / (LAYERS_OF_A_BLOCK - 1))
        self.variance = factor * 2 / (1 + SLOPE**2)

    def __call__(self, h):
        channels = h.shape[-1]
        inside = self.expansion * channels
        for _ in range(self.depth):
            f = layers.LeakyReLU(SLOPE)(_convolution(inside, 1, self.variance)(h))
            f = _convolution(inside, 3, self.variance, groups=self.groups)(f)
            f = layers.LeakyReLU(SLOPE)(f)
            f = _convolution(channels, 1, variance=0, use_bias=False)(f)
            h = layers.Add()([h, f])
        return h


def _generator(image_channels, latent_dim, sizes, block, num_classes):
    *finer, base = sizes
    inputs, h = labels.latent_input(latent_dim, num_classes)
    h = layers.Dense(math.prod(base), kernel_initializer=_initializer(1.0))(h)
    h = block(layers.Reshape(base)(h))
    for *_, channels in reversed(finer):
        if h.shape[-1] != channels:
            h = _convolution(channels, 1, use_bias=False)(h)
        h = block(double_size(h))
    h = _convolution(image_channels, 1, dtype=output_dtype())(h)
    return keras.Model(inputs, players.pixels_from_tanh(h), name="generator")


def _discriminator(input_shape, sizes, block, label):
    (*_, width), *coarser = sizes
    x = keras.Input(input_shape, name="x")
    inputs, h = label.inputs(x), label.concatenate(players.centre_pixels(x))
    h = block(_convolution(width, 1)(h))
    for *_, channels in coarser:
        h = halve_size(h)
        if h.shape[-1] != channels:
            h = _convolution(channels, 1, use_bias=False)(h)
        h = block(h)
    # One weight for each feature, not a product over all of them: (1, 1, channels).
    sides = h.shape[1:3]
    initializer = keras.initializers.RandomNormal(0.0, math.prod(sides) ** -0.5)
    h = layers.DepthwiseConv2D(sides, use_bias=False, depthwise_initializer=initializer, **LAST)(h)
    h = layers.Flatten(data_format="channels_last")(h)
    logit = players.logit_layer(kernel_initializer=_initializer(1.0))(h)
    return keras.Model(inputs, label.project(logit, h), name="discriminator")


def _convolution(channels, size, variance=1.0, **kwargs):
    """Return a layer whose outputs start with `variance` times the variance of its inputs."""
    return layers.Conv2D(
        channels, size, kernel_initializer=_initializer(variance), **SAME, **kwargs
    )


def _initializer(variance):
    if not variance:
        return "zeros"
    return keras.initializers.VarianceScaling(variance, "fan_in", "untruncated_normal")
