"""Posteriors q(z|x): densities of z given an example, made of what the encoder gives.

A posterior is a Keras layer, because it may own weights. Its `outputs` say what the encoder has to
give, and bounds and draws need only its `distribution`, a plain object that is made once in each
step or call. Its draws come with log q(z|x) in nats.
"""

from keras_gen.identifiers import resolve
from keras_gen.posteriors.autoregressive import InverseAutoregressiveFlow
from keras_gen.posteriors.base import Distribution, Posterior
from keras_gen.posteriors.diagonal_normal import DiagonalNormal, Normal
from keras_gen.posteriors.full_covariance import FullCovariance, FullNormal

KINDS = (DiagonalNormal, FullCovariance, InverseAutoregressiveFlow)


def get(identifier, dtype=None):
    """Return a posterior as it is, or make one of `dtype` from a name such as "full_covariance"."""
    example = "posterior object such as FullCovariance()"
    return resolve(identifier, Posterior, KINDS, "`posterior`", example, dtype=dtype)
