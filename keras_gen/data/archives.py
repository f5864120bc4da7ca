"""Where images come from: a folder, a list of files, a zip or tar of files, an array in a file.

A `Source` has the names of the images, and iterates over what `decode` accepts, in the same order:
paths, the bytes of files, or arrays.
"""

import contextlib
import lzma
import os
import pathlib
import posixpath
import tarfile
import unicodedata
import warnings
import zipfile
import zlib

import numpy as np

OTHER_IMAGES = (".heic", ".heif", ".avif", ".jp2", ".svg", ".psd", ".dng", ".cr2", ".nef", ".arw")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError)
# Of one file in an archive. More is a bomb, or no image to learn from.
MOST_BYTES = 2**28


def find(path):
    """Return the `Source` of a path or of a list of paths; ValueError or OSError if it is none."""
    if isinstance(path, (list, tuple)):
        return Files(path)
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(
            f"`path` is a {type(path).__name__}. Pass the path of a folder, or a list of files."
        )
    path = os.path.expanduser(os.fspath(path))
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no folder or file {path!r}.")
    if os.path.isdir(path):
        return Folder(path)
    for suffixes, kind in ((".zip", Zip), (TARS, Tar), ((".npy", ".npz"), Array)):
        if path.lower().endswith(suffixes):
            return kind(path)
    raise ValueError(
        f"{path!r} is a file. Pass a folder of images, a .zip, a .tar or .tar.gz, or an array in a "
        f".npy or .npz; in Python also a list of files."
    )


class Source:
    """Images in an order of their own.

    Attributes:
        place: absolute path of the folder, or of the file, that holds all.
        names: of the images, relative to it, with "/", NFC.
        paths: of the images, or their names in an archive; None in an array.
        in_order: whether the order of the images is that of whoever named them.
        files: paths of the files whose size and time say whether anything has changed.
        y: labels that stand next to the images, or None.
    """

    y = paths = None
    in_order = False

    def __init__(self, place, names, files):
        self.place = os.path.abspath(place)
        names = [posixpath.normpath(name.replace(os.sep, "/")) for name in names]
        self.names = [unicodedata.normalize("NFC", name) for name in names]
        self.files = files

    def __len__(self):
        return len(self.names)

    def __iter__(self):
        return iter(self.files)

    def stamp(self):
        """Return what changes if a file changes: names, sizes and times."""
        stats = [os.stat(path) for path in self.files if os.path.exists(path)]
        return [self.names, [(stat.st_size, stat.st_mtime_ns) for stat in stats]]


class Folder(Source):
    def __init__(self, path):
        others, paths = [], []
        for file in _walk(path):
            (paths if file.lower().endswith(SUFFIXES) else others).append(file)
        if not paths:
            there = f"{len(others)} other files" if others else "no files"
            raise ValueError(f"The folder {path!r} holds no images, and {there}. {_expected()}")
        others = [file for file in others if file.lower().endswith(OTHER_IMAGES)]
        if others:
            warnings.warn(
                f"{len(others)} images of other kinds are left out, such as {others[0]!r}. "
                f"{_expected()} Convert them first.",
                stacklevel=2,
            )
        names = [os.path.relpath(file, path) for file in paths]
        super().__init__(path, names, paths)
        self.paths = paths


class Files(Source):
    """A list of files, whose names are relative to the folder that they have in common."""

    in_order = True

    def __init__(self, paths):
        if not paths:
            raise ValueError("The list of files is empty.")
        for path in paths:
            if not isinstance(path, (str, os.PathLike)):
                raise ValueError(
                    f"The list holds a {type(path).__name__}, and paths of files are expected. "
                    f"Images that are in memory already: `kg.data.ArrayDataset`."
                )
        paths = [os.path.abspath(os.path.expanduser(path)) for path in paths]
        for path in paths:
            if os.path.isdir(path):
                raise ValueError(
                    f"{path!r} is a folder, and a list holds files. Pass one folder, which is "
                    f"searched to any depth, or list what is in it: "
                    f"`sorted(pathlib.Path({path!r}).rglob('*.png'))`."
                )
            if not os.path.isfile(path):
                raise FileNotFoundError(f"There is no file {path!r}, which stands in the list.")
        place = os.path.commonpath([os.path.dirname(path) for path in paths])
        names = [os.path.relpath(path, place) for path in paths]
        super().__init__(place, names, paths)
        self.paths = paths


class Archive(Source):
    """Images in one file, which are read one after the other in the order of that file."""

    def __init__(self, path):
        self.path = path
        with self._reading():
            members = self.members()
        members = [member for member in members if _is_image(member[0])]
        if not members:
            raise ValueError(f"{path!r} holds no images. {_expected()}")
        for name, size in members:
            if size > MOST_BYTES:
                raise ValueError(
                    f"{name!r} in {path!r} has {size / 1e6:.0f} MB unpacked, more than the "
                    f"{MOST_BYTES / 1e6:.0f} MB that an image may have. Take it out."
                )
        super().__init__(path, [name for name, _ in members], [path])
        self.paths = self.names

    def __iter__(self):
        with self._reading():
            yield from self.contents()

    @contextlib.contextmanager
    def _reading(self):
        try:
            yield
        except DAMAGED as error:
            raise ValueError(f"{self.path!r} is damaged, or no archive: {error}") from error
        except (RuntimeError, NotImplementedError) as error:  # Of zipfile: a password, a method.
            raise ValueError(f"{self.path!r} cannot be unpacked: {error}") from error


class Zip(Archive):
    def members(self):
        with zipfile.ZipFile(self.path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            return sorted((info.filename, info.file_size) for info in files)

    def contents(self):
        with zipfile.ZipFile(self.path) as archive:
            for name, _ in self.members():
                if _is_image(name):
                    yield archive.read(name)


class Tar(Archive):
    def members(self):
        with tarfile.open(self.path) as archive:
            return [(member.name, member.size) for member in archive if member.isfile()]

    def contents(self):
        with tarfile.open(self.path) as archive:  # In its own order: it cannot jump.
            for member in archive:
                if member.isfile() and _is_image(member.name):
                    yield archive.extractfile(member).read()


class Array(Source):
    """An array (n, height, width[, channels]) in a file of NumPy's, with labels if it is .npz."""

    def __init__(self, path):
        self.x, y = _arrays(path)
        if self.x.ndim == 3 and self.x.shape[-1] in (3, 4):
            raise ValueError(
                f"{path!r} holds an array of shape {self.x.shape}. If it is one image in colour, "
                f"save `x[None]`; if they are grey images {self.x.shape[-1]} pixels wide, save "
                f"`x[..., None]`."
            )
        if self.x.ndim == 3:
            self.x = self.x[..., None]
        is_float = np.issubdtype(self.x.dtype, np.floating)
        if self.x.ndim != 4 or self.x.shape[-1] not in (1, 3, 4) or not len(self.x):
            raise ValueError(
                f"{path!r} holds an array of shape {self.x.shape}. Save images (n, height, width), "
                f"or with 1, 3 or 4 channels at the end{_moved(self.x.shape)}."
            )
        if self.x.dtype != np.uint8 and not is_float:
            raise ValueError(
                f"{path!r} holds an array of type {self.x.dtype}. Save uint8, or floats in [0, 1]."
            )
        if not is_float and self.x[:1000].max() == 1:  # A file may be large.
            raise ValueError(
                f"{path!r} holds uint8, which is divided by 255, and only 0 and 1. Save "
                f'`x.astype("float32")`, or pixels that are 0 and 255.'
            )
        super().__init__(path, [f"{i:09d}" for i in range(len(self.x))], [path])
        if y is not None:
            self.y = self._labels(y)

    def __iter__(self):
        for i, image in enumerate(self.x):
            if image.dtype != np.uint8:
                low, high = float(image.min()), float(image.max())
                if not (low >= 0 and high <= 1):
                    raise ValueError(
                        f"Image {i} of {self.place!r} has values from {low:g} to {high:g}. Save "
                        f"floats in [0, 1], or uint8."
                    )
                image = np.rint(image * 255.0).astype("uint8")
            yield np.asarray(image)

    def _labels(self, y):
        y = y.reshape(-1) if y.shape == (len(self), 1) else y
        if y.shape != (len(self),) or y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(
                f"The labels in {self.place!r} have shape {y.shape} and type {y.dtype}. Save one "
                f"integer for each of the {len(self)} images, 0 or more."
            )
        if y.max() >= max(1000, len(self)):
            raise ValueError(
                f"The labels in {self.place!r} go up to {y.max()}, and classes are counted from 0. "
                f"Save `np.unique(y, return_inverse=True)[1]`."
            )
        return y.astype("int64")


def _moved(shape):
    """Return what makes images of an array of this shape, if that is plain."""
    if len(shape) == 4 and shape[1] in (1, 3, 4) and shape[0]:
        return ": `x.transpose(0, 2, 3, 1)` puts them there"
    if len(shape) == 5 and shape[-1] in (1, 3, 4) and 0 not in shape:
        return f": `x.reshape(-1, {', '.join(map(str, shape[2:]))})` is one long film"
    return ". A table is no image: in Python `fit` takes it as it is" if len(shape) == 2 else ""


def _arrays(path):
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found, None
        with found:
            names = {name: found[name] for name in found.files}
        names = {name: array for name, array in names.items() if isinstance(array, np.ndarray)}
    except (ValueError, MemoryError, *DAMAGED) as error:
        raise ValueError(f"{path!r} is no file of arrays, or damaged: {error}") from error
    x = [names[name] for name in ("x", "images") if name in names]
    y = [names[name] for name in ("y", "labels") if name in names]
    if len(names) == 1:
        x = list(names.values())
    if len(x) != 1 or len(y) > 1:
        raise ValueError(
            f"{path!r} holds the arrays {', '.join(names) or '(none)'}. Save the images as x, and "
            f"labels as y: `np.savez(path, x=x, y=y)`."
        )
    return x[0], y[0] if y else None


def _walk(folder):
    """Yield the files in a folder and those under it. A link to a folder above is not followed."""
    folders = [(folder, (os.path.realpath(folder),))]
    while folders:
        folder, above = folders.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if _is_hidden(entry.name):
                continue
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:
                    folders.append((entry.path, (*above, real)))
            # A link that leads nowhere is a file that cannot be read; a pipe would never end.
            elif entry.is_file() or not os.path.exists(entry.path):
                yield entry.path


def _is_hidden(name):
    return name.startswith(".") or name == "__MACOSX"


def _is_image(name):
    parts = pathlib.PurePosixPath(name).parts
    return name.lower().endswith(SUFFIXES) and not any(map(_is_hidden, parts))


def _expected():
    return f"Images end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, in folders of any depth."
