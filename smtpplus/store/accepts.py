"""The accept transaction: many messages at once, one statement per table.

Guarantees: message, content, deliveries, events and counters of an `Accepted` stand or fall
together. Runs in the writer's thread; may run twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from smtpplus.store.changes import DUE
from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import StoreDialect, insert_sql
from smtpplus.store.facts import MESSAGES, Facts, FactSql
from smtpplus.store.rows import delivery_rows, message_row
from smtpplus.store.schema import content, delivery, message
from smtpplus.values.ids import show_id
from smtpplus.values.message import Accepted, EventType

__all__ = ["LEASE_SECONDS", "Accepts"]

LEASE_SECONDS = 900.0


class Accepts:
    """Writes accepted messages, leased to `node` where they are leased."""

    def __init__(self, dialect: StoreDialect, facts: FactSql, node: int) -> None:
        self._node = node
        self._facts = facts
        self._messages = insert_sql(message, dialect)
        self._contents = insert_sql(content, dialect)
        self._deliveries = insert_sql(delivery, dialect)

    def write(self, transaction: Transaction, items: Sequence[Accepted]) -> None:
        """Write all `items`."""
        facts = Facts(self._facts)
        deliveries = []
        for item in items:
            lease_until = item.message.received_at + LEASE_SECONDS
            deliveries += delivery_rows(item, self._node, lease_until)
            _add_facts(facts, item)
        transaction.many(self._messages, [message_row(item) for item in items])
        transaction.many(
            self._contents,
            [(item.message.id, item.content) for item in items if item.content is not None],
        )
        transaction.many(self._deliveries, deliveries)
        if not all(item.leased for item in items):
            transaction.tell(DUE)
        facts.write(transaction)


def _add_facts(facts: Facts, item: Accepted) -> None:
    about = item.message
    facts.add(EventType.ACCEPTED, about.received_at, about, n=len(item.deliveries))
    if item.reports_on is None:
        facts.count(MESSAGES, about.received_at, about)
        return
    facts.add(
        EventType.REPORTED,
        about.received_at,
        about,
        about=item.reports_on,
        detail={"report": show_id(about.id)},
    )
