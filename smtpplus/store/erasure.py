"""Forgetting an address (GDPR article 17).

Guarantees: recipient, fields, subscriptions, what was opened and clicked from where: gone. In
messages, deliveries, attempts and events the address is replaced by one that nobody can read.
Counts stay as they were, events too, without what they tell of a person (D16). What still waits
for the address is cancelled first. Suppressions stay, under a keyed hash; an operator's bypass of
them goes. Pieces of `_PIECE`
deliveries, each a transaction; what a crash left is done by doing it again. Does not look into
subjects and contents, which go with retention.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from smtpplus.rules.suppression import Reason
from smtpplus.store.commits import Transaction
from smtpplus.store.queue_changes import QueueChanges
from smtpplus.store.rows import attempt_facts, attempt_from, json_text
from smtpplus.store.schema import (
    attempt,
    delivery,
    event,
    message,
    recipient,
    subscription,
    suppression,
)
from smtpplus.store.suppression_sql import ERASED, erased_key
from smtpplus.store.topics import SUPPRESSIONS
from smtpplus.store.transactions import Transactions
from smtpplus.values.ids import IdSource
from smtpplus.values.message import DeliveryState, EventType
from smtpplus.values.queue import QueueChange, Selection

__all__ = ["Erasure"]

_PIECE = 200
_DOMAIN = "erased.invalid"  # RFC 6761 §6.4
_WAITING = (DeliveryState.QUEUED.value, DeliveryState.HELD.value)
_ANSWERS = {EventType.OPENED.value, EventType.CLICKED.value}


class Erasure:
    """Forgets addresses; `secret` makes what is left of them, `ids` are the writer's.

    `note` hears what suppressed addresses are known by from now on.
    """

    def __init__(
        self,
        transactions: Transactions,
        changes: QueueChanges,
        ids: IdSource,
        secret: bytes,
        note: Callable[[Collection[tuple[int, str]]], None],
    ) -> None:
        self._transactions = transactions
        self._changes = changes
        self._ids = ids
        self._secret = secret
        self._note = note

    async def erase(self, account_id: int | None, key: str, now: float, by: str) -> int:
        """See `IRecipients.erase`."""
        accounts = await self._transactions.read(lambda found: _accounts(found, account_id, key))
        erased = 0
        for account in accounts:
            await self._cancel(account, key, now, by)
            hidden = erased_key(self._secret, account, key)
            while await self._transactions.write(
                lambda tx, account=account, hidden=hidden: _piece(tx, account, key, hidden)  # type: ignore[misc]
            ):
                pass
            erased += await self._transactions.write(
                lambda tx, account=account, hidden=hidden: self._end(tx, account, key, hidden, now)  # type: ignore[misc]
            )
            self._note([(account, hidden)])
        return erased

    async def _cancel(self, account_id: int, key: str, now: float, by: str) -> None:
        """What waits for the address is not sent any more."""
        query = select(delivery.c.id).where(
            delivery.c.address_key == key,
            delivery.c.account_id == account_id,
            delivery.c.state.in_(_WAITING),
        )
        query = query.limit(_PIECE)
        while ids := await self._transactions.read(
            lambda connection: tuple(connection.scalars(query))
        ):
            await self._changes.change(QueueChange.CANCEL, Selection(ids=ids), now, by)

    def _end(
        self, transaction: Transaction, account_id: int, key: str, hidden: str, now: float
    ) -> int:
        """The recipient goes, its suppressions stay: in new rows, which other processes notice."""
        of_address = and_(suppression.c.account_id == account_id, suppression.c.address_key == key)
        found = delete(suppression).where(of_address).returning(suppression)
        rows = [dict(row._mapping) for row in transaction.execute(found).all()]  # noqa: SLF001 - its API
        rows = [row for row in rows if row["reason"] != Reason.BYPASS.value]
        for row in rows:
            row |= {"id": self._ids.next(now), "address_key": hidden, "address": "", "detail": ""}
        if rows:
            transaction.execute(insert(suppression), rows)
            transaction.tell(SUPPRESSIONS)
        transaction.execute(
            delete(subscription).where(
                subscription.c.address_key == key, subscription.c.account_id == account_id
            )
        )
        going = delete(recipient).where(
            recipient.c.account_id == account_id, recipient.c.address_key == key
        )
        return int(transaction.execute(going).rowcount)


def _accounts(connection: Connection, account_id: int | None, key: str) -> list[int]:
    """Those that know the address."""
    if account_id is not None:
        return [account_id]
    found: set[int] = set()
    for table in (delivery, suppression):
        query = select(table.c.account_id).where(table.c.address_key == key).distinct()
        found.update(connection.scalars(query))
    return sorted(found)


def _piece(transaction: Transaction, account_id: int, key: str, hidden: str) -> int:
    """Make some deliveries, and what is told of them, unreadable; how many."""
    query = (
        select(delivery)
        .where(delivery.c.address_key == key, delivery.c.account_id == account_id)
        .limit(_PIECE)
    )
    rows = transaction.execute(query).all()
    if not rows:
        return 0
    shown = f"{hidden.removeprefix(ERASED)}@{_DOMAIN}"
    hide = _Hide({key, *(row.address for row in rows)}, shown)
    _hide_attempts(transaction, rows, hide)
    _hide_events(transaction, rows, hide)
    _hide_messages(transaction, rows, hide)
    for row in rows:
        values = {
            "address": shown,
            "address_key": hidden,
            "name": None,
            "fields": None,
            "orcpt": None,
            "withheld": None if row.withheld is None else hide.text(row.withheld),
            "last_outcome": None if row.last_outcome is None else hide.text(row.last_outcome),
        }
        transaction.execute(update(delivery).where(delivery.c.id == row.id).values(**values))
    return len(rows)


class _Hide:
    """Puts what nobody can read in the place of an address, however it is spelt."""

    def __init__(self, addresses: set[str], shown: str) -> None:
        found = "|".join(re.escape(one) for one in sorted(addresses, key=len, reverse=True))
        self._shown = shown
        self._texts = re.compile(found, re.IGNORECASE)
        self._octets = re.compile(found.encode(), re.IGNORECASE)

    def text(self, text: str) -> str:
        """`text` without it."""
        return self._texts.sub(self._shown, text)

    def octets(self, octets: bytes) -> bytes:
        """`octets` without it."""
        return self._octets.sub(self._shown.encode(), octets)


def _hide_attempts(transaction: Transaction, rows: Sequence[Row[Any]], hide: _Hide) -> None:
    query = select(attempt.c.id, attempt.c.facts).where(
        attempt.c.message_id.in_([row.message_id for row in rows]),
        attempt.c.delivery_id.in_([row.id for row in rows]),
    )
    for found in transaction.execute(query).all():
        tried, outcome = attempt_from(bytes(found.facts))
        told = json_text((tried, outcome))
        hidden = hide.text(told)
        if hidden != told:
            facts = attempt_facts(*attempt_from(hidden.encode()))
            changing = update(attempt).where(attempt.c.id == found.id)
            transaction.execute(changing.values(facts=facts))


def _hide_events(transaction: Transaction, rows: Sequence[Row[Any]], hide: _Hide) -> None:
    query = select(event.c.id, event.c.type, event.c.detail).where(
        event.c.message_id.in_([row.message_id for row in rows]),
        event.c.delivery_id.in_([row.id for row in rows]),
        event.c.detail != "",
    )
    for found in transaction.execute(query).all():
        detail = hide.text(found.detail)
        if found.type in _ANSWERS:
            by = json.loads(detail).get("by")
            detail = json_text({"by": by}) if by else ""
        if detail != found.detail:
            changing = update(event).where(event.c.id == found.id)
            transaction.execute(changing.values(detail=detail))


def _hide_messages(transaction: Transaction, rows: Sequence[Row[Any]], hide: _Hide) -> None:
    columns = (message.c.id, message.c.recipients, message.c.search, message.c.prepend)
    query = select(*columns).where(message.c.id.in_({row.message_id for row in rows}))
    for found in transaction.execute(query).all():
        values: dict[str, Any] = {
            "search": hide.text(found.search),
            "prepend": hide.octets(bytes(found.prepend)),
        }
        if found.recipients == 1:  # then what it says is said to this one
            values["options"] = None
        transaction.execute(update(message).where(message.c.id == found.id).values(**values))
