"""Outcomes on their way to the store, in groups.

Guarantees: every attempted delivery is settled exactly once and in the order of its attempts; a
store that is away is tried again until it is back, with attempts paused meanwhile, so that the
deliveries that could be sent twice after a crash stay few (D2): those under way, and at most
`_MOST_TAKEN` on their way to the disk. Where the disk is full, fewer are written together. A
report (DSN) is queued in the transaction that settles what it reports: so that one report tells
of several recipients, a failure of a message to several is held back for `_GATHER_SECONDS`, and
settled then; a crash in between tries it once more. What was deferred without an attempt, because
its destination is down, is written in small groups with rests between them, behind all else (O5).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from twisted.logger import Logger

from smtpplus.ports import IClock, IDispatch, IQueue, ISpawn
from smtpplus.relay.attempt import Attempted
from smtpplus.relay.reports import Reporter
from smtpplus.rules.reports import Told, is_traced, wants_report
from smtpplus.rules.retry import RetrySchedule
from smtpplus.rules.schedule import became_late, deliver_by_at, returns_at_expiry
from smtpplus.values.duration import Duration
from smtpplus.values.errors import StoreBrokenError, StoreFullError, StoreUnavailableError
from smtpplus.values.message import Accepted, Delivery, DeliveryState, Message, Settlement
from smtpplus.values.outcome import Outcome, Result

__all__ = ["Settling"]

_log = Logger()
_MOST_TAKEN = 32  # unwritten outcomes of mail that the remote took (D2); beyond it attempts pause
_DELIVERED, _TAKEN = DeliveryState.DELIVERED, Result.DELIVERED
_OF_FAILURE = (Told.FAILED, Told.DELAYED)
_MOST_UNWRITTEN = 500  # outcomes in all, likewise
_MOST_TOGETHER = 1000  # settlements in one transaction
_TRY_AGAIN_SECONDS = 1.0
_TRIES_TO_A_LINE = 60  # of the log
_GATHER_SECONDS = 2.0
_MOST_GATHERED = 200
_MOST_UNTRIED = 16  # in one transaction: how long it may hold up a message that comes in
_REST_SECONDS = 0.05  # between two of those
_REST_BESIDE_OTHERS_SECONDS = 1.0  # where others are mailed: of a hundred one meets a group


@dataclass(frozen=True, slots=True)
class _Told:
    """A settlement, and what the sender is to be told of it."""

    settlement: Settlement
    told: Told | None

    @property
    def may_gather(self) -> bool:
        """Does it do no harm later, and may there be more to tell of its message?"""
        return (
            self.told is not None
            and self.told in _OF_FAILURE
            and not _is_taken(self.settlement.outcome)
            and len(self.settlement.delivery.message.envelope.recipients) > 1
        )


class Settling:
    """Writes outcomes.

    Args:
        retry: when a deferred delivery is due again.
        delay_notice: after how long a deferral is reported to the sender.
        done: called with what was settled, after the commit.
        chance: a random number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        *,
        clock: IClock,
        spawn: ISpawn,
        queue: IQueue,
        reporter: Reporter,
        dispatch: IDispatch,
        retry: RetrySchedule,
        delay_notice: Duration,
        done: Callable[[list[Settlement]], None],
        chance: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._spawn = spawn
        self._queue = queue
        self._reporter = reporter
        self._dispatch = dispatch
        self._retry = retry
        self._delay_notice = delay_notice
        self._done = done
        self._chance = chance
        self._unwritten: list[_Told] = []
        self._gathered: list[_Told] = []  # held back for a common report
        self._cancel_timer: Callable[[], None] = lambda: None
        self._untried: list[_Told] = []  # deferred without an attempt
        self._resting = False
        self._has_others = False  # since the last rest: was anything attempted?
        self._stopping = False
        self._taken = 0  # of those, which the remote has
        self._together = _MOST_TOGETHER
        self._writing = False

    @property
    def has_room(self) -> bool:
        """May more attempts be started?"""
        return self._taken < _MOST_TAKEN and len(self._unwritten) < _MOST_UNWRITTEN

    @property
    def has_room_for_untried(self) -> bool:
        """May more be deferred without an attempt?"""
        return len(self._untried) < _MOST_UNTRIED

    def reconfigure(self, reporter: Reporter, retry: RetrySchedule, delay_notice: Duration) -> None:
        """What holds from the next outcome on."""
        self._reporter = reporter
        self._retry = retry
        self._delay_notice = delay_notice

    def put(self, delivery: Delivery, attempted: Attempted) -> None:
        """Settle one delivery, soon."""
        decided = self._decide(delivery, attempted)
        if not attempted.made:
            self._untried.append(decided)
            self._start()
            return
        self._has_others = True
        if decided.may_gather and not self._stopping:
            self._gather(decided)
            return
        self._unwritten.append(decided)
        self._taken += _is_taken(attempted.outcome)
        self._start()

    def stop(self) -> None:
        """Hold nothing back any more."""
        self._stopping = True
        self._let_go()
        self._start()

    def _gather(self, decided: _Told) -> None:
        self._gathered.append(decided)
        if len(self._gathered) == 1:
            self._cancel_timer = self._clock.call_later(_GATHER_SECONDS, self._let_go)
        elif len(self._gathered) >= _MOST_GATHERED:
            self._let_go()

    def _let_go(self) -> None:
        if self._gathered:
            self._cancel_timer()
            self._unwritten += self._gathered
            self._gathered = []
            self._start()

    def _start(self) -> None:
        if not self._writing:
            self._writing = True
            self._spawn.spawn("relay.settle", self._write())

    def _decide(self, delivery: Delivery, attempted: Attempted) -> _Told:
        """What the outcome makes of the delivery."""
        now = self._clock.now()
        outcome = attempted.outcome
        state, told, due_at = _DELIVERED, None, None
        if attempted.corrupt:
            state = DeliveryState.HELD  # until somebody has put the content back, or cancels
        elif attempted.suppressed:
            state = DeliveryState.CANCELLED
        elif outcome.result is _TAKEN:
            told = _told_of_delivery(delivery, attempted, now)
        elif outcome.result is Result.BOUNCED:
            state, told = DeliveryState.BOUNCED, Told.FAILED
        else:
            due_at = self._due_again(delivery, attempted, now)
            if due_at is None:
                state, told = DeliveryState.EXPIRED, Told.FAILED
            else:
                state = DeliveryState.QUEUED
                late = now >= self._late_at(delivery.message)
                told = Told.DELAYED if late and not delivery.delay_reported else None
        if told and not wants_report(delivery.message.envelope, delivery.recipient, told):
            told = None
        settlement = Settlement(
            delivery=delivery,
            state=state,
            at=now,
            outcome=outcome,
            attempt=attempted.attempt if attempted.made and not attempted.suppressed else None,
            due_at=due_at,
            delay_reported=delivery.delay_reported or told is Told.DELAYED,
        )
        return _Told(settlement, told)

    def _due_again(self, delivery: Delivery, attempted: Attempted, now: float) -> float | None:
        """When it is tried again; None: it has expired."""
        message = delivery.message
        expires_at = message.expires_at
        tried_in_time = attempted.attempt.started_at < expires_at <= now
        if tried_in_time and not returns_at_expiry(message):
            # Its life ended since. A clock that jumped does that to all that waits: none is given
            # up without an attempt after its end (C1), unless its sender wants just that.
            expires_at = math.inf
        due_at = self._retry.next_due(
            attempts=delivery.attempts + 1, now=now, expires_at=expires_at, chance=self._chance()
        )
        late_at = deliver_by_at(message)
        if due_at is not None and late_at is not None and now < late_at:
            return min(due_at, late_at)  # to say then that it is late
        return due_at

    def _late_at(self, message: Message) -> float:
        """From when on its sender is told that it is delayed."""
        late_at = deliver_by_at(message)
        if late_at is not None:
            return late_at
        leaves_at = max(message.received_at, message.options.send_at or 0.0)
        return leaves_at + self._delay_notice.seconds

    async def _write(self) -> None:
        try:
            while self._unwritten or (self._untried and not self._rests):
                waiting, most = self._unwritten, self._together
                if not waiting:
                    waiting, most = self._untried, min(most, _MOST_UNTRIED)
                batch = waiting[:most]
                if not await self._write_batch(batch):
                    self._together = max(len(batch) // 4, 1)
                    continue
                self._together = min(self._together * 2, _MOST_TOGETHER)
                del waiting[: len(batch)]
                if waiting is self._untried:
                    self._rest()
                settled = [one.settlement for one in batch]
                self._taken -= sum(_is_taken(one.outcome) for one in settled)
                self._done(settled)
        finally:
            self._writing = False

    @property
    def _rests(self) -> bool:
        return self._resting and not self._stopping

    def _rest(self) -> None:
        """Leave the store to others for a moment."""

        def rested() -> None:
            self._resting = False
            self._start()

        if not self._resting:
            self._resting = True
            seconds = _REST_BESIDE_OTHERS_SECONDS if self._has_others else _REST_SECONDS
            self._has_others = False
            self._clock.call_later(seconds, rested)

    async def _write_batch(self, batch: list[_Told]) -> bool:
        """Write them all; False: the disk has no room for so many."""
        reports = await self._reports(batch)
        settlements = [one.settlement for one in batch]
        for tries in itertools.count():
            try:
                queued = await self._queue.settle(settlements, reports)
                break
            except (StoreUnavailableError, StoreFullError, StoreBrokenError) as error:
                if isinstance(error, StoreFullError) and len(batch) > 1:
                    self._cancel(reports)
                    return False
                if tries % _TRIES_TO_A_LINE == 0:
                    _log.warn("outcomes wait for the store: {error}", error=error)
                await self._clock.sleep(_TRY_AGAIN_SECONDS)
        for report in reports:
            if report.leased and report.message.id in queued:
                self._dispatch.dispatch(report)
            elif report.leased:  # another has the delivery by now, and tells of it
                self._dispatch.cancel(len(report.deliveries))
            else:
                self._dispatch.wake()
        return True

    def _cancel(self, reports: list[Accepted]) -> None:
        """They will be written anew."""
        for report in reports:
            if report.leased:
                self._dispatch.cancel(len(report.deliveries))

    async def _reports(self, batch: list[_Told]) -> list[Accepted]:
        """One DSN per message and kind, naming only the recipients it is about (DR4)."""
        groups: dict[tuple[int, Told], list[Settlement]] = {}
        for one in batch:
            if one.told is not None:
                key = (one.settlement.delivery.message.id, one.told)
                groups.setdefault(key, []).append(one.settlement)
        reports = []
        for (_, told), settlements in groups.items():
            leased = self._dispatch.reserve(1)
            reports.append(await self._reporter.report(told, settlements, leased=leased))
        return reports


def _told_of_delivery(delivery: Delivery, attempted: Attempted, now: float) -> Told | None:
    """That it was handed on, where nobody else will tell; that it was late, if not told before."""
    envelope = delivery.message.envelope
    if (not attempted.dsn_passed_on or is_traced(envelope)) and wants_report(
        envelope, delivery.recipient, Told.RELAYED
    ):
        return Told.RELAYED
    late = became_late(delivery.message, now) and not delivery.delay_reported
    return Told.LATE if late else None


def _is_taken(outcome: Outcome) -> bool:
    """May the remote have the message?"""
    return outcome.result is _TAKEN or outcome.uncertain
