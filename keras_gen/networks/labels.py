"""Class labels as inputs of a network."""

import keras
from keras import layers, ops

from keras_gen.arguments import check_integer


def check_num_classes(num_classes):
    """Return the number of classes as an int, or None."""
    return None if num_classes is None else check_integer("num_classes", num_classes)


def label_input(num_classes, packing=1):
    """Return an input y of integer labels, (batch,), or (batch, packing) for packed examples."""
    return keras.Input(() if packing == 1 else (packing,), dtype="int32", name="y")


def latent_input(latent_dim, num_classes=None):
    """Return the inputs of a generator or decoder, z or [z, y], and the vector made of them."""
    z = keras.Input((latent_dim,), name="z")
    if num_classes is None:
        return z, z
    y = label_input(num_classes)
    return [z, y], append_one_hot(z, y, num_classes)


def one_hot(y, num_classes):
    """Return one-hot labels, (batch, num_classes); those of packed examples are joined."""
    return layers.Flatten(data_format="channels_last")(ops.one_hot(y, num_classes))


def append_one_hot(h, y, num_classes):
    return layers.Concatenate()([h, one_hot(y, num_classes)])


def append_planes(x, y, num_classes):
    """Append a channel for every class to an image: 1 for its own class, 0 for the others."""
    height, width, _ = x.shape[1:]
    h = layers.RepeatVector(height * width)(one_hot(y, num_classes))
    return layers.Concatenate()([x, layers.Reshape((height, width, h.shape[-1]))(h)])
