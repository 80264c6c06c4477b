"""The persistent queue on a database: `IQueue`.

Guarantees: as the port says. `accept` and `settle` of concurrent callers share their
transactions; claims take one short write, and read what they claimed beside the writer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    func,
    literal_column,
    select,
    update,
)
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpplus.ports import ILease, IQueue, Recovery
from smtpplus.rules.schedule import CLAIM_BY_AGE, LEAST_URGENT
from smtpplus.store.accepts import LEASE_SECONDS, Accepts
from smtpplus.store.claim_sql import ClaimSql
from smtpplus.store.commits import DoubtfulError, Transaction
from smtpplus.store.contents import LargeContents
from smtpplus.store.facts import MESSAGES, hour_of
from smtpplus.store.leases import Leases
from smtpplus.store.messages import chunks, load_messages
from smtpplus.store.queue_changes import QueueChanges
from smtpplus.store.recipient_counts import Key
from smtpplus.store.rows import address_key, fields_from, recipient_from, safe_text
from smtpplus.store.schema import counter_hour, delivery, message
from smtpplus.store.settlements import Settled, Settlements
from smtpplus.store.topics import DUE
from smtpplus.store.transactions import Transactions
from smtpplus.values.address import Address
from smtpplus.values.errors import DuplicateMessageError, StoreCorruptError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Accepted, Delivery, Message, Settlement
from smtpplus.values.queue import QueueChange, Selection

__all__ = ["SqlQueue"]

_log = Logger()
_MANY = 200  # deliveries of one message: their rows take milliseconds
# Deliveries to an address that are looked through: in all, and an account's own.
_MOST_TO_ONE, _MOST_OF_ACCOUNT = 2_000, 200

_WAITING = delivery.c.state.in_([literal_column("'queued'"), literal_column("'held'")])


@implementer(IQueue)
class SqlQueue:
    """The queue of one node (`node`: its number), which may be one of a service's later processes."""

    def __init__(
        self,
        transactions: Transactions,
        accepts: Accepts,
        settlements: Settlements,
        large: LargeContents,
        node: int,
        leases: Leases,
        changes: QueueChanges,
        note_suppressed: Callable[[Collection[Key]], None],
        *,
        is_sibling: bool = False,
    ) -> None:
        self._transactions = transactions
        self._accepts = accepts
        self._settlements = settlements
        self._large = large
        self._node = node
        self._leases = leases
        self._doubtful: set[int] = set()  # messages that may have been committed, leased
        self._changes = changes
        self._note_suppressed = note_suppressed
        self._is_sibling = is_sibling
        self._claims = 0
        self._claim_sql = ClaimSql(transactions.dialect, node)

    def accept(self, accepted: Accepted) -> Awaitable[None]:
        """See `IQueue.accept`."""
        if len(accepted.deliveries) > _MANY:
            accepting = Deferred.fromCoroutine(self._accept_many(accepted))
        else:
            try:
                rows = self._accepts.rows(accepted)
            except Exception:  # noqa: BLE001 - it arrives where the commit is waited for
                return fail()
            accepting = self._transactions.join(self._accepts.write, rows)
        if accepted.leased:
            accepting.addErrback(self._doubt, accepted.message.id)
        return accepting.addCallback(_accepted)

    async def _accept_many(self, accepted: Accepted) -> int | None:
        """Its rows are neither made nor sent to another process between two events."""
        rows = await self._transactions.in_files(self._accepts.rows_of_many, accepted)
        (before,) = await self._transactions.write(lambda tx: self._accepts.write(tx, [rows]))
        return before

    def settle(
        self, settlements: Sequence[Settlement], reports: Sequence[Accepted] = ()
    ) -> Awaitable[Collection[int]]:
        """See `IQueue.settle`."""
        try:
            rows = self._settlements.rows(settlements, reports)
        except Exception:  # noqa: BLE001 - as above
            return fail()
        return self._transactions.join(self._settlements.write, rows).addCallback(self._settled)

    async def claim(
        self,
        now: float,
        most: int,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = LEAST_URGENT,
    ) -> Sequence[Delivery]:
        """See `IQueue.claim`."""
        self._claims += 1
        claiming, parameters = self._claim_sql.claim(
            now,
            most,
            without,
            without if urgent_without is None else urgent_without,
            lowest,
            lease_until=now + LEASE_SECONDS,
            by_age=self._claims % CLAIM_BY_AGE == 0,
        )
        await self._free_doubtful()
        rows, begun = await self._transactions.write(
            lambda tx: (tx.execute(claiming, parameters).all(), self._leases.begun)
        )
        if not rows:
            return ()
        try:
            claimed = await self._transactions.read(
                lambda connection: _deliveries(connection, rows)
            )
        except StoreCorruptError:
            claimed = await self._readable(rows)
        except BaseException:
            self._give_back([row.id for row in rows]).addErrback(lambda _: None)
            raise
        # Leases that were lost meanwhile may be another's by now.
        return claimed if begun >= self._leases.generation else ()

    async def _readable(self, rows: Sequence[Row[Any]]) -> list[Delivery]:
        """What of `rows` can be read; the rest stays leased, out of everybody's way (D15)."""
        found: list[Delivery] = []
        for row in rows:
            try:
                found += await self._transactions.read(partial(_deliveries, rows=[row]))
            except StoreCorruptError as error:
                _log.error(
                    "message {message_id} is left out until the next start: {error}",
                    message_id=show_id(row.message_id),
                    error=str(error),
                )
        return found

    async def next_due(
        self,
        now: float,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = LEAST_URGENT,
    ) -> float | None:
        """See `IQueue.next_due`."""
        query, parameters = self._claim_sql.next_due(
            without, without if urgent_without is None else urgent_without, lowest
        )
        return await self._transactions.read(
            lambda connection: connection.scalar(query, parameters)
        )

    def release(self, delivery_ids: Iterable[int]) -> Awaitable[None]:
        """See `IQueue.release`."""
        return self._give_back(list(delivery_ids))

    async def change(self, change: QueueChange, which: Selection, now: float, by: str) -> int:
        """See `IQueue.change`."""
        return await self._changes.change(change, which, now, by)

    async def would_change(self, change: QueueChange, which: Selection, now: float) -> int:
        """See `IQueue.would_change`."""
        return await self._changes.would_change(change, which, now)

    async def withdrawn(self, delivery_ids: Collection[int]) -> Collection[int]:
        """See `IQueue.withdrawn`."""
        return await self._changes.withdrawn(delivery_ids)

    async def recover(self, now: float) -> Recovery:
        """See `IQueue.recover`."""
        lost: Any = delivery.c.lease_node.is_not(None)
        if self._is_sibling or not self._transactions.dialect.single_service:
            lost = delivery.c.lease_node == self._node
        returning = update(delivery).where(_WAITING, lost).values(lease_node=None, lease_until=None)
        returned = await self._transactions.write(lambda tx: tx.execute(returning).rowcount)
        if self._is_sibling:  # files that no message names may be another's, which come in
            return Recovery(returned, 0, (), 0)
        swept = await self._large.sweep()
        return Recovery(returned, swept.removed, swept.missing, swept.quarantined)

    async def has_sent(
        self, answer: Message, to: Collection[Address], message_ids: Collection[str]
    ) -> bool:
        """See `IQueue.has_sent`."""
        ids = [safe_text(one) for one in message_ids]
        queries = [_sent(answer, address_key(one), ids) for one in to]
        return await self._transactions.read(
            lambda connection: any(connection.scalar(query) is not None for query in queries)
        )

    async def used(self, user_id: int, since: float) -> int:
        """See `IQueue.used`."""
        query = select(func.coalesce(func.sum(counter_hour.c.n), 0)).where(
            counter_hour.c.user_id == user_id,
            counter_hour.c.metric == MESSAGES,
            counter_hour.c.hour >= hour_of(since),
        )
        return int(await self._transactions.read(lambda connection: connection.scalar(query)) or 0)

    def leases_hold(self) -> bool:
        """See `IQueue.leases_hold`."""
        return self._leases.hold

    def lease(self) -> ILease:
        """See `IQueue.lease`."""
        return self._leases.lease

    def _settled(self, settled: Settled) -> Collection[int]:
        if settled.suppressed:
            self._note_suppressed(settled.suppressed)
        return set(settled.queued)

    def _doubt(self, failure: Failure, message_id: int) -> Failure:
        """Whoever sent it is told to come again: if it is there after all, let it be claimed."""
        if isinstance(failure.value, DoubtfulError):
            self._doubtful.add(message_id)
        return failure

    async def _free_doubtful(self) -> None:
        doubtful, self._doubtful = self._doubtful, set()
        if not doubtful:
            return
        freeing = update(delivery).where(
            delivery.c.message_id.in_(doubtful), delivery.c.lease_node == self._node
        )
        values: dict[str, Any] = {"lease_node": None, "lease_until": None}
        try:
            await self._transactions.write(lambda tx: tx.execute(freeing.values(**values)).rowcount)
        except BaseException:
            self._doubtful |= doubtful
            raise

    def _give_back(self, ids: Sequence[int]) -> Deferred[None]:
        def work(transaction: Transaction) -> None:
            transaction.tell(DUE)
            for some in chunks(ids):
                transaction.execute(
                    update(delivery)
                    .where(delivery.c.id.in_(some), delivery.c.lease_node == self._node)
                    .values(lease_node=None, lease_until=None)
                )

        return self._transactions.write(work)


def _sent(answer: Message, to: str, message_ids: list[str]) -> Select[tuple[int]]:
    """An earlier message of a list to an address, by its Message-ID."""
    newest = (
        select(delivery.c.message_id, delivery.c.account_id)
        .where(delivery.c.address_key == to, delivery.c.message_id < answer.id)
        .order_by(delivery.c.message_id.desc())
        .limit(_MOST_TO_ONE)
        .subquery()
    )
    own = (
        select(newest.c.message_id)
        .where(newest.c.account_id == answer.account_id)
        .limit(_MOST_OF_ACCOUNT)
        .subquery()
    )
    return (
        select(message.c.id)
        .where(
            message.c.id.in_(select(own.c.message_id)),
            message.c.list_id == answer.list_id,
            message.c.header_message_id.in_(message_ids),
        )
        .limit(1)
    )


def _accepted(before: int | None) -> None:
    if before is not None:
        raise DuplicateMessageError(before)


def _deliveries(connection: Connection, rows: Sequence[Row[Any]]) -> list[Delivery]:
    messages = load_messages(connection, {row.message_id for row in rows})
    return [
        Delivery(
            id=row.id,
            message=messages[row.message_id],
            recipient=recipient_from(row.address, row.notify, row.orcpt),
            attempts=row.attempts,
            due_at=row.due_at,
            delay_reported=bool(row.delay_reported),
            name=row.name or "",
            fields=fields_from(row.fields),
        )
        for row in sorted(rows, key=lambda row: (row.priority, row.due_at, row.id))
    ]
