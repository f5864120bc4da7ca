"""How a class label gets into a network."""

import keras
from keras import layers, ops


def label_input(num_classes, packing=1):
    """An input y of integer labels, (batch,), or (batch, packing) for packed examples."""
    if num_classes < 1:
        raise ValueError(f"`num_classes` is {num_classes}. Pass at least 1.")
    return keras.Input(() if packing == 1 else (packing,), dtype="int32", name="y")


def one_hot(y, num_classes):
    """(batch, num_classes), or the labels of a pack one after the other."""
    return layers.Flatten()(ops.one_hot(y, num_classes))


def beside(h, y, num_classes):
    """A vector with the one-hot label behind it."""
    return layers.Concatenate()([h, one_hot(y, num_classes)])


def planes(x, y, num_classes):
    """An image with a channel for every class: all 1 for its own and 0 for the others."""
    height, width, _ = x.shape[1:]
    h = layers.RepeatVector(height * width)(one_hot(y, num_classes))
    return layers.Concatenate()([x, layers.Reshape((height, width, h.shape[-1]))(h)])
