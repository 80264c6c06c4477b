"""The accept transaction: many messages at once, one statement per table.

Guarantees: message, content, deliveries, recipients, campaign, events and counters of an
`Accepted` stand or fall together; what was accepted before under the same name (`Accepted.once`)
is not written. Runs in the writer's thread; may run twice. Rows are made before the transaction
begins: what is made within it keeps all other writers waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from smtpplus.store.commits import Transaction
from smtpplus.store.compression import Compressor
from smtpplus.store.dialects import StoreDialect, insert_sql
from smtpplus.store.facts import MESSAGES, Facts, FactSql, detail_text
from smtpplus.store.once import AskedOnce, OnceRows, plain
from smtpplus.store.recipient_counts import CampaignRows, Mailed, RecipientSql, has_recipients
from smtpplus.store.rows import delivery_rows, is_leased_at_birth, message_row
from smtpplus.store.schema import content, delivery, message
from smtpplus.store.topics import DUE
from smtpplus.values.ids import show_id
from smtpplus.values.message import Accepted, EventType, NewDelivery

__all__ = ["LEASE_SECONDS", "AcceptRows", "Accepts"]

LEASE_SECONDS = 900.0


class AcceptRows(NamedTuple):
    """What accepting one message writes; `asked` where it may have been accepted before."""

    accepted: Accepted
    asked: AskedOnce | None
    message: tuple[Any, ...]
    content: bytes | None
    deliveries: list[tuple[Any, ...]]
    waiting: list[NewDelivery]  # those that are to be mailed
    facts: Facts


class Accepts:
    """Writes accepted messages, leased to `node` where they are leased.

    `remove_large` is called where a large content is not needed: nobody is to be mailed.
    """

    def __init__(
        self,
        dialect: StoreDialect,
        facts: FactSql,
        recipients: RecipientSql,
        node: int,
        remove_large: Callable[[Transaction, int], None],
    ) -> None:
        self._node = node
        self._facts = facts
        self._recipients = recipients
        self._remove_large = remove_large
        self._messages = insert_sql(message, dialect)
        self._contents = insert_sql(content, dialect)
        self._deliveries = insert_sql(delivery, dialect)
        self._campaigns = CampaignRows(dialect)
        self._once = OnceRows(dialect)
        self._compressor = Compressor()

    def rows(self, item: Accepted | AskedOnce) -> AcceptRows:
        """What `write` takes. Compresses the content."""
        accepted = plain(item)
        about = accepted.message
        waiting = [new for new in accepted.deliveries if not new.withheld]
        content = accepted.content if waiting else None
        facts = Facts(self._facts)
        _add_facts(facts, accepted)
        return AcceptRows(
            accepted,
            item if isinstance(item, AskedOnce) else None,
            message_row(accepted),
            None if content is None else self._compressor.row(content),
            delivery_rows(accepted, self._node, about.received_at + LEASE_SECONDS),
            waiting,
            facts,
        )

    def write(self, transaction: Transaction, items: Sequence[AcceptRows]) -> None:
        """Write all `items` but those that were accepted before."""
        asked = [item.asked for item in items if item.asked is not None]
        if asked:
            first = {accepted.message.id for accepted in self._once.first(transaction, asked)}
            items = [one for one in items if one.asked is None or one.accepted.message.id in first]
        if items:
            self._write(transaction, items)

    def _write(self, transaction: Transaction, items: Sequence[AcceptRows]) -> None:
        facts, mailed = Facts(self._facts), Mailed(self._recipients)
        messages, contents = [], []
        deliveries: list[tuple[Any, ...]] = []
        is_due = False
        for item in items:
            accepted = item.accepted
            messages.append(item.message)
            deliveries += item.deliveries
            if item.content is not None:
                contents.append((accepted.message.id, item.content))
            elif not item.waiting and accepted.content is None:
                self._remove_large(transaction, accepted.message.id)
            if has_recipients(accepted.message):
                for new in item.waiting:
                    mailed.add(accepted, new)
            is_due = is_due or not all(is_leased_at_birth(accepted, new) for new in item.waiting)
            facts.add_all(item.facts)
        transaction.many(self._messages, messages)
        transaction.many(self._contents, contents)
        transaction.many(self._deliveries, deliveries)
        if is_due:
            transaction.tell(DUE)
        facts.write(transaction)
        self._campaigns.write(transaction, [item.accepted for item in items])
        mailed.write(transaction)


def _add_facts(facts: Facts, item: Accepted) -> None:
    about = item.message
    facts.add(EventType.ACCEPTED, about.received_at, about, n=len(item.deliveries))
    for new in item.deliveries:
        if new.withheld:
            for kind in dict.fromkeys((new.withheld_as, EventType.CANCELLED)):
                facts.add(
                    kind,
                    about.received_at,
                    about,
                    delivery_id=new.id,
                    detail=detail_text({"text": new.withheld}),
                )
    if item.reports_on is None:
        facts.count(MESSAGES, about.received_at, about)
        return
    facts.add(
        EventType.REPORTED,
        about.received_at,
        about,
        about=item.reports_on,
        detail=detail_text({"report": show_id(about.id)}),
    )
