"""What Keras's `fit` and `evaluate` are handed so that they take little time beside the steps."""

import time

import keras

# There is no public name for what `fit` reads through, and takes in place of data.
from keras.src.trainers.data_adapters import get_data_adapter

from keras_gen import backend


def prepare(model, method, arguments):
    """Puts into the arguments of "fit" or "evaluate" what reads the data, and the callbacks."""
    fitting = method == "fit"
    data = [arguments.pop(name, None) for name in ("x", "y", "sample_weight")]
    batch_size = arguments.get("batch_size")
    steps = arguments.get("steps_per_epoch" if fitting else "steps")
    if arguments.get("validation_data") is not None:
        arguments["validation_data"] = _adapter(
            keras.utils.unpack_x_y_sample_weight(arguments["validation_data"]),
            arguments.get("validation_batch_size") or batch_size,
            arguments.get("validation_steps"),
            shuffle=False,
        )
    if arguments.get("validation_split"):  # Keras splits arrays, and nothing else.
        arguments["x"], arguments["y"], arguments["sample_weight"] = data
        return
    adapter = _adapter(data, batch_size, steps, fitting and arguments.get("shuffle", True))
    arguments["x"] = adapter
    if isinstance(arguments.get("callbacks"), keras.callbacks.CallbackList):
        return
    # As `fit` and `evaluate` would make it.
    verbose = arguments.get("verbose", "auto")
    limit = keras.config.max_steps_per_epoch()
    steps = steps or adapter.num_batches
    arguments["callbacks"] = Callbacks(
        arguments.get("callbacks"),
        add_history=fitting,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=arguments.get("epochs", 1),
        steps=min(steps, limit) if steps and limit else steps or limit,
        model=model,
    )


def _adapter(data, batch_size, steps, shuffle):
    return backend.feed(get_data_adapter(*data, batch_size, steps, shuffle))


class Callbacks(keras.callbacks.CallbackList):
    """Keras's list, which tells of a step's end only where somebody looks at it.

    To tell of one, Keras makes numbers of its logs, and waits for them. A progress bar looks as
    often as it draws.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._drawn = 0.0

    def on_train_batch_end(self, batch, logs=None):
        if self._are_looking("on_train_batch_end"):
            super().on_train_batch_end(batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        if self._are_looking("on_test_batch_end"):
            super().on_test_batch_end(batch, logs)

    def _are_looking(self, hook):
        return any(self._is_looking(callback, hook) for callback in self.callbacks)

    def _is_looking(self, callback, hook):
        if not isinstance(callback, keras.callbacks.ProgbarLogger):
            return not (_is_default(callback, hook) and _is_default(callback, "on_batch_end"))
        if callback.target is None:  # It counts the steps.
            return True
        now = time.time()
        if callback.verbose != 1 or now - self._drawn < callback.progbar.interval:
            return False
        self._drawn = now
        return True


def _is_default(callback, hook):
    method = getattr(getattr(callback, hook), "__func__", None)
    return method is getattr(keras.callbacks.Callback, hook)
