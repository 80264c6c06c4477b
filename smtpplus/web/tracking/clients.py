"""What the same client asked of the same delivery just before, for as many as may matter.

Guarantees: bounded: what was not asked about for the longest time is forgotten first, and
everything a minute after its last request, so that a person who comes later from a scanner's
network is a person again. Reads no clock.
"""

from __future__ import annotations

from collections import OrderedDict

from smtpplus.rules.opens import Siblings

__all__ = ["ClientMemory", "LinkCounts"]

_SECONDS = 60.0
_NOTHING = Siblings()


class ClientMemory:
    """Siblings by delivery and client."""

    __slots__ = ("_kept", "_most")

    def __init__(self, most: int = 20_000) -> None:
        self._kept: OrderedDict[tuple[int, str], tuple[float, Siblings]] = OrderedDict()
        self._most = most

    def siblings(self, delivery_id: int, client: str, at: float) -> Siblings:
        """What `client` asked of the delivery in the minute before `at`."""
        found = self._kept.get((delivery_id, client))
        return _NOTHING if found is None or at - found[0] > _SECONDS else found[1]

    def keep(self, delivery_id: int, client: str, at: float, siblings: Siblings) -> None:
        """Its last request was at `at`."""
        self._kept[delivery_id, client] = (at, siblings)
        self._kept.move_to_end((delivery_id, client))
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


class LinkCounts:
    """How many links messages have at least: the highest number that was asked for."""

    __slots__ = ("_highest", "_most")

    def __init__(self, most: int = 10_000) -> None:
        self._highest: OrderedDict[int, int] = OrderedDict()
        self._most = most

    def saw(self, message_id: int, link: int) -> None:
        """Link number `link` (from 0 on) of a message was asked for."""
        if link > self._highest.get(message_id, -1):
            self._highest[message_id] = link
        self._highest.move_to_end(message_id)
        if len(self._highest) > self._most:
            self._highest.popitem(last=False)

    def of(self, message_id: int) -> int:
        """At least so many; 0 where nothing is known."""
        return self._highest.get(message_id, -1) + 1
