"""Checks of data, labels, latents and networks: pure functions that know no model.

`owner` is the name of the class that an error message speaks of.
"""

import inspect
import numbers

import keras
import numpy as np
from keras import ops

from keras_gen.data import ArrayDataset


def first_examples(data):
    """Return `(examples, data)`: what can be seen of the data that `fit` accepts, and all of them.

    Arrays are seen whole. Of a stream the first batch is seen, and a generator comes back with
    that batch in front again.

    Raises:
        ValueError: If there are no data.
    """
    if inspect.isgenerator(data):
        examples = next(data, None)
        data = _chain(examples, data)
    elif isinstance(data, keras.utils.PyDataset):
        examples = data.arrays if isinstance(data, ArrayDataset) else data[0]
    elif data is None or hasattr(data, "shape") or isinstance(data, (tuple, list)):
        examples = data
    else:
        examples = next(iter(data), None)
    if examples is None:
        raise ValueError("There are no data: `x` is None or an empty stream.")
    return examples, data


def check_examples(x, example_shape, owner):
    """Raise ValueError on a wrong type or shape of `x`, an array or a tensor inside a step.

    `example_shape` is the shape of one example, or None if every shape will do.
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(
            f"The data are of type {dtype}, but floats are expected. For 8-bit images: "
            f'`x.astype("float32") / 255`.'
        )
    if x.shape[0] == 0:
        raise ValueError(f"The data are empty: their shape is {tuple(x.shape)}.")
    if example_shape is not None and tuple(x.shape[1:]) != example_shape:
        raise ValueError(
            f"The data have shape {tuple(x.shape)}, but {owner} was built for "
            f"(n, {', '.join(map(str, example_shape))}). Reshape the data or build the networks "
            f"for them."
        )


def check_finite(x):
    if not np.all(np.isfinite(x)):
        raise ValueError("The data hold NaN or infinite values. Remove them first.")


def check_not_a_target(x, y, owner):
    """Raise ValueError if `y` looks like a second copy of the data."""
    if y is not None and len(x.shape) > 1 and tuple(y.shape[1:]) == tuple(x.shape[1:]):
        raise ValueError(
            f"`y` has the shape of `x`, {tuple(x.shape[1:])}, but {owner} reconstructs `x` itself. "
            f"Pass `x` alone."
        )


def weights_of_examples(sample_weight):
    """Return one float32 weight for each example, (batch,), or ones (1,) if there are none."""
    if sample_weight is None:
        return ops.ones(1)
    if len(sample_weight.shape) > 1 and tuple(sample_weight.shape[1:]) != (1,):
        raise ValueError(
            f"`sample_weight` has shape {tuple(sample_weight.shape)}. Pass one weight for each "
            f"example, (n,)."
        )
    return ops.reshape(ops.cast(sample_weight, "float32"), (-1,))


def check_count(name, value, least=1):
    if value < least:
        raise ValueError(f"`{name}` is {value}. Pass at least {least}.")


def check_integer(name, value):
    if not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"`{name}` is {value!r}. Pass an integer, at least 1.")


def check_choice(name, value, choices):
    if value not in choices:
        *most, last = [f'"{choice}"' for choice in choices]
        raise ValueError(f"`{name}` is {value!r}. Pass {', '.join(most)} or {last}.")


def check_num_classes(num_classes):
    """Return `num_classes` as an int, which JSON can hold, or None; ValueError otherwise."""
    if num_classes is None:
        return None
    check_integer("num_classes", num_classes)
    return int(num_classes)


def check_labels_of_fit(y, n, num_classes, owner):
    if num_classes is None:
        return
    if y is None:
        raise ValueError(
            f"The labels are missing: this {owner} was built with num_classes={num_classes} and "
            f"learns from pairs. Pass `fit(x, y)`, or data in batches of (x, y)."
        )
    check_labels(y, n, num_classes, owner)


def check_labels(y, n, num_classes, owner):
    y = ops.convert_to_numpy(y)
    if y.shape != (n,) or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"The labels have shape {y.shape} and type {y.dtype} for {n} examples. Pass one "
            f"integer for each, ({n},); for one-hot labels `y.argmax(-1)`."
        )
    if y.min() < 0 or y.max() >= num_classes:
        raise ValueError(
            f"The labels go from {y.min()} to {y.max()}. {owner} was built with "
            f"num_classes={num_classes}: pass 0 to {num_classes - 1}."
        )


def normalize_labels(y, n, num_classes, owner):
    """Return the labels of `n` examples as int32 (n,), or None for a model without classes.

    `y` is an array (n,) of integers, or one integer for all examples.

    Raises:
        ValueError: If labels are missing, not possible here, or wrong.
    """
    if num_classes is None:
        if y is not None:
            raise ValueError(
                f"`y` was given, but this {owner} has no classes. Build the model and its networks "
                f"with `num_classes`, or leave `y` out."
            )
        return None
    if y is None:
        raise ValueError(
            f"The labels are missing: this {owner} was built with num_classes={num_classes}. Pass "
            f"`y=`, integers (n,) or one for all."
        )
    y = ops.convert_to_numpy(y)
    if y.ndim == 0:
        y = np.full(n, y)
    check_labels(y, n, num_classes, owner)
    return y.astype("int32")


def split_labels(inputs, num_classes):
    """Return `(x, y)` from the inputs of a model's call: [x, y] with classes, else x itself."""
    if num_classes is None:
        return inputs, None
    if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
        raise ValueError(
            "A model with `num_classes` is called on two inputs: pass a list [x, y], or [z, y] to "
            "a GAN."
        )
    return inputs


def mark_unknown_labels(x, y, num_classes):
    """Return a step's examples, and its labels clipped to those that exist, int32 (batch,).

    The data of a stream are checked before training in its first batch alone. Where a later
    batch has a label out of range, its example becomes NaN: then the update is left out and noted.
    """
    if y is None:
        raise ValueError("The labels are missing. Pass data in batches of (x, y).")
    if len(y.shape) > 1 and tuple(y.shape[1:]) != (1,):
        raise ValueError(
            f"The labels have shape {tuple(y.shape)}. Pass one integer for each example, (n,)."
        )
    y = ops.cast(ops.reshape(y, (-1,)), "int32")
    in_range = ops.logical_and(y >= 0, y < num_classes)
    in_range = ops.reshape(in_range, (-1, *[1] * (len(x.shape) - 1)))
    x = ops.where(in_range, x, ops.full_like(x, float("nan")))
    return x, ops.clip(y, 0, num_classes - 1)


def check_latents(z, latent_dim):
    """Return `z` as a NumPy array (n, latent_dim), float32; ValueError for anything else."""
    z = np.asarray(z, dtype="float32")
    if z.ndim != 2 or len(z) == 0 or z.shape[1] != latent_dim:
        raise ValueError(f"`z` has shape {z.shape}. Pass (n, {latent_dim}), n at least 1.")
    return z


def check_ends(steps, **ends):
    """Raise ValueError unless there are two arrays of one shape, and at least 2 steps."""
    if steps < 2:
        raise ValueError(f"`steps` is {steps}. Pass at least 2: both ends are included.")
    (name_from, shape_from), (name_to, shape_to) = [(k, np.shape(v)) for k, v in ends.items()]
    if shape_from != shape_to:
        raise ValueError(
            f"`{name_from}` has shape {shape_from} and `{name_to}` {shape_to}. Pass pairs: two "
            f"arrays of the same shape."
        )


def check_networks(**networks):
    for name, network in networks.items():
        if not isinstance(network, keras.Model):
            raise ValueError(
                f"`{name}` is a {type(network).__name__}. Pass a Keras model: `kg.networks` builds "
                f"some, in pairs."
            )


def input_shape_of(network, default, num_classes, owner):
    """Return the shape of the examples or z that a network expects, `default` if it is not built.

    Raises:
        ValueError: If the network has an input for labels and the model has no classes, or the
            other way round, or if both have another number of classes.
    """
    if num_classes is None:
        shape = getattr(network, "input_shape", default)
        if not isinstance(shape, tuple) or isinstance(shape[0], (list, tuple)):
            raise ValueError(
                f"{owner} gives {network.name!r} one input, but it has {len(shape)}. For labels "
                f"next to the examples pass `num_classes`."
            )
        return shape
    shape = getattr(network, "input_shape", [default, None])
    if not isinstance(shape, list) or len(shape) != 2:
        raise ValueError(
            f"{owner} with `num_classes` gives {network.name!r} two inputs, examples or z and "
            f"their labels y, but it has {shape}. Build it with `num_classes`, or as a Keras "
            f"model of [x, y]."
        )
    for operation in getattr(network, "operations", []):
        classes = getattr(operation, "num_classes", num_classes)
        if type(operation).__name__ == "OneHot" and classes != num_classes:
            raise ValueError(
                f"`num_classes` is {num_classes}, but {network.name!r} was built with "
                f"num_classes={classes}. Pass the same to both."
            )
    return shape[0]


def output_spec(network, x):
    """Return what `network` gives for a KerasTensor; a network that is not built is built."""
    if network.built:  # A call would leave a node in it.
        return network.compute_output_spec(x)
    outputs = network(x)
    network.trainable = network.trainable  # Again, for the layers that the call has built.
    return outputs


def ends_in_sigmoid(network):
    """Return True if a functional network visibly squashes its output."""
    layers = getattr(network, "layers", None)
    return bool(layers) and getattr(layers[-1], "activation", None) is keras.activations.sigmoid


def describe(outputs):
    """Return in words, for an error, what a network gives."""
    if isinstance(outputs, dict):
        return f"a dictionary with the keys {list(outputs)}"
    return f"{len(outputs)} tensors" if isinstance(outputs, (list, tuple)) else "one tensor"


def _chain(first, rest):
    yield first
    yield from rest
