"""Likelihoods p(x|z): densities of the data, whose parameters are a decoder's raw outputs.

A likelihood is a Keras layer, because it may own a weight (a learned sigma). Its decoder has
`parameters_per_value` outputs for every number in `x`, all on the last axis: data of shape
(28, 28, 1) and a likelihood with 2 parameters need a decoder that ends in (28, 28, 2). Parameters
of one kind stand together: for (32, 32, 3), three means and then three log scales.
"""

from keras_gen.identifiers import resolve
from keras_gen.likelihoods.base import Likelihood, elementwise, log_prob
from keras_gen.likelihoods.bernoulli import Bernoulli
from keras_gen.likelihoods.categorical import Categorical
from keras_gen.likelihoods.continuous_bernoulli import ContinuousBernoulli
from keras_gen.likelihoods.discretized_logistic import DiscretizedLogistic
from keras_gen.likelihoods.gaussian import Gaussian, HeteroscedasticGaussian

KINDS = (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    HeteroscedasticGaussian,
    DiscretizedLogistic,
    Categorical,
)


def get(identifier):
    """Return a likelihood as it is, or make one from a name such as "bernoulli"."""
    example = "likelihood object such as Bernoulli()"
    return resolve(identifier, Likelihood, KINDS, "`likelihood`", example)
