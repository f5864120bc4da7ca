import math

import keras
import numpy as np
from keras import ops

from keras_gen.arguments import as_sequence, check_integer
from keras_gen.dtypes import in_float32, wide
from keras_gen.layers.quantizer import Quantizer, straight_through

EPSILON = 1e-3


@keras.saving.register_keras_serializable("keras_gen")
class FSQ(Quantizer):
    """Finite scalar quantization: rounds each number of a vector to one of a few levels.

    The number i is bounded to `levels[i]` integers and rounded, and then divided so that z_q lies
    in [-1, 1] (Mentzer et al., 2023, section 3.1 and appendix A.1):

        f(z_i) = tanh(z_i + shift_i) h_i - offset_i,   h_i = (L_i - 1)(1 - 0.001) / 2,
        z_q_i = round(f(z_i)) / floor(L_i / 2),

    where offset and shift are 0 for odd L_i, and 1/2 and tan(offset_i / h_i) for even ones. The
    gradient goes through the rounding as if it were not there. Each combination of levels is a
    code, and the first level counts fastest. There is no codebook, nothing to train and no loss.

    Args:
        levels: The L_i, integers of at least 2; their number is d, the size of z. The paper's are
            (8, 6, 5) for 240 codes, (8, 5, 5, 5) for 1,000 and (7, 5, 5, 5, 5) for 4,375.

    Call arguments:
        z: Vectors, (batch, ..., d), of any size.

    Example:

    ```python
    z = keras.random.normal((8, 7, 7, 3))
    z_q, codes, _ = FSQ((8, 6, 5))(z)  # (8, 7, 7, 3), (8, 7, 7)
    ```

    Reference:
        Mentzer et al. (2023), "Finite Scalar Quantization: VQ-VAE Made Simple":
        https://arxiv.org/abs/2309.15505
    """

    def __init__(self, levels, **kwargs):
        super().__init__(**kwargs)
        self.levels = tuple(check_integer("levels", n, least=2) for n in as_sequence(levels))
        if not self.levels:
            raise ValueError("`levels` is empty. Pass the number of levels of each number of z.")
        if self.num_codes >= 2**31:
            raise ValueError(
                f"`levels` are {self.levels}, which make {self.num_codes:,} codes. Pass fewer: an "
                f"int32 holds up to 2^31 - 1."
            )
        self.built = True

    @property
    def num_codes(self):
        """K, the product of the levels."""
        return math.prod(self.levels)

    def check_size(self, size):
        if size != len(self.levels):
            raise ValueError(
                f"FSQ has {len(self.levels)} levels, {self.levels}, one for each number of a "
                f"vector, and the vectors have size {size}. Let the encoder end in "
                f"{len(self.levels)} channels."
            )

    def bound(self, z):
        """Return f(z), of which rounding makes the levels, in the shape of z."""
        levels = np.array(self.levels)
        half = (levels - 1) * (1 - EPSILON) / 2
        offset = np.where(levels % 2 == 1, 0.0, 0.5)
        shift = np.tan(offset / half)
        half, offset, shift = (ops.convert_to_tensor(v, z.dtype) for v in (half, offset, shift))
        return ops.tanh(z + shift) * half - offset

    def codes(self, z):
        rounded = ops.cast(ops.round(self.bound(in_float32(z))), "int32")
        levels, places = self._places()
        return ops.cast(ops.sum((rounded + levels // 2) * places, axis=-1), "int32")

    def vectors(self, codes):
        codes = ops.cast(codes, "int32")[..., None]
        levels, places = self._places()
        level = ops.mod(ops.floor_divide(codes, places), levels)
        half = ops.cast(levels // 2, wide(self.variable_dtype))
        return ops.cast(level, half.dtype) / half - 1

    def loss(self, z, vectors):
        return ops.zeros_like(ops.reshape(z, (ops.shape(z)[0], -1))[:, 0])

    def call(self, z, training=False):
        self.check_size(z.shape[-1])
        z = in_float32(z)
        f = self.bound(z)
        half = ops.convert_to_tensor(np.array(self.levels) // 2, z.dtype)
        return straight_through(f, ops.round(f)) / half, self.codes(z), self.loss(z, None)

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}

    def _places(self):
        """Return the levels, and what a step of each counts in the code, int32 (d,)."""
        places = np.concatenate([[1], np.cumprod(self.levels[:-1])])
        return tuple(ops.convert_to_tensor(v, "int32") for v in (self.levels, places))
