"""One writer per result: a lock that dies with the process that holds it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xcdi.errors import XcdiError

__all__ = ["locked", "remove_parts", "tidy"]

NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def locked(result: Path) -> Iterator[None]:
    """Hold the right to write `result`, by a lock file beside it that names the process.

    The system gives a lock back when its process dies, so a lock file that a killed process left behind
    stops nobody. A file system without locks is used without: results are renamed into place whole.

    Raises
    ------
    XcdiError
        If another process is writing `result`; says which.
    """
    file = _beside(result)
    handle = _take(file, result)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # before the lock goes, so that nobody locks a file without a name
        os.close(handle)


def tidy(result: Path, *, whole: bool = False) -> None:
    """Remove what a process that was stopped left beside `result`, unless another is writing it.

    A signal may come between any two steps of a process, also while it takes or gives back its lock. Beside a `whole`
    result nothing is looked for but the lock: the folder of a night is long.
    """
    if _beside(result).exists() or (not whole and any(_parts(result))):
        with suppress(XcdiError), locked(result):
            remove_parts(result)


def remove_parts(result: Path) -> None:
    """Remove half-written files of `result`; only for the holder of its lock, whom nobody writes beside."""
    for part in _parts(result):
        part.unlink(missing_ok=True)


def _parts(result: Path) -> Iterator[Path]:
    return result.parent.glob(f".{result.name}.*.part")


def _beside(result: Path) -> Path:
    return result.with_name(f".{result.name}.lock")


def _take(file: Path, result: Path) -> int:
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise XcdiError(f"{result} is being written by {holder}; wait for it, or choose another --out") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(handle)
                raise
        if _still_there(handle, file):
            os.truncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return handle
        os.close(handle)


def _still_there(handle: int, file: Path) -> bool:
    """Whether `file` is still the file that was locked: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(file))
    except FileNotFoundError:
        return False
