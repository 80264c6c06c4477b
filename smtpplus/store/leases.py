"""Leases: how long what this node has leased is its own.

A delivery's lease names a node (``delivery.lease_node``); a node's leases hold until
``node.lease_until``, by the database's clock, and a living node moves that on. When it has run out
another node takes the leases away; whoever lost its own so notices, forgets what it had in
memory, and begins anew.

Guarantees: `hold` is true only while nobody can have taken the leases, and for long enough to
begin an attempt; what is under way is told (`when_ending`) before anybody can take it over, and
can ask its `Lease` to the very end; a process whose number another process took writes nothing
any more. Left is what the remote has got whole and not answered yet when the lease runs out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Float, Update, cast, extract, func, or_, select, update
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from smtpplus.ports import IClock, ILease
from smtpplus.store.commits import Transaction
from smtpplus.store.nodes import started
from smtpplus.store.schema import delivery, node
from smtpplus.store.topics import DUE
from smtpplus.store.transactions import ThreadedTransactions
from smtpplus.values.errors import ConflictError

__all__ = ["Lease", "Leases", "NodeLeases", "OwnLeases", "database_time"]

_log = Logger()
_BEATS = 6  # in the time of one lease
_LONGEST_BEAT_SECONDS = 10.0
_LONGEST_MARGIN_SECONDS = 2.0
_TRY_AGAIN_SECONDS = 1.0
_SWEEP_SECONDS = 600.0  # between looks for leases of nodes that have none any more
_WAITING = ("queued", "held")


@implementer(ILease)
class Lease:
    """What was leased since the leases were lost last."""

    __slots__ = ("_clock", "is_lost", "until")

    def __init__(self, clock: IClock) -> None:
        self._clock = clock
        self.until = float("-inf")  # monotonic
        self.is_lost = False

    @property
    def holds(self) -> bool:
        """See `ILease.holds`."""
        return self._clock.monotonic() < self.until and not self.is_lost


@implementer(ILease)
class _OwnLease:
    """It never ends."""

    holds = True
    is_lost = False


class Leases(Protocol):
    """What queue and relay ask."""

    @property
    def lease(self) -> ILease:
        """What is leased from now on."""

    @property
    def hold(self) -> bool:
        """Are the leases ours for long enough to begin an attempt?"""

    @property
    def generation(self) -> int:
        """Grows when the leases were lost: what was leased before is not ours any more."""

    @property
    def begun(self) -> int:
        """The generation of what is leased in the transaction that asks."""


class OwnLeases:
    """All leases are this process's: the only service on its store, or a command."""

    lease: ILease = _OwnLease()
    hold = True
    generation = 0
    begun = 0


def database_time() -> ColumnElement[float]:
    """Unix seconds by the database's clock: the one that all nodes share."""
    return cast(extract("epoch", func.clock_timestamp()), Float)


class NodeLeases:
    """The leases of one node among others.

    Args:
        transactions: where they are kept.
        clock: measures how long ago the last word to the database was.
        number: the node's.
        lease_seconds: how long leases hold without a word.
        now: the time that all nodes share, as SQL.
    """

    def __init__(
        self,
        transactions: ThreadedTransactions,
        clock: IClock,
        number: int,
        lease_seconds: float,
        now: Callable[[], ColumnElement[float]] = database_time,
    ) -> None:
        self._transactions = transactions
        self._clock = clock
        self._number = number
        self._seconds = lease_seconds
        self._now = now
        self._holder = secrets.token_hex(8)
        self.lease = Lease(clock)
        self._well_since: float | None = None  # monotonic; since when every word arrived
        self._sweep_at = clock.monotonic() + _SWEEP_SECONDS
        self._lost: list[Callable[[], None]] = []
        self._held: list[Callable[[], None]] = []
        self._ending: list[Callable[[], None]] = []
        self._cancel_ending: Callable[[], None] | None = None
        self._cancel: Callable[[], None] | None = None
        self._ended = True
        self.generation = 0
        self.begun = 0  # belongs to the writer's thread
        self._is_losing = False

    @property
    def hold(self) -> bool:
        """Half a lease is left, at least."""
        return self._clock.monotonic() < self.lease.until - self._seconds / 2

    def when_lost(self, call: Callable[[], None]) -> None:
        """`call` when what is leased in memory is ours no more."""
        self._lost.append(call)

    def when_held(self, call: Callable[[], None]) -> None:
        """`call` when the leases hold again."""
        self._held.append(call)

    def when_ending(self, call: Callable[[], None]) -> None:
        """`call` when the lease runs out, or is lost: `Lease.holds` is false by then."""
        self._ending.append(call)

    async def start(self) -> None:
        """Become the node: what an earlier process had leased as this node is for `recover`."""
        asked_at = self._clock.monotonic()
        await self._transactions.write(self._begin)
        self._ended = False
        self._has_held(asked_at)
        self._later(self._beat_seconds)

    async def stop(self) -> None:
        """End: nobody waits for the leases to run out. Harmless where it did not start."""
        if self._ended:
            return
        self._ended = True
        if self._cancel is not None:
            self._cancel()
        if self._cancel_ending is not None:
            self._cancel_ending()
        self.lease.until = float("-inf")

        def end(transaction: Transaction) -> None:
            values: dict[str, Any] = {"lease_until": None}
            transaction.execute(self._update_own().values(**values))
            self._free(transaction, delivery.c.lease_node == self._number)

        await self._transactions.write(end).addErrback(lambda _: None)

    def beat(self) -> Deferred[None]:
        """Say that we live; look after those who do not say so any more."""
        asked_at = self._clock.monotonic()
        return self._transactions.write(self._say).addCallbacks(
            lambda standing: self._heard(standing, asked_at), self._unheard
        )

    # ------------------------------------------------ in the reactor

    @property
    def _margin(self) -> float:
        """How long before others may take the leases they count as run out here."""
        return min(self._seconds / _BEATS, _LONGEST_MARGIN_SECONDS)

    @property
    def _beat_seconds(self) -> float:
        return min(self._seconds / _BEATS, _LONGEST_BEAT_SECONDS)

    def _later(self, seconds: float) -> None:
        def now() -> None:
            self._cancel = None
            self.beat()

        if not self._ended:
            self._cancel = self._clock.call_later(seconds, now)

    def _heard(self, standing: str, asked_at: float) -> None:
        if standing == "held" and self._is_losing:  # that it began again was not heard of
            self._has_lost(asked_at)
        elif standing == "held":
            self._has_held(asked_at)
            self._take_over()
            self._later(self._beat_seconds)
        elif standing == "lost":
            _log.warn("this node was away for too long: others have taken its deliveries over")
            self._is_losing = True
            generation = self.generation + 1
            self._transactions.write(lambda tx: self._begin_again(tx, generation)).addCallbacks(
                lambda _: self._has_lost(asked_at), self._unheard
            )
        else:
            error = ConflictError(
                f"Another smtpplus service has become node {self._number} of this store: "
                "give each process its own server.node, and start this one again."
            )
            _log.critical("{error}", error=error)
            self._ended = True
            self._transactions.refuse(error)
            self._lose()

    def _unheard(self, _: object) -> None:
        self._well_since = None
        self._later(min(_TRY_AGAIN_SECONDS, self._beat_seconds))

    def _has_held(self, asked_at: float) -> None:
        held = self.hold
        self.lease.until = max(self.lease.until, asked_at + self._seconds - self._margin)
        self._watch_end()
        if self._well_since is None:
            self._well_since = asked_at
        if not held:
            self._tell(self._held)

    def _watch_end(self) -> None:
        """Tell of the end in time, whatever is heard, or not, until then."""
        if self._cancel_ending is not None:
            self._cancel_ending()

        def end() -> None:
            self._cancel_ending = None
            _log.warn("the leases run out: the database could not be told that this node lives")
            self._tell(self._ending)

        left = self.lease.until - self._clock.monotonic()
        self._cancel_ending = self._clock.call_later(max(left, 0.0), end)

    def _lose(self) -> None:
        """What is in memory is ours no more; what comes from now on is another lease's."""
        self.generation += 1
        self.lease.is_lost = True
        self.lease = Lease(self._clock)
        self._tell(self._ending)
        self._tell(self._lost)

    def _has_lost(self, asked_at: float) -> None:
        self._is_losing = False
        self._lose()
        self._has_held(asked_at)
        self._later(self._beat_seconds)

    def _take_over(self) -> None:
        """Take the leases of those who are silent, unless nobody could be heard just now."""
        assert self._well_since is not None
        now = self._clock.monotonic()
        if now - self._well_since >= min(self._seconds / 3, 10.0):
            self._transactions.write(self._take).addCallbacks(_log_taken, lambda _: None)
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_SECONDS
            self._transactions.write(self._sweep).addCallbacks(_log_taken, lambda _: None)

    def _tell(self, calls: list[Callable[[], None]]) -> None:
        for call in calls:
            call()

    # ------------------------------------------------ in the writer's thread

    def _begin(self, transaction: Transaction) -> None:
        started(transaction, self._number, self._clock.now())
        until = self._now() + self._seconds
        own = update(node).where(node.c.number == self._number)
        transaction.execute(own.values(holder=self._holder, lease_until=until))

    def _say(self, transaction: Transaction) -> str:
        saying = self._update_own().where(node.c.lease_until.is_not(None))
        values = {"lease_until": self._now() + self._seconds, "seen_at": self._now()}
        if transaction.execute(saying.values(**values)).rowcount:
            return "held"
        query = select(node.c.holder).where(node.c.number == self._number)
        return "lost" if transaction.execute(query).scalar() == self._holder else "replaced"

    def _begin_again(self, transaction: Transaction, generation: int) -> None:
        """All that was leased before now is given back; what is accepted from now on is ours."""
        until = self._now() + self._seconds
        transaction.execute(self._update_own().values(lease_until=until))
        self._free(transaction, delivery.c.lease_node == self._number)
        self.begun = generation

    def _take(self, transaction: Transaction) -> tuple[list[int], int]:
        silent = update(node).where(node.c.lease_until < self._now(), node.c.number != self._number)
        values: dict[str, Any] = {"lease_until": None}
        taking = silent.values(**values).returning(node.c.number)
        numbers = list(transaction.execute(taking).scalars())
        if not numbers:
            return [], 0
        return numbers, self._free(transaction, delivery.c.lease_node.in_(numbers))

    def _sweep(self, transaction: Transaction) -> tuple[list[int], int]:
        """Of nodes that died between the loss of their lease and the notice of it."""
        without = node.c.lease_until.is_(None) & (node.c.number != self._number)
        numbers = list(transaction.execute(select(node.c.number).where(without)).scalars())
        freed = self._free(transaction, delivery.c.lease_node.in_(numbers)) if numbers else 0
        return (numbers if freed else []), freed

    def _free(self, transaction: Transaction, whose: ColumnElement[bool]) -> int:
        """Take leases away; they are in no index, and this is rare."""
        waiting = or_(*(delivery.c.state == state for state in _WAITING))
        freeing = update(delivery).where(waiting, whose)
        freed = transaction.execute(freeing.values(lease_node=None, lease_until=None)).rowcount
        if freed:
            transaction.tell(DUE)
        return int(freed)

    def _update_own(self) -> Update:
        return update(node).where(node.c.number == self._number, node.c.holder == self._holder)


def _log_taken(taken: tuple[list[int], int]) -> None:
    numbers, freed = taken
    if numbers:
        _log.warn(
            "took over {freed} deliveries of nodes {numbers}, which fell silent",
            freed=freed,
            numbers=numbers,
        )
