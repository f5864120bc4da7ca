"""Settings of the whole process, made when a script starts."""

import ctypes
import os
import sys


def quiet_tensorflow():
    """Make TensorFlow log less at its start, unless the user set its level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def keep_memory():
    """Let glibc keep the memory that one step frees for the next.

    By default it gives large blocks back to the system, which clears them page by page when the
    next step asks for them: a tenth to a quarter of a convolutional step on a CPU. Nothing happens
    without glibc, or if the environment says how memory is allocated.
    """
    is_set = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    is_set |= any(name.startswith("MALLOC_") for name in os.environ)
    if sys.platform != "linux" or is_set:
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        mmap_threshold, trim_threshold = -3, -1  # Of <malloc.h>.
        # An old glibc keeps blocks of at most 2^25 bytes.
        libc.mallopt(mmap_threshold, 2**30) or libc.mallopt(mmap_threshold, 2**25)
        libc.mallopt(trim_threshold, 2**31 - 1)
