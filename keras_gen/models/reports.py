"""Reports of updates that a step left out."""

import warnings

import keras
import numpy as np
from keras import ops

# Data beyond this are the likelier cause of a loss that is not finite.
HUGE = 1e3


class ReportSkippedUpdates(keras.callbacks.Callback):
    """Warn, in one line at the end of an epoch, of updates that were left out."""

    def on_epoch_begin(self, epoch, logs=None):
        self.before = skipped_updates(self.model)
        self.made_before = made_updates(self.model)

    def on_epoch_end(self, epoch, logs=None):
        counts = skipped_updates(self.model) - self.before
        made = made_updates(self.model) - self.made_before
        said = [
            f"{count} of the {player}"
            for player, count in zip(self.model.players, counts, strict=True)
            if count
        ]
        if not said:
            return
        message = (
            f"Epoch {epoch + 1}: updates were left out, as a loss or gradient was not finite: "
            f"{', '.join(said)}."
        )
        bounds = self.model.value_bounds()
        if bounds is not None:
            message += f" Values outside [{bounds[0]:g}, {bounds[1]:g}] count as NaN."
        if not all(made[counts > 0]):
            message += f" {advice(self.model, any(self.made_before + made))}"
        warnings.warn(message, stacklevel=2)


def advice(model, has_learned):
    """Return what may help where losses are not finite, before or after the first update."""
    if model.largest > HUGE:
        return (
            f"The data go up to {model.largest:.2g}: scale them, for example to a standard "
            f"deviation of 1."
        )
    if has_learned:
        return "Try a smaller learning rate."
    return (
        "No update was made yet, so the learning rate is not the cause: look at the data, and "
        "scale them, for example to a standard deviation of 1."
    )


def skipped_updates(model):
    """Return how many updates of each player were left out so far, NumPy."""
    return np.array(ops.convert_to_numpy(model.skipped_updates))


def made_updates(model):
    """Return how many updates of each player were made so far, NumPy."""
    counts = [ops.convert_to_numpy(optimizer.iterations) for optimizer, _ in model.optimized()]
    return np.array(counts)


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
