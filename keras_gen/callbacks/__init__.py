"""Pictures while training."""

from keras_gen.callbacks.grids import ReconstructionGrid, SampleGrid
from keras_gen.callbacks.images import image_grid, save_png

__all__ = ["ReconstructionGrid", "SampleGrid", "image_grid", "save_png"]
