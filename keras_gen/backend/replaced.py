"""A method of one optimizer in another way, for the length of one call."""

import contextlib
import functools


@contextlib.contextmanager
def replaced(instance, method, function):
    """Within it `instance.method(...)` is `function(instance, ...)`.

    On the instance and for that long alone: another model may share the class.
    """
    # Not `setattr`: Keras tracks what its objects are given.
    object.__setattr__(instance, method, functools.partial(function, instance))
    try:
        yield
    finally:
        object.__delattr__(instance, method)
