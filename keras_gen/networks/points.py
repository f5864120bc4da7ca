"""Generators and discriminators for points in the plane and other short vectors."""

import keras
from keras import layers, ops

from keras_gen.arguments import check_integer
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
    frequencies=(),
    latent_signs=0,
):
    """Build a small fully connected generator, with a linear output, and discriminator.

    With `frequencies` w_1, ..., w_K the discriminator is given x, sin(w_k x) and cos(w_k x). A
    discriminator of x alone is smooth, and hardly sees what is much narrower than the data: the
    shape of a mode of a `ring`, or a thin bridge between two.

    With `latent_signs` the generator is given the signs of the last values of z in their place. So
    its z is continuous in some directions and a vertex of a cube in the others, 2^`latent_signs`
    vertices of equal probability. A generator that is continuous in all of z has to join modes
    that lie apart by bridges; this one can jump, and has not to be told how many modes there are.

    Args:
        shape: Shape of one example, (size,).
        latent_dim: Size of z.
        hidden: Widths of the hidden layers of both.
        activation: Activation of the hidden layers of both.
        packing: Points that the discriminator sees at once, joined on the last axis.
        num_classes, conditioning: As in `mlp_gan`.
        frequencies: Angular frequencies of the discriminator's sines and cosines; () for none.
        latent_signs: Number of the values of z that count by their sign alone, the last ones.

    Returns:
        `(generator, discriminator)`: z -> points, and points, (batch, size * packing), -> one
        logit, (batch, 1). With `num_classes` the inputs are [z, y] and [points, y].

    Example:

    ```python
    gan = kg.GAN(*kg.networks.point_gan(), latent_dim=2)
    gan.compile(generator_optimizer="adam", discriminator_optimizer="adam")
    gan.fit(kg.data.ring(), epochs=10)
    ```

    Reference:
        Tancik et al. (2020), "Fourier Features Let Networks Learn High Frequency Functions in Low
        Dimensional Domains": https://arxiv.org/abs/2006.10739
    """
    shape, latent_dim, hidden = _check_points(shape, latent_dim, hidden)
    num_classes = labels.check_num_classes(num_classes)
    inputs = z = keras.Input((latent_dim,), name="z")
    h = _take_signs(z, check_integer("latent_signs", latent_signs, least=0))
    if num_classes is not None:
        inputs = [z, labels.label_input(num_classes)]
        h = labels.append_one_hot(h, inputs[1], num_classes)
    for width in hidden:
        h = layers.Dense(width, activation=activation)(h)
    points = layers.Dense(shape[0], dtype=output_dtype(), name="points")(h)
    generator = keras.Model(inputs, points, name="generator")

    x = keras.Input(players.packed_shape(shape, packing), name="x")
    label = players.LabelConditioning(num_classes, conditioning, packing)
    inputs, h = label.inputs(x), label.concatenate(_append_waves(x, frequencies))
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


def _take_signs(z, latent_signs):
    """Return z with its last `latent_signs` values replaced by their signs."""
    if not latent_signs:
        return z
    continuous = z.shape[-1] - latent_signs
    if continuous < 1:
        raise ValueError(
            f"`latent_signs` is {latent_signs}, of a z of {z.shape[-1]}. Leave at least one value "
            f"continuous: without any, all samples would be {2 ** z.shape[-1]} points."
        )
    z, binary = ops.split(z, [continuous], axis=-1)
    return layers.Concatenate()([z, ops.sign(binary)])


def _append_waves(x, frequencies):
    """Return x, sin(w x) and cos(w x) for each w of `frequencies`, joined."""
    if not frequencies:
        return x
    phases = layers.Concatenate()([layers.Rescaling(w)(x) for w in frequencies])
    return layers.Concatenate()([x, ops.sin(phases), ops.cos(phases)])


def _check_points(shape, latent_dim, hidden):
    sizes = check_sizes(shape, latent_dim, hidden=hidden)
    if len(sizes[0]) != 1:
        raise ValueError(
            f"`shape` is {sizes[0]}. Points are vectors, (size,); for images use `mlp_gan` "
            f"or `dcgan`."
        )
    return sizes
