"""What is measured: running means of a step's logs."""

from keras_gen.metrics.means import Means

__all__ = ["Means"]
