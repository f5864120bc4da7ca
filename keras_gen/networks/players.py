"""First and last layers of generators and discriminators."""

import keras
from keras import layers

from keras_gen.arguments import check_integer
from keras_gen.dtypes import output_dtype
from keras_gen.networks import labels


class LabelConditioning:
    """Labels of a discriminator: their input, and the layers that use them.

    Without `num_classes` there are no labels, and every method returns its argument.
    """

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

    def concatenate(self, x):
        """Append the label to a vector or an image, for the conditioning "concatenation"."""
        if self.y is None or self.conditioning != "concatenation":
            return x
        append = labels.append_planes if len(x.shape) == 4 else labels.append_one_hot
        return append(x, self.y, self.num_classes)

    def project(self, logit, features, wrapper=lambda layer: layer):
        """Return logit + v_y . features, with v_y learned, for the conditioning "projection"."""
        if self.y is None or self.conditioning != "projection":
            return logit
        v = layers.Dense(
            features.shape[-1], use_bias=False, kernel_initializer=normal_initializer()
        )
        v = wrapper(v)(labels.one_hot(self.y, self.num_classes))
        product = layers.Dot(axes=1, dtype=output_dtype())([v, features])
        return layers.Add(dtype=output_dtype(), name="conditional_logit")([logit, product])


def pixels_from_tanh(h):
    h = layers.Activation("tanh", dtype=output_dtype())(h)
    return layers.Rescaling(0.5, offset=0.5, dtype=output_dtype(), name="images")(h)


def centre_pixels(x):
    return layers.Rescaling(2.0, offset=-1.0)(x)


def logit_layer(kernel_initializer="glorot_uniform"):
    """Return a layer with one raw output; the sigmoid is part of the loss."""
    return layers.Dense(
        1, kernel_initializer=kernel_initializer, dtype=output_dtype(), name="logit"
    )


def normal_initializer(mean=0.0):
    """Return an initializer N(mean, 0.02^2), as in DCGAN and PacGAN."""
    # Each layer needs a new one: an initializer gives the same numbers each time it is called.
    return keras.initializers.RandomNormal(mean, 0.02)


def packed_shape(shape, packing):
    """Return the shape of `packing` examples joined on the last axis, as in PacGAN."""
    return (*shape[:-1], shape[-1] * check_integer("packing", packing))
