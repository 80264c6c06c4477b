"""Is there room on the disk for one more message (D7)?

Guarantees: asks the file system at most once a second. An answer that cannot be had counts as
room: the write itself will tell. Does not reserve anything.
"""

from __future__ import annotations

import os
from pathlib import Path

from smtpplus.ports import IClock

__all__ = ["FreeSpace"]

_ASK_SECONDS = 1.0


class FreeSpace:
    """The file system that holds `folder`; `need_bytes` is what must be free for more mail."""

    __slots__ = ("_asked_at", "_clock", "_folder", "_is_short", "need_bytes")

    def __init__(self, folder: Path, need_bytes: int, clock: IClock) -> None:
        self._folder = folder
        self._clock = clock
        self._asked_at = float("-inf")
        self._is_short = False
        self.need_bytes = need_bytes

    def is_short(self) -> bool:
        """Is less free than is needed?"""
        now = self._clock.monotonic()
        if now - self._asked_at >= _ASK_SECONDS:
            self._asked_at = now
            self._is_short = self._free_bytes() < self.need_bytes
        return self._is_short

    def _free_bytes(self) -> float:
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return float("inf")
        return found.f_bavail * found.f_frsize
