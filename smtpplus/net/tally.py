"""How many connections each client has, over all processes of a service.

Guarantees: a limit holds for the service and not for each of its processes (R2); what a process
that died had counted is forgotten when its successor comes. Two clients that share a place, one
in `_PLACES`, count together, so that a limit may hold a little early and never late. Raises
nothing.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections import Counter
from typing import Protocol

__all__ = ["OwnTally", "SharedTally", "Tally"]

_PLACES = 32_768
_OCTETS = 2  # of a count


class Tally(Protocol):
    """Counts by key."""

    def change(self, key: str, by: int) -> None:
        """One more, or one less."""

    def count(self, key: str) -> int:
        """How many there are, in all processes."""


class OwnTally:
    """For a service of one process."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def change(self, key: str, by: int) -> None:
        """See `Tally`."""
        self._counts[key] += by
        if self._counts[key] <= 0:
            del self._counts[key]

    def count(self, key: str) -> int:
        """See `Tally`."""
        return self._counts[key]


class SharedTally:
    """A column for each process in memory that all have; each writes its own alone.

    Args:
        processes: how many there are.
        number: which of them this is, from 0 on.
        descriptor: the first one's; None in the first.
    """

    def __init__(self, processes: int, number: int = 0, descriptor: int | None = None) -> None:
        column = _PLACES * _OCTETS
        if descriptor is None:
            descriptor = os.memfd_create("smtpplus tally", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, column * processes)
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, column * processes)
        self._memory[column * number : column * (number + 1)] = bytes(column)
        counts = memoryview(self._memory).cast("H")
        self._columns = [
            counts[_PLACES * place : _PLACES * (place + 1)] for place in range(processes)
        ]
        self._own = self._columns[number]

    def change(self, key: str, by: int) -> None:
        """See `Tally`."""
        place = zlib.crc32(key.encode()) % _PLACES
        self._own[place] = min(max(self._own[place] + by, 0), 65_535)

    def count(self, key: str) -> int:
        """See `Tally`."""
        place = zlib.crc32(key.encode()) % _PLACES
        return sum(column[place] for column in self._columns)
