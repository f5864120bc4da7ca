import math

import keras
from keras import layers

from keras_gen.networks import players
from keras_gen.networks.posterior import check_sizes


def mlp_gan(
    image_shape,
    latent_dim,
    generator_hidden=(256, 512, 1024),
    discriminator_hidden=(512, 256),
    packing=1,
):
    """The textbook's fully connected generator and discriminator for images.

    The generator is made of blocks of a Dense layer, LeakyReLU(0.2) and batch normalisation of
    growing width, and ends in tanh, rescaled to [0, 1]. The discriminator takes [0, 1], which
    it rescales to [-1, 1] for itself, and has LeakyReLU(0.2) alone.

    Args:
        image_shape: Shape of one example, such as (28, 28, 1); any rank.
        latent_dim: Size of z.
        generator_hidden: Widths of the generator's hidden layers.
        discriminator_hidden: Widths of the discriminator's.
        packing: Images that the discriminator sees at once, joined on the last axis.

    Returns:
        `(generator, discriminator)`: z -> images, and images -> one logit, (batch, 1).

    Example:

    ```python
    gan = kg.GAN(*kg.networks.mlp_gan((28, 28, 1), latent_dim=100), latent_dim=100)
    ```

    Reference:
        Goodfellow et al. (2014), "Generative Adversarial Nets": https://arxiv.org/abs/1406.2661;
        Lin et al. (2018), "PacGAN": https://arxiv.org/abs/1712.04086, for `packing`.
    """
    check_sizes(image_shape, latent_dim, generator_hidden)
    check_sizes(image_shape, latent_dim, discriminator_hidden)

    z = h = keras.Input((latent_dim,), name="z")
    for width in generator_hidden:
        h = layers.Dense(width)(h)
        h = layers.LeakyReLU(negative_slope=0.2)(h)
        h = layers.BatchNormalization(momentum=0.8)(h)
    h = layers.Dense(math.prod(image_shape), dtype=players.output_dtype())(h)
    h = layers.Reshape(image_shape, dtype=players.output_dtype())(h)
    generator = keras.Model(z, players.images(h), name="generator")

    x = keras.Input(players.packed(image_shape, packing), name="x")
    h = layers.Flatten()(players.centred(x))
    for width in discriminator_hidden:
        h = layers.Dense(width)(h)
        h = layers.LeakyReLU(negative_slope=0.2)(h)
    discriminator = keras.Model(x, players.logit_layer()(h), name="discriminator")
    return generator, discriminator
