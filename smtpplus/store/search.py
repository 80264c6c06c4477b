"""What a search text asks for: an id, an address, or words."""

from __future__ import annotations

from sqlalchemy import Column, ColumnElement, Select, and_, exists, or_, select

from smtpplus.store.rows import address_key, safe_text
from smtpplus.store.schema import delivery, message
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError
from smtpplus.values.ids import parse_id

__all__ = ["address_holds", "contains", "is_address", "is_words", "messages_matching"]

_MOST_WORDS = 8
_MOST_BY_ADDRESS = 20_000
_SEARCHED_RECIPIENTS = 20  # so many stand in a message's search text


# Of its own name, so that a query over deliveries can ask it too.
_to = delivery.alias("any_delivery")
_by = message.alias("any_message")


def contains(column: ColumnElement[str], word: str) -> ColumnElement[bool]:
    """Does the lower-case `column` hold `word`?"""
    return column.contains(safe_text(word.lower()), autoescape=True)


def is_address(search: str) -> bool:
    """Is it a whole address, to be found by index?"""
    return _address(search.strip()) is not None


def is_words(search: str) -> bool:
    """Is it something that no index finds?"""
    search = search.strip()
    return bool(search) and parse_id(search) is None and _address(search) is None


def address_holds(column: Column[str], search: str) -> ColumnElement[bool]:
    """Is `search` in the address whose key is `column`? A whole address is found by index."""
    address = _address(search.strip())
    return contains(column, search.strip()) if address is None else column == address_key(address)


def messages_matching(search: str, before: int | None) -> ColumnElement[bool] | None:
    """The condition on messages that `search` stands for; None where it asks for nothing.

    An id or a whole address is looked up by index, among ids below `before`; words are looked
    for in the text of each message, newest first.
    """
    search = search.strip()
    if not search:
        return None
    found = parse_id(search)
    address = _address(search)
    if found is not None:
        return or_(
            message.c.id == found,
            message.c.id.in_(select(_to.c.message_id).where(_to.c.id == found)),
        )
    if address is not None:
        key = address_key(address)
        to = _newest(_to.c.message_id, _to.c.address_key == key, before)
        by = _newest(_by.c.id, _by.c.sender_key == key, before)
        return message.c.id.in_(to.union(by))
    return and_(*(_has_word(word) for word in search.split()[:_MOST_WORDS]))


def _newest(
    key: Column[int], condition: ColumnElement[bool], before: int | None
) -> Select[tuple[int]]:
    """The newest ids of messages under `condition`; so many that a page finds its rows."""
    query = select(key).where(condition).order_by(key.desc()).limit(_MOST_BY_ADDRESS)
    if before is not None:
        query = query.where(key < before)
    return select(query.subquery().c[0])


def _has_word(word: str) -> ColumnElement[bool]:
    further = exists().where(_to.c.message_id == message.c.id, contains(_to.c.address_key, word))
    return or_(
        contains(message.c.search, word),
        and_(message.c.recipients > _SEARCHED_RECIPIENTS, further),
    )


def _address(text: str) -> Address | None:
    """A whole address; what is half typed (``bob@exam``) is a word."""
    try:
        address = Address.parse(text.strip("<>"))
    except AddressError:
        return None
    return address if "." in address.domain or address.is_literal else None
