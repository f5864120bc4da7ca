"""What is measured: running means of a step's logs, and coverage of modes."""

from keras_gen.metrics.means import Means
from keras_gen.metrics.modes import class_coverage, mode_coverage

__all__ = ["Means", "class_coverage", "mode_coverage"]
