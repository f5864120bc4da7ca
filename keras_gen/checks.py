"""Checks of arguments, latents and networks: pure functions that know no model."""

import math

import keras
import numpy as np

from keras_gen.arguments import as_sequence, check_integer, check_no_array, check_one_array
from keras_gen.borrowed import all_layers
from keras_gen.door import as_numpy, axes_of, check_type
from keras_gen.layers import MinibatchDiscrimination, MinibatchStdDev


def check_lengths(x, **next_to):
    """Raise ValueError unless an array next to `x` has one row for each example."""
    for name, value in next_to.items():
        if hasattr(value, "shape") and value.shape == ():
            raise ValueError(f"`{name}` is {value}. Pass numbers, as `batch_size`, by their names.")
        if hasattr(value, "shape") and len(value) != len(x):
            raise ValueError(
                f"`x` has {len(x)} examples and `{name}` {len(value)}. Pass one for each example."
            )


def check_examples(x, example_shape, owner):
    """Raise ValueError on a wrong type or shape of `x`, an array or a tensor inside a step."""
    check_type(x, x.dtype)
    if x.shape[0] == 0:
        raise ValueError(f"The data are empty: their shape is {tuple(x.shape)}.")
    if example_shape is not None and tuple(x.shape[1:]) != example_shape:
        raise ValueError(
            f"The data have shape {tuple(x.shape)}, but {owner} was built for "
            f"(n, {', '.join(map(str, example_shape))}). {_to_shape(tuple(x.shape), example_shape)}"
        )


def _to_shape(shape, example_shape):
    """Return what to do with data of `shape`: `reshape` where it mixes no rows and columns."""
    if len(shape) > 2 and (*shape[2:], shape[1]) == example_shape:
        return "Their channels come first. Move them: `keras.ops.moveaxis(x, 1, -1)`."
    came, expected = ([n for n in sizes if n != 1] for sizes in (shape[1:], example_shape))
    is_flat = len(came) < 2 or len(expected) < 2
    if (is_flat or came == expected) and None not in expected:
        if math.prod(came) == math.prod(expected):
            sizes = ", ".join(map(str, (-1, *example_shape)))
            return f"Reshape them: `np.asarray(x).reshape({sizes})`."
    return "Build the networks for the data, or bring the data into this shape."


def check_within(x, bounds):
    """Raise ValueError if values of `x` lie outside a generator's bounds, if known."""
    if bounds is None:
        return
    low, high, least, greatest = *bounds, float(np.min(x)), float(np.max(x))
    margin = 1e-3 * (high - low)
    if least < low - margin or greatest > high + margin:
        raise ValueError(
            f"The generator gives values in [{low:g}, {high:g}], but the data lie in "
            f"[{least:g}, {greatest:g}]. Scale them: `{_scaling(least, greatest, low)}`. Or let "
            f"the generator end in a linear layer."
        )


def _scaling(least, greatest, low):
    """Return code that brings data `x` from [least, greatest] to [0, 1], or to [-1, 1]."""
    if least >= 0 and 127 < greatest <= 255:
        return "x / 255" if low == 0 else "x / 127.5 - 1"
    if least >= -1 and greatest <= 1:
        return "(x + 1) / 2"  # To [0, 1]: they lie in [-1, 1] already.
    return f"np.interp(x, ({least:g}, {greatest:g}), ({low:g}, 1))"


def check_not_a_target(x, y, owner, way="Pass `x` alone."):
    """Raise ValueError if `y` looks like a second copy of the data."""
    if len(x.shape) > 1 and axes_of(y) == tuple(x.shape[1:]):
        raise ValueError(
            f"`y` has the shape of `x`, {tuple(x.shape[1:])}, but {owner} reconstructs `x` itself. "
            f"{way}"
        )


def check_finite(x):
    if not np.all(np.isfinite(x)):
        raise ValueError("The data hold NaN or infinite values. Remove them first.")


def check_choice(name, value, choices):
    *most, last = [f'"{choice}"' for choice in choices]
    wanted = f"{', '.join(most)} or {last}"
    check_no_array(name, value, wanted)
    if value not in choices:
        raise ValueError(f"`{name}` is {value!r}. Pass {wanted}.")


def check_latents(z, latent_dim):
    """Return `z` as a NumPy array (n, *shape of z), float32; ValueError for anything else."""
    given, shape = z, as_sequence(latent_dim)
    z = as_numpy(given, "z").astype("float32")
    if z.ndim == 0 or len(z) == 0 or z.shape[1:] != shape:
        check_one_array("z", given)
        raise ValueError(
            f"`z` has shape {z.shape}. Pass (n, {', '.join(map(str, shape))}), n at least 1."
        )
    return z


def check_codes(codes, shape, num_codes):
    """Return integers as a NumPy array (n, *shape), int32; ValueError for anything else."""
    codes = as_numpy(codes, "codes")
    expected = ", ".join(map(str, ("n", *shape)))
    if codes.ndim != 1 + len(shape) or len(codes) == 0 or codes.shape[1:] != shape:
        raise ValueError(f"`codes` has shape {codes.shape}. Pass ({expected}), n at least 1.")
    if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= num_codes:
        raise ValueError(
            f"`codes` holds {codes.dtype} from {codes.min()} to {codes.max()}. Pass integers from "
            f"0 to {num_codes - 1}, as `encode` gives them."
        )
    return codes.astype("int32")


def fits(shape, expected):
    """Return whether two shapes may be those of one tensor: None is any size."""
    return len(shape) == len(expected) and all(
        None in sizes or sizes[0] == sizes[1] for sizes in zip(shape, expected, strict=True)
    )


def check_ends(steps, **ends):
    """Raise ValueError unless there are two arrays of one shape, and at least 2 steps."""
    check_integer("steps", steps, least=2)  # Both ends are included.
    (name_from, shape_from), (name_to, shape_to) = [(k, np.shape(v)) for k, v in ends.items()]
    if shape_from != shape_to:
        raise ValueError(
            f"`{name_from}` has shape {shape_from} and `{name_to}` {shape_to}. Pass pairs: two "
            f"arrays of the same shape."
        )


def terms_of(output):
    """Return the scalars in what an objective gives, `(loss, terms)`; ValueError without them."""
    if isinstance(output, tuple) and len(output) == 2 and isinstance(output[1], dict):
        return output[1]
    came = output if isinstance(output, tuple) else (output,)
    raise ValueError(
        f"An objective gives the loss to minimise and a dictionary of the scalars to log, and this "
        f"one gives {', '.join(type(part).__name__ for part in came)}. Let it end in `return loss, "
        f"terms`."
    )


def check_networks(**networks):
    for name, network in networks.items():
        if not isinstance(network, keras.Model):
            raise ValueError(
                f"`{name}` is a {type(network).__name__}. Pass a Keras model: `kg.networks` builds "
                f"some, in pairs."
            )


def output_spec(network, x):
    """Return what `network` gives for a KerasTensor; a network that is not built is built."""
    if network.built:  # A call would leave a node in it.
        return network.compute_output_spec(x)
    flags = [(layer, layer.trainable) for layer in all_layers(network)]
    outputs = network(x)
    for layer, trainable in flags:  # Outer layers first: each sets those inside it.
        if not trainable or not layer.trainable:
            layer.trainable = trainable  # Again, for what the call has built.
    return outputs


def output_of(network, x, role):
    """Return the one tensor of `output_spec`; ValueError if the network gives several."""
    outputs = output_spec(network, x)
    if not isinstance(outputs, keras.KerasTensor):
        raise ValueError(f"The {role} gives {describe(outputs)}. Give it one output, one tensor.")
    return outputs


def describe(outputs):
    """Return in words, for an error, what a network gives."""
    if isinstance(outputs, dict):
        return f"a dictionary with the keys {list(outputs)}"
    return f"{len(outputs)} tensors" if isinstance(outputs, (list, tuple)) else "one tensor"


def check_spectral_normalization(model):
    """Raise ValueError if a discriminator overwrites kernels between the calls of one loss."""
    if keras.config.backend() != "torch" or not hasattr(model, "discriminator"):
        return
    for layer in all_layers(model.discriminator):
        if isinstance(layer, keras.layers.SpectralNormalization):
            raise ValueError(
                f"Keras's SpectralNormalization {layer.name!r} overwrites its kernel in each call, "
                f"and a loss calls the discriminator twice: PyTorch has no gradient then. Use "
                f"`kg.layers.SpectralNormalization`."
            )


def check_grouped_convolutions(model):
    """Raise ValueError if a compiled model has a layer whose gradient TensorFlow lacks."""
    if keras.config.backend() != "tensorflow" or model.jit_compile:
        return
    convolutions = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    for layer in all_layers(model):
        if isinstance(layer, convolutions) and layer.groups > 1:
            if keras.distribution.list_devices("gpu"):
                return
            raise ValueError(
                f"The convolution {layer.name!r} has groups={layer.groups}. On a CPU TensorFlow "
                f"has its gradient only under XLA: pass `jit_compile=True` to `compile`, or build "
                f"the network with groups=1."
            )


def compares_examples(network):
    """Return True if a network has a layer that compares the examples of a batch."""
    comparing = (MinibatchDiscrimination, MinibatchStdDev)
    return any(isinstance(layer, comparing) for layer in all_layers(network))
