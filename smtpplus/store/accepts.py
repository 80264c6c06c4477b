"""The accept transaction: many messages at once, one statement per table.

Guarantees: message, content, deliveries, recipients, campaign, events and counters of an
`Accepted` stand or fall together; what was accepted before under the same name (`Accepted.once`)
is not written. Rows are made before the transaction begins, by whoever accepts: what is made
within it keeps all other writers waiting. They are plain values, which another process can write
as well (`write_service.py`). Writing may run twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from smtpplus.store.commits import Transaction
from smtpplus.store.compression import Compressor
from smtpplus.store.dialects import IDS, IdsSql, StoreDialect, insert_sql
from smtpplus.store.facts import MESSAGES, Facts, FactSql, detail_text
from smtpplus.store.once import Once, OnceRows, once_of
from smtpplus.store.recipient_counts import (
    CampaignRows,
    Mailed,
    MailedRow,
    RecipientSql,
    campaign_row,
    has_recipients,
    mailed_row,
)
from smtpplus.store.room import DiskRoom
from smtpplus.store.rows import delivery_rows, is_leased_at_birth, message_row
from smtpplus.store.schema import content, delivery, message
from smtpplus.store.topics import DUE
from smtpplus.values.ids import show_id
from smtpplus.values.message import Accepted, EventType

__all__ = ["LEASE_SECONDS", "AcceptRows", "Accepts"]

LEASE_SECONDS = 900.0
_KNOWN = select(message.c.id).where(message.c.id.in_(IDS))


class AcceptRows(msgspec.Struct, array_like=True, frozen=True):
    """What accepting one message writes."""

    id: int
    octets: int  # of the content, where it is not in a file
    message: tuple[Any, ...]
    content: bytes | None
    deliveries: list[tuple[Any, ...]]
    mailed: list[MailedRow]
    campaign: tuple[Any, ...] | None
    facts: Facts
    once: Once | None
    reports_on: int | None
    is_due: bool  # somebody is to claim it
    has_idle_file: bool  # nobody is to be mailed


class Accepts:
    """Writes accepted messages, leased to `node` where they are leased.

    `remove_large` is called where a large content is not needed: nobody is to be mailed. Of the
    disk's `room`, where that is looked after, mail leaves enough for what becomes of it.
    """

    def __init__(
        self,
        dialect: StoreDialect,
        facts: FactSql,
        recipients: RecipientSql,
        node: int,
        remove_large: Callable[[Transaction, int], None],
        room: DiskRoom | None = None,
    ) -> None:
        self._node = node
        self._facts = facts
        self._recipients = recipients
        self._remove_large = remove_large
        self._room = room
        self._messages = insert_sql(message, dialect)
        self._contents = insert_sql(content, dialect)
        self._deliveries = insert_sql(delivery, dialect)
        self._known = IdsSql(_KNOWN, dialect)
        self._campaigns = CampaignRows(dialect)
        self._once = OnceRows(dialect)
        self._compressor = Compressor()

    def rows_of_many(self, accepted: Accepted) -> AcceptRows:
        """As `rows`, in any thread: ten thousand recipients take a fifth of a second."""
        return self.rows(accepted, Compressor())

    def rows(self, accepted: Accepted, compressor: Compressor | None = None) -> AcceptRows:
        """What `write` takes. Compresses the content. Always in the same thread."""
        about = accepted.message
        waiting = [new for new in accepted.deliveries if not new.withheld]
        is_mail = has_recipients(about)
        content = accepted.content if waiting else None
        return AcceptRows(
            about.id,
            len(accepted.content or b""),
            message_row(accepted),
            None if content is None else (compressor or self._compressor).row(content),
            delivery_rows(accepted, self._node, about.received_at + LEASE_SECONDS),
            [mailed_row(accepted, new) for new in waiting] if is_mail else [],
            campaign_row(about),
            _facts(accepted),
            once_of(accepted),
            accepted.reports_on,
            not all(is_leased_at_birth(accepted, new) for new in waiting),
            not waiting and accepted.content is None,
        )

    def forget_campaigns(self) -> None:
        """Some may be gone: make them again with their next mail. In any thread."""
        self._campaigns.forget()

    def write(self, transaction: Transaction, items: Sequence[AcceptRows]) -> list[int | None]:
        """Write all `items` but those that were accepted before: as which message, for each."""
        if self._room is not None:
            self._room.check(len(items), sum(item.octets for item in items))
        return self._write_once(transaction, items)

    def write_again(
        self, transaction: Transaction, items: Sequence[AcceptRows]
    ) -> list[int | None]:
        """As `write`, of what may have been written already."""
        known = self.known(transaction, [item.id for item in items])
        fresh = [item for item in items if item.id not in known]
        befores = iter(self.write(transaction, fresh) if fresh else ())
        return [None if item.id in known else next(befores) for item in items]

    def known(self, transaction: Transaction, ids: Sequence[int]) -> set[int]:
        """Which of these messages are there."""
        return {row[0] for row in transaction.of_ids(self._known, ids)}

    def write_reports(self, transaction: Transaction, items: Sequence[AcceptRows]) -> None:
        """Write what tells of mail that came to its end: on a full disk, too."""
        self._write_once(transaction, items)

    def _write_once(
        self, transaction: Transaction, items: Sequence[AcceptRows]
    ) -> list[int | None]:
        asked = {item.id: item.once for item in items if item.once is not None}
        before = self._once.accepted_before(transaction, asked) if asked else {}
        fresh = [item for item in items if item.id not in before] if before else items
        if fresh:
            self._write(transaction, fresh)
        return [before.get(item.id) for item in items]

    def _write(self, transaction: Transaction, items: Sequence[AcceptRows]) -> None:
        facts, mailed = Facts(), Mailed(self._recipients)
        for item in items:
            if item.has_idle_file:
                self._remove_large(transaction, item.id)
            mailed.add_all(item.mailed)
            facts.add_all(item.facts)
        transaction.many(self._messages, [item.message for item in items])
        contents = [(item.id, item.content) for item in items if item.content is not None]
        transaction.many(self._contents, contents)
        transaction.many(self._deliveries, [row for item in items for row in item.deliveries])
        if any(item.is_due for item in items):
            transaction.tell(DUE)
        facts.write(transaction, self._facts)
        self._campaigns.write(transaction, [item.campaign for item in items if item.campaign])
        mailed.write(transaction)


def _facts(item: Accepted) -> Facts:
    facts, about = Facts(), item.message
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
        return facts
    facts.add(
        EventType.REPORTED,
        about.received_at,
        about,
        about=item.reports_on,
        detail=detail_text({"report": show_id(about.id)}),
    )
    return facts
