"""One service process on one data directory (D13).

Guarantees: the lock ends with the process, however it ends. Does not keep the command line
out: its short transactions go beside the service's.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from smtpplus.values.errors import ConflictError

__all__ = ["ProcessLock", "is_locked"]

_LOCK_NAME = "smtpplus.lock"


def is_locked(data_dir: Path) -> bool:
    """Does a service run on `data_dir`?"""
    try:
        descriptor = os.open(data_dir / _LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class ProcessLock:
    """A lock file with the holder's process id in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take it.

        Raises:
            ConflictError: another process holds it; the text says which.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise ConflictError(
                f"Another smtpplus service (process {holder}) runs on {self._path.parent}. "
                "Stop it first, or give this one its own data_dir."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; harmless where it was not taken."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
