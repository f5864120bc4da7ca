"""Closed forms that models minimise: pure functions, one value per example, in nats."""

from keras_gen.losses.divergences import kl_between_normals, kl_to_standard_normal

__all__ = ["kl_between_normals", "kl_to_standard_normal"]
