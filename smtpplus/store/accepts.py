"""The accept transaction: many messages at once, one statement per table.

Guarantees: message, content, deliveries, recipients, campaign, events and counters of an
`Accepted` stand or fall together; what was accepted before under the same name (`Accepted.once`)
is not written. Runs in the writer's thread; may run twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smtpplus.store.commits import Transaction
from smtpplus.store.compression import Compressor
from smtpplus.store.dialects import StoreDialect, insert_sql
from smtpplus.store.facts import MESSAGES, Facts, FactSql
from smtpplus.store.once import AskedOnce, OnceRows
from smtpplus.store.recipient_counts import CampaignRows, Mailed, RecipientSql, has_recipients
from smtpplus.store.rows import delivery_rows, is_leased_at_birth, message_row
from smtpplus.store.schema import content, delivery, message
from smtpplus.store.topics import DUE
from smtpplus.values.ids import show_id
from smtpplus.values.message import Accepted, EventType

__all__ = ["LEASE_SECONDS", "Accepts"]

LEASE_SECONDS = 900.0


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

    def write(self, transaction: Transaction, items: Sequence[Accepted | AskedOnce]) -> None:
        """Write all `items` but those that were accepted before."""
        found = [item for item in items if isinstance(item, Accepted)]
        asked = [item for item in items if isinstance(item, AskedOnce)]
        if asked:
            found += self._once.first(transaction, asked)
        if found:
            self._write(transaction, found)

    def _write(self, transaction: Transaction, items: Sequence[Accepted]) -> None:
        facts, mailed = Facts(self._facts), Mailed(self._recipients)
        messages, deliveries = [], []
        contents: list[tuple[int, bytes]] = []
        is_due = False
        for item in items:
            lease_until = item.message.received_at + LEASE_SECONDS
            deliveries += delivery_rows(item, self._node, lease_until)
            messages.append(message_row(item))
            waiting = [new for new in item.deliveries if not new.withheld]
            if waiting and item.content is not None:
                contents.append((item.message.id, self._compressor.row(item.content)))
            elif not waiting and item.content is None:
                self._remove_large(transaction, item.message.id)
            if has_recipients(item.message):
                for new in waiting:
                    mailed.add(item, new)
            is_due = is_due or not all(is_leased_at_birth(item, new) for new in waiting)
            _add_facts(facts, item)
        transaction.many(self._messages, messages)
        transaction.many(self._contents, contents)
        transaction.many(self._deliveries, deliveries)
        if is_due:
            transaction.tell(DUE)
        facts.write(transaction)
        self._campaigns.write(transaction, items)
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
                    detail={"text": new.withheld},
                )
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
