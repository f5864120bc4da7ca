import hashlib
import json
import pathlib
import re
import sys
import time
import warnings
import zipfile

import keras
import numpy as np
from keras import ops

from keras_gen import distribution, files, saving
from keras_gen.callbacks.finite import StopAtNonFinite
from keras_gen.callbacks.identity import identity
from keras_gen.data.ordered import order_of

# What a callback of Keras's carries from epoch to epoch. One of our own, or of a user's, says so
# in `checkpointed`. None of them may see an epoch's end after the checkpoint of it.
STATE = {
    keras.callbacks.CSVLogger: (),
    keras.callbacks.EarlyStopping: (
        "wait",
        "stopped_epoch",
        "best",
        "best_epoch",
        "best_weights",
    ),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
}
# The part of the time that checkpoints may take where `every` is None; with the first two and the
# last, which are written in any case, they stay below 2%.
SHARE = 0.015
FILE = re.compile(r"epoch_(\d+)\.(json|keras|npz)")


class Checkpoint(keras.callbacks.Callback):
    """Writes checkpoints, and where there is one, `fit` goes on after it as if never stopped.

    Run the same script again after it was stopped in any way, `kill -9` included: on the same
    backend and machine the weights are in the end, bit for bit, those of the run that was never
    stopped. A checkpoint holds the model as a `.keras` file (weights, moving averages, both
    optimizers, seed generators, the beta of a schedule), the epoch, the order of the data, the
    history, and the state of `StopAtNonFinite`, `EarlyStopping`, `ReduceLROnPlateau` and
    `ModelCheckpoint`, or of any callback with an attribute `checkpointed`, the names of its
    attributes to keep.

    Each file is written under another name, flushed to the disk and renamed, and the last two
    checkpoints are kept. One that is truncated, damaged, of another model, of data of another size
    or order, of another backend or of another number of devices is refused with a warning, and the
    one before it is used. Where a checkpoint cannot be written, the disk being full, training goes
    on with a warning.

    What Keras's own leave out: `BackupAndRestore` and `ModelCheckpoint` the noise (in models that
    do not save their seed generators, as those of keras_gen do), the order of the data, the state
    of callbacks, a checksum, and they write over the file that is there; a position within an
    epoch, which `BackupAndRestore(save_freq=)` writes, it does not read. `OrbaxCheckpoint`
    restores no weights of nested models. A checkpoint here is of the end of an epoch too, and
    random numbers that data or callbacks draw from global generators are not in it; nor those of a
    `Dropout` without a seed on PyTorch, which draws from one.

    Of several processes the first writes, after every epoch unless `every` says otherwise, and all
    of them go on from what it has written: `folder` is one that they share.

    Give it last, as it keeps what the callbacks before it are at an epoch's end.

    Args:
        folder: Where the checkpoints go; it is made. One folder for each `fit`.
        every: Epochs between checkpoints. None: as often as takes less than 2% of the time; so
            a kill costs one epoch, or some seventy times what a checkpoint takes. The last epoch
            has one in any case.
        exact: False allows data whose order cannot be set, such as a generator or shuffled
            arrays: then `fit` goes on, and in another order.

    Attributes:
        seconds: What the checkpoints of the last `fit` took, in all.
        share: That, of the time that `fit` took.
        size: Bytes of the last checkpoint.

    Raises:
        ValueError: By `fit`, if the data cannot be put back to where they were, if none of the
            checkpoints can be used, or if a callback that it keeps stands after it.
        BlockingIOError: By `fit`, if another process writes to the folder.

    Example:

    ```python
    train, test = kg.data.load("digits")
    checkpoint = kg.callbacks.Checkpoint("runs/mine/checkpoint")
    vae.fit(train, epochs=100, callbacks=[kg.callbacks.StopAtNonFinite(), checkpoint])
    ```
    """

    def __init__(self, folder, every=None, exact=True):
        super().__init__()
        if every is not None and every < 1:
            raise ValueError(f"`every` is {every}. Pass a number of epochs, at least 1, or None.")
        self.folder = pathlib.Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file. Pass a folder for the checkpoints.")
        self.every = every
        self.exact = exact
        self.seconds = self.share = 0.0
        self.size = 0
        self.data = None

    def before_fit(self, arguments, callbacks):
        """Called by `fit`, with its arguments and all callbacks that it was given."""
        self.data = {
            name: arguments[key]
            for name, key in (("training", "x"), ("validation", "validation_data"))
            if arguments.get(key) is not None
        }
        kept = [callback for callback in callbacks if _names(callback) is not None]
        for callback in callbacks[callbacks.index(self) + 1 :]:
            if callback in kept:
                raise ValueError(
                    f"{type(callback).__name__} stands after Checkpoint, which keeps what it is at "
                    f"the end of an epoch. Put Checkpoint last."
                )
        self.callbacks = kept
        if self.exact:
            self._check_order(arguments)

    def last_epoch(self, model):
        """Epochs that `fit` will not repeat: those of the last good checkpoint, 0 without one."""
        checkpoint = self._find(model)
        return checkpoint["epoch"] if checkpoint else 0

    def on_train_begin(self, logs=None):
        if self.data is None:
            raise ValueError(
                f"Checkpoint is for models of keras_gen, whose `fit` tells it of the data; this "
                f"is a {type(self.model).__name__}. See keras.callbacks.BackupAndRestore."
            )
        if distribution.is_chief():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = files.Lock(self.folder)
        self.seconds, self.costs, self.began = 0.0, [], time.perf_counter()
        self.written = self.began
        # Now: a callback may change the learning rate.
        self.identity = identity(self.model)
        self.earlier_epochs = []
        checkpoint = self._find(self.model)
        if distribution.is_chief():
            self._clear_unfinished()
        if checkpoint:
            self._restore(checkpoint)

    def on_epoch_begin(self, epoch, logs=None):
        self._resumed()

    def on_epoch_end(self, epoch, logs=None):
        if any(isinstance(c, StopAtNonFinite) and c.message for c in self.callbacks):
            return  # What is good are the weights from before.
        if not self._is_due(epoch + 1):
            return
        if distribution.is_chief():
            self._save(epoch + 1, logs or {})
        else:
            self.model.save(self._path(epoch + 1, "keras"))  # Takes part, and writes nothing.

    def on_train_end(self, logs=None):
        self._resumed()
        self.share = self.seconds / (time.perf_counter() - self.began)
        if distribution.is_chief():
            self.lock.release()

    def _check_order(self, arguments):
        for name in ("steps_per_epoch", "validation_steps"):
            if arguments.get(name) is not None:
                raise ValueError(
                    f"With {name}={arguments[name]} an epoch ends within a pass over the data, to "
                    f"which they cannot be put back. Leave it out, or pass "
                    f"Checkpoint(folder, exact=False)."
                )
        shuffled = {"training": arguments.get("shuffle", True), "validation": False}
        for name, data in self.data.items():
            is_array = hasattr(data, "shape") or isinstance(data, (tuple, list))
            if order_of(data) is None and not (is_array and not shuffled[name]):
                raise ValueError(
                    f"The order of the {name} data, a {type(data).__name__}, cannot be put back to "
                    f"where it was. Pass kg.data.ArrayDataset(x) or what kg.data.load gives; of "
                    f"arrays, shuffle=False. Or pass Checkpoint(folder, exact=False) to go on in "
                    f"another order."
                )

    def _find(self, model):
        """The manifest of the last good checkpoint, or None if there is none at all."""
        wanted = {
            "backend": keras.config.backend(),
            "devices": distribution.count_devices(model),
            "model": identity(model),
            "data": _descriptions(self.data),
        }
        refused, good = [], []
        for number in sorted(_epochs(self.folder, "json"), reverse=True):
            try:
                good.append(self._read(number, wanted))
            except _Refused as error:
                refused.append(f"{self._path(number, 'keras')} {error}")
        self.ours = [checkpoint["epoch"] for checkpoint in reversed(good)]
        if refused and not good:
            raise ValueError(
                f"None of the checkpoints in {self.folder} can be used:\n"
                + "\n".join(refused)
                + "\nName another folder, or remove this one to begin anew."
            )
        for reason in refused:
            warnings.warn(f"{reason} The one of epoch {self.ours[-1]} is used.", stacklevel=2)
        return good[0] if good else None

    def _read(self, number, wanted):
        """The manifest of a checkpoint; raises _Refused if it is damaged, or of something else."""
        try:
            checkpoint = json.loads(self._path(number, "json").read_text())
            sums = checkpoint["sha256"]
            for kind in ("keras", "npz"):
                if kind in sums and _sha256(self._path(number, kind)) != sums[kind]:
                    raise _Refused("is damaged: its checksum is another.")
            if checkpoint["epoch"] != number or "keras" not in sums:
                raise _Refused("is damaged: its manifest is of another.")
            for key in ("callbacks", "data", "epochs", "history", "stopped"):
                checkpoint[key]
            _check(checkpoint, wanted)
            saving.check_weights(self._path(number, "keras"))
        except (
            *(OSError, ValueError, LookupError, TypeError, AttributeError),
            zipfile.BadZipFile,
        ) as error:
            raise _Refused(f"is damaged: {error!r}.") from error
        return checkpoint

    def _restore(self, checkpoint):
        number = checkpoint["epoch"]
        if number > self.params["epochs"]:
            raise ValueError(
                f"The checkpoint in {self.folder} is of epoch {number}, and `fit` was given "
                f"epochs={self.params['epochs']}, the number to end with. Pass more, or name "
                f"another folder."
            )
        self.model.load_weights(self._path(number, "keras"))
        for name, data in self.data.items():
            if order_of(data) is not None:
                order_of(data).epoch = checkpoint["data"][name]["epoch"]
        arrays = {}
        if "npz" in checkpoint["sha256"]:
            with np.load(self._path(number, "npz"), allow_pickle=False) as file:
                arrays = dict(file)
        states = {(entry["class"], entry["of_class"]): entry for entry in checkpoint["callbacks"]}
        for callback, key in _numbered(self.callbacks):
            entry = states.get(key)
            for name in _names(callback) if entry else ():
                setattr(callback, name, _unpacked(entry["state"][name], arrays))
        self.model.history.history = checkpoint["history"]
        self.earlier_epochs = checkpoint["epochs"]
        # Where Keras's BackupAndRestore puts it.
        self.model._initial_epoch = sys.maxsize if checkpoint["stopped"] else number
        end = ", where a callback ended training" if checkpoint["stopped"] else ""
        print(f"Resumed from {self.folder}, after epoch {number}{end}.")

    def _resumed(self):
        """Tidies up when the first epoch begins, or `fit` ends without one."""
        self.model._initial_epoch = None  # Else the next `fit` would begin there too.
        self.model.history.epoch[:0] = self.earlier_epochs
        self.earlier_epochs = []

    def _is_due(self, number):
        if self.model.stop_training or number == self.params["epochs"]:
            return True
        if self.every is not None or distribution.processes() > 1:  # Their clocks differ.
            return number % (self.every or 1) == 0
        # The first one takes longer, and does not count.
        since = time.perf_counter() - self.written
        return len(self.costs) < 2 or SHARE * since >= (1 - SHARE) * self.costs[-1]

    def _save(self, number, logs):
        start = time.perf_counter()
        try:
            self._write(number, logs)
        except OSError as error:
            warnings.warn(
                f"The checkpoint of epoch {number} could not be written to {self.folder}: {error}. "
                f"Training goes on; the checkpoints from before are kept.",
                stacklevel=2,
            )
        self.written = time.perf_counter()
        self.costs.append(self.written - start)
        self.seconds += self.costs[-1]

    def _write(self, number, logs):
        history = {name: list(values) for name, values in self.model.history.history.items()}
        for name, value in logs.items():
            history.setdefault(name, []).append(value)
        arrays = {}
        checkpoint = {
            "epoch": number,
            "stopped": bool(self.model.stop_training),
            "backend": keras.config.backend(),
            "devices": distribution.count_devices(self.model),
            "model": self.identity,
            "data": {
                name: {**description, "epoch": getattr(order_of(self.data[name]), "epoch", None)}
                for name, description in _descriptions(self.data).items()
            },
            "callbacks": [
                {
                    "class": key[0],
                    "of_class": key[1],
                    "state": {
                        name: _packed(getattr(callback, name, None), arrays)
                        for name in _names(callback)
                    },
                }
                for callback, key in _numbered(self.callbacks)
            ],
            "history": history,
            "epochs": [*self.model.history.epoch, number - 1],
            "sha256": {},
        }
        with files.whole(self._path(number, "keras")) as path:
            self.model.save(path)
            checkpoint["sha256"]["keras"] = _sha256(path)
        if arrays:
            with files.whole(self._path(number, "npz")) as path:
                np.savez(path, **arrays)
                checkpoint["sha256"]["npz"] = _sha256(path)
        # Last: what has no manifest is not whole.
        with files.whole(self._path(number, "json")) as path:
            path.write_text(json.dumps(checkpoint, default=_plain))
        files.sync(self.folder)
        paths = [self._path(number, kind) for kind in ("keras", "npz", "json")]
        self.size = sum(path.stat().st_size for path in paths if path.exists())
        self.ours = [other for other in self.ours if other != number] + [number]
        while len(self.ours) > 2:
            self._remove(self.ours.pop(0))

    def _remove(self, number):
        for kind in ("json", "keras", "npz"):
            self._path(number, kind).unlink(missing_ok=True)

    def _clear_unfinished(self):
        """Removes what a process that was killed was writing."""
        for path in self.folder.glob(".epoch_*.tmp.*"):
            path.unlink()
        manifests = _epochs(self.folder, "json")
        for kind in ("keras", "npz"):
            for number in _epochs(self.folder, kind) - manifests:
                self._path(number, kind).unlink()

    def _path(self, number, kind):
        return self.folder / f"epoch_{number:04d}.{kind}"


class _Refused(Exception):
    """Says why a checkpoint cannot be used."""


def _check(checkpoint, wanted):
    """Raises _Refused if the checkpoint, which is whole, is of something else."""
    if checkpoint["backend"] != wanted["backend"]:
        raise _Refused(
            f"was written on {checkpoint['backend']}, and this is {wanted['backend']}, whose "
            f"random numbers are others (`keras.saving.load_model` reads it all the same)."
        )
    if checkpoint["devices"] != wanted["devices"]:
        raise _Refused(
            f"is of a run on {checkpoint['devices']} device(s), and this is on "
            f"{wanted['devices']}, each of which draws noise of its own."
        )
    if checkpoint["model"] != wanted["model"]:
        raise _Refused("is of another model, or of this one compiled otherwise.")
    for name, description in wanted["data"].items():
        before = checkpoint["data"].get(name)
        for key, value in description.items():
            if before is None or before.get(key) != value:
                raise _Refused(
                    f"is of other {name} data: {key} was {(before or {}).get(key)}, and is {value}."
                )


def _descriptions(data):
    """What of the data, beside the epoch, their order is a function of."""
    keys = ("num_examples", "batch_size", "shuffle", "seed", "drop_remainder")
    return {
        name: {key: getattr(order, key) for key in keys if hasattr(order, key)}
        for name, order in ((name, order_of(source)) for name, source in (data or {}).items())
    }


def _names(callback):
    """The attributes to keep of a callback, or None if it is none of those that are kept."""
    names = getattr(callback, "checkpointed", None)
    if names is None:
        for kind, kept in STATE.items():
            if isinstance(callback, kind):
                return kept
    return names


def _numbered(callbacks):
    """Pairs of a callback and its key: the name of its class, and which of that class it is."""
    seen = []
    for callback in callbacks:
        name = type(callback).__name__
        yield callback, (name, seen.count(name))
        seen.append(name)


def _packed(value, arrays):
    """A value for the manifest; arrays go to `arrays`, and their keys stand for them."""
    if isinstance(value, list) and any(isinstance(item, np.ndarray) for item in value):
        start = len(arrays)
        arrays.update({str(start + i): np.asarray(item) for i, item in enumerate(value)})
        return {"arrays": [start, len(arrays)]}
    return value


def _unpacked(value, arrays):
    if isinstance(value, dict) and "arrays" in value:
        return [arrays[str(i)] for i in range(*value["arrays"])]
    return value


def _plain(value):
    """A number of NumPy's or of the backend's as JSON has it."""
    return np.asarray(ops.convert_to_numpy(value)).item()


def _epochs(folder, kind):
    matches = [FILE.fullmatch(path.name) for path in folder.glob(f"epoch_*.{kind}")]
    return {int(match[1]) for match in matches if match}


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
