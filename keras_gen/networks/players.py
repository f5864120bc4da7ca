"""What generators end in, and discriminators begin and end in."""

import numbers

import keras
from keras import layers


def images(h):
    """tanh as pixels: from [-1, 1] to [0, 1]."""
    h = layers.Activation("tanh", dtype=output_dtype())(h)
    return layers.Rescaling(0.5, offset=0.5, dtype=output_dtype(), name="images")(h)


def centred(x):
    """Pixels as a discriminator likes them, and as tanh makes them: in [-1, 1]."""
    return layers.Rescaling(2.0, offset=-1.0)(x)


def logit_layer(kernel_initializer="glorot_uniform"):
    """One raw number: a sigmoid belongs to the loss."""
    return layers.Dense(
        1, kernel_initializer=kernel_initializer, dtype=output_dtype(), name="logit"
    )


def normal(mean=0.0):
    """N(mean, 0.02^2), the start of DCGAN's and PacGAN's weights."""
    # A new one for each layer: an initializer gives the same numbers each time it is called.
    return keras.initializers.RandomNormal(mean, 0.02)


def packed(shape, packing):
    """The shape of `packing` examples joined on the last axis, as PacGAN's discriminator sees."""
    if not isinstance(packing, numbers.Integral) or packing < 1:
        raise ValueError(
            f"`packing` is {packing}. Pass the number of examples that the discriminator sees "
            f"at once, 1 or more."
        )
    return (*shape[:-1], shape[-1] * packing)


def output_dtype():
    """float32 whatever the policy, or float64 where that is set."""
    return "float64" if keras.config.floatx() == "float64" else "float32"
