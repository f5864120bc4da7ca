"""Keras's transposed convolution, several times as fast on JAX without a GPU.

XLA on a CPU walks, in the gradient, through the zeros that a transposed convolution puts between
the input's values. Without them: output pixels whose place differs by a multiple of the stride
depend on neighbouring inputs by the same weights, so each of the stride^2 kinds is an ordinary
product of patches of the input and a part of the kernel. All are one matrix product, and then are
interleaved.

Reference:
    Shi et al. (2016), "Is the deconvolution layer the same as a convolutional layer?":
    https://arxiv.org/abs/1609.07009
"""

import functools

import jax
import keras
import numpy as np
from keras import ops

FEW_FILTERS = 8


def without_dilation(model):
    """Give a compiled model's transposed convolutions the faster call, where they gain by it.

    Layers of exactly `keras.layers.Conv2DTranspose` are meant. Nothing of it is saved.
    """
    if jax.default_backend() != "cpu":
        return
    for layer in _layers(model):
        if type(layer) is keras.layers.Conv2DTranspose and _gains(layer):
            layer.call = functools.partial(_call, layer)


def _layers(model):
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _gains(layer):
    return (
        layer.filters >= FEW_FILTERS
        and layer.padding == "same"
        and layer.output_padding is None
        and layer.data_format == "channels_last"
        and tuple(layer.dilation_rate) == (1, 1)
        and all(size >= s for size, s in zip(layer.kernel_size, layer.strides, strict=True))
    )


def _call(layer, inputs):
    outputs = _transposed(inputs, ops.convert_to_tensor(layer.kernel), layer.strides)
    if layer.use_bias:
        outputs = outputs + ops.convert_to_tensor(layer.bias)
    return layer.activation(outputs)


def _transposed(x, kernel, strides):
    """`x` (batch, h, w, in) by `kernel` (rows, columns, out, in), with padding "same"."""
    height, width = x.shape[1:3]
    taps = [_taps(size, s) for size, s in zip(kernel.shape[:2], strides, strict=True)]
    (above, below), (left, right) = (before_and_after for _, before_and_after in taps)
    x = ops.pad(x, [(0, 0), (above, below), (left, right), (0, 0)])
    (rows, _), (columns, _) = taps
    patches = ops.concatenate(
        [
            x[:, i : i + height, j : j + width]
            for i in range(rows.shape[0])
            for j in range(columns.shape[0])
        ],
        axis=-1,
    )
    # Behind the last of its rows, and columns, stand zeros, for taps that a kind does not have.
    kernel = ops.pad(kernel, [(0, 1), (0, 1), (0, 0), (0, 0)])
    kernel = ops.take(ops.take(kernel, rows.reshape(-1), 0), columns.reshape(-1), 1)
    out, channels = kernel.shape[2:]
    kernel = ops.reshape(kernel, (*rows.shape, *columns.shape, out, channels))
    # (neighbour's row, its column, in, kind's row, its column, out)
    kernel = ops.transpose(kernel, (0, 2, 5, 1, 3, 4))
    kinds = ops.matmul(patches, ops.reshape(kernel, (patches.shape[-1], -1)))
    kinds = ops.reshape(kinds, (-1, height, width, *strides, out))
    pixels = ops.transpose(kinds, (0, 1, 3, 2, 4, 5))
    return ops.reshape(pixels, (-1, height * strides[0], width * strides[1], out))


def _taps(size, stride):
    """Along one axis: which tap weighs which neighbour, (neighbours, kinds), and the padding.

    Output `q * stride + kind` takes input `q + neighbour` by the tap
    `kind + start - neighbour * stride`, where there is one; else `size` stands.
    """
    start = (size - stride) // 2
    kinds = np.arange(stride)
    before = (size - 1 - start) // stride
    after = (stride - 1 + start) // stride
    neighbours = np.arange(-before, after + 1)
    taps = kinds + start - neighbours[:, None] * stride
    return np.where((taps >= 0) & (taps < size), taps, size), (before, after)
