"""Files that are whole or not there, and folders that one process at a time writes to."""

import contextlib
import errno
import os
import pathlib


@contextlib.contextmanager
def whole(path):
    """Yield where to write; afterwards the file is put on the disk and named `path`.

    If writing fails, the file of that name from before is untouched, and nothing unfinished is
    left. A symbolic link of that name is replaced, not followed.
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
    """Put the names in a folder on the disk."""
    if os.name != "posix":  # Windows opens no folders.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Lock:
    """Lock on a folder, held by one process at a time; the system frees it if that is killed.

    Raises:
        BlockingIOError: If another process holds it.
        ValueError: If its file is a symbolic link.
    """

    _held = {}  # In this process: path -> file descriptor.

    def __init__(self, folder):
        self.path = pathlib.Path(folder).resolve() / ".lock"
        if self.path in self._held:  # By a `fit` that was interrupted.
            return
        try:
            import fcntl
        except ImportError:  # Windows.
            return
        while True:
            descriptor = _open(self.path)
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


def is_locked(folder):
    """Return whether a process holds the lock on a folder. It changes nothing there."""
    path = pathlib.Path(folder).resolve() / ".lock"
    if path in Lock._held:
        return True
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except (ImportError, OSError):  # On Windows, or without such a file.
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # A file system without locks.
        return False
    finally:
        os.close(descriptor)
    return False


def _open(path):
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(
                f"{path} is a symbolic link. Nothing is written through a link, which may lead to "
                f"any file: remove it."
            ) from error
        raise


def _is_at(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
