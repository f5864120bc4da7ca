"""Layers that generative models need and Keras does not have."""

from keras_gen.layers.sampling import Sampling

__all__ = ["Sampling"]
