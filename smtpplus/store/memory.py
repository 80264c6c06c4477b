"""Queue and contents in memory: the same contract, for tests of the roles.

Guarantees: as `IQueue` and `IContents` say, but for the disk: nothing survives the process.
The contract tests run over this and over the databases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from twisted.internet.defer import fail, succeed
from zope.interface import implementer

from smtpplus.ports import IBody, IContents, IContentWriter, ILease, IQueue, Recovery
from smtpplus.rules.schedule import CLAIM_BY_AGE, LEAST_URGENT, is_urgent
from smtpplus.store.content_check import checked
from smtpplus.store.contents import BytesBody
from smtpplus.store.facts import MESSAGES, hour_of
from smtpplus.store.leases import OwnLeases
from smtpplus.store.rows import is_leased_at_birth
from smtpplus.values.address import Address
from smtpplus.values.errors import (
    ConflictError,
    DuplicateMessageError,
    NotFoundError,
    StoreUnavailableError,
)
from smtpplus.values.ids import show_id
from smtpplus.values.message import (
    Accepted,
    Delivery,
    DeliveryState,
    Message,
    NewDelivery,
    Settlement,
)
from smtpplus.values.queue import QueueChange, Selection

__all__ = ["Kept", "MemoryContents", "MemoryQueue"]

_WAITING = (DeliveryState.QUEUED, DeliveryState.HELD)
_FROM = {
    QueueChange.HOLD: (DeliveryState.QUEUED,),
    QueueChange.RELEASE: (DeliveryState.HELD,),
    QueueChange.CANCEL: _WAITING,
    QueueChange.FLUSH: (DeliveryState.QUEUED,),
}
_CHANGED = {
    QueueChange.HOLD: (DeliveryState.HELD, "held"),
    QueueChange.RELEASE: (DeliveryState.QUEUED, "released"),
    QueueChange.CANCEL: (DeliveryState.CANCELLED, "cancelled"),
}


@dataclass(slots=True)
class Kept:
    """A delivery as the queue in memory keeps it."""

    message: Message
    new: NewDelivery
    due_at: float
    leased: bool
    state: DeliveryState = DeliveryState.QUEUED
    attempts: int = 0
    delay_reported: bool = False
    settlements: list[Settlement] = field(default_factory=list)


@implementer(IContents)
class MemoryContents:
    """Contents by message id; what is written large becomes whole with `finish`."""

    def __init__(self) -> None:
        self.rows: dict[int, bytes] = {}
        self.files: dict[int, bytes] = {}
        self.quarantined: dict[int, bytes] = {}

    async def begin(self, message_id: int) -> IContentWriter:
        """See `IContents.begin`."""
        return _MemoryWriter(self.files, message_id)

    async def read(self, message: Message) -> bytes | None:
        """See `IContents.read`."""
        octets = (self.files if message.in_file else self.rows).get(message.id)
        return None if octets is None else checked(message, octets)

    async def body(self, message: Message, start: int) -> IBody:
        """See `IContents.body`."""
        return BytesBody(checked(message, self._whole(message))[start:])

    async def head(self, message: Message) -> bytes:
        """See `IContents.head`."""
        return self._whole(message)[: message.head_octets]

    async def quarantine(self, message: Message) -> str:
        """See `IContents.quarantine`."""
        octets = self.files.pop(message.id, None)
        if octets is None:
            return ""
        self.quarantined[message.id] = octets
        return f"quarantine/{show_id(message.id)}.eml"

    def remove(self, message_id: int) -> None:
        """A message is over: its content goes."""
        self.rows.pop(message_id, None)
        self.files.pop(message_id, None)

    def _whole(self, message: Message) -> bytes:
        octets = (self.files if message.in_file else self.rows).get(message.id)
        if octets is None:
            raise NotFoundError(f"The content of message {show_id(message.id)} is gone.")
        return octets


@implementer(IContentWriter)
class _MemoryWriter:
    def __init__(self, files: dict[int, bytes], message_id: int) -> None:
        self._files = files
        self._id = message_id
        self._octets = bytearray()
        self._open = True

    def write(self, data: bytes) -> Awaitable[None]:
        """See `IContentWriter.write`."""
        if not self._open:
            return fail(StoreUnavailableError("The content is finished or discarded."))
        self._octets += data
        return succeed(None)

    def finish(self) -> Awaitable[None]:
        """See `IContentWriter.finish`."""
        self._open = False
        self._files[self._id] = bytes(self._octets)
        return succeed(None)

    def discard(self) -> Awaitable[None]:
        """See `IContentWriter.discard`."""
        self._open = False
        self._octets.clear()
        self._files.pop(self._id, None)
        return succeed(None)


@implementer(IQueue)
class MemoryQueue:
    """A queue over `contents`; `failure`, when set, is what the next writes raise."""

    def __init__(self, contents: MemoryContents) -> None:
        self._contents = contents
        self.deliveries: dict[int, Kept] = {}
        self.counters: Counter[tuple[int, int, str]] = Counter()  # hour, user, metric
        self.once: dict[tuple[int, str], tuple[int, float]] = {}  # message and until when
        self.failure: Exception | None = None
        self._claims = 0

    def accept(self, accepted: Accepted) -> Awaitable[None]:
        """See `IQueue.accept`."""
        if self.failure is not None:
            return fail(self.failure)
        if any(new.id in self.deliveries for new in accepted.deliveries):
            return fail(ConflictError("The message is in the queue already."))
        if accepted.once:
            name = (accepted.message.user_id, accepted.once)
            before, until = self.once.get(name, (0, float("-inf")))
            if until > accepted.message.received_at:
                return fail(DuplicateMessageError(before))
            self.once[name] = (accepted.message.id, accepted.once_until)
        self._add(accepted)
        return succeed(None)

    def claim(
        self,
        now: float,
        most: int,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = LEAST_URGENT,
    ) -> Awaitable[Sequence[Delivery]]:
        """See `IQueue.claim`."""
        waiting = self._waiting(without, urgent_without, lowest)
        due = [kept for kept in waiting if kept.due_at <= now]
        self._claims += 1
        if self._claims % CLAIM_BY_AGE:
            due.sort(key=lambda kept: kept.message.priority)
        for kept in due[:most]:
            kept.leased = True
        return succeed([_delivery(kept) for kept in due[:most]])

    def next_due(
        self,
        now: float,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = LEAST_URGENT,
    ) -> Awaitable[float | None]:
        """See `IQueue.next_due`."""
        waiting = self._waiting(without, urgent_without, lowest)
        return succeed(waiting[0].due_at if waiting else None)

    def settle(
        self, settlements: Sequence[Settlement], reports: Sequence[Accepted] = ()
    ) -> Awaitable[Collection[int]]:
        """See `IQueue.settle`."""
        if self.failure is not None:
            return fail(self.failure)
        changed = {one.delivery.message.id for one in settlements if self._settle(one)}
        wanted = [report for report in reports if report.reports_on in changed]
        for report in wanted:
            self._add(report)
        return succeed({report.message.id for report in wanted})

    def release(self, delivery_ids: Iterable[int]) -> Awaitable[None]:
        """See `IQueue.release`."""
        for delivery_id in delivery_ids:
            if delivery_id in self.deliveries:
                self.deliveries[delivery_id].leased = False
        return succeed(None)

    async def change(self, change: QueueChange, which: Selection, now: float, by: str) -> int:
        """See `IQueue.change`."""
        chosen = self._selected(change, which, now)
        for kept in chosen:
            if change is QueueChange.FLUSH or (
                change is QueueChange.RELEASE and not _is_scheduled(kept, now)
            ):
                kept.due_at = now
            if change is not QueueChange.FLUSH:
                kept.state, metric = _CHANGED[change]
                self.counters[hour_of(now), kept.message.user_id, metric] += 1
            if kept.state is DeliveryState.CANCELLED:
                kept.leased = False
                self._forget_name(kept.message.id)
                self._tidy(kept.message.id)
        return len(chosen)

    def _forget_name(self, message_id: int) -> None:
        """Who sends anew what was taken back as a whole is no duplicate."""
        states = {one.state for one in self.deliveries.values() if one.message.id == message_id}
        if states == {DeliveryState.CANCELLED}:
            self.once = {name: of for name, of in self.once.items() if of[0] != message_id}

    async def would_change(self, change: QueueChange, which: Selection, now: float) -> int:
        """See `IQueue.would_change`."""
        return len(self._selected(change, which, now))

    async def withdrawn(self, delivery_ids: Collection[int]) -> Collection[int]:
        """See `IQueue.withdrawn`."""
        known = {one: self.deliveries[one].state for one in delivery_ids if one in self.deliveries}
        return {one for one, state in known.items() if state is not DeliveryState.QUEUED}

    def leases_hold(self) -> bool:
        """See `IQueue.leases_hold`."""
        return True

    def lease(self) -> ILease:
        """See `IQueue.lease`."""
        return OwnLeases.lease

    def recover(self, now: float) -> Awaitable[Recovery]:
        """See `IQueue.recover`."""
        leased = [
            kept for kept in self.deliveries.values() if kept.leased and not kept.state.is_final
        ]
        for kept in leased:
            kept.leased = False
        named = {
            kept.message.id
            for kept in self.deliveries.values()
            if kept.message.in_file and not kept.state.is_final
        }
        strays = set(self._contents.files) - named
        over = strays & {kept.message.id for kept in self.deliveries.values()}
        for message_id in strays - over:
            self._contents.quarantined[message_id] = self._contents.files[message_id]
        for message_id in strays:
            self._contents.remove(message_id)
        missing = tuple(sorted(named - set(self._contents.files)))
        return succeed(Recovery(len(leased), len(over), missing, len(strays - over)))

    async def has_sent(
        self, answer: Message, to: Collection[Address], message_ids: Collection[str]
    ) -> bool:
        """See `IQueue.has_sent`."""
        keys = {one.key for one in to}
        return any(
            kept.message.list_id == answer.list_id
            and kept.message.message_id in message_ids
            and kept.message.id < answer.id
            and kept.new.recipient.address.key in keys
            for kept in self.deliveries.values()
        )

    def used(self, user_id: int, since: float) -> Awaitable[int]:
        """See `IQueue.used`."""
        return succeed(
            sum(
                n
                for (hour, user, metric), n in self.counters.items()
                if user == user_id and metric == MESSAGES and hour >= hour_of(since)
            )
        )

    def _add(self, accepted: Accepted) -> None:
        message = accepted.message
        hour = hour_of(message.received_at)
        if accepted.content is not None:
            self._contents.rows[message.id] = accepted.content
        for new in accepted.deliveries:
            due_at = accepted.due_at if new.due_at is None else new.due_at
            kept = Kept(message, new, due_at, is_leased_at_birth(accepted, new))
            self.deliveries[new.id] = kept
            if new.withheld:
                kept.state = DeliveryState.CANCELLED
                for metric in {new.withheld_as.value, "cancelled"}:
                    self.counters[hour, message.user_id, metric] += 1
        self.counters[hour, message.user_id, "accepted"] += len(accepted.deliveries)
        if accepted.reports_on is None:
            self.counters[hour, message.user_id, MESSAGES] += 1
        self._tidy(message.id)

    def _waiting(
        self, without: Collection[str], urgent_without: Collection[str] | None, lowest: int
    ) -> list[Kept]:
        urgent_without = without if urgent_without is None else urgent_without
        waiting = [
            kept
            for kept in self.deliveries.values()
            if kept.state is DeliveryState.QUEUED
            and not kept.leased
            and kept.message.priority <= lowest
            and kept.new.recipient.address.ascii_domain
            not in (urgent_without if is_urgent(kept.message) else without)
        ]
        return sorted(waiting, key=lambda kept: (kept.due_at, kept.new.id))

    def _selected(self, change: QueueChange, which: Selection, now: float) -> list[Kept]:
        return [
            kept
            for kept in self.deliveries.values()
            if kept.state in _FROM[change]
            and (change is not QueueChange.FLUSH or _is_put_off(kept, which, now))
            and (not which.ids or {kept.new.id, kept.message.id} & set(which.ids))
            and which.domain in {"", kept.new.recipient.address.ascii_domain}
            and which.user_id in {None, kept.message.user_id}
            and which.account_id in {None, kept.message.account_id}
        ]

    def _settle(self, settlement: Settlement) -> bool:
        kept = self.deliveries.get(settlement.delivery.id)
        if kept is None or kept.state.is_final or _is_old(settlement, kept):
            if kept is not None and kept.state is DeliveryState.CANCELLED:
                kept.settlements.append(settlement)
            return False
        deferred = settlement.state is DeliveryState.QUEUED
        kept.attempts += deferred or settlement.attempt is not None
        if not (deferred and kept.state is DeliveryState.HELD):
            kept.state = settlement.state
        kept.leased = False
        kept.delay_reported = kept.delay_reported or settlement.delay_reported
        kept.due_at = kept.due_at if settlement.due_at is None else settlement.due_at
        kept.settlements.append(settlement)
        metric = "deferred" if deferred else settlement.state.value
        self.counters[hour_of(settlement.at), kept.message.user_id, metric] += 1
        self._forget_name(kept.message.id)
        self._tidy(kept.message.id)
        return True

    def _tidy(self, message_id: int) -> None:
        """A message's content goes with its last delivery."""
        if all(other.state.is_final for other in self._of(message_id)):
            self._contents.remove(message_id)

    def _of(self, message_id: int) -> list[Kept]:
        return [kept for kept in self.deliveries.values() if kept.message.id == message_id]


def _is_scheduled(kept: Kept, now: float) -> bool:
    """Is its time of sending, or the end of its recall window, still to come?"""
    return not kept.attempts and kept.due_at > now


def _is_put_off(kept: Kept, which: Selection, now: float) -> bool:
    """Is there something that flushing makes due?"""
    return kept.due_at > now and (which.scheduled or not _is_scheduled(kept, now))


def _is_old(settlement: Settlement, kept: Kept) -> bool:
    """A final state always counts; a deferral only where it is not a repetition."""
    if settlement.state.is_final:
        return False
    repeated = kept.attempts > settlement.delivery.attempts
    held = settlement.state is kept.state is DeliveryState.HELD
    return repeated or held


def _as_kept(message: Message) -> Message:
    """What is said of recipients stands in their deliveries."""
    if not (message.options.recipients or message.options.extra_recipients):
        return message
    options = replace(message.options, recipients=(), extra_recipients=())
    return replace(message, options=options)


def _delivery(kept: Kept) -> Delivery:
    return Delivery(
        id=kept.new.id,
        message=_as_kept(kept.message),
        recipient=kept.new.recipient,
        attempts=kept.attempts,
        due_at=kept.due_at,
        delay_reported=kept.delay_reported,
        name=kept.new.name,
        fields=kept.new.fields,
    )
