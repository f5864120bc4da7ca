"""Films: GIF, WebP and MP4 files of pictures, or of images."""

import contextlib
import os
import subprocess
import tempfile
import warnings

import numpy as np
from PIL import Image

from keras_gen import files
from keras_gen.arguments import as_one_array, check_path, plain
from keras_gen.pictures import check_picture, check_range, clipping, draw_grid, grey_or_colour

KINDS = (".gif", ".webp", ".mp4")
LONGEST = 655  # Seconds: a GIF counts hundredths of them in 16 bits.
SIDE = 256  # Pixels of a frame that shows one image, about.


def save_film(path, frames, seconds=0.2, last_seconds=2.0, value_range=(0, 1)):
    """Write a film to `path`, whole or not at all: GIF, WebP or MP4, by the file's ending.

    GIF and WebP repeat, and so do players of MP4 that are told to. A GIF has at most 256 colours a
    frame. MP4 (H.264) needs the package imageio-ffmpeg.

    Args:
        path: Path of the film, which ends in .gif, .webp or .mp4.
        frames: Images, one a frame: floats (n, height, width, channels), such as
            `model.generate(z)`. Or pictures: paths of PNG files in the order of the film, or uint8
            arrays (rows, columns, 3), such as `image_grid` returns; all of one size.
        seconds: Time that a frame is shown, in steps of .01.
        last_seconds: Time that the last frame is shown; of an MP4 a multiple of `seconds`.
        value_range: Of images, the values that are black and white, as in `image_grid`.

    Raises:
        ImportError: If an MP4 is asked for without imageio-ffmpeg.

    Example:

    ```python
    z = kg.inference.walk(gan.draw_latents(5, seed=0), steps=20)
    kg.callbacks.save_film("walk.gif", gan.generate(z), seconds=0.05, last_seconds=0.05)
    ```
    """
    path = check_film(path)
    for name, value in {"seconds": seconds, "last_seconds": last_seconds}.items():
        if not isinstance(plain(value), (int, float)) or not 0 <= value <= LONGEST:
            raise ValueError(f"`{name}` is {value!r}. Pass a number of seconds, at most {LONGEST}.")
    frames = _frames(frames, check_range(value_range))
    seconds, last_seconds = (max(1, round(100 * value)) for value in (seconds, last_seconds))
    durations = [10 * seconds] * (len(frames) - 1) + [10 * last_seconds]  # In milliseconds.
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as unfinished:
        write = _write_mp4 if path.suffix.lower() == ".mp4" else _write_animation
        write(unfinished, frames, durations)


def save_gif(path, pictures, seconds=0.2, last_seconds=2.0):
    """Write a film as `save_film` does, to a `path` that ends in .gif."""
    save_film(check_path("path", path, ".gif"), pictures, seconds, last_seconds)


def check_film(path):
    """Return the path of a film; ValueError or ImportError if it cannot be written as one."""
    path = check_path("path", path)
    if path.suffix.lower() not in KINDS:
        raise ValueError(
            f"`path` is {str(path)!r}. Let a film end in {', '.join(KINDS[:-1])} or {KINDS[-1]}."
        )
    if path.suffix.lower() == ".mp4":
        _encoder()
    return path


def _frames(frames, value_range):
    """Return pictures of PIL's, all of one size."""
    if isinstance(frames, (str, os.PathLike)):
        raise ValueError("`frames` is one path. Pass a list of them, or of pictures.")
    if not hasattr(frames, "__iter__") or getattr(frames, "shape", None) == ():
        raise ValueError(f"`frames` is a {type(frames).__name__}. Pass images, or pictures.")
    frames = frames if hasattr(frames, "shape") else list(frames)
    if len(frames) and not any(map(_is_picture, frames)):
        frames = _draw(as_one_array("frames", frames), value_range)
    frames = [_frame(frame) for frame in frames]
    sizes = sorted({frame.size for frame in frames})
    if len(sizes) != 1:
        raise ValueError(
            f"There are {len(frames)} pictures of the sizes (width, height) {sizes}. Pass at least "
            f"one, and all of one size."
        )
    return frames


def _is_picture(frame):
    return isinstance(frame, (str, os.PathLike)) or getattr(frame, "dtype", None) == np.uint8


def _draw(images, value_range):
    if message := clipping(images, value_range):
        warnings.warn(message, stacklevel=4)
    images = grey_or_colour(images, value_range[1])
    scale = max(1, SIDE // max(images.shape[1:3]))
    return [draw_grid(image[None], 1, 0, scale, value_range) for image in images]


def _frame(picture):
    if isinstance(picture, (str, os.PathLike)):
        with Image.open(picture) as file:
            return file.convert("RGB")
    check_picture(picture)
    return Image.fromarray(picture)


def _write_animation(path, frames, durations):
    """Write a GIF or a WebP."""
    kind = {"format": path.suffix[1:].upper()}
    if path.suffix.lower() == ".gif":
        # Each frame has its own palette, so a grey one keeps its 256 levels.
        frames = [frame.convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
    else:
        kind |= {"quality": 90, "method": 4}
    first, *rest = frames
    durations = durations if rest else durations[0]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, **kind)


def _write_mp4(path, frames, durations):
    """Write an MP4 that every player knows: H.264, whose sides are even numbers."""
    width, height = (side + side % 2 for side in frames[0].size)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    h264 = ["-vcodec", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-movflags", "+faststart"]
    command = [
        *(_encoder().get_ffmpeg_exe(), "-v", "error", "-y"),
        *(*raw, "-r", str(1000 / durations[0]), "-i", "-", *h264),
        str(path.absolute()),  # "-a.mp4" would be an option, and "a:b.mp4" an address.
    ]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said) as process,
    ):
        with contextlib.suppress(BrokenPipeError), process.stdin:  # Its end says why.
            for frame, duration in zip(frames, durations, strict=True):
                page = Image.new("RGB", (width, height), "white")
                page.paste(frame)
                for _ in range(max(1, round(duration / durations[0]))):
                    process.stdin.write(page.tobytes())
        if process.wait():
            said.seek(0)
            words = said.read().decode(errors="replace").strip() or process.returncode
            raise OSError(f"{path} was not written whole: is the disk full? ffmpeg says: {words}")


def _encoder():
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ImportError(
            "An MP4 is written by imageio-ffmpeg: `pip install imageio-ffmpeg`, or let the film "
            "end in .gif or .webp."
        ) from error
    return imageio_ffmpeg
