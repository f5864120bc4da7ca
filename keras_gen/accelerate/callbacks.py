"""A list of callbacks that turns logs into numbers only where a callback reads them.

Keras turns the logs of every step into floats, and waits for the device to do so, though nobody
may look at them.
"""

import contextlib
import math
import time

import keras


def callbacks(model, method, arguments):
    """Return the callbacks for "fit" or "evaluate" as a `LazyCallbackList`."""
    given = arguments.get("callbacks")
    if isinstance(given, keras.callbacks.CallbackList):
        return given
    in_fit = method == "fit"
    verbose = arguments.get("verbose", "auto")
    return LazyCallbackList(
        given,
        add_history=in_fit,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=min(arguments.get("epochs", 1), keras.config.max_epochs() or math.inf),
        steps=_num_steps(arguments, "steps_per_epoch" if in_fit else "steps"),
        model=model,
    )


class LazyCallbackList(keras.callbacks.CallbackList):
    """Keras's list of callbacks, which tells of a step's end only where one of them listens.

    A progress bar listens as often as it draws.
    """

    drawn = 0.0
    in_fit = False

    def __iter__(self):  # A tracker that replaces `keras.Model.fit` takes it for a list.
        return iter(self.callbacks)

    def append(self, callback):
        callback.set_model(self.model)
        callback.set_params(self.params)
        self.callbacks.append(callback)

    def on_train_begin(self, logs=None):
        self.in_fit = True
        super().on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.drawn = 0.0  # Every epoch has a new bar.
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._tell("on_train_batch_end", ("on_train_batch_end", "on_batch_end"), batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        self._tell("on_test_batch_end", ("on_test_batch_end",), batch, logs)

    def _tell(self, method, hooks, batch, logs):
        # In this thread: Keras's has several, in which a step's end may come after a later one's.
        listeners = [c for c in self.callbacks if self._listens(c, method, hooks)]
        if listeners:
            logs = _as_numbers(logs or {})
        for callback in listeners:
            getattr(callback, method)(batch, logs)

    def _listens(self, callback, method, hooks):
        if type(callback) is not keras.callbacks.ProgbarLogger:
            return not all(_is_default(callback, hook) for hook in hooks)
        if self.in_fit and method == "on_test_batch_end":  # It is silent in validation.
            return False
        if callback.target is None:  # It learns the number of steps by being told of each.
            return True
        now = time.time()
        if callback.verbose != 1 or now - self.drawn < callback.progbar.interval:
            return False
        self.drawn = now
        return True


def _as_numbers(logs):
    """Return logs with numbers, where values are some, as Keras makes them."""
    numbers = {}
    for name, value in sorted(logs.items()):
        if isinstance(value, dict):
            numbers.update(_as_numbers(value))
            continue
        with contextlib.suppress(Exception):  # Each framework has its own.
            value = float(value)
        numbers[name] = value
    return numbers


def _is_default(callback, hook):
    method = getattr(getattr(callback, hook), "__func__", None)
    return method is getattr(keras.callbacks.Callback, hook)


def _num_steps(arguments, limit):
    """Return the number of steps of an epoch, or None where only the first epoch will tell."""
    num_steps, most = arguments.get(limit), keras.config.max_steps_per_epoch()
    if most and not (num_steps and num_steps <= most):
        num_steps = most
    if num_steps:
        return num_steps
    x = arguments["x"]
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches
    if hasattr(x, "cardinality"):  # tf.data
        cardinality = int(x.cardinality() if callable(x.cardinality) else x.cardinality)
        return cardinality if cardinality >= 0 else None
    arrays = keras.tree.flatten(x)
    if all(hasattr(array, "shape") for array in arrays):
        num_examples = len(arrays[0])
        if arguments.get("validation_data") is None:
            num_examples = int(num_examples * (1 - arguments.get("validation_split", 0.0)))
        return -(-num_examples // (arguments.get("batch_size") or 32))  # Keras's default.
    if hasattr(getattr(x, "dataset", None), "__len__"):  # torch's DataLoader
        return len(x)
    return None
