"""Campaigns and links that tell of an erased person.

A campaign that says the address is known by another key from then on, with all its counters, and
without its name (see campaign_moves.py); so is one that nobody else was mailed with and that is of
a subject or says the whole name, and a link that nobody else followed. Sums stay what they were, by
campaign too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from sqlalchemy import (
    Connection,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

from smtpplus.store.commits import Transaction
from smtpplus.store.erased_words import GONE, ErasedWords
from smtpplus.store.messages import chunks
from smtpplus.store.schema import (
    campaign,
    counter_campaign,
    delivery,
    link,
    message,
)
from smtpplus.values.ids import id_milliseconds
from smtpplus.values.message import EventType

__all__ = ["ERASED_KEY", "MOVED", "Links", "Telling", "hide_links", "telling"]

MOVED = "campaigns moved"  # in `installation`: the newest key, for who keeps sums by campaign
ERASED_KEY = "erased:"
_OF_SUBJECTS = ("subject:", "sender-subject:", "dynamic-subject:")

Links: TypeAlias = Counter[tuple[int, str, str]]  # clicks by list, campaign and target


class Telling(NamedTuple):
    """A campaign that tells of the person: a message counted in it, and when it was mailed."""

    account_id: int
    list_id: int
    key: str
    name: str
    first_at: float
    last_at: float
    found_by: int


class _Found(NamedTuple):
    """The person's deliveries in a campaign: how many, and the ids of their messages."""

    n: int
    first: int
    last: int


def telling(
    connection: Connection,
    account_id: int,
    hidden: str,
    mentions: Iterable[int],
    words: ErasedWords,
) -> list[Telling]:
    """Those among the campaigns of what was sent to `hidden`, an erased address's key.

    And of the messages `mentions`, which name it to others.
    """
    by = (message.c.list_id, message.c.campaign)
    counted = select(*by, func.count(), func.min(message.c.id), func.max(message.c.id))
    counted = counted.group_by(*by)
    query = counted.join(delivery, delivery.c.message_id == message.c.id).where(
        delivery.c.address_key == hidden, delivery.c.account_id == account_id
    )
    own: dict[tuple[int, str], _Found] = {}
    for list_id, key, *found in connection.execute(query):
        if key and not key.startswith(ERASED_KEY):
            own[list_id, key] = _Found(*found)
    for some in chunks(mentions):
        for list_id, key, *found in connection.execute(counted.where(message.c.id.in_(some))):
            if words.tells(key):
                before = own.get((list_id, key), _Found(0, *found[1:]))
                first, last = min(before.first, found[1]), max(before.last, found[2])
                own[list_id, key] = _Found(before.n + found[0], first, last)
    result = []
    for (list_id, key), of_key in own.items():
        is_same = and_(campaign.c.list_id == list_id, campaign.c.key == key)
        row = connection.execute(select(campaign).where(is_same)).first()
        name, times = "", [id_milliseconds(one) / 1000 for one in (of_key.first, of_key.last)]
        if row is not None:
            name, times = row.name, [*times, row.first_at, row.last_at]
        if (
            words.tells(key)
            or words.tells(name)
            or name == GONE  # a crash left it half moved
            or (
                _is_theirs(key, name, words)
                and _accepted(connection, account_id, list_id, key) <= of_key.n
            )
        ):
            result.append(
                Telling(account_id, list_id, key, name, min(times), max(times), of_key.first)
            )
    return result


def _is_theirs(key: str, name: str, words: ErasedWords) -> bool:
    """Is it of subjects, or called by the person's name? One that others share may be, too."""
    return key.startswith(_OF_SUBJECTS) or words.words(key) != key or words.words(name) != name


def hide_links(transaction: Transaction, clicks: Links, words: ErasedWords) -> None:
    """Those of `clicks`, of one person, that nobody else has followed, or that say who it is."""
    for (list_id, key, target), n in clicks.items():
        is_same = and_(link.c.list_id == list_id, link.c.campaign == key, link.c.target == target)
        rows = transaction.execute(select(link).where(is_same)).all()
        if not words.tells(target) and sum(row.persons + row.others for row in rows) > n:
            continue
        transaction.execute(delete(link).where(is_same))
        for row in rows:
            gone = and_(
                link.c.list_id == list_id,
                link.c.campaign == key,
                link.c.target == GONE,
                link.c.node == row.node,
            )
            more = {"persons": link.c.persons + row.persons, "others": link.c.others + row.others}
            if not transaction.execute(update(link).where(gone).values(**more)).rowcount:
                transaction.execute(insert(link), {**row._mapping, "target": GONE})  # noqa: SLF001 - its API


def _accepted(connection: Connection, account_id: int, list_id: int, key: str) -> int:
    columns = counter_campaign.c
    query = select(func.sum(columns.n)).where(
        columns.account_id == account_id,
        columns.list_id == list_id,
        columns.campaign == key,
        columns.metric == EventType.ACCEPTED.value,
    )
    return int(connection.execute(query).scalar() or 0)
