"""Reads messages whole: the row, and the recipients that stand in its deliveries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select

from smtpplus.store.rows import message_from, recipient_from
from smtpplus.store.schema import delivery, message
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.message import Message

__all__ = ["chunks", "load_messages"]

T = TypeVar("T")

_CHUNK = 500  # parameters in one statement


def chunks(ids: Iterable[T]) -> Iterator[list[T]]:
    """`ids` in pieces that fit into one statement."""
    rest = list(ids)
    for start in range(0, len(rest), _CHUNK):
        yield rest[start : start + _CHUNK]


def load_messages(
    connection: Connection, ids: Iterable[int], *, first_recipient_only: bool = False
) -> dict[int, Message]:
    """The messages of `ids` by id. A table needs no more than the first recipient of each."""
    found: dict[int, Message] = {}
    for some in chunks(ids):
        recipients = _recipients(connection, some, first_recipient_only)
        for row in connection.execute(select(message).where(message.c.id.in_(some))):
            found[row.id] = message_from(row, recipients[row.id])
    return found


def _recipients(
    connection: Connection, ids: Sequence[int], first_only: bool
) -> defaultdict[int, list[EnvelopeRecipient]]:
    query: Any = select(
        delivery.c.message_id, delivery.c.address, delivery.c.notify, delivery.c.orcpt
    )
    if first_only:
        first = (
            select(func.min(delivery.c.id))
            .where(delivery.c.message_id.in_(ids))
            .group_by(delivery.c.message_id)
        )
        query = query.where(delivery.c.id.in_(first))
    else:
        query = query.where(delivery.c.message_id.in_(ids)).order_by(
            delivery.c.message_id, delivery.c.id
        )
    found: defaultdict[int, list[EnvelopeRecipient]] = defaultdict(list)
    for message_id, address, notify, orcpt in connection.execute(query):
        found[message_id].append(recipient_from(address, notify, orcpt))
    return found
