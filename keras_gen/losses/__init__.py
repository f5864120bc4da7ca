"""Objectives with one value per example: densities, divergences, losses and penalties."""

from keras_gen.losses import adversarial, penalties
from keras_gen.losses.adversarial import (
    AdversarialLoss,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    Wasserstein,
)
from keras_gen.losses.densities import log_normal, log_standard_normal
from keras_gen.losses.divergences import kl_between_normals, kl_of_latents, kl_to_standard_normal
from keras_gen.losses.penalties import DRAGAN, R1, R2, GradientPenalty, Penalty
