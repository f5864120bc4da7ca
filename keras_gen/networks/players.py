"""What generators end in, and discriminators begin and end in."""

import numbers

import keras
from keras import layers

from keras_gen.networks import labels


def latent_input(latent_dim, num_classes=None):
    """A generator's inputs, z or [z, y], and the vector made of them."""
    z = keras.Input((latent_dim,), name="z")
    if num_classes is None:
        return z, z
    y = labels.label_input(num_classes)
    return [z, y], labels.beside(z, y, num_classes)


class Label:
    """A discriminator's label, or none: its input, and the place where it comes in."""

    def __init__(self, num_classes, conditioning, packing):
        if conditioning not in ("projection", "concatenation"):
            raise ValueError(
                f"`conditioning` is {conditioning!r}. Pass 'projection' or 'concatenation'."
            )
        self.num_classes = num_classes
        self.conditioning = conditioning
        self.y = None if num_classes is None else labels.label_input(num_classes, packing)

    def inputs(self, x):
        return x if self.y is None else [x, self.y]

    def concatenated(self, x):
        """The label beside a vector or an image, if it is concatenated."""
        if self.y is None or self.conditioning != "concatenation":
            return x
        beside = labels.planes if len(x.shape) == 4 else labels.beside
        return beside(x, self.y, self.num_classes)

    def projected(self, logit, features, wrapper=lambda layer: layer):
        """logit + v_y . features, with v_y learned, if the label is projected on."""
        if self.y is None or self.conditioning != "projection":
            return logit
        v = layers.Dense(features.shape[-1], use_bias=False, kernel_initializer=normal())
        v = wrapper(v)(labels.one_hot(self.y, self.num_classes))
        product = layers.Dot(axes=1, dtype=output_dtype())([v, features])
        return layers.Add(dtype=output_dtype(), name="conditional_logit")([logit, product])


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
