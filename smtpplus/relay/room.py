"""How much of the queue is in memory, and how much more may be.

Guarantees: never more than `most`. What is urgent (priority 1 and 2) finds a share that nothing
else takes, and takes no more than half of all: neither keeps the other out for good (P13).
Counts only; does not know what is where.
"""

from __future__ import annotations

from collections.abc import Iterable

from smtpplus.rules.schedule import URGENT
from smtpplus.values.message import Delivery

__all__ = ["Room"]

_RESERVED = 16  # one of so many places is for the urgent alone
_OF_ONE = 4  # one domain may fill so much of what is left: it is never all taken (O5)


class Room:
    """Places for deliveries."""

    __slots__ = ("_all", "_most", "_urgent")

    def __init__(self, most: int) -> None:
        self._most = most
        self._all = 0
        self._urgent = 0

    def left(self, *, urgent: bool) -> int:
        """How many more may come in."""
        left = self._most - self._all
        if urgent:
            return min(left, max(self._most // 2, 1) - self._urgent)
        ordinary = self._all - self._urgent
        return min(left, self._most - self._most // _RESERVED - ordinary)

    def of_one(self, *, urgent: bool) -> int:
        """From how many of one domain on no more of it come in."""
        return self.share_of(self.left(urgent=urgent))

    @staticmethod
    def share_of(left: int) -> int:
        """The same, where so many may come in."""
        return max(left // _OF_ONE, 1)

    def is_ample(self, *, urgent: bool) -> bool:
        """Is half of it free?"""
        if urgent:
            return self._urgent <= self._most // 4
        return self._all <= self._most // 2

    def take(self, count: int, *, urgent: bool) -> None:
        """So many come in."""
        self._all += count
        if urgent:
            self._urgent += count

    def give_back(self, count: int, *, urgent: bool) -> None:
        """So many have left, or will not come."""
        self._all -= count
        if urgent:
            self._urgent -= count

    def come(self, deliveries: Iterable[Delivery]) -> None:
        """These come in."""
        for one in deliveries:
            self._all += 1
            self._urgent += one.message.priority <= URGENT

    def leave(self, deliveries: Iterable[Delivery]) -> None:
        """These have left."""
        for one in deliveries:
            self._all -= 1
            self._urgent -= one.message.priority <= URGENT
