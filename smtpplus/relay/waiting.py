"""What waits in one lane, in the order in which it goes (P13).

Guarantees: of what waits the lowest priority number goes first, in the order of arrival within
one; but each `_AGED`-th to go is the one that fell due first, whatever its priority. So one of
eight attempts at a destination belongs to what has waited longest, and with n older ones before
it a delivery is among the next 8 (n + 1). Where all have the same priority this is one deque.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

from smtpplus.rules.schedule import MOST_URGENT
from smtpplus.values.message import Delivery

__all__ = ["Waiting"]

_AGED = 8


class Waiting:
    """Deliveries by priority; `count` is how many. They can be gone through."""

    __slots__ = ("_queues", "_turn", "count")

    def __init__(self) -> None:
        self.count = 0
        self._queues: dict[int, deque[Delivery]] = {}  # none is empty
        self._turn = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Delivery]:
        for priority in sorted(self._queues):
            yield from self._queues[priority]

    @property
    def has_first(self) -> bool:
        """Does one of the highest priority wait?"""
        return MOST_URGENT in self._queues

    def extend(self, deliveries: Collection[Delivery]) -> None:
        """These wait behind their like."""
        for one in deliveries:
            self._queue_of(one).append(one)
        self.count += len(deliveries)

    def put_back(self, delivery: Delivery) -> None:
        """This one waits before its like again."""
        self._queue_of(delivery).appendleft(delivery)
        self.count += 1

    def take(self) -> Delivery:
        """The one that goes next."""
        if len(self._queues) == 1:
            (priority,) = self._queues
            return self._take_from(priority)
        self._turn += 1
        if self._turn % _AGED == 0:
            return self._take_from(min(self._queues, key=lambda one: self._queues[one][0].due_at))
        return self._take_from(min(self._queues))

    def take_first(self) -> Delivery:
        """One of the highest priority; there must be one."""
        return self._take_from(MOST_URGENT)

    def remove(self, delivery_ids: Collection[int]) -> list[Delivery]:
        """Take these out, as far as they are here."""
        gone = [one for one in self if one.id in delivery_ids]
        if gone:
            left = [one for one in self if one.id not in delivery_ids]
            self.clear()
            self.extend(left)
        return gone

    def clear(self) -> None:
        """Nothing waits any more."""
        self._queues.clear()
        self.count = 0

    def _queue_of(self, delivery: Delivery) -> deque[Delivery]:
        priority = delivery.message.priority
        queue = self._queues.get(priority)
        if queue is None:
            queue = self._queues[priority] = deque()
        return queue

    def _take_from(self, priority: int) -> Delivery:
        queue = self._queues[priority]
        taken = queue.popleft()
        if not queue:
            del self._queues[priority]
        self.count -= 1
        return taken
