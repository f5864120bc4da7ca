"""Resolutions of the residual networks, and steps from one to the next, in layers of Keras."""

from keras import layers

LAST = {"data_format": "channels_last"}
SAME = {"padding": "same", **LAST}


def stages(image_shape, width):
    """Return (height, width, channels) at each resolution, the image's first.

    The sides are halved until the shorter one is 4 to 7, and the channels doubled, up to eight
    times `width`.
    """
    if len(image_shape) != 3:
        raise ValueError(
            f"`image_shape` is {tuple(image_shape)}. Pass (height, width, channels); for a table "
            f"or a series use `mlp_vae` or `mlp_gan`, or networks of your own."
        )
    halvings = max(min(image_shape[:2]) // 4, 1).bit_length() - 1
    if any(side % 2**halvings for side in image_shape[:2]):
        raise ValueError(
            f"`image_shape` is {tuple(image_shape)}. Pass (height, width, channels) with both "
            f"sides divisible by {2**halvings}: the shorter one is halved until it is below 8. "
            f"Resize or pad the images."
        )
    height, broad, _ = image_shape
    return [(height >> k, broad >> k, width * min(2**k, 8)) for k in range(halvings + 1)]


def halve_size(h):
    return layers.AveragePooling2D(2, **LAST)(h)


def double_size(h):
    """Return images of twice the size, bilinear: the new pixels are at 1/4 and 3/4 of the old.

    The weights are 3/4 and 1/4: of a, a, a, a, b, b, b, b the means are taken of a, a, a, b and
    of a, b, b, b. The second derivative of `UpSampling2D(interpolation="bilinear")` is wrong on
    TensorFlow.
    """
    h = layers.UpSampling2D(4, **LAST)(h)
    return layers.AveragePooling2D(4, strides=2, **SAME)(h)
