"""Pictures while training."""

from keras_gen.callbacks.grids import InterpolationGrid, ReconstructionGrid, SampleGrid
from keras_gen.callbacks.images import image_grid, save_gif, save_png
from keras_gen.callbacks.modes import ModeCoverage

__all__ = [
    "InterpolationGrid",
    "ModeCoverage",
    "ReconstructionGrid",
    "SampleGrid",
    "image_grid",
    "save_gif",
    "save_png",
]
