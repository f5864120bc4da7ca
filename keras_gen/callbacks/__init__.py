"""Callbacks: pictures, quality, checkpoints, and a stop at numbers that are not finite."""

from keras_gen.callbacks.checkpoint import Checkpoint
from keras_gen.callbacks.finite import StopAtNonFinite
from keras_gen.callbacks.grids import (
    EpochPicture,
    InterpolationGrid,
    ReconstructionGrid,
    SampleGrid,
)
from keras_gen.callbacks.latents import (
    LatentScatter,
    Manifold,
    Traversals,
    manifold,
    scatter,
    traversals,
)
from keras_gen.callbacks.modes import ModeCoverage
from keras_gen.callbacks.quality import SampleQuality
from keras_gen.films import save_film, save_gif
from keras_gen.pictures import image_grid, save_png
