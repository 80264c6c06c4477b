"""Files of the queue directory: the contents too large for a row.

``queue/<x>/<y>/<id>.eml``, written as ``<id>.part``, synced, renamed, the folder synced. What must
not be sent, or is nobody's that is known, goes to ``queue/quarantine`` and from there after
`QUARANTINE_SECONDS`. Guarantees: a file under its final name is whole and on the disk; files are
0600, folders 0700. Every function blocks and raises OSError: it runs in a thread for files. Knows
no database.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from smtpplus.store.sqlite import sync_folder
from smtpplus.values.ids import parse_id, show_id

__all__ = ["QUARANTINE", "QUARANTINE_SECONDS", "QUEUE_NAME", "ContentFiles", "Found"]

QUARANTINE = "quarantine"
QUEUE_NAME = "queue"  # the folder of all contents, in the data directory
QUARANTINE_SECONDS = 30 * 86_400.0

_WHOLE, _PART = ".eml", ".part"


@dataclass(frozen=True, slots=True)
class Found:
    """Which files are there: `whole` by the ids in their names, and what has another name."""

    whole: frozenset[int]
    others: tuple[Path, ...]


class ContentFiles:
    """The files under `root`, two levels of sixteen folders, by the millisecond of the id."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        """Make the root, where it is missing, and keep it to ourselves."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root.chmod(0o700)

    def path(self, message_id: int) -> Path:
        """Where the whole content of a message stands."""
        return self._folder(message_id) / (show_id(message_id) + _WHOLE)

    def create(self, message_id: int) -> int:
        """A descriptor of a new part file."""
        folder = self._folder(message_id)
        if not folder.is_dir():
            self._make(folder)
        return os.open(
            self._part(message_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )

    def append(self, descriptor: int, octets: bytes) -> None:
        """Write all of `octets`."""
        rest = memoryview(octets)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def finish(self, message_id: int, descriptor: int, octets: bytes) -> None:
        """Write the last `octets`, sync, close, and give the file its name."""
        try:
            self.append(descriptor, octets)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path = self.path(message_id)
        self._part(message_id).rename(path)
        sync_folder(path.parent)

    def remove(self, message_id: int) -> None:
        """Remove a message's file, whole or part; harmless where there is none."""
        for path in (self._part(message_id), self.path(message_id)):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def open(self, message_id: int) -> int:
        """A descriptor to read the whole content."""
        return os.open(self.path(message_id), os.O_RDONLY | os.O_CLOEXEC)

    def found(self) -> Found:
        """What is there."""
        whole, others = set(), []
        for path in self._files():
            message_id = parse_id(path.stem) if path.suffix == _WHOLE else None
            if message_id is not None and path == self.path(message_id):
                whole.add(message_id)
            elif path.suffix in {_WHOLE, _PART}:
                others.append(path)
        return Found(frozenset(whole), tuple(others))

    def sweep(self, found: Found, over: Collection[int], unknown: Collection[int]) -> int:
        """Remove the parts, and the files of `over`; set those of `unknown` aside. How many went."""
        removed = 0
        paths = [*(path for path in found.others if path.suffix == _PART), *map(self.path, over)]
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # it was about to be removed anyway
                path.unlink()
                removed += 1
        strangers = [path for path in found.others if path.suffix == _WHOLE]
        for path in [*strangers, *map(self.path, unknown)]:
            self._set_aside(path)
        return removed

    def quarantine(self, message_id: int) -> str:
        """Set a message's file aside. Where it is, below the root; empty where there is none."""
        return self._set_aside(self.path(message_id))

    def tidy_quarantine(self, now: float) -> int:
        """Remove what was set aside long ago; how many files."""
        removed = 0
        folder = self._root / QUARANTINE
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file() and path.stat().st_mtime < now - QUARANTINE_SECONDS:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _set_aside(self, path: Path) -> str:
        folder = self._root / QUARANTINE
        if not path.is_file():
            return ""
        folder.mkdir(mode=0o700, exist_ok=True)
        target, number = folder / path.name, 0
        while target.exists():  # an earlier one of the same message is kept too
            number += 1
            target = folder / f"{path.stem}.{number}{path.suffix}"
        path.rename(target)
        os.utime(target)  # from now on it counts
        sync_folder(folder)
        sync_folder(path.parent)
        return str(target.relative_to(self._root.parent))

    def _folder(self, message_id: int) -> Path:
        milliseconds = message_id >> 22
        return self._root / f"{milliseconds >> 4 & 15:x}" / f"{milliseconds & 15:x}"

    def _part(self, message_id: int) -> Path:
        return self._folder(message_id) / (show_id(message_id) + _PART)

    def _make(self, folder: Path) -> None:
        for one in (self._root, folder.parent, folder):
            one.mkdir(mode=0o700, exist_ok=True)
            sync_folder(one.parent)

    def _files(self) -> Iterator[Path]:
        for folder in sorted(self._root.glob("[0-9a-f]/[0-9a-f]")):
            with os.scandir(folder) as entries:
                yield from [Path(entry.path) for entry in entries if entry.is_file()]
