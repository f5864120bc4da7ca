"""The callback that writes checkpoints, and that makes `fit` go on after the last one."""

import sys
import time
import warnings

import keras
import numpy as np

from keras_gen import borrowed, distribution, files
from keras_gen.arguments import check_path
from keras_gen.callbacks.checkpoint_files import CheckpointFiles
from keras_gen.callbacks.finite import StopAtNonFinite
from keras_gen.callbacks.identity import identity
from keras_gen.data.ordered import order_of

# The attributes that Keras's callbacks carry from epoch to epoch. Another callback names its own
# in `checkpointed`. All of these see the end of an epoch before its checkpoint is written.
STATE = {
    keras.callbacks.CSVLogger: (),
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
}
# Share of the time that checkpoints may need where `every` is None. With the first two and the
# last, which are always written, the total stays below 2%.
SHARE = 0.015


class Checkpoint(keras.callbacks.Callback):
    """Writes checkpoints; where there is one, `fit` goes on after it as if it had never stopped.

    If a run was stopped in any way, `kill -9` included, run the same script again: on the same
    backend and CPU the final weights are, bit for bit, those of a run that was never stopped.
    A checkpoint holds:

    * the model as a `.keras` file: weights, moving averages, both optimizers, seed generators, and
      the beta of a schedule;
    * the epoch, the order of the data, and the history;
    * the state of `StopAtNonFinite`, `EarlyStopping`, `ReduceLROnPlateau` and `ModelCheckpoint`,
      and of any callback with an attribute `checkpointed`, which names the attributes to keep.

    Each file is written under another name, flushed to the disk and renamed. The last two
    checkpoints are kept. A checkpoint is refused with a warning, and the one before it is used,
    if it is truncated or damaged, or comes from another model, from data of another size or order,
    from another backend, or from another number of devices. If a checkpoint cannot be written,
    because the disk is full for example, training goes on with a warning.

    Keras's own callbacks keep less. `BackupAndRestore` and `ModelCheckpoint` leave out the order of
    the data, the state of callbacks and a checksum, and write over the file that is there.
    `OrbaxCheckpoint` restores no weights of nested models.

    A checkpoint is written at the end of an epoch. It does not hold the state of global random
    generators, which data or callbacks may use, and which a `Dropout` without a seed uses on
    PyTorch.

    If several processes train together, they must share `folder`: the first process writes, after
    every epoch unless `every` says otherwise, and all of them read what it has written.

    Put it last among the callbacks: it keeps the state that the others have at the end of an epoch.

    Args:
        folder: Folder for the checkpoints; it is made. Each `fit` needs one of its own.
        every: Epochs between checkpoints. None: as often as needs less than 2% of the time, so a
            kill costs one epoch, or about seventy times what a checkpoint costs. The last epoch
            always has a checkpoint.
        exact: False allows data whose order cannot be set, such as a generator or shuffled
            arrays: then `fit` goes on in another order.

    Attributes:
        seconds: Time that the checkpoints of the last `fit` took, in all.
        share: `seconds` as a share of the time of that `fit`.
        size: Bytes of the last checkpoint.

    Raises:
        ValueError: By `fit`, if the order of the data cannot be set, if none of the checkpoints
            can be used, or if a callback whose state is kept comes after it.
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
        self.folder = check_path("folder", folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file. Pass a folder for the checkpoints.")
        self.files = CheckpointFiles(self.folder)
        self.every = every
        self.exact = exact
        self.seconds = self.share = 0.0
        self.data = None

    @property
    def size(self):
        return self.files.size

    def before_fit(self, arguments, callbacks):
        """Called by `fit`, with its arguments and all callbacks that it got."""
        self.data = {
            name: arguments[key]
            for name, key in (("training", "x"), ("validation", "validation_data"))
            if arguments.get(key) is not None
        }
        kept = [callback for callback in callbacks if _state_names(callback) is not None]
        for callback in callbacks[callbacks.index(self) + 1 :]:
            if callback in kept:
                raise ValueError(
                    f"{type(callback).__name__} stands after Checkpoint, which keeps the state it "
                    f"has at the end of an epoch. Put Checkpoint last."
                )
        self.callbacks = kept
        if self.exact:
            self._check_order(arguments)

    def last_epoch(self, model):
        """Return how many epochs `fit` will not repeat: 0 without a good checkpoint."""
        manifest = self._find(model)
        return manifest["epoch"] if manifest else 0

    def on_train_begin(self, logs=None):
        if self.data is None:
            raise ValueError(
                f"Checkpoint needs a model of keras_gen, whose `fit` tells it of the data; this "
                f"is a {type(self.model).__name__}. See keras.callbacks.BackupAndRestore."
            )
        if distribution.is_chief():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = files.Lock(self.folder)
        self.seconds, self.costs, self.began = 0.0, [], time.perf_counter()
        self.written = self.began
        # Now, because a callback may change the learning rate later.
        self.identity = identity(self.model)
        self.earlier_epochs = []
        manifest = self._find(self.model)
        if distribution.is_chief():
            self.files.clear_unfinished()
        if manifest:
            self._restore(manifest)

    def on_epoch_begin(self, epoch, logs=None):
        self._end_resumption()

    def on_epoch_end(self, epoch, logs=None):
        if any(isinstance(c, StopAtNonFinite) and c.message for c in self.callbacks):
            return  # The weights of this epoch are bad.
        if not self._is_due(epoch + 1):
            return
        if distribution.is_chief():
            self._save(epoch + 1, logs or {})
        else:
            # All processes must call `save`; only the chief writes.
            self.model.save(self.files.path(epoch + 1, "keras"))

    def on_train_end(self, logs=None):
        self._end_resumption()
        self.share = self.seconds / (time.perf_counter() - self.began)
        if distribution.is_chief():
            self.lock.release()

    def _check_order(self, arguments):
        for name in ("steps_per_epoch", "validation_steps"):
            if arguments.get(name) is not None:
                raise ValueError(
                    f"With {name}={arguments[name]} an epoch ends within a pass over the data, and "
                    f"a run cannot be resumed there. Leave it out, or pass "
                    f"Checkpoint(folder, exact=False)."
                )
        shuffled = {"training": arguments.get("shuffle", True), "validation": False}
        for name, data in self.data.items():
            is_array = hasattr(data, "shape") or isinstance(data, (tuple, list))
            if order_of(data) is None and not (is_array and not shuffled[name]):
                raise ValueError(
                    f"The order of the {name} data, a {type(data).__name__}, cannot be put back to "
                    f"where it was. Pass kg.data.ArrayDataset(x) or what kg.data.load gives; with "
                    f"arrays, pass shuffle=False. Or pass Checkpoint(folder, exact=False) to go on "
                    f"in another order."
                )

    def _find(self, model):
        return self.files.find(
            {
                "backend": keras.config.backend(),
                "devices": distribution.count_devices(model),
                "model": identity(model),
                "data": _describe_orders(self.data),
            }
        )

    def _restore(self, manifest):
        epoch = manifest["epoch"]
        if epoch > self.params["epochs"]:
            raise ValueError(
                f"The checkpoint in {self.folder} is of epoch {epoch}, and `fit` was given "
                f"epochs={self.params['epochs']}, the number of the last epoch. Pass more, or name "
                f"another folder."
            )
        self.model.load_weights(self.files.path(epoch, "keras"))
        for name, data in self.data.items():
            if order_of(data) is not None:
                order_of(data).epoch = manifest["data"][name]["epoch"]
        arrays = self.files.read_arrays(manifest)
        states = {(entry["class"], entry["of_class"]): entry for entry in manifest["callbacks"]}
        for callback, key in _with_keys(self.callbacks):
            entry = states.get(key)
            for name in _state_names(callback) if entry else ():
                setattr(callback, name, _unpack(entry["state"][name], arrays))
        self.model.history.history = manifest["history"]
        self.earlier_epochs = manifest["epochs"]
        borrowed.start_fit_at(self.model, sys.maxsize if manifest["stopped"] else epoch)
        end = ", where a callback ended training" if manifest["stopped"] else ""
        print(f"Resumed from {self.folder}, after epoch {epoch}{end}.")

    def _end_resumption(self):
        borrowed.start_fit_at(self.model, None)  # Otherwise the next `fit` would begin there too.
        self.model.history.epoch[:0] = self.earlier_epochs
        self.earlier_epochs = []

    def _is_due(self, epoch):
        if self.model.stop_training or epoch == self.params["epochs"]:
            return True
        if self.every is not None or distribution.processes() > 1:  # Their clocks differ.
            return epoch % (self.every or 1) == 0
        # The first checkpoint takes longer, and does not count.
        since = time.perf_counter() - self.written
        return len(self.costs) < 2 or SHARE * since >= (1 - SHARE) * self.costs[-1]

    def _save(self, epoch, logs):
        start = time.perf_counter()
        arrays = {}
        try:
            self.files.write(self._manifest(epoch, logs, arrays), self.model, arrays)
        except OSError as error:
            warnings.warn(
                f"The checkpoint of epoch {epoch} could not be written to {self.folder}: {error}. "
                f"Training goes on; the checkpoints from before are kept.",
                stacklevel=2,
            )
        self.written = time.perf_counter()
        self.costs.append(self.written - start)
        self.seconds += self.costs[-1]

    def _manifest(self, epoch, logs, arrays):
        history = {name: list(values) for name, values in self.model.history.history.items()}
        for name, value in logs.items():
            history.setdefault(name, []).append(value)
        return {
            "epoch": epoch,
            "stopped": bool(self.model.stop_training),
            "backend": keras.config.backend(),
            "devices": distribution.count_devices(self.model),
            "model": self.identity,
            "data": {
                name: {**description, "epoch": getattr(order_of(self.data[name]), "epoch", None)}
                for name, description in _describe_orders(self.data).items()
            },
            "callbacks": [
                {
                    "class": key[0],
                    "of_class": key[1],
                    "state": {
                        name: _pack(getattr(callback, name, None), arrays)
                        for name in _state_names(callback)
                    },
                }
                for callback, key in _with_keys(self.callbacks)
            ],
            "history": history,
            "epochs": [*self.model.history.epoch, epoch - 1],
        }


def _describe_orders(data):
    """Return the settings that determine the order of the data, except the epoch."""
    keys = ("num_examples", "batch_size", "shuffle", "seed", "drop_remainder", "flip")
    return {
        name: {key: getattr(order, key) for key in keys if hasattr(order, key)}
        for name, order in ((name, order_of(source)) for name, source in (data or {}).items())
    }


def _state_names(callback):
    names = getattr(callback, "checkpointed", None)
    if names is None:
        for kind, attributes in STATE.items():
            if isinstance(callback, kind):
                return attributes
    return names


def _with_keys(callbacks):
    seen = []
    for callback in callbacks:
        name = type(callback).__name__
        yield callback, (name, seen.count(name))
        seen.append(name)


def _pack(value, arrays):
    """Return a value for the manifest; a list of arrays goes to `arrays`, by number."""
    if isinstance(value, list) and any(isinstance(item, np.ndarray) for item in value):
        start = len(arrays)
        arrays.update({str(start + i): np.asarray(item) for i, item in enumerate(value)})
        return {"arrays": [start, len(arrays)]}
    return value


def _unpack(value, arrays):
    if isinstance(value, dict) and "arrays" in value:
        return [arrays[str(i)] for i in range(*value["arrays"])]
    return value
