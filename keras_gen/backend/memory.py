"""Keeps the memory that one step frees for the next.

The allocator of glibc gives large blocks back to the system when they are freed. A step asks for
them anew, and the kernel clears them page by page: in convolutional models a tenth to a quarter of
a step on a CPU.
"""

import contextlib
import ctypes
import functools
import os
import sys
import threading

# Of <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**25  # Of blocks that glibc, if it is old, keeps.

_lock = threading.Lock()
_open = 0


@contextlib.contextmanager
def kept():
    """Within it what is freed stays with the process; at the end the system has it back.

    Nothing happens without glibc, or where the environment says how it allocates.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    _enter(libc)
    try:
        yield
    finally:
        _leave(libc)


def _enter(libc):
    global _open
    with _lock:
        _open += 1
        if _open == 1:
            libc.mallopt(_MMAP_THRESHOLD, 2**30) or libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
            libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def _leave(libc):
    global _open
    with _lock:
        _open -= 1
        if _open == 0:
            # As far as glibc raises them by itself, which it does no longer once they were set.
            libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
            libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
            libc.malloc_trim(0)


@functools.cache
def _glibc():
    is_set = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    is_set |= any(name.startswith("MALLOC_") for name in os.environ)
    if sys.platform != "linux" or is_set:
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
