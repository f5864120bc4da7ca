import keras
import numpy as np
from keras import ops

from keras_gen import seeds


class MADE(keras.layers.Layer):
    """Masked network (z, h) -> (m, s): m_i and s_i depend on h and z_1, ..., z_(i-1) alone.

    It has two hidden layers with ELU. Each of their units has a number n from 0 to d - 1. A unit
    is given z_1, ..., z_n and those units of the layer before it whose numbers are n or less, and
    m_i and s_i are given the units with n < i. All units of the first layer are given h. The last
    layer starts at 0.

    Args:
        hidden: Width of the hidden layers.
        seed: Integer or None, of the weights.

    Call arguments:
        z: (..., d).
        h: (..., size), with the same leading axes.

    Reference:
        Germain et al. (2015), "MADE: Masked Autoencoder for Distribution Estimation", equations 8
        and 9: https://arxiv.org/abs/1502.03509
    """

    def __init__(self, hidden, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.hidden = hidden
        self.seed = seed

    def build(self, z_shape, h_shape):
        d = z_shape[-1]
        i, n = np.arange(1, d + 1), np.arange(self.hidden) * d // self.hidden
        first, second, third = (
            keras.initializers.GlorotUniform(stream) for stream in seeds.split(self.seed, 3)
        )
        self.first = self._masked("first", i[:, None] <= n, first)
        self.second = self._masked("second", n[:, None] <= n, second)
        self.last = self._masked("last", np.tile(n[:, None] < i, 2), "zeros")
        shape = (h_shape[-1], self.hidden)
        self.h_kernel = self.add_weight(shape=shape, initializer=third, name="h_matrix")

    def call(self, z, h):
        unit = ops.elu(_apply(self.first, z) + ops.matmul(h, self.h_kernel))
        unit = ops.elu(_apply(self.second, unit))
        return ops.split(_apply(self.last, unit), 2, axis=-1)

    def _masked(self, name, mask, initializer):
        """Return the kernel and the bias of a layer, and the mask of its kernel."""
        kernel = self.add_weight(shape=mask.shape, initializer=initializer, name=f"{name}_matrix")
        bias = self.add_weight(shape=mask.shape[1:], initializer="zeros", name=f"{name}_bias")
        return kernel, bias, mask.astype(self.variable_dtype)


def _apply(layer, x):
    kernel, bias, mask = layer
    return ops.matmul(x, kernel * mask) + bias
