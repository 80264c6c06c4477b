"""One service on one data directory (D13), and one writer at a time in its file.

Guarantees: a lock ends with the process that took it, however it ends. `ProcessLock` does not
keep the command line out: its short transactions go beside the service's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from smtpplus.values.errors import ConflictError

__all__ = ["ProcessLock", "WriteTurn", "is_locked", "keep_turns", "lock_files"]

_LOCK_NAME = "smtpplus.lock"
_TURN_NAME = "smtpplus.turn"


def lock_files(data_dir: Path) -> tuple[Path, ...]:
    """Which may be there."""
    return data_dir / _LOCK_NAME, data_dir / _TURN_NAME


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

    @property
    def descriptor(self) -> int | None:
        """Open while it is held. Who inherits it holds the lock, too."""
        return self._descriptor

    def release(self) -> None:
        """Give it back; harmless where it was not taken."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def keep_turns(data_dir: Path, wanted: bool) -> None:
    """From now on those who write in `data_dir` take turns, or need not."""
    path = data_dir / _TURN_NAME
    if wanted:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    else:
        path.unlink(missing_ok=True)


class WriteTurn:
    """Whose turn it is to write, among all processes on one SQLite file.

    SQLite itself makes a second writer sleep for longer and longer and look again: up to a
    tenth of a second for a transaction of one millisecond. Here it wakes when the first is done.
    Each writer has its own. May be taken again by whoever has the turn. Where the file is not
    there when it is first taken, as beside a service of one process, there are no turns
    (`keep_turns`). `take` raises OSError where the file cannot be opened.

    The file has an octet in it while any of them knows the store to be damaged: the others heed
    that before they write.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / _TURN_NAME
        self._descriptor: int | None = None
        self._has_looked = False
        self._depth = 0

    def take(self) -> None:
        """Wait for it."""
        if self._depth == 0:
            if not self._has_looked:
                with contextlib.suppress(FileNotFoundError):
                    self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
                self._has_looked = True
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._depth += 1

    def end(self) -> None:
        """It is the next one's, once it was ended as often as taken."""
        self._depth -= 1
        if self._depth == 0 and self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    @property
    def is_of_damaged(self) -> bool:
        """Is the store known to be damaged? Asked while it is our turn."""
        return self._descriptor is not None and os.fstat(self._descriptor).st_size > 0

    def tell(self, damaged: bool) -> None:
        """Let all others know, from any thread, at any time. Harmless where there are no turns."""
        with contextlib.suppress(OSError):  # it is told again
            os.truncate(self._path, 1 if damaged else 0)

    def close(self) -> None:
        """Forget the file, unless it is our turn; harmless where it was never opened."""
        if self._depth == 0 and self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor, self._has_looked = None, False
