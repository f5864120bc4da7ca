"""The files of checkpoints: written whole, found again, checked, removed."""

import hashlib
import json
import re
import warnings
import zipfile

import numpy as np
from keras import ops

from keras_gen import files, saving

FILE = re.compile(r"epoch_(\d+)\.(json|keras|npz)")
KINDS = ("json", "keras", "npz")
KEPT = 2


class CheckpointFiles:
    """The checkpoints in a folder; the last two are kept.

    A checkpoint is a model, `epoch_0001.keras`, arrays, `epoch_0001.npz`, if there are any, and a
    manifest, `epoch_0001.json`: a dictionary with the epoch and the checksums of the other two. The
    manifest is written last: files without one are unfinished.

    `size` is the number of bytes of the last one that was written.
    """

    def __init__(self, folder):
        self.folder = folder
        self.size = 0
        self.good_epochs = []

    def path(self, epoch, kind):
        return self.folder / f"epoch_{epoch:04d}.{kind}"

    def find(self, expected):
        """Return the manifest of the last good checkpoint, or None if there is no checkpoint.

        It must have the `expected` entries "backend", "devices", "model" and "data". ValueError if
        there are checkpoints, and none is good.
        """
        refused, good = [], []
        for epoch in sorted(self._epochs("json"), reverse=True):
            try:
                good.append(self._read_manifest(epoch, expected))
            except _Refused as error:
                refused.append(f"{self.path(epoch, 'keras')} {error}")
        self.good_epochs = [manifest["epoch"] for manifest in reversed(good)]
        if refused and not good:
            raise ValueError(
                f"None of the checkpoints in {self.folder} can be used:\n"
                + "\n".join(refused)
                + "\nName another folder, or remove this one to start from the beginning."
            )
        for reason in refused:
            warnings.warn(
                f"{reason} The one of epoch {self.good_epochs[-1]} is used.", stacklevel=3
            )
        return good[0] if good else None

    def read_arrays(self, manifest):
        if "npz" not in manifest["sha256"]:
            return {}
        with np.load(self.path(manifest["epoch"], "npz"), allow_pickle=False) as file:
            return dict(file)

    def write(self, manifest, model, arrays):
        """Write a checkpoint, whole or not at all, and remove all but the last two."""
        epoch, sums = manifest["epoch"], {}
        with files.whole(self.path(epoch, "keras")) as path:
            model.save(path)
            sums["keras"] = _sha256(path)
        if arrays:
            with files.whole(self.path(epoch, "npz")) as path:
                np.savez(path, **arrays)
                sums["npz"] = _sha256(path)
        with files.whole(self.path(epoch, "json")) as path:
            text = json.dumps(
                {**manifest, "sha256": sums},
                default=lambda value: np.asarray(ops.convert_to_numpy(value)).item(),
            )
            path.write_text(text)
        files.sync(self.folder)
        paths = [self.path(epoch, kind) for kind in KINDS]
        self.size = sum(path.stat().st_size for path in paths if path.exists())
        self.good_epochs = [other for other in self.good_epochs if other != epoch] + [epoch]
        while len(self.good_epochs) > KEPT:
            self._remove(self.good_epochs.pop(0))

    def clear_unfinished(self):
        """Remove what a process that was killed was writing."""
        for path in self.folder.glob(".epoch_*.tmp.*"):
            path.unlink()
        manifests = self._epochs("json")
        for kind in ("keras", "npz"):
            for epoch in self._epochs(kind) - manifests:
                self.path(epoch, kind).unlink()

    def _epochs(self, kind):
        matches = [FILE.fullmatch(path.name) for path in self.folder.glob(f"epoch_*.{kind}")]
        return {int(match[1]) for match in matches if match}

    def _read_manifest(self, epoch, expected):
        try:
            manifest = json.loads(self.path(epoch, "json").read_text())
            sums = manifest["sha256"]
            for kind in ("keras", "npz"):
                if kind in sums and _sha256(self.path(epoch, kind)) != sums[kind]:
                    raise _Refused("is damaged: its checksum is another.")
            if manifest["epoch"] != epoch or "keras" not in sums:
                raise _Refused("is damaged: its manifest is of another checkpoint.")
            for key in ("callbacks", "data", "epochs", "history", "stopped"):
                manifest[key]
            _check_expected(manifest, expected)
            saving.check_weights(self.path(epoch, "keras"))
        except (
            *(OSError, ValueError, LookupError, TypeError, AttributeError),
            zipfile.BadZipFile,
        ) as error:
            raise _Refused(f"is damaged: {error!r}.") from error
        return manifest

    def _remove(self, epoch):
        for kind in KINDS:  # The manifest first: what is left without it is unfinished.
            self.path(epoch, kind).unlink(missing_ok=True)


class _Refused(Exception):
    """The reason why a checkpoint cannot be used."""


def _check_expected(manifest, expected):
    if manifest["backend"] != expected["backend"]:
        raise _Refused(
            f"was written on {manifest['backend']}, and this is {expected['backend']}, which draws "
            f"other random numbers (`keras.saving.load_model` still reads it)."
        )
    if manifest["devices"] != expected["devices"]:
        raise _Refused(
            f"is of a run on {manifest['devices']} device(s), and this is on "
            f"{expected['devices']}, each of which draws noise of its own."
        )
    if manifest["model"] != expected["model"]:
        raise _Refused("is of another model, or of this one compiled otherwise.")
    for name, description in expected["data"].items():
        before = manifest["data"].get(name)
        for key, value in description.items():
            if before is None or before.get(key) != value:
                raise _Refused(
                    f"is of other {name} data: {key} was {(before or {}).get(key)}, and is {value}."
                )


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
