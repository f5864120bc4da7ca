"""Your own images: from a folder, a list of files, an archive or an array to batches."""

import functools
import hashlib
import os
import warnings

import numpy as np

from keras_gen.arguments import check_bool, check_integer, check_integers, plain
from keras_gen.data import archives
from keras_gen.data import cache as caches
from keras_gen.data.decoding import colour, decode, is_grey
from keras_gen.data.images import ImageDataset

# Names of subfolders that are no classes but the parts of a set that is divided already.
TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")


def folder(
    path,
    size=None,
    channels=None,
    labels="auto",
    test=0.1,
    *,
    batch_size=128,
    seed=0,
    multiple_of=1,
    fit="crop",
    background="white",
    flip=False,
    skip_unreadable=False,
    cache=None,
):
    """Read your own images and return `(train, test)`, two `ImageDataset`s.

    Images are float32 in [0, 1], (batch, height, width, channels). PNG, JPEG, WebP, GIF (the first
    frame), BMP and TIFF are read, grey, with a palette, RGB, CMYK or with transparency, of 8 or 16
    bits, upright as EXIF says. Folders are searched to any depth; hidden files are left out.

    All are decoded once, in parallel. If they fit in memory they are kept there, one byte a value;
    else in a file, from which batches are read in the same order. The file is made again if an
    image is changed, added or removed.

    The test set is drawn from each class by a hash of `seed` and the paths, so it stays as it is
    when the folder moves, and nearly so when images are added. Images that are the same are never
    on both sides. If the folder consists of `train` and `test` (or `validation`), these are taken
    as they are.

    A list keeps its order, in each of the two sets; else the images are sorted by path. `files` of
    a set are their paths, or their names in an archive, in the order of its `x` and `y`, and so of
    what a model's uses return for the set.

    Args:
        path: a folder, a list of files, a .zip or .tar(.gz) of files, or a .npy or .npz with an
            array (n, height, width, channels): uint8, or floats in [0, 1]. An .npz with several
            arrays has the images as `x` and labels as `y`.
        size: height and width in pixels, or `(height, width)`. Images are shrunk by area and
            enlarged bicubically. None: they all have the same size.
        channels: 1 makes grey images, 3 coloured ones; None: 3 unless the files say that all are
            grey.
        labels: "auto": batches are `(x, y)` if all images lie in two or more subfolders, whose
            names are the classes. True raises ValueError where there are none. False: x alone.
        test: share of each class that becomes the test set, at least one image of ten. With 0
            there is none: `test` is None.
        batch_size: images per batch.
        seed: seed of the split, of the order of the training set, and of the flips.
        multiple_of: number of devices, which share every batch equally. The rest of the last batch
            is left out.
        fit: "crop" cuts the middle out of an image of another form than `size`, "pad" lays the
            whole image on the `background`.
        background: colour under transparent images: "white", "#ff8000", `(255, 128, 0)`.
        flip: mirror half of the training images, others in every epoch.
        skip_unreadable: leave out files that cannot be read, and say how many.
        cache: folder for the file of decoded images, which is then written for small sets too.
            None: `~/.cache/keras_gen`, if they are more than 2 GB. False: keep them in memory, and
            delete the file that is there.

    Raises:
        ValueError: if there are no images, if one cannot be read, or if they do not fit the
            arguments; the message has the name.
        FileNotFoundError: if the path is not there.

    Example:

    ```python
    from PIL import Image

    for name in ("cat", "dog"):
        pathlib.Path("photos", name).mkdir(parents=True, exist_ok=True)
        for i in range(10):
            Image.new("RGB", (40, 30), (25 * i, 0, 0)).save(f"photos/{name}/{i}.png")

    train, test = kg.data.folder("photos", size=32)
    x, y = train[0]                    # (18, 32, 32, 3), (18,)
    train.class_names                  # ["cat", "dog"]
    ```
    """
    form = _form(size, channels, fit, background)
    _check(labels, test, cache)
    check_bool("flip", flip)
    check_bool("skip_unreadable", skip_unreadable)
    batch_size = check_integer("batch_size", batch_size)
    seed = check_integer("seed", seed, least=0)
    multiple_of = check_integer("multiple_of", multiple_of)
    source = archives.find(path)
    # First what the names decide: decoding may take an hour.
    names, y, class_names, is_test = _by_name(source, labels)
    decoder = functools.partial(_decoder, source, **form)
    settings = {**form, "skip_unreadable": bool(skip_unreadable)}
    pixels, kept, checksums = caches.decoded(source, decoder, settings, skip_unreadable, cache)
    names = [names[i] for i in kept]
    y = None if y is None else y[kept]
    is_test = _split(names, y, checksums, test, seed) if is_test is None else is_test[kept]

    rows = range(len(names))
    order = np.array(rows if source.in_order else sorted(rows, key=names.__getitem__))
    paths = None if source.paths is None else [source.paths[i] for i in kept]
    common = {"class_names": class_names, "batch_size": batch_size, "seed": seed, "files": paths}
    make = functools.partial(ImageDataset, pixels, y, **common)
    train = make(rows=order[~is_test[order]], flip=flip)
    test = make(rows=order[is_test[order]], shuffle=False) if is_test.any() else None
    for data in (train, test):
        if data is not None:
            data.multiple_of = multiple_of
    return train, test


def _form(size, channels, fit, background):
    """Return the arguments of `decode`, checked."""
    if size is not None:
        size = check_integers("size", size)
        if len(size) > 2:
            raise ValueError(f"`size` is {size}. Pass one number, or (height, width).")
        size = size if len(size) == 2 else 2 * size
    if channels not in (None, 1, 3):
        raise ValueError(f"`channels` is {channels!r}. Pass 1 for grey, 3 for colour, or None.")
    if fit not in ("crop", "pad"):
        raise ValueError(f'`fit` is {fit!r}. Pass "crop" or "pad".')
    return {"size": size, "channels": channels, "fit": fit, "background": colour(background)}


def _check(labels, test, cache):
    if cache is True:
        raise ValueError("`cache` is True. Pass a folder for the file of decoded images, or None.")
    if not (labels is True or labels is False or labels == "auto"):
        raise ValueError(f'`labels` is {labels!r}. Pass "auto", True or False.')
    test = plain(test)
    if isinstance(test, bool) or not isinstance(test, (int, float)) or not 0 <= test < 1:
        raise ValueError(f"`test` is {test!r}. Pass a share from 0 to below 1, such as 0.1.")


def _decoder(source, size, channels, fit, background):
    if channels is None:
        channels = 1 if all(is_grey(content, background) for content in source) else 3
    return functools.partial(decode, size=size, channels=channels, fit=fit, background=background)


def _by_name(source, labels):
    """Return names below the folder that all have in common, labels, their names, and the split."""
    parts = _below_the_common_folder([name.split("/") for name in source.names])
    names = ["/".join(part) for part in parts]
    is_test = _given_split(parts)
    if is_test is not None:
        parts = _below_the_common_folder([part[1:] for part in parts])
    if source.y is not None and labels is not False:
        return names, source.y, None, is_test
    return names, *_classes(parts, labels, source.place, hasattr(source, "x")), is_test


def _below_the_common_folder(parts):
    """Return the parts of each path without the folders that all have in common."""
    common = len(os.path.commonprefix([part[:-1] for part in parts]))
    return [part[common:] for part in parts]


def _given_split(parts):
    """Return which images are for testing if the folder consists of two parts, else None."""
    tops = {part[0].lower() if len(part) > 1 else None for part in parts}
    if not (tops & {*TRAIN} and tops & {*TEST}) or tops - {*TRAIN, *TEST}:
        return None
    if len(tops) > 2:
        raise ValueError(
            f"The subfolders are {', '.join(sorted(tops))}: parts of a set, and two are expected. "
            f"Move one away, or read one of them alone, such as .../train."
        )
    return np.array([part[0].lower() in TEST for part in parts])


def _classes(parts, labels, place, is_array):
    """Return integer labels and the names of the classes, or (None, None)."""
    tops = [part[0] if len(part) > 1 else None for part in parts]
    names = sorted({top for top in tops if top is not None})
    if labels is False or len(names) < 2 or None in tops:
        if labels is True and is_array:
            raise ValueError(
                f"{place!r} has no labels. Save them next to the images, in an .npz: "
                f"`np.savez(path, x=x, y=y)`; or do without labels."
            )
        if labels is True:
            raise ValueError(
                f"{place!r} has no labels: {len(names)} subfolders with images, and "
                f"{tops.count(None)} images next to them. Put the images of each class into a "
                f"subfolder, two or more; or do without labels."
            )
        if labels == "auto" and len(names) > 1:
            beside = parts[tops.index(None)][0]
            warnings.warn(
                f"{place!r} has {len(names)} subfolders, and {tops.count(None)} images next to "
                f"them, such as {beside!r}: there are no labels. If the subfolders are classes, "
                f"move these images away.",
                stacklevel=4,
            )
        return None, None
    return np.array([names.index(top) for top in tops]), names


def _split(names, y, checksums, test, seed):
    """Return which images are for testing: of each class the first, by a seeded hash of the names.

    Every class keeps an image to train on. Those with the same checksum share the hash of the first
    of them, and are on the training side if one of them is there.
    """
    first = {}
    for name, checksum in sorted(zip(names, checksums, strict=True)):
        first.setdefault(checksum, name)
    keys = [(_hash(f"{seed}/{first[c]}"), n) for n, c in zip(names, checksums, strict=True)]
    is_test = np.zeros(len(names), bool)
    if test == 0:
        return is_test
    classes = [np.arange(len(names))]
    if y is not None:
        classes = [np.flatnonzero(y == label) for label in np.unique(y)]
    classes = [sorted(rows, key=keys.__getitem__) for rows in classes]
    # If every class is too small, at least one image of all: one of each class, then another.
    ranks = {i: rank for rows in classes for rank, i in enumerate(rows[:-1])}
    spread = [sorted(ranks, key=lambda i: (ranks[i], keys[i]))]
    for groups, least in ((classes, 10), (spread, 1)):
        for rows in groups:
            total = len(names) if groups is spread else len(rows)
            count = max(int(test * total + 1e-9), len(rows) >= least)
            is_test[rows[:count]] = True
        trained = {checksums[i] for i in np.flatnonzero(~is_test)}
        is_test &= [checksum not in trained for checksum in checksums]
        if is_test.any():
            return is_test
    raise ValueError(
        f"There are {len(first)} different images among {len(names)}, too few for a training and "
        f"a test set. Add others. In Python test=0 gives no test set."
    )


def _hash(text):
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
