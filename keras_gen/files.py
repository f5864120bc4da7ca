"""Files that are whole or not there, and folders that one process at a time writes to."""

import contextlib
import os
import pathlib


@contextlib.contextmanager
def whole(path):
    """Yields where to write; afterwards it is on the disk, and then takes the name `path`.

    If writing fails, what had that name before is untouched, and nothing unfinished is left.
    """
    path = pathlib.Path(path)
    unfinished = path.with_name(f".{path.stem}.tmp{path.suffix}")
    unfinished.unlink(missing_ok=True)  # In a stranger's folder it may be a link to elsewhere.
    try:
        yield unfinished
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def sync(folder):
    """Puts the names in a folder on the disk."""
    if os.name != "posix":  # Windows opens no folders.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Lock:
    """Held by one process at a time, on a folder; the system takes it from one that is killed.

    Raises:
        BlockingIOError: If another process holds it.
    """

    _held = {}  # Of this process: path -> file descriptor

    def __init__(self, folder):
        self.path = pathlib.Path(folder).resolve() / ".lock"
        if self.path in self._held:  # By a `fit` that was interrupted.
            return
        try:
            import fcntl
        except ImportError:  # Windows.
            return
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 20).decode(errors="replace").strip()
                os.close(descriptor)
                raise BlockingIOError(
                    f"Process {holder or 'unknown'} is writing to {folder}. Wait until it has "
                    f"ended, or name another folder."
                ) from None
            except OSError:  # A file system without locks.
                os.close(descriptor)
                return
            if _is_at(descriptor, self.path):
                break
            os.close(descriptor)  # Its holder has just removed it.
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._held[self.path] = descriptor

    def release(self):
        descriptor = self._held.pop(self.path, None)
        if descriptor is not None:
            # While it is still held: nobody else can hold a file of this name.
            self.path.unlink(missing_ok=True)
            os.close(descriptor)


def _is_at(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
