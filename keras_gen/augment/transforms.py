"""Transforms of images (batch, height, width, channels) from -1 to 1, where 0 is mid-grey.

Each is a pure function of the images and of numbers from U[0, 1), `size` for each image. All but
the colours are linear in the image: flips, and products with matrices of bilinear weights. So their
gradients, and the gradients of those, are right on every backend.
"""

import keras
from keras import ops

from keras_gen import configs
from keras_gen.identifiers import resolve


class Transform(configs.Configured):
    """Base class of the transforms: a subclass writes `__call__`, and `size` unless it is 1.

    Decorate it with `@keras.saving.register_keras_serializable(...)`, so that a GAN's file knows
    it. Its arguments, if it has any, are attributes and in `get_config`. `KINDS` lists the classes
    that have a name, as "flip" has.

    Example:

    ```python
    @keras.saving.register_keras_serializable("mine")
    class Noisy(kg.augment.Transform):
        def __call__(self, x, u):
            return x + (2 * u[:, :, None, None] - 1)  # One shade for each image.


    augment = kg.augment.DiffAugment([Noisy(), "cutout"])
    ```
    """

    size = 1

    def __call__(self, x, u):
        """Return images like `x` from numbers u (batch, size), in [0, 1)."""
        raise NotImplementedError

    def check(self, image_shape):
        """Raise ValueError if images of this shape cannot be transformed."""


@keras.saving.register_keras_serializable("keras_gen")
class Color(Transform):
    """Changes brightness, then saturation, then contrast.

    x + b, then m + s (x - m) with the mean m over the channels, then m + c (x - m) with the mean
    m over the image. Images of one channel have no saturation.

    Args:
        brightness: b is from U[-brightness, brightness]; black is -1 and white 1.
        saturation: s is from U[1 - saturation, 1 + saturation].
        contrast: c is from U[1 - contrast, 1 + contrast].

    Example:

    ```python
    augment = kg.augment.DiffAugment([Color(brightness=0.2), "cutout"])
    ```

    Reference:
        Zhao et al. (2020), "Differentiable Augmentation for Data-Efficient GAN Training":
        https://arxiv.org/abs/2006.10738
    """

    size = 3

    def __init__(self, brightness=0.5, saturation=1.0, contrast=0.5):
        self.brightness = _not_negative("brightness", brightness)
        self.saturation = _not_negative("saturation", saturation)
        self.contrast = _not_negative("contrast", contrast)

    def __call__(self, x, u):
        b, s, c = (_of_image(2 * u[:, i] - 1) for i in range(3))  # In [-1, 1).
        x = x + self.brightness * b
        m = ops.mean(x, axis=3, keepdims=True)
        x = m + (1 + self.saturation * s) * (x - m)
        m = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        return m + (1 + self.contrast * c) * (x - m)

    def get_config(self):
        return {
            "brightness": self.brightness,
            "saturation": self.saturation,
            "contrast": self.contrast,
        }


@keras.saving.register_keras_serializable("keras_gen")
class Translation(Transform):
    """Moves the image by whole pixels; what comes in is grey.

    Args:
        ratio: Largest move, as a part of the side.

    Example:

    ```python
    augment = kg.augment.DiffAugment([Translation(ratio=0.25)])
    ```

    Reference:
        Zhao et al. (2020): https://arxiv.org/abs/2006.10738
    """

    size = 2

    def __init__(self, ratio=0.125):
        self.ratio = _share("ratio", ratio)

    def __call__(self, x, u):
        places = []
        for i, side in enumerate(x.shape[1:3]):
            furthest = int(self.ratio * side + 0.5)
            move = ops.floor(u[:, i : i + 1] * (2 * furthest + 1)) - furthest
            places.append(ops.arange(side, dtype=x.dtype) - move)
        return _sampled(x, *places)

    def get_config(self):
        return {"ratio": self.ratio}


@keras.saving.register_keras_serializable("keras_gen")
class Cutout(Transform):
    """Covers a rectangle with grey; its centre is anywhere, so it may be cut by the border.

    Args:
        ratio: Sides of the rectangle, as a part of those of the image.

    Example:

    ```python
    augment = kg.augment.DiffAugment([Cutout(ratio=0.25)])
    ```

    Reference:
        Zhao et al. (2020): https://arxiv.org/abs/2006.10738
    """

    size = 2

    def __init__(self, ratio=0.5):
        self.ratio = _share("ratio", ratio)

    def __call__(self, x, u):
        inside = []
        for i, side in enumerate(x.shape[1:3]):
            length = int(self.ratio * side + 0.5)
            first = ops.floor(u[:, i : i + 1] * (side + 1 - length % 2)) - length // 2
            place = ops.arange(side, dtype=x.dtype) - first  # (batch, side)
            inside.append(ops.logical_and(place >= 0, place < length))
        rows, columns = inside
        covered = ops.logical_and(rows[:, :, None, None], columns[:, None, :, None])
        return ops.where(covered, ops.zeros_like(x), x)

    def get_config(self):
        return {"ratio": self.ratio}


@keras.saving.register_keras_serializable("keras_gen")
class Flip(Transform):
    """Mirrors every second image, left to right.

    Example:

    ```python
    augment = kg.augment.Scheduled(0.5, ["flip", "color"])
    ```
    """

    def __call__(self, x, u):
        return ops.where(_of_image(u[:, 0]) < 0.5, ops.flip(x, axis=2), x)


@keras.saving.register_keras_serializable("keras_gen")
class Rotation(Transform):
    """Turns square images by 0, 90, 180 or 270 degrees.

    Example:

    ```python
    augment = kg.augment.Scheduled(0.5, ["rotation", "color"])
    ```
    """

    def __call__(self, x, u):
        turns = ops.floor(4 * _of_image(u[:, 0]))
        turned = ops.transpose(x, (0, 2, 1, 3))  # Mirrored as well.
        y = ops.where(turns == 1, ops.flip(turned, axis=1), x)
        y = ops.where(turns == 2, ops.flip(x, axis=(1, 2)), y)
        return ops.where(turns == 3, ops.flip(turned, axis=2), y)

    def check(self, image_shape):
        height, width, _ = image_shape
        if height != width:
            raise ValueError(
                f'"rotation" turns images by 90 degrees, and these are {height}x{width}. Leave it '
                f"out, or pass square images."
            )


@keras.saving.register_keras_serializable("keras_gen")
class Scaling(Transform):
    """Enlarges or shrinks the image about its centre, bilinear; what comes in is grey.

    Args:
        octaves: The factor is 2^o, with o from U[-octaves, octaves]. The default has the standard
            deviation of ADA's log-normal factor, 0.2.

    Example:

    ```python
    augment = kg.augment.Scheduled(0.5, [Scaling(octaves=0.5)])
    ```

    Reference:
        Karras et al. (2020), "Training Generative Adversarial Networks with Limited Data",
        appendix B: https://arxiv.org/abs/2006.06676
    """

    def __init__(self, octaves=0.35):
        self.octaves = _not_negative("octaves", octaves)

    def __call__(self, x, u):
        factor = 2.0 ** (self.octaves * (2 * u - 1))  # (batch, 1)
        places = []
        for side in x.shape[1:3]:
            centre = (side - 1) / 2
            places.append((ops.arange(side, dtype=x.dtype) - centre) / factor + centre)
        return _sampled(x, *places)

    def get_config(self):
        return {"octaves": self.octaves}


KINDS = (Color, Translation, Cutout, Flip, Rotation, Scaling)


def get(identifier):
    """Return a transform as it is, or make one from a name such as "flip"."""
    return resolve(identifier, Transform, KINDS, "A transform", "transform such as Cutout(0.25)")


def _sampled(x, rows, columns):
    """Return `x` at rows (batch, height) and columns (batch, width), bilinear, 0 outside."""
    x = ops.einsum("nrs,nswc->nrwc", _weights(rows), x)
    return ops.einsum("nqw,nrwc->nrqc", _weights(columns), x)


def _weights(places):
    """Return the bilinear weights of all pixels of a side at `places`: (batch, places, pixels)."""
    pixels = ops.arange(places.shape[1], dtype=places.dtype)
    return ops.maximum(1 - ops.abs(places[:, :, None] - pixels), 0)


def _of_image(numbers):
    return ops.reshape(numbers, (-1, 1, 1, 1))


def _not_negative(name, value):
    if not 0 <= value < float("inf"):
        raise ValueError(f"`{name}` is {value}. Pass a number that is not negative.")
    return value


def _share(name, value):
    if not 0 <= value <= 1:
        raise ValueError(f"`{name}` is {value}. Pass a part of the side, in [0, 1].")
    return value
