"""Ctrl-C that is not lost."""

import contextlib
import signal

_interrupted = False


@contextlib.contextmanager
def remembered():
    """Remember a Ctrl-C, in addition to raising KeyboardInterrupt as Python does by itself."""
    global _interrupted
    _interrupted = False
    # A program in the background gets no Ctrl-C, and who has a handler knows better.
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupt(signum, frame):
        global _interrupted
        _interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_when_interrupted():
    """Return a callback that ends `fit` after an epoch in which a Ctrl-C was lost.

    Keras 3.15 compares structures under a bare `except:`, and Python drops what a destructor
    raises: a KeyboardInterrupt that comes there is lost.
    """
    import keras

    def check(epoch, logs):
        if _interrupted:
            raise KeyboardInterrupt

    return keras.callbacks.LambdaCallback(on_epoch_end=check)
