"""Bounds of a network's outputs, measured: where it ends cannot be read off its layers."""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend

SCALES = (1.0, 100.0, 10_000.0)  # Of the inputs.
ROWS = 4  # Inputs of each scale.
CLOSE = 1e-3


def output_bounds(network, inputs):
    """Return the least and the greatest output of a built network under any weights, two floats.

    They are measured at random inputs of small and large scales, in inference mode, with random
    weights in place of the trainable ones, and with their negatives. The network's own weights
    would not do: behind a tanh or a layer norm, a linear end stays near its bias, which may be an
    image in [0, 1]. All of it happens in a scope: no weight and no seed changes.

    Args:
        network: A Keras model with one output.
        inputs: Its inputs, a KerasTensor or a list of them. Integers are labels, here all 0.

    Returns:
        (-inf, inf) if nothing can be said: the network fails at such inputs, or is constant.
    """
    random = np.random.default_rng(0)
    x = keras.tree.map_structure(lambda tensor: _input(tensor, random), inputs)
    # A frozen kernel too, but no moving statistic, which is a vector.
    moved = [v for v in network.variables if v.trainable or len(v.shape) > 1]
    moved = [v for v in moved if keras.backend.is_float_dtype(v.dtype)]
    weights = [(v, _weight(v.shape, random)) for v in moved]
    try:
        outputs = [_outputs(network, x, weights, sign) for sign in (1, -1)]
    except Exception:  # The user's own layers may take exception to such numbers.
        return -math.inf, math.inf
    outputs = np.stack(outputs).astype("float64")
    outputs = outputs[~np.isnan(outputs)]
    if len(np.unique(outputs)) < 2:
        return -math.inf, math.inf
    return float(outputs.min()), float(outputs.max())


def known_bounds(low, high):
    """Return (0, 1) or (-1, 1) if the measured bounds are these, or else None."""
    for bounds in ((0, 1), (-1, 1)):
        if np.allclose((low, high), bounds, rtol=0, atol=CLOSE):
            return bounds
    return None


def describe(low, high):
    """Return in words where a network ends whose outputs stay in [low, high]."""
    if low >= 0 and high <= 1:
        return "ends in a sigmoid, a softmax or the like: its outputs stay in [0, 1]"
    if low >= -1 and high <= 1:
        return "ends in a tanh or the like: its outputs stay in [-1, 1]"
    if low >= -1:
        return f"ends in a ReLU or the like: its outputs are never below {low:.2g}"
    return f"ends in a function whose values are never above {high:.2g}"


def check_raw_outputs(discriminator, inputs, loss):
    """Raise ValueError if a discriminator is squashed, and its loss expects raw outputs."""
    if not loss.needs_raw_outputs:
        return
    low, high = output_bounds(discriminator, inputs)
    if low >= -1 and high <= 1:
        raise ValueError(
            f"The discriminator {describe(low, high)}. {type(loss).__name__} expects raw outputs, "
            f"logits, which keep it stable: leave the activation out."
        )


def _input(tensor, random):
    shape = (ROWS * len(SCALES), *tensor.shape[1:])
    if keras.backend.is_int_dtype(tensor.dtype):
        return ops.zeros(shape, tensor.dtype)
    scales = np.repeat(SCALES, ROWS).reshape(-1, *[1] * (len(shape) - 1))
    return ops.convert_to_tensor((scales * random.standard_normal(shape)).astype("float32"))


def _weight(shape, random):
    # A kernel makes outputs a few times as large as its inputs; a bias is larger than most of
    # what saturates.
    scale = 10.0 if len(shape) < 2 else 3 / math.sqrt(math.prod(shape[:-1]))
    return scale * random.standard_normal(shape)


def _outputs(network, x, weights, sign):
    values = [(v, ops.convert_to_tensor(sign * value, v.dtype)) for v, value in weights]
    with keras.StatelessScope(values):
        y = backend.without_gradient(lambda x: network(x, training=False), x)
    return ops.convert_to_numpy(y)
