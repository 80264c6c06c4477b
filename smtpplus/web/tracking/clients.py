"""What the same client asked of the same delivery just before, for as many as may matter.

Guarantees: bounded: what was not asked about for the longest time is forgotten first, and
everything a minute after its last request, so that a person who comes later from a scanner's
network is a person again. Reads no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from smtpplus.rules.opens import Siblings
from smtpplus.values.response import Response

__all__ = ["ClientMemory"]

_SECONDS = 60.0
_MOST_PERSONS = 64  # responses of a client to a delivery
_NOTHING = Siblings()


@dataclass(slots=True)
class _Client:
    at: float
    siblings: Siblings
    persons: tuple[Response, ...] = ()


class ClientMemory:
    """Siblings by delivery and client, and what was recorded there as a person's."""

    __slots__ = ("_kept", "_most")

    def __init__(self, most: int = 20_000) -> None:
        self._kept: OrderedDict[tuple[int, str], _Client] = OrderedDict()
        self._most = most

    def siblings(self, delivery_id: int, client: str, at: float) -> Siblings:
        """What `client` asked of the delivery in the minute before `at`."""
        found = self._kept.get((delivery_id, client))
        return _NOTHING if found is None or at - found.at > _SECONDS else found.siblings

    def keep(self, delivery_id: int, client: str, at: float, siblings: Siblings) -> None:
        """Its last request was at `at`."""
        found = self._kept.get((delivery_id, client))
        if found is None:
            self._kept[delivery_id, client] = _Client(at, siblings)
        else:
            found.at, found.siblings = at, siblings
        self._kept.move_to_end((delivery_id, client))
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def keep_person(self, client: str, response: Response) -> None:
        """`response` of a client that was just kept is recorded as a person's."""
        found = self._kept.get((response.delivery_id, client))
        if found is not None:
            found.persons = (*found.persons[1 - _MOST_PERSONS :], response)

    def take_persons(self, delivery_id: int, client: str, since: float) -> list[Response]:
        """What was recorded as a person's and happened after `since`; once."""
        found = self._kept.get((delivery_id, client))
        if found is None:
            return []
        persons, found.persons = found.persons, ()
        return [one for one in persons if one.at >= since]
