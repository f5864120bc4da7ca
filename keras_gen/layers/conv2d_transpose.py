import keras
import numpy as np
from keras import ops

from keras_gen import backend

FEW_FILTERS = 8


@keras.saving.register_keras_serializable("keras_gen")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`, several times as fast on JAX without a GPU.

    Arguments, weights and outputs are those of Keras's layer. On PyTorch Keras computes a border
    that it cuts off; here all of it but one row and one column is left out. XLA on a CPU walks, in
    the gradient, through the zeros that a transposed convolution puts between the input's values.
    Without them:
    output pixels whose place differs by a multiple of the stride depend on neighbouring inputs by
    the same weights, so each of the stride^2 kinds is an ordinary product of patches of the input
    and a part of the kernel. All are one matrix product, and then are interleaved.

    Example:

    ```python
    h = Conv2DTranspose(16, 5, strides=2, padding="same")(keras.ops.ones((8, 7, 7, 32)))
    ```

    Reference:
        Shi et al. (2016), "Is the deconvolution layer the same as a convolutional layer?":
        https://arxiv.org/abs/1609.07009
    """

    def call(self, inputs):
        transposed = backend.conv2d_transpose
        if backend.dilates_slowly() and self.filters >= FEW_FILTERS:
            transposed = _transposed
        if transposed is None or not self._is_same():
            return super().call(inputs)
        outputs = transposed(inputs, ops.convert_to_tensor(self.kernel), self.strides)
        if self.use_bias:
            outputs = outputs + ops.convert_to_tensor(self.bias)
        return self.activation(outputs)

    def _is_same(self):
        return (
            self.padding == "same"
            and self.output_padding is None
            and self.data_format == "channels_last"
            and tuple(self.dilation_rate) == (1, 1)
            and all(size >= s for size, s in zip(self.kernel_size, self.strides, strict=True))
        )


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
