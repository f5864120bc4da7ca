"""A list of callbacks that turns logs into numbers only where a callback reads them.

Keras turns the logs of every step into floats, and waits for the device to do so, though nobody
may look at them.
"""

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
        epochs=arguments.get("epochs", 1) if in_fit else 1,
        steps=_num_steps(arguments, "steps_per_epoch" if in_fit else "steps"),
        model=model,
    )


class LazyCallbackList(keras.callbacks.CallbackList):
    """Keras's list of callbacks, which tells of a step's end only where one of them listens.

    A progress bar listens as often as it draws.
    """

    drawn = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.drawn = 0.0  # Every epoch has a new bar.
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._tell("on_train_batch_end", ("on_train_batch_end", "on_batch_end"), batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        self._tell("on_test_batch_end", ("on_test_batch_end",), batch, logs)

    def _tell(self, method, hooks, batch, logs):
        # In this thread: Keras's has several, in which a step's end may come after a later one's.
        listeners = [callback for callback in self.callbacks if self._listens(callback, hooks)]
        if listeners:
            logs = {name: float(value) for name, value in sorted((logs or {}).items())}
        for callback in listeners:
            getattr(callback, method)(batch, logs)

    def _listens(self, callback, hooks):
        if type(callback) is not keras.callbacks.ProgbarLogger:
            return not all(_is_default(callback, hook) for hook in hooks)
        if callback.target is None:  # It learns the number of steps by being told of each.
            return True
        now = time.time()
        if callback.verbose != 1 or now - self.drawn < callback.progbar.interval:
            return False
        self.drawn = now
        return True


def _is_default(callback, hook):
    method = getattr(getattr(callback, hook), "__func__", None)
    return method is getattr(keras.callbacks.Callback, hook)


def _num_steps(arguments, limit):
    """Return the number of steps of an epoch, or None where only the first epoch will tell."""
    if arguments.get(limit) is not None:
        return arguments[limit]
    x = arguments["x"]
    if hasattr(x, "cardinality"):  # tf.data
        return int(x.cardinality()) if int(x.cardinality()) >= 0 else None
    if hasattr(x, "shape"):
        num_examples = len(x)
        if arguments.get("validation_data") is None:
            num_examples = int(num_examples * (1 - arguments.get("validation_split", 0.0)))
        return -(-num_examples // (arguments.get("batch_size") or 32))  # Keras's default.
    return len(x) if hasattr(x, "__len__") else None
