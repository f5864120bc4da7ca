"""Measurements: the quality of samples, means of a step's logs, use of latents, and modes."""

from keras_gen.metrics.bins import ndb
from keras_gen.metrics.confidence import confident_share
from keras_gen.metrics.frechet import frechet_distance
from keras_gen.metrics.kernels import kernel_distance, mmd
from keras_gen.metrics.latents import active_units, elbo_surgery, kl_per_latent
from keras_gen.metrics.means import Means
from keras_gen.metrics.modes import class_coverage, mode_coverage
from keras_gen.metrics.neighbours import density_coverage, memorization, precision_recall
from keras_gen.metrics.samples import Quality, quality
from keras_gen.metrics.wasserstein import sliced_wasserstein
