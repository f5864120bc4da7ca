"""The shape of z: a vector or anything else, and the vectors that densities need."""

import math

from keras import ops

from keras_gen import checks
from keras_gen.arguments import as_sequence


class Latents:
    """Mixin of a model with `latent_dim`: the size of z, or the shape of one, as (4, 4, 2)."""

    @property
    def latent_shape(self):
        """Shape of one z, a tuple."""
        return as_sequence(self.latent_dim)

    @property
    def latent_size(self):
        """Number of values of one z."""
        return math.prod(self.latent_shape)

    def flat(self, z):
        """Return z (batch, *latent_shape) as vectors (batch, latent_size), a tensor."""
        return z if len(z.shape) == 2 else ops.reshape(z, (-1, self.latent_size))

    def shaped(self, z):
        """Return z, vectors (batch, latent_size), as (batch, *latent_shape), a tensor."""
        vectors = not isinstance(self.latent_dim, tuple)
        return z if vectors else ops.reshape(z, (-1, *self.latent_shape))


def common_shape(given, expected):
    """Return the shape of one z, from those of the encoder's batch and of the decoder's.

    A size that one of them leaves open is that of the other. ValueError if they do not fit.
    """
    if len(given) < 2 or not checks.fits(given, expected):
        raise ValueError(
            f"The encoder's z has shape {tuple(given[1:])}, but the decoder expects "
            f"{tuple(expected[1:])}. Build both for the same z."
        )
    shape = tuple(a or b for a, b in zip(given[1:], expected[1:], strict=True))
    if None in shape:
        raise ValueError(
            f"The encoder's z has shape {shape}, and None is any size, but z has one size. Give "
            f"the Input of the encoder or of the decoder fixed sizes."
        )
    return shape
