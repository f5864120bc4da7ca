"""What a run says of itself while it trains: how long it will take, and its curves."""

import time


def say_how_long(epochs):
    """Return a callback that prints, early in `fit`, how long the rest of it will take.

    The first epoch tells, or where it is short the second: the first also compiles.
    """
    import keras

    starts = []

    def begin(epoch, logs=None):
        starts.append(time.perf_counter())
        seconds = [end - start for start, end in zip(starts, starts[1:], strict=False)]
        is_first = len(seconds) == 1
        if seconds and (seconds[0] >= 60) == is_first and len(seconds) <= 2:
            print(f"About {in_words(seconds[-1] * (epochs - epoch))} to go.")

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin)


def in_words(seconds):
    if seconds < 90:
        return "a minute" if seconds >= 30 else "half a minute"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def to_tensorboard(folder):
    """Return a callback that writes the logs of every epoch for TensorBoard."""
    import keras

    from keras_gen.callbacks.tensorboard import Writer

    writer = Writer(folder)
    return keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: writer.open(),
        on_epoch_end=lambda epoch, logs: writer.write_numbers(logs, step=epoch + 1),
        on_train_end=lambda logs: writer.close(),
    )
