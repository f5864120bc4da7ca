"""What is known of Keras's callbacks before training: directions of logs, rates, names of files."""

import contextlib
import inspect

import keras

# Is more better, or less? What a discriminator says of examples is neither.
DIRECTIONS = {
    **dict.fromkeys(("elbo", "log_likelihood", "modes", "high_quality"), "max"),
    **dict.fromkeys(("kl", "reconstruction", "mode_kl"), "min"),
}
MONITORS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)
SETS_RATES = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)


class LogRate(keras.callbacks.Callback):
    """Logs a GAN's `learning_rate`, the generator's, where Keras logs those of both players."""

    def on_epoch_end(self, epoch, logs=None):
        if "learning_rate_generator" in (logs or {}):
            logs["learning_rate"] = logs["learning_rate_generator"]


def check(model, callbacks):
    """Tell callbacks the direction of what they monitor; ValueError for one that must fail."""
    callbacks = keras.tree.flatten(getattr(callbacks, "callbacks", callbacks or []))
    for callback in callbacks:
        if isinstance(callback, type):
            name = callback.__name__
            raise ValueError(f"`callbacks` holds a class, {name}. Pass an object: `{name}(...)`.")
        if not hasattr(callback, "set_model"):
            raise ValueError(
                f"`callbacks` holds {callback!r}. Pass an object of a `keras.callbacks.Callback`; "
                f"of a function, `keras.callbacks.LambdaCallback(on_epoch_end=function)`."
            )
        if getattr(callback, "mode", None) == "auto":
            if isinstance(getattr(callback, "monitor", None), str):
                _choose_mode(callback, model.logged)
        if isinstance(callback, MONITORS) and isinstance(callback.monitor, str):
            if getattr(callback, "save_best_only", True):
                _check_logged(callback, model, callbacks)
        if isinstance(callback, keras.callbacks.ModelCheckpoint):
            if not callback.save_weights_only:
                check_file_name(callback.filepath)
        if isinstance(callback, SETS_RATES) and model.compiled:
            _check_settable(callback, model.optimizer)
            if isinstance(callback, keras.callbacks.LearningRateScheduler):
                _check_rates(callback, model.optimizer)


def check_file_name(filepath):
    """Raise ValueError if a whole model would be written in HDF5, which cannot be read again."""
    name = str(filepath)
    if name.endswith((".h5", ".hdf5")):
        raise ValueError(
            f"A whole model cannot be loaded from HDF5, and {name!r} is such a file. Save it as "
            f"{name.rpartition('.')[0] + '.keras'!r}; weights alone may be in a `.weights.h5` file."
        )


def _choose_mode(callback, logged):
    name = callback.monitor.removeprefix("val_")
    asks = getattr(callback, "save_best_only", True)
    if name in DIRECTIONS or name.endswith("loss"):
        callback.mode = DIRECTIONS.get(name, "min")
    elif name in logged and asks:
        raise ValueError(
            f"{type(callback).__name__} monitors {callback.monitor!r}, of which neither more nor "
            f'less is better in itself. Pass mode="max" or mode="min".'
        )
    elif isinstance(callback, MONITORS) and asks:
        raise ValueError(
            f'{_not_logged(callback, logged)}; for a scalar that you add, pass mode="max" or '
            f'mode="min".'
        )


def _check_logged(callback, model, callbacks):
    """Raise ValueError if no epoch has what is monitored: nobody else can log it."""
    names = {*model.logged, *model.metrics_names, "learning_rate"}
    for other in (model, *callbacks):
        names |= set(getattr(other, "logged", ()))
        room = type(other).__module__.split(".")[0]
        if room not in ("keras", "keras_gen") or isinstance(other, keras.callbacks.LambdaCallback):
            return  # A class of one's own may log anything.
    if callback.monitor.removeprefix("val_") not in names:
        raise ValueError(f"{_not_logged(callback, model.logged)}.")


def _not_logged(callback, logged):
    return (
        f"{type(callback).__name__} monitors {callback.monitor!r}, and `fit` logs "
        f"{', '.join(logged)}, and with validation data val_{logged[0]} and so on. Monitor one of "
        f"these"
    )


def _check_settable(callback, optimizer):
    """Raise ValueError if a learning rate that the callback sets is a schedule."""
    for player in getattr(optimizer, "optimizers", (optimizer,)):
        if not isinstance(player.learning_rate, keras.Variable):
            raise ValueError(
                f"{type(callback).__name__} sets the learning rate, which is a schedule already. "
                f"Leave the callback out, or compile with a number."
            )


def _check_rates(callback, optimizer):
    """Raise ValueError if a schedule of one argument would give two players the same rate."""
    rates = {
        float(keras.ops.convert_to_numpy(player.learning_rate))
        for player in getattr(optimizer, "optimizers", ())
    }
    num_arguments = 2
    with contextlib.suppress(TypeError, ValueError):  # Not every callable has a signature.
        num_arguments = len(inspect.signature(callback.schedule).parameters)
    if len(rates) > 1 and num_arguments == 1:
        raise ValueError(
            "A GAN has two learning rates, and the schedule of LearningRateScheduler returns one "
            "for both. Let it scale each, `lambda epoch, rate: 0.95 * rate`, or compile with "
            "schedules."
        )
