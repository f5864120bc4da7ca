import math

import keras
from keras import layers

from keras_gen.arguments import check_integers
from keras_gen.dtypes import output_dtype
from keras_gen.layers import BatchNormalization
from keras_gen.networks import labels, players
from keras_gen.networks.posterior import check_sizes


def mlp_gan(
    image_shape,
    latent_dim,
    generator_hidden=(256, 512, 1024),
    discriminator_hidden=(512, 256),
    packing=1,
    num_classes=None,
    conditioning="projection",
):
    """Build the textbook's fully connected generator and discriminator for images.

    The generator's blocks grow in width; each is a Dense layer, LeakyReLU(0.2) and batch
    normalisation. It ends in tanh, rescaled to [0, 1]. The discriminator rescales its input from
    [0, 1] to [-1, 1]; its layers are Dense and LeakyReLU(0.2), without normalisation.

    Args:
        image_shape: Shape of one example, such as (28, 28, 1); any rank.
        latent_dim: Size of z.
        generator_hidden: Widths of the generator's hidden layers.
        discriminator_hidden: Widths of the discriminator's.
        packing: Images that the discriminator sees at once, joined on the last axis.
        num_classes, conditioning: As in `dcgan`.

    Returns:
        `(generator, discriminator)`: z -> images, and images -> one logit, (batch, 1). With
        `num_classes` the inputs are [z, y] and [images, y], y integers, (batch,).

    Example:

    ```python
    gan = kg.GAN(*kg.networks.mlp_gan((28, 28, 1), latent_dim=100), latent_dim=100)
    ```

    Reference:
        Goodfellow et al. (2014), "Generative Adversarial Nets": https://arxiv.org/abs/1406.2661;
        Lin et al. (2018), "PacGAN": https://arxiv.org/abs/1712.04086, for `packing`; Miyato and
        Koyama (2018): https://arxiv.org/abs/1802.05637, for projection.
    """
    image_shape, latent_dim, hidden = check_sizes(
        image_shape, latent_dim, generator_hidden=generator_hidden
    )
    num_classes = labels.check_num_classes(num_classes)
    inputs, h = labels.latent_input(latent_dim, num_classes)
    for width in hidden:
        h = layers.Dense(width)(h)
        h = layers.LeakyReLU(negative_slope=0.2)(h)
        h = BatchNormalization(momentum=0.8)(h)
    h = layers.Dense(math.prod(image_shape), dtype=output_dtype())(h)
    h = layers.Reshape(image_shape, dtype=output_dtype())(h)
    generator = keras.Model(inputs, players.pixels_from_tanh(h), name="generator")

    x = keras.Input(players.packed_shape(image_shape, packing), name="x")
    label = players.LabelConditioning(num_classes, conditioning, packing)
    h = layers.Flatten(data_format="channels_last")(players.centre_pixels(x))
    inputs, h = label.inputs(x), label.concatenate(h)
    for width in check_integers("discriminator_hidden", discriminator_hidden):
        h = layers.Dense(width)(h)
        h = layers.LeakyReLU(negative_slope=0.2)(h)
    logit = label.project(players.logit_layer()(h), h)
    discriminator = keras.Model(inputs, logit, name="discriminator")
    return generator, discriminator
