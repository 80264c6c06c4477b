"""The queue, with its work counted, and told to the log, on the way.

Guarantees: what it answers is what the queue answers; a count and a line are made after the commit
that they are about, by this process and since its start (the store's own counters are exact for
ever).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from zope.interface import implementer

from smtpplus.log import MailLog
from smtpplus.metrics.plain_counts import Count, Spread
from smtpplus.ports import ILease, IQueue, Recovery
from smtpplus.values.address import Address
from smtpplus.values.errors import STORE_ERRORS, DuplicateMessageError, SmtpplusError
from smtpplus.values.message import Accepted, Delivery, DeliveryState, Message, Settlement
from smtpplus.values.options import NOTHING_SAID
from smtpplus.values.queue import QueueChange, Selection

__all__ = ["CountedQueue", "QueueCounts"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MOST_UNWRITTEN = 1_000
_MOST_OCTETS = 32 * 1024 * 1024
_TROUBLE_SECONDS = 10.0  # how long what failed stands for the store's state
_SILENT_SECONDS = 15.0  # without a commit, while some are waited for
_NAMES = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.QUEUED: "deferred",
    DeliveryState.BOUNCED: "bounced",
    DeliveryState.EXPIRED: "expired",
}


class QueueCounts:
    """The counters, in `registry`."""

    def __init__(self, registry: CollectorRegistry, monotonic: Callable[[], float]) -> None:
        def counter(name: str, text: str) -> Count:
            return Count(f"smtpplus_{name}", text, registry)

        self.monotonic = monotonic
        self.messages = counter("messages_accepted", "Messages accepted, reports of ours included.")
        self.accepted = counter("accepted", "Deliveries (recipients) accepted.")
        self.outcomes = {
            state: counter(name, f"Attempts that ended a delivery as {name}, or put it off.")
            for state, name in _NAMES.items()
        }
        self.duplicates = counter(
            "duplicates", "Submissions answered as accepted before, and not taken again."
        )
        self.ignored = counter(
            "controls_ignored", "Control headers and keys that mean nothing here."
        )
        self.refused = counter("accepts_failed", "Messages the store did not take.")
        self.accept_seconds = Spread(
            "smtpplus_accept_seconds",
            "From the end of a message to its commit.",
            _BUCKETS,
            registry,
        )


@implementer(IQueue)
class CountedQueue:
    """An `IQueue` over another one; `known_trouble` is what its store knows to stand against it."""

    def __init__(
        self,
        queue: IQueue,
        counts: QueueCounts,
        log: MailLog,
        known_trouble: Callable[[], str] = str,
    ) -> None:
        self._queue = queue
        self._counts = counts
        self._log = log
        self._known_trouble = known_trouble
        self._trouble = ""
        self._trouble_until = 0.0
        self.unwritten = 0  # messages that wait for their commit
        self._silent_since = 0.0  # while any do
        self._unwritten_octets = 0
        # Asked several times a message.
        self.leases_hold: Callable[[], bool] = queue.leases_hold
        self.lease: Callable[[], ILease] = queue.lease

    @property
    def is_crowded(self) -> bool:
        """Does so much wait for its commit that nothing more should be begun?"""
        return self.unwritten >= _MOST_UNWRITTEN or self._unwritten_octets >= _MOST_OCTETS

    @property
    def noted_trouble(self) -> str:
        """Why the store did not do its work a moment ago, or will not; "" where it does."""
        now = self._counts.monotonic()
        silent = now - self._silent_since
        if self.unwritten and silent >= _SILENT_SECONDS:
            return f"The store has not answered for {silent:.0f} s."
        return self._known_trouble() or (self._trouble if now < self._trouble_until else "")

    async def trouble(self) -> str:
        """Why the store cannot do its work now; "" where it can, as far as one can tell."""
        noted = self.noted_trouble
        if noted:
            return noted
        try:
            await self._queue.next_due(0.0, ())
        except SmtpplusError as error:
            return str(error)
        return ""

    def accept(self, accepted: Accepted) -> Awaitable[None]:
        """See `IQueue.accept`."""
        counts = self._counts
        started = counts.monotonic()
        deliveries = len(accepted.deliveries)
        octets = len(accepted.content or b"")
        if not self.unwritten:
            self._silent_since = started
        self.unwritten += 1
        self._unwritten_octets += octets

        def committed(result: Any) -> Any:
            self.unwritten -= 1
            self._unwritten_octets -= octets
            now = self._silent_since = counts.monotonic()
            counts.accept_seconds.observe(now - started)
            self._trouble_until = 0.0
            counts.messages.value += 1
            counts.accepted.value += deliveries
            if accepted.message.options is not NOTHING_SAID:
                counts.ignored.value += len(accepted.message.options.unknown)
            self._log.accepted(accepted)
            return result

        def failed(failure: Any) -> Any:
            self._silent_since = counts.monotonic()
            self.unwritten -= 1
            self._unwritten_octets -= octets
            if failure.check(DuplicateMessageError):
                counts.duplicates.value += 1
                return failure
            counts.refused.value += 1
            return self._note(failure)

        done = _deferred(self._queue.accept(accepted))
        return done.addCallbacks(committed, failed)

    def settle(
        self, settlements: Sequence[Settlement], reports: Sequence[Accepted] = ()
    ) -> Awaitable[Collection[int]]:
        """See `IQueue.settle`."""

        def committed(queued: Any) -> Any:
            self._log.settled(settlements)
            for settlement in settlements:
                counter = self._counts.outcomes.get(settlement.state)
                if counter is not None:
                    counter.value += 1
            for report in reports:
                if report.message.id in queued:
                    self._counts.messages.value += 1
                    self._counts.accepted.value += len(report.deliveries)
                    self._log.accepted(report)
            return queued

        done = _deferred(self._queue.settle(settlements, reports))
        return done.addCallbacks(committed, self._note)

    def _note(self, failure: Any) -> Any:
        """What failed for the store's sake stands for its state, for a while."""
        if failure.check(*STORE_ERRORS):
            self._trouble = failure.getErrorMessage()
            self._trouble_until = self._counts.monotonic() + _TROUBLE_SECONDS
        return failure

    async def change(self, change: QueueChange, which: Selection, now: float, by: str) -> int:
        """See `IQueue.change`."""
        return await self._queue.change(change, which, now, by)

    async def would_change(self, change: QueueChange, which: Selection, now: float) -> int:
        """See `IQueue.would_change`."""
        return await self._queue.would_change(change, which, now)

    async def withdrawn(self, delivery_ids: Collection[int]) -> Collection[int]:
        """See `IQueue.withdrawn`."""
        return await self._queue.withdrawn(delivery_ids)

    async def has_sent(
        self, answer: Message, to: Collection[Address], message_ids: Collection[str]
    ) -> bool:
        """See `IQueue.has_sent`."""
        return await self._queue.has_sent(answer, to, message_ids)

    def claim(
        self,
        now: float,
        most: int,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = 5,
    ) -> Awaitable[Sequence[Delivery]]:
        """See `IQueue.claim`."""
        return self._queue.claim(now, most, without, urgent_without, lowest)

    def next_due(
        self,
        now: float,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = 5,
    ) -> Awaitable[float | None]:
        """See `IQueue.next_due`."""
        return self._queue.next_due(now, without, urgent_without, lowest)

    def release(self, delivery_ids: Iterable[int]) -> Awaitable[None]:
        """See `IQueue.release`."""
        return self._queue.release(delivery_ids)

    def recover(self, now: float) -> Awaitable[Recovery]:
        """See `IQueue.recover`."""
        return self._queue.recover(now)

    def used(self, user_id: int, since: float) -> Awaitable[int]:
        """See `IQueue.used`."""
        return self._queue.used(user_id, since)


def _deferred(answer: Awaitable[Any]) -> Deferred[Any]:
    if type(answer) is Deferred or isinstance(answer, Deferred):  # whose class is slow to ask
        return answer
    return Deferred.fromCoroutine(answer)  # type: ignore[arg-type]
