"""Mail to others whose subject names an erased address, such as a shop's note to itself.

Guarantees: messages are looked through in reads of `WINDOW` messages each, so that no writer
waits; what is found is changed in pieces. Finds the address alone: a name is in too much.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, or_, select, update

from smtpplus.store.commits import Transaction
from smtpplus.store.erased_words import ErasedWords
from smtpplus.store.schema import message
from smtpplus.store.search import contains

__all__ = ["WINDOW", "hide_mentions", "mentions"]

WINDOW = 20_000


def mentions(
    connection: Connection, account_id: int, words: ErasedWords, before: int | None
) -> tuple[list[int], int | None]:
    """The messages that name it, of the newest before `before`; where to go on, None: all seen."""
    ids = select(message.c.id).where(message.c.account_id == account_id)
    if before is not None:
        ids = ids.where(message.c.id < before)
    reach = ids.order_by(message.c.id.desc()).offset(WINDOW - 1).limit(1)
    down_to = connection.execute(reach).scalar()
    if down_to is not None:
        ids = ids.where(message.c.id >= down_to)
    found = ids.where(or_(*(contains(message.c.search, one) for one in words.plain)))
    return list(connection.scalars(found)), down_to


def hide_mentions(transaction: Transaction, ids: Collection[int], words: ErasedWords) -> None:
    """Name it no longer in what is shown and searched of these messages, and in their options."""
    columns = [message.c[name] for name in ("subject", "search", "campaign_name", "options")]
    query = select(message.c.id, *columns).where(message.c.id.in_(ids))
    for row in transaction.execute(query).all():
        said: dict[Any, str | None] = dict(zip(columns, row[1:], strict=True))
        values = {one: None if text is None else words.text(text) for one, text in said.items()}
        transaction.execute(update(message).where(message.c.id == row.id).values(values))
