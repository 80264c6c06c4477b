"""Holding, releasing, cancelling and flushing what waits.

Guarantees: as `IQueue.change` says. Pieces of `_PIECE` deliveries, each with its events, counters
and the removal of contents in one transaction, so that a large change does not keep the writer
from accepting. A lease is left alone by holding and releasing: whoever has the delivery in
memory gives it back, so that nobody else attempts it beside an attempt under way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)

from smtpplus.store.commits import Transaction
from smtpplus.store.facts import Counted, Facts, FactSql, detail_text
from smtpplus.store.messages import chunks
from smtpplus.store.once import forget_names
from smtpplus.store.schema import content, delivery, message
from smtpplus.store.topics import QUEUE
from smtpplus.store.transactions import Transactions
from smtpplus.values.message import DeliveryState, EventType
from smtpplus.values.queue import QueueChange, Selection

__all__ = ["QueueChanges"]

_PIECE = 500
_QUEUED, _HELD = DeliveryState.QUEUED.value, DeliveryState.HELD.value
_FROM = {
    QueueChange.HOLD: (_QUEUED,),
    QueueChange.RELEASE: (_HELD,),
    QueueChange.CANCEL: (_QUEUED, _HELD),
    QueueChange.FLUSH: (_QUEUED,),
}
_EVENTS = {
    QueueChange.HOLD: EventType.HELD,
    QueueChange.RELEASE: EventType.RELEASED,
    QueueChange.CANCEL: EventType.CANCELLED,
}


class QueueChanges:
    """Changes waiting deliveries; `remove_large` takes a large content whose message is over."""

    def __init__(
        self,
        transactions: Transactions,
        facts: FactSql,
        remove_large: Callable[[Transaction, int], None],
    ) -> None:
        self._transactions = transactions
        self._facts = facts
        self._remove_large = remove_large

    async def change(self, change: QueueChange, which: Selection, now: float, by: str) -> int:
        """See `IQueue.change`."""
        changed, after = 0, 0
        while True:
            query = _selected(change, which, now).where(delivery.c.id > after)
            query = query.order_by(delivery.c.id).limit(_PIECE)
            rows = await self._transactions.read(lambda connection, query=query: connection.execute(query).all())  # type: ignore[misc]  # fmt: skip
            if not rows:
                return changed
            after = rows[-1].id
            ids = [row.id for row in rows]
            changed += await self._transactions.write(
                lambda tx, ids=ids: self._piece(tx, change, which, ids, now, by)  # type: ignore[misc]
            )

    async def would_change(self, change: QueueChange, which: Selection, now: float) -> int:
        """See `IQueue.would_change`."""
        query = select(func.count()).select_from(_selected(change, which, now).subquery())
        return await self._transactions.read(
            lambda connection: connection.execute(query).scalar_one()
        )

    async def withdrawn(self, delivery_ids: Collection[int]) -> Collection[int]:
        """See `IQueue.withdrawn`."""

        def read(connection: Any) -> set[int]:
            found: set[int] = set()
            for some in chunks(delivery_ids):
                query = select(delivery.c.id).where(
                    delivery.c.id.in_(some), delivery.c.state != _QUEUED
                )
                found.update(connection.scalars(query))
            return found

        return await self._transactions.read(read)

    def _piece(
        self,
        transaction: Transaction,
        change: QueueChange,
        which: Selection,
        ids: Sequence[int],
        now: float,
        by: str,
    ) -> int:
        """Change those of `ids` that are still to be changed."""
        transaction.tell(QUEUE)
        where = and_(delivery.c.id.in_(ids), *_to_change(change, which, now))
        if change is QueueChange.FLUSH:
            return transaction.execute(update(delivery).where(where).values(due_at=now)).rowcount
        changing = update(delivery).where(where).values(**_new_values(change, now))
        returning = changing.returning(delivery.c.id, delivery.c.message_id)
        rows = transaction.execute(returning).all()
        abouts = _abouts(transaction, {row.message_id for row in rows})
        facts = Facts()
        detail = detail_text({"by": by} if by else {})
        for row in rows:
            about = abouts[row.message_id]
            facts.add(_EVENTS[change], now, about, delivery_id=row.id, detail=detail)
        facts.write(transaction, self._facts)
        if change is QueueChange.CANCEL:
            self._end_messages(transaction, rows)
            forget_names(transaction, {one.id: one.user_id for one in abouts.values()})
        return len(rows)

    def _end_messages(self, transaction: Transaction, rows: Sequence[Row[Any]]) -> None:
        """A message's content goes with its last delivery."""
        ended = Counter(row.message_id for row in rows)
        if not ended:
            return
        counted = (
            update(message)
            .where(message.c.id == bindparam("n_id"))
            .values(remaining=message.c.remaining - bindparam("n_ended"))
        )
        transaction.execute(
            counted, [{"n_id": message_id, "n_ended": n} for message_id, n in ended.items()]
        )
        over = select(message.c.id, message.c.in_file).where(
            message.c.id.in_(ended), message.c.remaining <= 0
        )
        gone = []
        for row in transaction.execute(over).all():
            if row.in_file:
                self._remove_large(transaction, row.id)
            else:
                gone.append(row.id)
        if gone:
            transaction.execute(delete(content).where(content.c.message_id.in_(gone)))


def _new_values(change: QueueChange, now: float) -> dict[str, Any]:
    if change is QueueChange.HOLD:
        return {"state": _HELD}
    if change is QueueChange.RELEASE:
        return {
            "state": _QUEUED,
            "due_at": case((_is_scheduled(now), delivery.c.due_at), else_=now),
        }
    return {
        "state": DeliveryState.CANCELLED.value,
        "settled_at": now,
        "lease_node": None,
        "lease_until": None,
    }


def _is_scheduled(now: float) -> ColumnElement[bool]:
    """A first attempt that is due later: at its time of sending, or after its recall window."""
    return and_(delivery.c.attempts == 0, delivery.c.due_at > now)


def _to_change(change: QueueChange, which: Selection, now: float) -> list[ColumnElement[bool]]:
    """What of any selection there is to change."""
    conditions: list[ColumnElement[bool]] = [delivery.c.state.in_(_FROM[change])]
    if change is QueueChange.FLUSH:
        conditions.append(delivery.c.due_at > now)
        if not which.scheduled:
            conditions.append(delivery.c.attempts > 0)
    return conditions


def _selected(change: QueueChange, which: Selection, now: float) -> Select[Any]:
    conditions = _to_change(change, which, now)
    if which.ids:
        conditions.append(or_(delivery.c.id.in_(which.ids), delivery.c.message_id.in_(which.ids)))
    if which.domain:
        conditions.append(delivery.c.domain == which.domain)
    if which.account_id is not None:
        conditions.append(delivery.c.account_id == which.account_id)
    query = select(delivery.c.id)
    if which.user_id is not None:
        query = query.join(message, message.c.id == delivery.c.message_id)
        conditions.append(message.c.user_id == which.user_id)
    return query.where(*conditions)


def _abouts(transaction: Transaction, ids: Collection[int]) -> dict[int, Counted]:
    query = select(
        message.c.id,
        message.c.account_id,
        message.c.list_id,
        message.c.user_id,
        message.c.campaign,
    )
    found = {}
    for some in chunks(ids):
        for row in transaction.execute(query.where(message.c.id.in_(some))).all():
            found[row.id] = Counted(*tuple(row))
    return found
