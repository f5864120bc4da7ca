"""Pictures while training, and a stop where numbers are no longer finite."""

from keras_gen.callbacks.finite import StopAtNonFinite
from keras_gen.callbacks.grids import InterpolationGrid, ReconstructionGrid, SampleGrid
from keras_gen.callbacks.images import image_grid, save_gif, save_png
from keras_gen.callbacks.modes import ModeCoverage

__all__ = [
    "InterpolationGrid",
    "ModeCoverage",
    "ReconstructionGrid",
    "SampleGrid",
    "StopAtNonFinite",
    "image_grid",
    "save_gif",
    "save_png",
]
