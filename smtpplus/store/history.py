"""What happened, for pages, command line and API: `IHistory`.

Guarantees: reads only, each on a snapshot, beside the writer. In tables a message's envelope
holds its first recipient alone; `message` has them all.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnClause,
    Connection,
    Row,
    ScalarSelect,
    Select,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from zope.interface import implementer

from smtpplus.ports import AttemptRow, DeliveryRow, IHistory, MessageRow, QueueRow
from smtpplus.store.group_totals import GroupTotals
from smtpplus.store.messages import load_messages
from smtpplus.store.rows import attempt_from, outcome_from
from smtpplus.store.schema import attempt, delivery, event, mail_list, message, smtp_user
from smtpplus.store.search import contains, is_words, messages_matching
from smtpplus.store.statistics import read_counted, read_series, read_totals
from smtpplus.store.transactions import Transactions
from smtpplus.values.ids import first_id
from smtpplus.values.message import DeliveryState, Event, EventType

__all__ = ["SqlHistory", "delivery_row", "event_from"]

# As the partial index says it, see schema.py.
_WAITING: ColumnClause[bool] = literal_column("delivery.state IN ('queued', 'held')")
_WAITING_STATES = (DeliveryState.QUEUED, DeliveryState.HELD)
_REPLY_SHOWN = 500


@implementer(IHistory)
class SqlHistory:
    """Reads over what queue and accounts wrote.

    `looked_through` messages are searched at a time where no index helps.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._sums = GroupTotals()
        self.looked_through = 30_000

    async def messages(
        self,
        account_id: int | None,
        search: str,
        user_id: int | None,
        state: DeliveryState | None,
        before: int | None,
        most: int,
        down_to: int | None = None,
    ) -> Sequence[MessageRow]:
        """See `IHistory.messages`."""
        query = _newest(account_id, user_id, before).limit(most)
        if down_to is not None:
            query = query.where(message.c.id >= down_to)
        matching = messages_matching(search, before)
        if matching is not None:
            query = query.where(matching)
        if state is not None and matching is None and user_id is None:
            query = query.where(message.c.id.in_(_newest_in_state(state, account_id, before, most)))
        elif state is not None:
            of_message = delivery.c.message_id == message.c.id
            query = query.where(exists().where(delivery.c.state == state.value, of_message))
        return await self._transactions.read(
            lambda connection: _message_rows(connection, list(connection.scalars(query)))
        )

    async def reach(
        self,
        account_id: int | None,
        search: str,
        user_id: int | None,
        state: DeliveryState | None,
        before: int | None,
    ) -> int | None:
        """See `IHistory.reach`."""
        if not (is_words(search) or (state is not None and user_id is not None)):
            return None
        of = account_id if user_id is None else None  # an index alone is to answer
        query = _newest(of, user_id, before).offset(self.looked_through - 1).limit(2)

        def work(connection: Connection) -> int | None:
            found = list(connection.scalars(query))  # the last one, and an older one
            return found[0] if len(found) > 1 else None

        return await self._transactions.read(work)

    async def last_times(self, user_ids: Collection[int]) -> Mapping[int, float]:
        """See `IHistory.last_times`."""
        # The end of each user's part of the index, whatever is in it.
        newest = select(func.max(message.c.id)).where(message.c.user_id == smtp_user.c.id)
        query = (
            select(smtp_user.c.id, message.c.received_at)
            .join(message, message.c.id == newest.correlate(smtp_user).scalar_subquery())
            .where(smtp_user.c.id.in_(user_ids))
        )
        return await self._transactions.read(
            lambda connection: {user: at for user, at in connection.execute(query)}  # noqa: C416 - rows
        )

    async def message(self, account_id: int | None, message_id: int) -> MessageRow | None:
        """See `IHistory.message`."""
        query = select(message.c.id).where(message.c.id == message_id)
        if account_id is not None:
            query = query.where(message.c.account_id == account_id)

        def work(connection: Connection) -> MessageRow | None:
            ids = list(connection.scalars(query))
            return _message_rows(connection, ids, whole=True)[0] if ids else None

        return await self._transactions.read(work)

    async def deliveries(
        self, message_id: int, after: int | None = None, most: int | None = None
    ) -> Sequence[DeliveryRow]:
        """See `IHistory.deliveries`."""
        query = select(delivery).where(delivery.c.message_id == message_id).order_by(delivery.c.id)
        if after is not None:
            query = query.where(delivery.c.id > after)
        query = query.limit(most)
        return await self._transactions.read(
            lambda connection: [delivery_row(row) for row in connection.execute(query)]
        )

    async def attempts(
        self, message_id: int, most: int, of: Collection[int] | None = None
    ) -> Sequence[AttemptRow]:
        """See `IHistory.attempts`."""
        query = (
            select(attempt.c.delivery_id, attempt.c.facts)
            .where(attempt.c.message_id == message_id)
            .order_by(attempt.c.id)
            .limit(most)
        )
        if of is not None:
            query = query.where(attempt.c.delivery_id.in_(of))

        def work(connection: Connection) -> list[AttemptRow]:
            return [
                AttemptRow(row.delivery_id, *attempt_from(bytes(row.facts)))
                for row in connection.execute(query)
            ]

        return await self._transactions.read(work)

    async def events(
        self, message_id: int, most: int, of: Collection[int] | None = None
    ) -> Sequence[Event]:
        """See `IHistory.events`."""
        query = (
            select(event).where(event.c.message_id == message_id).order_by(event.c.id).limit(most)
        )
        if of is not None:
            query = query.where(or_(event.c.delivery_id.is_(None), event.c.delivery_id.in_(of)))
        return await self._transactions.read(
            lambda connection: [event_from(row) for row in connection.execute(query)]
        )

    async def queue(
        self, account_id: int | None, search: str, after: int | None, most: int
    ) -> Sequence[QueueRow]:
        """See `IHistory.queue`."""
        query = _queue_query(account_id, search).limit(most)

        def work(connection: Connection) -> list[QueueRow]:
            paged = query
            if after is not None:
                due_at = connection.scalar(select(delivery.c.due_at).where(delivery.c.id == after))
                place = tuple_(delivery.c.due_at, delivery.c.id)
                paged = query.where(place > (due_at or 0.0, after))
            return [_queue_row(row) for row in connection.execute(paged)]

        return await self._transactions.read(work)

    async def queue_size(self, account_id: int | None) -> dict[DeliveryState, int]:
        """See `IHistory.queue_size`."""
        query = (
            select(delivery.c.state, func.count())
            .where(delivery.c.state.in_([state.value for state in _WAITING_STATES]))
            .group_by(delivery.c.state)
        )
        if account_id is not None:
            query = query.where(delivery.c.account_id == account_id)

        def work(connection: Connection) -> dict[DeliveryState, int]:
            counts = {state: n for state, n in connection.execute(query)}  # noqa: C416 - rows
            return {state: counts.get(state.value, 0) for state in _WAITING_STATES}

        return await self._transactions.read(work)

    async def queue_ages(
        self, ages: Sequence[float], now: float
    ) -> dict[DeliveryState, Sequence[int]]:
        """See `IHistory.queue_ages`."""
        # Ids are in the order of time: ranges of the index of states, each counted by itself,
        # which is twice as quick as sums of conditions over all of it.
        starts = [first_id(now - age) for age in ages]
        ranges = list(zip((*starts, 0), (None, *starts), strict=True))
        numbers = [
            _count_waiting(state, since, before)
            for state in _WAITING_STATES
            for since, before in ranges
        ]

        def work(connection: Connection) -> dict[DeliveryState, Sequence[int]]:
            found = connection.execute(select(*numbers)).one()
            size = len(ranges)
            return {
                state: found[place * size : (place + 1) * size]
                for place, state in enumerate(_WAITING_STATES)
            }

        return await self._transactions.read(work)

    async def counted(self, metric: str, since: float) -> Mapping[int, int]:
        """See `IHistory.counted`."""
        return await self._transactions.read(
            lambda connection: read_counted(connection, metric, since)
        )

    async def counters(
        self, account_id: int | None, since: float, until: float, step: float
    ) -> dict[str, list[int]]:
        """See `IHistory.counters`."""
        return await self._transactions.read(
            lambda connection: read_series(connection, account_id, since, until, step)
        )

    async def totals(
        self, account_id: int | None, since: float, until: float, by: str
    ) -> Sequence[tuple[str, dict[str, int]]]:
        """See `IHistory.totals`."""
        return await self._transactions.read(
            lambda connection: read_totals(connection, self._sums, account_id, since, until, by)
        )


# ---------------------------------------------------------------- messages


def _newest(account_id: int | None, user_id: int | None, before: int | None) -> Select[Any]:
    """Ids of messages, newest first."""
    query = select(message.c.id).order_by(message.c.id.desc())
    if account_id is not None:
        query = query.where(message.c.account_id == account_id)
    if user_id is not None:
        query = query.where(message.c.user_id == user_id)
    return query if before is None else query.where(message.c.id < before)


def _newest_in_state(
    state: DeliveryState, account_id: int | None, before: int | None, most: int
) -> Select[Any]:
    """The newest messages with a delivery in `state`, by the index of states alone."""
    query = select(delivery.c.message_id).where(delivery.c.state == state.value)
    if account_id is not None:
        query = query.where(delivery.c.account_id == account_id)
    if before is not None:
        query = query.where(delivery.c.message_id < before)
    newest = delivery.c.message_id.desc()
    return query.group_by(delivery.c.message_id).order_by(newest).limit(most)


def _message_rows(
    connection: Connection, ids: Sequence[int], *, whole: bool = False
) -> list[MessageRow]:
    """Rows of `ids`, in their order."""
    if not ids:
        return []
    messages = load_messages(connection, ids, first_recipient_only=not whole)
    states = _states(connection, ids)
    users = _names(connection, smtp_user.c.id, smtp_user.c.username)
    lists = _names(connection, mail_list.c.id, mail_list.c.name)
    rows = []
    for message_id in ids:
        found = messages[message_id]
        recipients = found.envelope.recipients
        rows.append(
            MessageRow(
                message=found,
                username=users.get(found.user_id, ""),
                list_name=lists.get(found.list_id, ""),
                states=states[message_id],
                first_recipient=str(recipients[0].address) if recipients else "",
            )
        )
    return rows


def _states(
    connection: Connection, ids: Sequence[int]
) -> defaultdict[int, dict[DeliveryState, int]]:
    query = (
        select(delivery.c.message_id, delivery.c.state, func.count())
        .where(delivery.c.message_id.in_(ids))
        .group_by(delivery.c.message_id, delivery.c.state)
    )
    found: defaultdict[int, dict[DeliveryState, int]] = defaultdict(dict)
    for message_id, state, n in connection.execute(query):
        found[message_id][DeliveryState(state)] = n
    return found


def _names(connection: Connection, key: Any, name: Any) -> dict[int, str]:
    return {row[0]: row[1] for row in connection.execute(select(key, name))}


# ---------------------------------------------------------------- one message


def delivery_row(row: Row[Any]) -> DeliveryRow:
    """A row of the table as pages show it."""
    state = DeliveryState(row.state)
    return DeliveryRow(
        id=row.id,
        message_id=row.message_id,
        address=row.address,
        state=state,
        attempts=row.attempts,
        due_at=None if state.is_final else row.due_at,
        settled_at=row.settled_at,
        last_outcome=outcome_from(row.last_outcome),
        name=row.name or "",
        withheld=row.withheld or "",
        provider=row.provider or "",
    )


def event_from(row: Row[Any]) -> Event:
    """A row of the table as pages show it."""
    detail: dict[str, Any] = json.loads(row.detail) if row.detail else {}
    if row.n != 1 or row.type == EventType.ACCEPTED:
        detail["n"] = row.n
    return Event(
        id=row.id,
        type=EventType(row.type),
        at=row.at,
        account_id=row.account_id,
        list_id=row.list_id,
        user_id=row.user_id,
        message_id=row.message_id,
        delivery_id=row.delivery_id,
        detail=detail,
    )


# ---------------------------------------------------------------- the queue


def _count_waiting(state: DeliveryState, since: int, before: int | None) -> ScalarSelect[int]:
    """How many are in `state` of the messages with these ids."""
    query = (
        select(func.count())
        .select_from(delivery)
        .where(delivery.c.state == state.value, delivery.c.message_id >= since)
    )
    if before is not None:
        query = query.where(delivery.c.message_id < before)
    return query.scalar_subquery()


def _queue_query(account_id: int | None, search: str) -> Select[Any]:
    query = (
        select(
            delivery.c.id,
            delivery.c.message_id,
            delivery.c.address,
            delivery.c.domain,
            delivery.c.state,
            delivery.c.attempts,
            delivery.c.due_at,
            delivery.c.lease_node,
            delivery.c.last_outcome,
            message.c.sender,
            message.c.subject,
            message.c.received_at,
        )
        .join(message, message.c.id == delivery.c.message_id)
        .where(_WAITING)
        .with_hint(delivery, "INDEXED BY ix_delivery_waiting", "sqlite")
        .order_by(delivery.c.due_at, delivery.c.id)
    )
    if account_id is not None:
        query = query.where(delivery.c.account_id == account_id)
    matching = messages_matching(search, None)
    if matching is not None:
        to = contains(delivery.c.address_key, search.strip())
        query = query.where(or_(matching, to))
    return query


def _queue_row(row: Row[Any]) -> QueueRow:
    outcome = outcome_from(row.last_outcome)
    said = "" if outcome is None else str(outcome.reply or outcome.text)
    return QueueRow(
        delivery_id=row.id,
        message_id=row.message_id,
        address=row.address,
        domain=row.domain,
        sender=row.sender or "",
        subject=row.subject,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        due_at=row.due_at,
        queued_at=row.received_at,
        leased=row.lease_node is not None,
        last_reply=said[:_REPLY_SHOWN],
    )
