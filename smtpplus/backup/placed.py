"""What a restore puts on the disk, and how it takes it away again.

Guarantees: nothing is written over something; what was made is removed when the restore does
not come to its end, and nothing else is: a folder that was there before stays.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from smtpplus.store.sqlite import sync_folder

__all__ = ["Placed", "placed"]

_PIECE = 1 << 20
_COMPANIONS = ("-wal", "-shm", "-journal")  # SQLite makes them beside a database it looks into


class Placed:
    """The files and folders that were made so far, in that order, and what may be beside them."""

    def __init__(self) -> None:
        self._made: list[Path] = []

    def folder(self, path: Path) -> None:
        """Make a folder, 0700, and those above it, where they are not there."""
        missing = [one for one in (path, *path.parents) if not one.exists()]
        for one in reversed(missing):
            one.mkdir(mode=0o700)
            self._made.append(one)

    def file(self, place: Path, source: IO[bytes]) -> None:
        """Write a new file, 0600, and sync it.

        Raises:
            OSError: it is there, or cannot be written.
        """
        self.folder(place.parent)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        beside = (place.with_name(place.name + ending) for ending in _COMPANIONS)
        self._made += [place, *(path for path in beside if not path.exists())]
        with os.fdopen(descriptor, "wb") as target:
            shutil.copyfileobj(source, target, _PIECE)
            target.flush()
            os.fsync(target.fileno())
        sync_folder(place.parent)

    def take_away(self) -> None:
        """Remove it all, the last first; a folder in which is something of others stays."""
        while self._made:
            path = self._made.pop()
            with contextlib.suppress(OSError):
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()


@contextlib.contextmanager
def placed() -> Iterator[Placed]:
    """What is made within stays where all goes well, and else is taken away."""
    made = Placed()
    try:
        yield made
    except BaseException:
        made.take_away()
        raise
