"""One image, from a file of any kind to bytes (height, width, channels), by Pillow alone."""

import io

import numpy as np
from PIL import Image, ImageColor, UnidentifiedImageError

from keras_gen.arguments import plain

# By name, because Pillow also knows formats that start other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
GREY = ("1", "L", "LA", "La", "I", "F")
# How the camera was held, in EXIF's words, and what puts the image upright.
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(content, size, channels, fit="crop", background=(255, 255, 255)):
    """Return one image as uint8 (height, width, channels); ValueError with the reason if it fails.

    Args:
        content: a path, the bytes of a file, or an array uint8 (height, width, channels).
        size: (height, width), or None for the size that it has.
        channels: 1 or 3.
        fit: "crop" cuts the middle out if the form differs, "pad" lays the whole image on the
            `background`.
        background: (red, green, blue) under what is transparent.
    """
    with _opened(content) as image:
        if size is not None:
            # A large JPEG is decoded to an 8th, 4th or half, at least twice as large as `size`.
            image.draft(None, (2 * max(size), 2 * max(size)))
        image.load()
        how = UPRIGHT.get(_orientation(image))
        image = _opaque(_of_8_bits(image), "L" if channels == 1 else "RGB", background)
    if how is not None:
        image = image.transpose(how)
    if size is not None:
        image = (_cropped if fit == "crop" else _padded)(image, *size, background)
    return np.asarray(image).reshape(image.height, image.width, channels)


def is_grey(content, background):
    """Return whether a file says that its image has no colours; True if it cannot be opened."""
    try:
        with _opened(content) as image:
            if image.has_transparency_data and len(set(background)) > 1:
                return False
            if image.mode == "P":
                colours = np.reshape(image.getpalette("RGB"), (-1, 3))
                return bool((colours == colours[:, :1]).all())
            return image.mode in GREY or image.mode.startswith("I;16")
    except Exception:
        return True  # Whoever decodes it says what is wrong.


def colour(background):
    """Return a colour as (red, green, blue); ValueError if it is none."""
    try:
        rgb = (
            ImageColor.getrgb(background)
            if isinstance(background, str)
            else tuple(map(plain, background))
        )
    except (ValueError, TypeError):
        rgb = ()
    if len(rgb) != 3 or not all(type(value) is int and 0 <= value < 256 for value in rgb):
        raise ValueError(
            f'`background` is {background!r}. Pass a name such as "white", "#ff8000", or (red, '
            f"green, blue), integers from 0 to 255."
        )
    return rgb


def _opened(content):
    if isinstance(content, np.ndarray):
        return Image.fromarray(content[:, :, 0] if content.shape[-1] == 1 else content)
    if isinstance(content, bytes):
        content = io.BytesIO(content)
    try:
        image = Image.open(content, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("it is no image, or of a kind that is not read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(_bomb()) from None
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and image.width * image.height > most:
        image.close()
        raise ValueError(_bomb())
    return image


def _bomb():
    return (
        f"it has more than {Image.MAX_IMAGE_PIXELS} pixels, which may be a decompression bomb; if "
        f"you know it, make it smaller, or set PIL.Image.MAX_IMAGE_PIXELS"
    )


def _orientation(image):
    """Return EXIF's orientation, or None. Pillow has turned a TIFF upright when it was loaded."""
    try:
        return image.getexif().get(ORIENTATION)
    except Exception:  # Broken EXIF is common, and the image is whole.
        return None


def _of_8_bits(image):
    """Return an image of 16 bits, or of floats, as one of 8 bits; all others unchanged."""
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):  # False for NaN.
            raise ValueError("it holds floats outside [0, 1]")
        return Image.fromarray(np.rint(255 * values).astype("uint8"))
    if image.mode == "I" and image.format != "PNG":  # PNG has 16 bits, whatever Pillow calls them.
        raise ValueError("it holds integers of 32 bits, whose white is not known")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype("int64")
        return Image.fromarray(((values + 128) // 257).astype("uint8"))  # 65535 = 257 x 255.
    return image


def _opaque(image, mode, background):
    if image.has_transparency_data:
        image = image.convert("RGBA")
        under = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(under, image)
    return image.convert(mode)


def _cropped(image, height, width, background):
    scale = min(image.width / width, image.height / height)
    w, h = max(1, round(scale * width)), max(1, round(scale * height))
    left, top = (image.width - w) // 2, (image.height - h) // 2
    return _resized(image.crop((left, top, left + w, top + h)), (width, height))


def _padded(image, height, width, background):
    scale = max(image.width / width, image.height / height)
    w, h = max(1, round(image.width / scale)), max(1, round(image.height / scale))
    picture = Image.new("RGB", (width, height), background).convert(image.mode)
    picture.paste(_resized(image, (w, h)), ((width - w) // 2, (height - h) // 2))
    return picture


def _resized(image, size):
    if image.size == size:
        return image
    width, height = size
    if image.width < width or image.height < height:
        return image.resize(size, Image.Resampling.BICUBIC)
    if image.width % width == 0 == image.height % height:
        return image.reduce((image.width // width, image.height // height))  # Means of blocks.
    # Means of blocks first. Then not BOX, which moves parts of the image by half a pixel.
    return image.resize(size, Image.Resampling.HAMMING, reducing_gap=2)
