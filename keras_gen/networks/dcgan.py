import math

import keras
from keras import layers

from keras_gen.arguments import check_integer, check_integers
from keras_gen.dtypes import output_dtype
from keras_gen.layers import BatchNormalization, GroupNormalization, SpectralNormalization
from keras_gen.networks import labels, players
from keras_gen.networks.posterior import check_sizes


def dcgan(
    image_shape,
    latent_dim,
    filters=None,
    kernel_size=5,
    discriminator_filters=None,
    discriminator_norm="batch",
    packing=1,
    num_classes=None,
    conditioning="projection",
):
    """Build the convolutional generator and discriminator of DCGAN, for images of any size.

    The discriminator halves the image with a convolution of stride 2 for every entry of
    `filters`; the generator mirrors it with transposed ones. The generator has batch
    normalisation and ReLU in all layers except the last, which is tanh rescaled to [0, 1]. The
    discriminator rescales its input from [0, 1] to [-1, 1]. It has LeakyReLU(0.2) in all layers
    except the last, and a normalisation in all layers except the first and the last. Weights start
    as N(0, 0.02^2).

    Args:
        image_shape: (height, width, channels). Half of an odd side is rounded up.
        latent_dim: Size of z.
        filters: Channels of the layers, the one next to the image first. By default 64, doubled in
            every layer until the shorter side is below 8: (64, 128) for 28 pixels, (64, 128, 256)
            for 32, (64, 128, 256, 512) for 64.
        kernel_size: Side of the kernels.
        discriminator_filters: Channels of the discriminator, if not `filters`.
        discriminator_norm: Normalisation of the discriminator: `"batch"`; `"layer"`, which
            normalises whole images, with a gain and an offset for each channel, as in WGAN-GP;
            `"spectral"`, which divides every kernel by its norm; a layer, of which copies are
            used; or None. The named ones are layers of `keras_gen.layers`, which work with a
            penalty on the gradient.
        packing: Images that the discriminator sees at once, joined on the channel axis.
        num_classes: For a GAN with `num_classes`: both networks have an input for labels.
        conditioning: How the discriminator uses labels: `"projection"` adds the product of its last
            features and a vector learned for the label; `"concatenation"` gives the image a
            channel for every class.

    Returns:
        `(generator, discriminator)`: z -> images, and images, (batch, height, width, channels *
        packing), -> one logit, (batch, 1). With `num_classes` the inputs are [z, y] and
        [images, y], y integers, (batch,), or (batch, packing) if the images are packed.

    Example:

    ```python
    networks = kg.networks.dcgan((32, 32, 3), latent_dim=100, discriminator_norm="layer")
    gan = kg.GAN(*networks, latent_dim=100)
    ```

    Reference:
        Radford et al. (2016), "Unsupervised Representation Learning with Deep Convolutional
        GANs": https://arxiv.org/abs/1511.06434; Lin et al. (2018), "PacGAN":
        https://arxiv.org/abs/1712.04086, for `packing`; Miyato and Koyama (2018), "cGANs with
        Projection Discriminator": https://arxiv.org/abs/1802.05637.
    """
    image_shape, latent_dim = check_sizes(image_shape, latent_dim)
    kernel_size = check_integer("kernel_size", kernel_size)
    num_classes = labels.check_num_classes(num_classes)
    _check_norm(discriminator_norm)
    if len(image_shape) != 3:
        raise ValueError(
            f"`image_shape` is {tuple(image_shape)}. Pass (height, width, channels), or use "
            f"`mlp_gan`."
        )
    filters = _default_filters(image_shape) if filters is None else filters
    discriminator_filters = filters if discriminator_filters is None else discriminator_filters
    filters = check_integers("filters", filters)
    discriminator_filters = check_integers("discriminator_filters", discriminator_filters)
    return (
        _generator(image_shape, latent_dim, filters, kernel_size, num_classes),
        _discriminator(
            players.packed_shape(image_shape, packing),
            discriminator_filters,
            kernel_size,
            discriminator_norm,
            players.LabelConditioning(num_classes, conditioning, packing),
        ),
    )


def _check_norm(norm):
    if norm in (None, "batch", "layer", "spectral") or isinstance(norm, keras.layers.Layer):
        return
    raise ValueError(
        f"`discriminator_norm` is {norm!r}. Pass 'batch', 'layer', 'spectral', None, or a "
        f"normalisation layer."
    )


def _default_filters(image_shape):
    side, filters = min(image_shape[:2]), [64]
    while math.ceil(side / 2 ** len(filters)) >= 8:
        filters.append(2 * filters[-1])
    return tuple(filters)


def _generator(image_shape, latent_dim, filters, kernel_size, num_classes):
    height, width, image_channels = image_shape
    # (height, width) after k halvings; the generator starts with the last.
    sizes = [(math.ceil(height / 2**k), math.ceil(width / 2**k)) for k in range(len(filters) + 1)]
    start = (*sizes[-1], filters[-1])
    inputs, h = labels.latent_input(latent_dim, num_classes)
    h = layers.Dense(
        math.prod(start), use_bias=False, kernel_initializer=players.normal_initializer()
    )(h)
    h = layers.ReLU()(_batch_norm()(layers.Reshape(start)(h)))
    for channels, size in zip(filters[-2::-1], sizes[-2:0:-1], strict=True):
        h = _double_size(h, channels, kernel_size, size, use_bias=False)
        h = layers.ReLU()(_batch_norm()(h))
    h = _double_size(h, image_channels, kernel_size, sizes[0], dtype=output_dtype())
    return keras.Model(inputs, players.pixels_from_tanh(h), name="generator")


def _double_size(h, channels, kernel_size, size, **kwargs):
    h = layers.Conv2DTranspose(
        channels,
        kernel_size,
        strides=2,
        padding="same",
        data_format="channels_last",
        kernel_initializer=players.normal_initializer(),
        **kwargs,
    )(h)
    if h.shape[1:3] == size:
        return h
    # Cut the side on which a strided convolution of the odd size has one more row of padding.
    cut = [(h.shape[1] - size[0], 0), (h.shape[2] - size[1], 0)]
    return layers.Cropping2D(cut, data_format="channels_last")(h)


def _discriminator(input_shape, filters, kernel_size, norm, label):
    spectral = SpectralNormalization if norm == "spectral" else lambda layer: layer
    x = keras.Input(input_shape, name="x")
    inputs, h = label.inputs(x), label.concatenate(players.centre_pixels(x))
    for k, channels in enumerate(filters):
        convolution = layers.Conv2D(
            channels,
            kernel_size,
            strides=2,
            padding="same",
            data_format="channels_last",
            use_bias=k == 0 or norm != "batch",
            kernel_initializer=players.normal_initializer(),
        )
        h = spectral(convolution)(h)
        if k > 0 and norm not in (None, "spectral"):
            h = _normalisation(norm)(h)
        h = layers.LeakyReLU(negative_slope=0.2)(h)
    h = layers.Flatten(data_format="channels_last")(h)
    logit = spectral(players.logit_layer(kernel_initializer=players.normal_initializer()))(h)
    return keras.Model(inputs, label.project(logit, h, spectral), name="discriminator")


def _normalisation(norm):
    if norm == "batch":
        return _batch_norm()
    if norm == "layer":
        return GroupNormalization(groups=1, epsilon=1e-5)
    return type(norm).from_config({**norm.get_config(), "name": None})


def _batch_norm():
    # These are the numbers of the authors' code.
    gamma_initializer = players.normal_initializer(mean=1.0)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma_initializer)
