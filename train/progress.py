"""What a run says of itself while it trains: how long it will take, and its curves."""

import sys
import time

SAY_EVERY = 60  # Seconds.
PREVIEW = 120  # Seconds of a --preview.


def verbosity():
    """Return what `fit` shall print: a bar that moves on a terminal, lines in a file or a pipe."""
    return 1 if sys.stdout.isatty() else 2


def say_how_long(epochs, num_examples):
    """Return a callback that prints the speed of `fit` and how long the rest of it will take.

    Early, and then once a minute. The first epoch tells, or where it is short the second: the
    first also compiles.

    Args:
        epochs: Of the whole run.
        num_examples: In an epoch.
    """
    import keras

    marks, said = [], []  # (epoch, time) from which the speed is measured.

    def begin(epoch, logs=None):
        now = time.perf_counter()
        seconds = now - marks[-1][1] if marks else 0
        if seconds >= SAY_EVERY or (len(marks) == 2 and not said):
            seconds /= epoch - marks[-1][0]
            said.append(epoch)
            print(
                f"{num_examples / seconds:,.0f} examples a second: about "
                f"{in_words(seconds * (epochs - epoch))} to go."
            )
        elif len(marks) >= 2:
            return
        marks.append((epoch, now))

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin)


def stop_after_preview(epochs, num_steps, num_examples):
    """Return a callback that stops `fit` after two minutes, and says how long the whole run takes.

    Args:
        epochs: Of the whole run.
        num_steps, num_examples: In an epoch.
    """
    import keras

    times = []  # Of the beginning, and of the end of every step.

    def check(batch, logs=None):
        times.append(time.perf_counter())
        if times[-1] - times[0] >= PREVIEW and len(times) > 2:
            callback.model.stop_training = True

    def say(logs=None):
        steps = times[1:] if len(times) > 2 else times  # The first step also compiles.
        seconds = num_steps * (steps[-1] - steps[0]) / (len(steps) - 1)
        print(
            f"Preview: {len(times) - 1:,} of {epochs * num_steps:,} steps in "
            f"{times[-1] - times[0]:.0f} seconds, {num_examples / seconds:,.0f} examples a second. "
            f"The whole run, without --preview, takes about {in_words(epochs * seconds)}."
        )

    callback = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: times.append(time.perf_counter()),
        on_train_batch_end=check,
        on_train_end=say,
    )
    return callback


def in_words(seconds):
    if seconds < 90:
        return "a minute" if seconds >= 30 else "half a minute"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def to_tensorboard(folder, settings):
    """Return a callback that writes settings, networks and each epoch's logs for TensorBoard."""
    import keras

    from keras_gen.callbacks.tensorboard import Writer

    writer = Writer(folder)

    def begin(logs):
        writer.open()
        writer.write_settings(settings)
        for network in callback.model.layers:
            if isinstance(network, keras.Model):
                writer.write_graph(network)

    callback = keras.callbacks.LambdaCallback(
        on_train_begin=begin,
        on_epoch_end=lambda epoch, logs: writer.write_numbers(logs, step=epoch + 1),
        on_train_end=lambda logs: writer.close(),
    )
    return callback
