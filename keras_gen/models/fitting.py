"""What Keras's `fit` and `evaluate` are handed so that they take little time beside the steps."""

import time
from concurrent import futures

import keras

# There is no public name for what `fit` reads through, and takes in place of data.
from keras.src.trainers.data_adapters import get_data_adapter

from keras_gen import backend


def prepare(model, method, arguments):
    """Puts what reads the data, and the callbacks, into the arguments of "fit" or "evaluate"."""
    if not model.compiled:  # Keras refuses it before it looks at the data.
        return
    in_fit = method == "fit"
    batch_size = arguments.get("batch_size")
    validation = arguments.get("validation_data")
    if arguments.get("validation_split") and validation is None:
        return  # Keras splits arrays, and nothing else.
    if validation is not None:
        arguments["validation_data"] = _adapter(
            model,
            keras.utils.unpack_x_y_sample_weight(validation),
            arguments.get("validation_batch_size") or batch_size,
            _limited(arguments.get("validation_steps"), keras.config.max_steps_per_epoch()),
            shuffle=False,
        )
    data = [arguments.pop(name, None) for name in ("x", "y", "sample_weight")]
    steps = arguments.get("steps_per_epoch" if in_fit else "steps")
    steps = _limited(steps, keras.config.max_steps_per_epoch())
    adapter = _adapter(model, data, batch_size, steps, in_fit and arguments.get("shuffle", True))
    arguments["x"] = adapter
    if isinstance(arguments.get("callbacks"), keras.callbacks.CallbackList):
        return
    # As `fit` and `evaluate` would make it.
    verbose = arguments.get("verbose", "auto")
    epochs = arguments.get("epochs", 1)
    arguments["callbacks"] = ListeningCallbacks(
        arguments.get("callbacks"),
        add_history=in_fit,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=_limited(epochs, keras.config.max_epochs()) if in_fit else epochs,
        steps=steps or adapter.num_batches,
        model=model,
    )


def _adapter(model, data, batch_size, steps, shuffle):
    return backend.feed(get_data_adapter(*data, batch_size, steps, shuffle), model)


def _limited(number, limit):
    """By Keras's settings for short trials, where they are made."""
    return min(number or limit, limit) if limit else number


class ListeningCallbacks(keras.callbacks.CallbackList):
    """Keras's list of callbacks, which tells of a step's end only where one of them listens.

    To tell of it Keras converts the logs to floats, for which it waits until the step is done. A
    progress bar listens as often as it draws.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._drawn = 0.0

    def _on_begin(self):
        if self._executor is None:
            # Keras's has several threads: in them a step's end may be told after a later one's.
            self._executor = futures.ThreadPoolExecutor(max_workers=1)
        super()._on_begin()

    def on_epoch_begin(self, epoch, logs=None):
        self._drawn = 0.0  # The bar of an epoch is a new one.
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        hooks = ("on_train_batch_end", "on_batch_end")
        if any([self._listens(callback, hooks) for callback in self.callbacks]):
            super().on_train_batch_end(batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        if any([self._listens(callback, ("on_test_batch_end",)) for callback in self.callbacks]):
            super().on_test_batch_end(batch, logs)

    def _listens(self, callback, hooks):
        if type(callback) is not keras.callbacks.ProgbarLogger:
            return not all(_is_default(callback, hook) for hook in hooks)
        if callback.target is None:  # It learns the number of steps by being told of each.
            return True
        now = time.time()
        if callback.verbose != 1 or now - self._drawn < callback.progbar.interval:
            return False
        self._drawn = now
        return True


def _is_default(callback, hook):
    method = getattr(getattr(callback, hook), "__func__", None)
    return method is getattr(keras.callbacks.Callback, hook)
