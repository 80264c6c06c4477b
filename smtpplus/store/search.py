"""What a search text asks for: an id, an address, or words."""

from __future__ import annotations

from sqlalchemy import Column, ColumnElement, and_, exists, or_, select

from smtpplus.store.rows import address_key, safe_text
from smtpplus.store.schema import delivery, message
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError
from smtpplus.values.ids import parse_id

__all__ = ["contains", "messages_matching"]

_MOST_WORDS = 8
_SEARCHED_RECIPIENTS = 20  # so many stand in a message's search text


def contains(column: Column[str], word: str) -> ColumnElement[bool]:
    """Does the lower-case `column` hold `word`?"""
    return column.contains(safe_text(word.lower()), autoescape=True)


def messages_matching(search: str) -> ColumnElement[bool] | None:
    """The condition on messages that `search` stands for; None where it asks for nothing.

    An id or a whole address is looked up by index; words are looked for in the text of each
    message, newest first.
    """
    search = search.strip()
    if not search:
        return None
    found = parse_id(search)
    address = _address(search)
    if found is not None:
        return or_(
            message.c.id == found,
            message.c.id.in_(select(delivery.c.message_id).where(delivery.c.id == found)),
        )
    if address is not None:
        key = address_key(address)
        to = select(delivery.c.message_id).where(delivery.c.address_key == key)
        by = select(message.c.id).where(message.c.sender_key == key)
        return message.c.id.in_(to.union(by))
    return and_(*(_has_word(word) for word in search.split()[:_MOST_WORDS]))


def _has_word(word: str) -> ColumnElement[bool]:
    further = exists().where(
        delivery.c.message_id == message.c.id, contains(delivery.c.address_key, word)
    )
    return or_(
        contains(message.c.search, word),
        and_(message.c.recipients > _SEARCHED_RECIPIENTS, further),
    )


def _address(text: str) -> Address | None:
    try:
        return Address.parse(text.strip("<>"))
    except AddressError:
        return None
