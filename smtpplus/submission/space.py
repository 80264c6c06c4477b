"""Is there room on the disk for one more message (D7)?

Guarantees: asks at most once a second. An answer that cannot be had counts as room: the write
itself will tell. Raises nothing. Does not reserve anything.
"""

from __future__ import annotations

from collections.abc import Callable

from smtpplus.ports import IClock

__all__ = ["FreeSpace"]

_ASK_SECONDS = 1.0


class FreeSpace:
    """`free_octets` tells how much is free (OSError: cannot tell), `need_octets` is the least."""

    __slots__ = ("_asked_at", "_clock", "_free_octets", "_is_short", "_need_octets")

    def __init__(self, free_octets: Callable[[], int], need_octets: int, clock: IClock) -> None:
        self._free_octets = free_octets
        self._need_octets = need_octets
        self._clock = clock
        self._asked_at = float("-inf")
        self._is_short = False

    def is_short(self) -> bool:
        """Is less free than is needed?"""
        now = self._clock.monotonic()
        if now - self._asked_at >= _ASK_SECONDS:
            self._asked_at = now
            try:
                self._is_short = self._free_octets() < self._need_octets
            except OSError:
                self._is_short = False
        return self._is_short
