import keras
from keras import ops

from keras_gen.dtypes import in_float32


class Quantizer(keras.layers.Layer):
    """Base class of the quantizers: a subclass writes `num_codes`, `codes`, `vectors` and
    `loss`.

    A call maps vectors z (batch, ..., d) to `(z_q, codes, loss)`: the vectors that stand for them,
    in float32 or wider; their integers, int32 (batch, ...), from 0 to `num_codes` - 1; and the loss
    of each example, (batch,), to be added to a model's. The gradient of z_q reaches z unchanged.
    Decorate it with `@keras.saving.register_keras_serializable(...)`, so that a model's file knows
    it. Its arguments are attributes and in `get_config`, next to `super().get_config()`.
    """

    def __init__(self, **kwargs):
        # Vectors stay as they come: two codes may differ by less than half precision can hold.
        super().__init__(autocast=False, **kwargs)

    @property
    def num_codes(self):
        """K, the number of codes."""
        raise NotImplementedError(f"{type(self).__name__} has no `num_codes`. Write it.")

    def check_size(self, size):
        """Raise ValueError if vectors of this size cannot be quantized."""

    def codes(self, z):
        """Return the code of each vector, int32, shape (..., d) -> (...)."""
        raise NotImplementedError(f"{type(self).__name__} has no `codes`. Write it.")

    def vectors(self, codes):
        """Return the vector of each code, shape (...) -> (..., d)."""
        raise NotImplementedError(f"{type(self).__name__} has no `vectors`. Write it.")

    def loss(self, z, vectors):
        """Return what is to be added to the loss of each example, (batch,)."""
        raise NotImplementedError(f"{type(self).__name__} has no `loss`. Write it.")

    def call(self, z, training=False):
        z = in_float32(z)
        codes = self.codes(z)
        vectors = self.vectors(codes)
        return straight_through(z, vectors), codes, self.loss(z, vectors)


def straight_through(z, vectors):
    """Return `vectors`, whose gradient goes to z as if they were z (Bengio et al., 2013)."""
    return z + ops.stop_gradient(vectors - z)
