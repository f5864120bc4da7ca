"""Generators and discriminators for points in the plane and other short vectors."""

import keras
from keras import layers

from keras_gen.dtypes import output_dtype
from keras_gen.layers import BatchNormalization, Maxout
from keras_gen.networks import labels, players
from keras_gen.networks.posterior import check_sizes


def point_gan(
    shape=(2,),
    latent_dim=2,
    hidden=(128, 128, 128),
    activation="leaky_relu",
    packing=1,
    num_classes=None,
    conditioning="projection",
):
    """Build a small fully connected generator, with a linear output, and discriminator.

    Args:
        shape: Shape of one example, (size,).
        latent_dim: Size of z.
        hidden: Widths of the hidden layers of both.
        activation: Activation of the hidden layers of both.
        packing: Points that the discriminator sees at once, joined on the last axis.
        num_classes, conditioning: As in `mlp_gan`.

    Returns:
        `(generator, discriminator)`: z -> points, and points, (batch, size * packing), -> one
        logit, (batch, 1). With `num_classes` the inputs are [z, y] and [points, y].

    Example:

    ```python
    gan = kg.GAN(*kg.networks.point_gan(), latent_dim=2)
    gan.compile(generator_optimizer="adam", discriminator_optimizer="adam")
    gan.fit(kg.data.ring(), epochs=10)
    ```
    """
    shape, latent_dim, hidden = _check_points(shape, latent_dim, hidden)
    num_classes = labels.check_num_classes(num_classes)
    inputs, h = labels.latent_input(latent_dim, num_classes)
    for width in hidden:
        h = layers.Dense(width, activation=activation)(h)
    points = layers.Dense(shape[0], dtype=output_dtype(), name="points")(h)
    generator = keras.Model(inputs, points, name="generator")

    x = keras.Input(players.packed_shape(shape, packing), name="x")
    label = players.LabelConditioning(num_classes, conditioning, packing)
    inputs, h = label.inputs(x), label.concatenate(x)
    for width in hidden:
        h = layers.Dense(width, activation=activation)(h)
    logit = label.project(players.logit_layer()(h), h)
    return generator, keras.Model(inputs, logit, name="discriminator")


def pacgan_points(shape=(2,), latent_dim=2, packing=1):
    """Build PacGAN's generator and discriminator for rings and grids of Gaussians.

    The generator has four layers of 400 units without bias, each with batch normalisation and
    ReLU, and a linear output. The discriminator has three maxout layers of 200 units, each the
    maximum of 5. Weights start as N(0, 0.02^2). The paper trains with Adam(1e-4, beta_1=0.8),
    batches of 100, and 400 epochs of 100,000 examples. Arguments and result are as in `point_gan`.

    Reference:
        Lin et al. (2018), "PacGAN: The power of two samples in generative adversarial
        networks", section 4.1: https://arxiv.org/abs/1712.04086. Initial weights, biases and the
        constants of batch normalisation are from the authors' code.
    """
    shape, latent_dim, _ = _check_points(shape, latent_dim, (400,))
    z = h = keras.Input((latent_dim,), name="z")
    for _ in range(4):
        h = layers.Dense(400, use_bias=False, kernel_initializer=players.normal_initializer())(h)
        h = BatchNormalization(momentum=0.95, epsilon=1e-4)(h)
        h = layers.ReLU()(h)
    points = layers.Dense(
        shape[0],
        kernel_initializer=players.normal_initializer(),
        dtype=output_dtype(),
        name="points",
    )(h)
    generator = keras.Model(z, points, name="generator")

    x = h = keras.Input(players.packed_shape(shape, packing), name="x")
    for _ in range(3):
        h = layers.Dense(200 * 5, kernel_initializer=players.normal_initializer())(h)
        h = Maxout(pieces=5)(h)
    logit = players.logit_layer(kernel_initializer=players.normal_initializer())(h)
    return generator, keras.Model(x, logit, name="discriminator")


def _check_points(shape, latent_dim, hidden):
    sizes = check_sizes(shape, latent_dim, hidden)
    if len(sizes[0]) != 1:
        raise ValueError(
            f"`shape` is {sizes[0]}. Points are vectors, (size,); for images use `mlp_gan` "
            f"or `dcgan`."
        )
    return sizes
