"""The persistent queue."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass

from zope.interface import Attribute, Interface

from smtpplus.values.address import Address
from smtpplus.values.message import Accepted, Delivery, Message, Settlement
from smtpplus.values.queue import QueueChange, Selection

__all__ = ["ILease", "IQueue", "Recovery"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What start-up found that a crash had left, and did about it.

    A content that no message names is quarantined where it may tell of a loss: it may belong to
    a message that was accepted and is gone from a damaged store.
    """

    leases_returned: int
    files_removed: int
    rows_without_file: tuple[int, ...]
    files_quarantined: int = 0


class ILease(Interface):
    """What leases deliveries to this process for a while; an attempt is made under one."""

    holds = Attribute("True while nobody else can have taken what was leased under it (bool).")
    is_lost = Attribute("It was taken away: what was leased under it is another's (bool).")


class IQueue(Interface):
    """The persistent queue. What it answered is on the disk and survives kill -9 (D1)."""

    def accept(accepted: Accepted) -> Awaitable[None]:
        """Write message, content, deliveries, event and counters in one transaction.

        Concurrent calls share one commit and its sync (group commit, D4). Recipients and the
        campaign are made, or brought up to date, in the same transaction.

        Raises:
            DuplicateMessageError: the same submission (`Accepted.once`) was accepted before;
                nothing was kept of this one.
            StoreFullError: nothing was kept; 452 4.3.1.
            StoreUnavailableError: nothing was kept; 451 4.3.0.
            StoreBrokenError: nothing was kept, and nothing will be until reopened; 451 4.3.0.
        """

    def claim(
        now: float,
        most: int,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = 5,
    ) -> Awaitable[Sequence[Delivery]]:
        """Lease up to `most` due deliveries, but none to a domain in `without`.

        Of the urgent ones, priority 1 and 2, none to a domain in `urgent_without` instead,
        where that is given.
        By priority, down to `lowest`, and within one the first to fall due first. But each eighth
        claim takes what fell due first whatever its priority, so that nothing waits for ever.
        """

    def next_due(
        now: float,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = 5,
    ) -> Awaitable[float | None]:
        """When the next unleased delivery is due (may be past), or None: nothing waits.

        What is left out is as for `claim`.
        """

    def settle(
        settlements: Sequence[Settlement], reports: Sequence[Accepted] = ()
    ) -> Awaitable[Collection[int]]:
        """Write outcomes, attempts, events and counters in one transaction; return the leases.

        `reports` are DSNs about these deliveries, queued in the same transaction (as `accept`
        does, but with a REPORTED event): a crash neither loses nor doubles one. A report whose
        settlements changed nothing (all final already, or another node's by now) is left out:
        the answer has the message ids of those that were queued.
        When a message's last delivery is final its content is removed, in the same transaction
        where it is a row, after it where it is a file. Safe to repeat.
        """

    def release(delivery_ids: Iterable[int]) -> Awaitable[None]:
        """Give leases back unused (at shutdown); the deliveries are due as they were."""

    async def change(change: QueueChange, which: Selection, now: float, by: str) -> int:
        """Hold, release, cancel or flush what waits of `which`; how many deliveries it changed.

        What was never tried and is due later is scheduled, or may still be taken back: it stays
        due then when it is released, and FLUSH leaves it alone unless `which.scheduled`.
        Each change but FLUSH leaves an event with `by`, who asked for it, and its counters. It
        is done in pieces: a crash may leave a large one half done, and it can be repeated.
        An attempt under way is not cut off. A held delivery takes its outcome: delivered or
        bounced it is final, deferred it stays held. A cancelled one stays cancelled, in state
        and counters, also where the remote took it after all; the attempt is kept, so that its
        page tells. A relay that has such deliveries in memory is to be told (`withdrawn`).
        """

    async def would_change(change: QueueChange, which: Selection, now: float) -> int:
        """How many deliveries `change` would change at `now`."""

    async def withdrawn(delivery_ids: Collection[int]) -> Collection[int]:
        """Those of `delivery_ids` that are not to be attempted any more: held, or final."""

    def leases_hold() -> bool:
        """May an attempt be begun: is what this process has leased its own for a good while?

        False where the database that keeps the leases could not be spoken to for long.
        """

    def lease() -> ILease:
        """The lease under which what is in memory now is held; after a loss it is another one."""

    def recover(now: float) -> Awaitable[Recovery]:
        """At start, before intake: return leases of dead processes, reconcile files and rows."""

    async def has_sent(
        answer: Message, to: Collection[Address], message_ids: Collection[str]
    ) -> bool:
        """Was a mail of the list of `answer` with one of these Message-IDs for somebody in `to`?

        Looked for among the newest mails to each address that are older than `answer`: 200 of its
        account at least, as long as they are among the newest 2,000 of all accounts.
        """

    def used(user_id: int, since: float) -> Awaitable[int]:
        """Messages accepted from an SMTP user since `since` (an hour's start), by counters."""
