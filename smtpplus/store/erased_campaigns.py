"""Campaigns and links that tell of an erased person.

A campaign that says the address is known by another key from then on, with all its counters, and
without its name; so is one that nobody else was mailed with and that is of a subject or says the
whole name, and a link that nobody else followed. Sums stay what they were, by campaign too.
Guarantees: a campaign is moved in one transaction, by bounded work; what a crash left is done by
doing it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    select,
    true,
    update,
)

from smtpplus.store.commits import Transaction
from smtpplus.store.erased_words import GONE, ErasedWords
from smtpplus.store.facts import DAY, HOUR, day_of
from smtpplus.store.messages import chunks
from smtpplus.store.schema import (
    campaign,
    counter,
    counter_campaign,
    counter_day_campaign,
    delivery,
    installation,
    link,
    message,
)
from smtpplus.values.ids import first_id, id_milliseconds, show_id
from smtpplus.values.message import EventType

__all__ = ["MOVED", "Links", "Telling", "hide_links", "move", "telling"]

MOVED = "campaigns moved"  # in `installation`: the newest key, for who keeps sums by campaign
_KEY = "erased:"
_OF_SUBJECTS = ("subject:", "sender-subject:", "dynamic-subject:")
_MARGIN = HOUR  # clocks of several nodes differ

Links: TypeAlias = Counter[tuple[int, str, str]]  # clicks by list, campaign and target


class Telling(NamedTuple):
    """A campaign that tells of the person, and the messages counted in it."""

    account_id: int
    list_id: int
    key: str
    name: str
    first_at: float
    message_ids: Sequence[int]


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
    own: dict[tuple[int, str], list[int]] = {}
    query = (
        select(message.c.list_id, message.c.campaign, message.c.id)
        .join(delivery, delivery.c.message_id == message.c.id)
        .where(delivery.c.address_key == hidden, delivery.c.account_id == account_id)
    )
    for list_id, key, message_id in connection.execute(query):
        if key and not key.startswith(_KEY):
            own.setdefault((list_id, key), []).append(message_id)
    columns = (message.c.list_id, message.c.campaign, message.c.id)
    for some in chunks(mentions):
        for list_id, key, message_id in connection.execute(
            select(*columns).where(message.c.id.in_(some))
        ):
            if words.tells(key):
                own.setdefault((list_id, key), []).append(message_id)
    found = []
    for (list_id, key), ids in own.items():
        is_same = and_(campaign.c.list_id == list_id, campaign.c.key == key)
        row = connection.execute(select(campaign).where(is_same)).first()
        name, first_at, last_at = "", *(id_milliseconds(one(ids)) / 1000 for one in (min, max))
        if row is not None:
            name, first_at, last_at = row.name, min(first_at, row.first_at), row.last_at
        is_own = _accepted(connection, account_id, list_id, key) <= len(ids)
        if not (words.tells(key) or words.tells(name) or (is_own and _is_theirs(key, name, words))):
            continue
        all_ids = set(ids)
        if not is_own:
            others = select(message.c.id).where(
                message.c.account_id == account_id,
                message.c.id.between(first_id(first_at - _MARGIN), first_id(last_at + _MARGIN)),
                message.c.list_id == list_id,
                message.c.campaign == key,
            )
            all_ids.update(connection.scalars(others))
        found.append(Telling(account_id, list_id, key, name, first_at, sorted(all_ids)))
    return found


def _is_theirs(key: str, name: str, words: ErasedWords) -> bool:
    """Is it of subjects, or called by the person's name? One that others share may be, too."""
    return key.startswith(_OF_SUBJECTS) or words.words(key) != key or words.words(name) != name


def move(
    transaction: Transaction, told: Telling, words: ErasedWords, new_id: int, now: float
) -> None:
    """Give it a key of which nothing can be told; `new_id` makes it."""
    account_id, list_id, old = told.account_id, told.list_id, told.key
    new = f"{_KEY}{show_id(new_id)}"
    days = _days(transaction, told, now)
    hours = [day + hour for day in days for hour in range(0, DAY, HOUR)]
    for columns, times in (
        (counter_campaign.c, None),
        (counter_day_campaign.c, (counter_day_campaign.c.day, days)),
        (counter.c, (counter.c.hour, hours)),
    ):
        of_campaign = and_(
            columns.account_id == account_id, columns.list_id == list_id, columns.campaign == old
        )
        for condition in _at(times):
            changing = update(columns.n.table).where(of_campaign, condition)
            transaction.execute(changing.values(campaign=new))
    is_same = and_(link.c.list_id == list_id, link.c.campaign == old)
    transaction.execute(update(link).where(is_same).values(campaign=new))
    name = told.name
    if words.tells(name) or not words.tells(old):
        name = GONE
    of_list = update(campaign).where(campaign.c.list_id == list_id)
    transaction.execute(of_list.where(campaign.c.key == old).values(key=new, name=name))
    transaction.execute(of_list.where(campaign.c.merged_into == old).values(merged_into=new))
    for some in chunks(told.message_ids):
        changing = update(message).where(message.c.id.in_(some), message.c.campaign == old)
        transaction.execute(changing.values(campaign=new, campaign_name=name))
    newest = update(installation).where(installation.c.name == MOVED).values(value=new.encode())
    if not transaction.execute(newest).rowcount:
        transaction.execute(insert(installation), {"name": MOVED, "value": new.encode()})


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


def _days(transaction: Transaction, told: Telling, now: float) -> list[int]:
    """Those on which something was counted in it: found by the key, which times lead."""
    columns = counter_day_campaign.c
    asked = range(day_of(told.first_at) - DAY, day_of(now) + 2 * DAY, DAY)
    found: set[int] = set()
    for some in chunks(asked):
        query = select(columns.day).where(
            columns.account_id == told.account_id,
            columns.day.in_(some),
            columns.list_id == told.list_id,
            columns.campaign == told.key,
        )
        found.update(row[0] for row in transaction.execute(query))
    return sorted(found)


def _at(times: tuple[Column[int], Sequence[int]] | None) -> Iterable[ColumnElement[bool]]:
    if times is None:
        return [true()]
    column, asked = times
    return [column.in_(some) for some in chunks(asked)]
