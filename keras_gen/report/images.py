"""Pictures of a run as they stand in a page: small, and inside it."""

import base64
import functools
import io
import warnings

from PIL import Image

from keras_gen.pictures import LINE

MOST_FRAMES = 60
WIDEST = 960  # Pixels of a frame of the film.
FILM_BYTES = 6_000_000  # Of all frames, in base64.
PICTURE_BYTES = 2_500_000  # Of all other pictures.
FILE_BYTES = 50_000_000  # More no callback has written.


def film(pictures):
    """Return frames [(epoch, address)] of pictures [(epoch, path)]: thinned evenly, last included.

    There are at most 60 of them, and fewer if they are large.
    """
    most = MOST_FRAMES
    while True:
        frames = [(epoch, embed(path, WIDEST)) for epoch, path in thin(pictures, most)]
        frames = [(epoch, address) for epoch, address in frames if address]
        if most <= 2 or sum(len(address) for _, address in frames) <= FILM_BYTES:
            return frames
        most //= 2


def thin(items, most):
    """Return at most `most` of the items, evenly, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def newest(pictures):
    """Return the last of the pictures [(epoch, path)] of each kind as (epoch, address).

    They are made smaller if they are large together.
    """
    for widest in (1600, 800, 400):
        found = {kind: (of[-1][0], embed(of[-1][1], widest)) for kind, of in pictures.items() if of}
        found = {kind: picture for kind, picture in found.items() if picture[1]}
        if sum(len(address) for _, address in found.values()) <= PICTURE_BYTES:
            break
    return found


def preview(path):
    """Return a picture of `kg.data.preview` without its lines of text, and these lines.

    The picture is a `data:` address, or None if it is none. A file that does not name its lines is
    shown as it is.
    """
    if not path.is_file():  # Opening a pipe would wait for ever.
        return None, []
    try:
        with Image.open(path, formats=["PNG"]) as file:
            lines = str(file.info.get("notes", ""))[:1000].splitlines()[:5]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None, []
    return embed(path, WIDEST, LINE * len(lines)), lines


def embed(path, widest=1600, top=0):
    """Return a picture as a `data:` address, no side longer than `widest`; None if it is none.

    `top` rows of pixels are left out.
    """
    try:
        stat = path.stat()
        if path.is_symlink() or not path.is_file() or stat.st_size > FILE_BYTES:
            return None
        return _embed(path, stat.st_mtime_ns, widest, top)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


@functools.lru_cache(256)  # A run writes its report often, each time with one frame more.
def _embed(path, time, widest, top):
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=["PNG"]) as file:
                image = file.convert("RGB")
                box = (0, min(top, image.height - 1), *image.size)
                return address(image.crop(box) if top else image, widest)
        except Image.DecompressionBombWarning:
            return None


def address(image, widest=1600):
    """Return a picture of PIL's as a `data:` address."""
    if max(image.size) > widest:
        image.thumbnail((widest, widest))
    content = io.BytesIO()
    image.save(content, "WEBP", quality=80, method=2)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
