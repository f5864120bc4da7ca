"""Random changes of images through which a discriminator looks at them, with their gradients."""

from keras_gen.augment.augmentation import Adaptive, Augmentation, DiffAugment, Scheduled, get
from keras_gen.augment.transforms import (
    Color,
    Cutout,
    Flip,
    Rotation,
    Scaling,
    Transform,
    Translation,
)
