"""Priors p(z): densities of the latents, of which each gives log p(z) in nats and draws of z.

A prior is a Keras layer, because it may own weights. Bounds, likelihoods and samples need only its
`distribution`, a plain object that is made once in each step or call.
"""

from keras_gen.identifiers import resolve
from keras_gen.priors.base import Prior
from keras_gen.priors.code_prior import CodePrior
from keras_gen.priors.distributions import Distribution, NormalMixture, PosteriorMixture, UnitNormal
from keras_gen.priors.flow import Flow
from keras_gen.priors.mixture import Mixture
from keras_gen.priors.standard_normal import StandardNormal
from keras_gen.priors.vamp import VampPrior

KINDS = (StandardNormal, Mixture, VampPrior, Flow)


def get(identifier, dtype=None):
    """Return a prior as it is, or make one of `dtype` from a name such as "standard_normal"."""
    example = "prior object such as VampPrior(500)"
    return resolve(identifier, Prior, KINDS, "`prior`", example, dtype=dtype)
