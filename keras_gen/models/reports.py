"""Reports of updates that a step left out."""

import warnings

import keras
import numpy as np
from keras import ops


class ReportSkippedUpdates(keras.callbacks.Callback):
    """Warn, in one line at the end of an epoch, of updates that were left out."""

    def on_epoch_begin(self, epoch, logs=None):
        self.before = skipped_updates(self.model)

    def on_epoch_end(self, epoch, logs=None):
        counts = skipped_updates(self.model) - self.before
        said = [
            f"{count} of the {player}"
            for player, count in zip(self.model.players, counts, strict=True)
            if count
        ]
        if said:
            warnings.warn(
                f"Epoch {epoch + 1}: updates were left out, as a loss or gradient was not finite: "
                f"{', '.join(said)}.",
                stacklevel=2,
            )


def skipped_updates(model):
    """Return how many updates of each player were left out so far, NumPy."""
    return np.array(ops.convert_to_numpy(model.skipped_updates))


def add_callback(arguments, callback, model, last=False):
    """Put a callback before those in the arguments of `fit`, or after those of a finished list.

    With `last` it comes after them anyway.
    """
    given = arguments.get("callbacks")
    if not isinstance(given, keras.callbacks.CallbackList):
        given = keras.tree.flatten(given or [])
        arguments["callbacks"] = [*given, callback] if last else [callback, *given]
    elif not any(type(other) is type(callback) for other in given.callbacks):
        callback.set_model(model)
        given.callbacks.append(callback)
