"""Images decoded once: into memory, or into a file that is read as if it were memory."""

import collections
import concurrent.futures
import hashlib
import json
import mmap
import os
import pathlib
import shutil
import sys
import time

import keras
import numpy as np

from keras_gen import files

# Bytes of a set that are kept in memory, training and test images together.
IN_MEMORY_BYTES = 2 * 2**30
# Raised when decoding changes: files of before are not read then.
FORMAT = 1
# Bytes of a small image. Around it the system would read 128 KB, in vain in a shuffled epoch.
SMALL = 2**15
AHEAD = 4  # Images that each thread is ahead of the one that is written down.

# The images that could be read, uint8 (n, height, width, channels), their places among the names
# of the source, and a checksum of each one's bytes.
Decoded = collections.namedtuple("Decoded", ("pixels", "kept", "checksums"))


def decoded(source, make_decode, settings, skip_unreadable, cache):
    """Return the `Decoded` images of a source, from a file or decoded now.

    Args:
        source: a `Source`.
        make_decode: function without arguments that returns the function of one image. It looks at
            the images, and is called only if there is no file.
        settings: what the images depend on besides the source, for JSON.
        skip_unreadable: leave out what cannot be read.
        cache: folder for the file, which is written in any case; None writes a set that does not
            fit in memory into the user's folder of caches; False writes nothing, and deletes the
            file that is there.
    """
    entry = _entry(source, settings, cache)
    if cache is False:
        shutil.rmtree(entry, ignore_errors=True)
    elif (found := _read(entry, source)) is not None:
        return found
    decoding = _Decoding(source, make_decode(), skip_unreadable)
    num_bytes = len(source) * decoding.first.nbytes
    if cache is False or (cache is None and num_bytes <= IN_MEMORY_BYTES):
        pixels = np.empty((len(source), *decoding.first.shape), "uint8")
        for i, image in enumerate(decoding):
            pixels[i] = image
        return Decoded(pixels[: len(decoding.kept)], np.array(decoding.kept), decoding.checksums)
    return _written(entry, source, decoding, num_bytes)


class _Decoding:
    """Iterates over the images of a source, decoded in parallel, in its order."""

    def __init__(self, source, decode, skip_unreadable):
        self.source, self.decode, self.skip = source, decode, skip_unreadable
        self.kept, self.checksums, self.skipped = [], [], []
        self.first = next(self._readable())[1]

    def __iter__(self):
        self.skipped.clear()
        n = len(self.source)
        bar = keras.utils.Progbar(n, unit_name="image", verbose=1 if sys.stdout.isatty() else 2)
        print(f"Decoding {n:,} images of {_shape(self.first)} from {self.source.place}", flush=True)
        for i, image in self._readable():
            if image.shape != self.first.shape:
                raise ValueError(
                    f"{self.source.names[i]!r} has the size {_shape(image)}, and others have "
                    f"{_shape(self.first)}. Name one `size` for all, such as 64."
                )
            self.kept.append(i)
            self.checksums.append(hashlib.sha256(image).hexdigest()[:32])
            yield image
            bar.update(i + 1, finalize=False)
        bar.update(n, finalize=True)
        if self.skipped:
            print(f"{len(self.skipped)} of {n} files cannot be read and are left out, such as:")
            print("\n".join(self.skipped[:3]))

    def _readable(self):
        for i, (image, reason) in enumerate(_in_parallel(self._try, self.source)):
            if reason is None:
                yield i, image
                continue
            message = f"{self.source.names[i]!r} in {self.source.place!r} cannot be read: {reason}."
            if not self.skip:
                raise ValueError(
                    f"{message}\nRemove it, or set `skip_unreadable` to leave such files out."
                )
            self.skipped.append(message)
        if len(self.skipped) == len(self.source):
            raise ValueError(f"None of the images can be read. The first: {self.skipped[0]}")

    def _try(self, content):
        try:
            return self.decode(content), None
        except MemoryError:
            raise
        except Exception as error:  # Pillow's readers raise errors of twenty kinds.
            return None, str(error).rstrip(".") or type(error).__name__


def _in_parallel(function, items):
    """Yield `function` of each item in order; threads compute a few ahead."""
    workers = min(os.cpu_count() or 1, 16)  # Pillow lets them run at the same time.
    pool, ahead = concurrent.futures.ThreadPoolExecutor(workers), collections.deque()
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > AHEAD * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _entry(source, settings, cache):
    """Return the folder of a source with these settings."""
    if cache is None or cache is False:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        cache = os.path.join(root, "keras_gen", "images")
    key = json.dumps([FORMAT, source.place, settings])
    return pathlib.Path(cache).expanduser() / hashlib.sha256(key.encode()).hexdigest()[:16]


def _stamp(source):
    return hashlib.sha256(json.dumps(source.stamp()).encode()).hexdigest()


def _read(entry, source):
    """Return the images of a folder, or None if it has none of these files as they are now."""
    try:
        index = json.loads((entry / "index.json").read_text())
        if index["stamp"] != _stamp(source):
            return None
        return _mapped(entry, index)
    except (OSError, ValueError, KeyError, TypeError):  # Not there, or damaged.
        return None


def _mapped(entry, index):
    with open(entry / "images.uint8", "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    pixels = np.frombuffer(mapped, "uint8").reshape(index["shape"])
    if pixels[:1].nbytes <= SMALL and hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)
    return Decoded(pixels, np.array(index["kept"]), index["checksums"])


def _written(entry, source, decoding, num_bytes):
    try:
        entry.mkdir(parents=True, exist_ok=True)
        lock = _locked(entry)
        try:
            # Another process may have written it in the meantime.
            return _read(entry, source) or _write(entry, source, decoding, num_bytes)
        finally:
            lock.release()
    except OSError as error:
        raise OSError(
            f"{num_bytes / 1e9:.1f} GB of images cannot be written to {entry}: {error}. "
            f"Pass another folder as `cache`, or a smaller `size`."
        ) from error


def _write(entry, source, decoding, num_bytes):
    print(f"Writing {num_bytes / 1e9:.2f} GB once to {entry}, to be read from there.")
    stamp = _stamp(source)
    # First: an index of before must not stand next to other images.
    (entry / "index.json").unlink(missing_ok=True)
    with files.whole(entry / "images.uint8") as path, open(path, "wb") as file:
        for image in decoding:
            file.write(image.tobytes())
    shape = (len(decoding.kept), *decoding.first.shape)
    index = {"place": source.place, "stamp": stamp, "shape": shape}
    index |= {"kept": decoding.kept, "checksums": decoding.checksums}
    with files.whole(entry / "index.json") as path:
        path.write_text(json.dumps(index))
    return _mapped(entry, index)


def _locked(entry):
    while True:
        try:
            return files.Lock(entry)
        except BlockingIOError:  # A process for another device is writing it.
            time.sleep(0.5)


def _shape(image):
    return "x".join(map(str, image.shape))
