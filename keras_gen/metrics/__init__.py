"""Measurements: running means of a step's logs, use of latents, and coverage of modes."""

from keras_gen.metrics.latents import active_units, elbo_surgery, kl_per_latent
from keras_gen.metrics.means import Means
from keras_gen.metrics.modes import class_coverage, mode_coverage
