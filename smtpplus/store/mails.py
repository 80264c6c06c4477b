"""The mails to one address, with what happened to each: what `IRecipients.mails` reads.

Guarantees: reads only, by the index of addresses; the events are those of these deliveries, a
bounded number of each page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from smtpplus.ports import MailRow
from smtpplus.store.history import delivery_row, event_from
from smtpplus.store.rows import fields_from, options_from, safe_text
from smtpplus.store.schema import delivery, event, mail_list, message
from smtpplus.values.message import Event
from smtpplus.values.options import NOTHING_SAID

__all__ = ["read_mails"]

_MOST_EVENTS = 1_000


def read_mails(
    connection: Connection,
    account_id: int | None,
    address_key: str,
    before: int | None,
    most: int,
) -> list[MailRow]:
    """Newest first, delivery ids below `before`; `address_key` is `Address.key`."""
    query = (
        select(delivery)
        .where(delivery.c.address_key == safe_text(address_key))
        .order_by(delivery.c.id.desc())
        .limit(most)
    )
    if account_id is not None:
        query = query.where(delivery.c.account_id == account_id)
    if before is not None:
        query = query.where(delivery.c.id < before)
    rows = connection.execute(query).all()
    messages = _messages(connection, [row.message_id for row in rows])
    events = _events(connection, rows)
    return [_mail(row, messages[row.message_id], events[row.id]) for row in rows]


def _mail(row: Row[Any], sent: Row[Any], events: Sequence[Event]) -> MailRow:
    # What is said to all is said to it where it is the only one.
    said = options_from(sent.options) if sent.recipients == 1 else NOTHING_SAID
    return MailRow(
        message_id=row.message_id,
        subject=sent.subject,
        header_from=sent.header_from,
        list_name=sent.name or "",
        received_at=sent.received_at,
        delivery=delivery_row(row),
        events=tuple(events),
        campaign=sent.campaign_name or sent.campaign,
        fields={**said.fields, **fields_from(row.fields)},
        metadata=said.metadata,
    )


def _messages(connection: Connection, ids: Sequence[int]) -> dict[int, Row[Any]]:
    query: Select[Any] = (
        select(
            message.c.id,
            message.c.subject,
            message.c.header_from,
            message.c.received_at,
            message.c.recipients,
            message.c.campaign,
            message.c.campaign_name,
            message.c.options,
            mail_list.c.name,
        )
        .outerjoin(mail_list, mail_list.c.id == message.c.list_id)
        .where(message.c.id.in_(ids))
    )
    return {row.id: row for row in connection.execute(query)}


def _events(connection: Connection, rows: Sequence[Row[Any]]) -> defaultdict[int, list[Event]]:
    found: defaultdict[int, list[Event]] = defaultdict(list)
    query = (
        select(event)
        .where(event.c.message_id.in_([row.message_id for row in rows]))
        .where(event.c.delivery_id.in_([row.id for row in rows]))
        .order_by(event.c.id)
        .limit(_MOST_EVENTS)
    )
    for row in connection.execute(query):
        found[row.delivery_id].append(event_from(row))
    return found
