"""Giving a campaign that tells of an erased person a key of which nothing can be told.

It may have a million messages, and each transaction keeps the others waiting. So the campaign of
the new key is made first, and the old one merged into it: for who reads, both are one. Then
messages, counters and links follow in pieces. The last transaction, which lets nobody else write,
takes what has come since, and the old key with it.
Guarantees: at each commit counters equal their sums, and with those of merged campaigns the
messages counted in them. What a crash left is found again by the message `Telling.found_by`, which
keeps the old key until the end, and is gone on with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)

from smtpplus.store.commits import Transaction
from smtpplus.store.counting import adding
from smtpplus.store.dialects import StoreDialect, insert_sql
from smtpplus.store.erased_campaigns import ERASED_KEY, MOVED, Telling
from smtpplus.store.erased_words import GONE, ErasedWords
from smtpplus.store.facts import DAY, HOUR, day_of
from smtpplus.store.messages import chunks
from smtpplus.store.responses import LINK_AGAIN
from smtpplus.store.schema import (
    campaign,
    counter,
    counter_campaign,
    counter_day_campaign,
    installation,
    link,
    message,
)
from smtpplus.store.topics import ACCOUNTS
from smtpplus.store.transactions import Transactions
from smtpplus.values.ids import IdSource, first_id, show_id

__all__ = ["CampaignMoves"]

_WINDOW = 20_000  # messages that one read looks through
_MARGIN = HOUR  # clocks of several nodes differ
_LOCKING = "LOCK TABLE delivery IN EXCLUSIVE MODE"  # what counts by a message's row locks there


class CampaignMoves:
    """Moves campaigns, `piece` rows a transaction; `forget` is called once one is gone."""

    def __init__(
        self,
        transactions: Transactions,
        dialect: StoreDialect,
        ids: IdSource,
        forget: Callable[[], None],
    ) -> None:
        self._transactions = transactions
        self._is_alone = dialect.single_service
        self._ids = ids
        self._forget = forget
        counters = (counter, counter_day_campaign, counter_campaign)
        self._into = {table: insert_sql(table, dialect, adding(table)) for table in counters}
        self._into[link] = insert_sql(link, dialect, LINK_AGAIN)
        self.piece = 500

    async def move(self, told: Telling, words: ErasedWords, now: float) -> None:
        """Give `told` another key, and another name where that tells of the person, too."""
        write = self._transactions.write
        new, name = await write(lambda tx: self._begin(tx, told, words, now))
        after: int | None = 0
        while after is not None:
            ids, after = await self._transactions.read(
                lambda connection, after=after: _window(connection, told, after)  # type: ignore[misc]
            )
            for start in range(0, len(ids), self.piece):
                some = ids[start : start + self.piece]
                await write(lambda tx, some=some: _move_messages(tx, told.key, some, new, name))  # type: ignore[misc]
        for day in await self._transactions.read(lambda found: _days(found, told, now)):
            await write(lambda tx, day=day: self._move_days(tx, told, [day], new, now))  # type: ignore[misc]
        while await write(lambda tx: self._move_links(tx, told, new)):
            pass
        await write(lambda tx: self._end(tx, told, new, name, now))

    def _begin(
        self, transaction: Transaction, told: Telling, words: ErasedWords, now: float
    ) -> tuple[str, str]:
        """The new key, and its name."""
        of_list = campaign.c.list_id == told.list_id
        name = told.name or GONE
        if words.tells(name) or not words.tells(told.key):
            name = GONE
        new = f"{ERASED_KEY}{show_id(self._ids.next(now))}"
        is_old = and_(of_list, campaign.c.key == told.key)
        row = transaction.execute(select(campaign).where(is_old)).first()
        if row is None:
            return new, name
        if row.name == GONE and (row.merged_into or "").startswith(ERASED_KEY):  # after a crash
            is_new = and_(of_list, campaign.c.key == row.merged_into)
            named = transaction.execute(select(campaign.c.name).where(is_new)).scalar()
            return row.merged_into, named or GONE
        transaction.execute(insert(campaign), {**row._mapping, "key": new, "name": name})  # noqa: SLF001 - its API
        if row.merged_into is None:
            both = and_(of_list, or_(is_old, campaign.c.merged_into == told.key))
            transaction.execute(update(campaign).where(both).values(merged_into=new))
        transaction.execute(update(campaign).where(is_old).values(name=GONE))
        return new, name

    def _move_days(
        self, transaction: Transaction, told: Telling, days: Iterable[int], new: str, now: float
    ) -> None:
        for day in days:
            hours = range(day, day + DAY, HOUR)
            of_day = counter_day_campaign.c.day == day
            self._rename(transaction, told, counter, counter.c.hour.in_(hours), new)
            moved = self._rename(transaction, told, counter_day_campaign, of_day, new)
            ever: Counter[tuple[str, int]] = Counter()
            for row in moved:
                ever[row.metric, row.node] += row.n
            rows = [
                (told.account_id, told.list_id, key, *of_node, sign * n)
                for of_node, n in ever.items()
                for key, sign in ((told.key, -1), (new, 1))
            ]
            transaction.many(self._into[counter_campaign], rows)
        # Who keeps sums by campaign is to sum up again.
        value = str(self._ids.next(now)).encode()
        newest = update(installation).where(installation.c.name == MOVED).values(value=value)
        if not transaction.execute(newest).rowcount:
            transaction.execute(insert(installation), {"name": MOVED, "value": value})

    def _move_links(self, transaction: Transaction, told: Telling, new: str) -> int:
        """Some of them; how many."""
        is_old = and_(link.c.list_id == told.list_id, link.c.campaign == told.key)
        some = select(link.c.target).where(is_old).limit(self.piece)
        targets = set(transaction.execute(some).scalars())
        return len(self._rename(transaction, told, link, link.c.target.in_(targets), new))

    def _end(
        self, transaction: Transaction, told: Telling, new: str, name: str, now: float
    ) -> None:
        """What has come since, and the old key's end."""
        if not self._is_alone:
            transaction.say(_LOCKING)
        is_old = and_(campaign.c.list_id == told.list_id, campaign.c.key == told.key)
        last_at = transaction.execute(select(campaign.c.last_at).where(is_old)).scalar()
        fresh = _messages(told).where(message.c.id >= first_id(now - _MARGIN))
        if last_at is not None:
            fresh = fresh.where(message.c.id <= first_id(last_at + _MARGIN))
        ids = {told.found_by, *transaction.execute(fresh).scalars()}
        for some in chunks(ids):
            _move_messages(transaction, told.key, some, new, name)
        self._move_days(transaction, told, _days(transaction.connection, told, now), new, now)
        self._rename(transaction, told, counter_campaign, None, new)
        while self._move_links(transaction, told, new):
            pass
        is_new = and_(campaign.c.list_id == told.list_id, campaign.c.key == new)
        known_at = transaction.execute(select(campaign.c.last_at).where(is_new)).scalar()
        if known_at is None:  # there was no row of the old key either, in the beginning
            transaction.execute(update(campaign).where(is_old).values(key=new, name=name))
        elif last_at is not None:
            newest = max(known_at, last_at)
            transaction.execute(update(campaign).where(is_new).values(last_at=newest))
            transaction.execute(delete(campaign).where(is_old))
        self._forget()  # for what is accepted in the same transaction
        transaction.after_commit(self._forget)
        transaction.tell(ACCOUNTS)

    def _rename(
        self,
        transaction: Transaction,
        told: Telling,
        table: Table,
        condition: ColumnElement[bool] | None,
        new: str,
    ) -> Sequence[Row[Any]]:
        """Add the rows of the old key to those of the new one, which may be there already."""
        of_key = [table.c.list_id == told.list_id, table.c.campaign == told.key]
        if "account_id" in table.c:
            of_key.append(table.c.account_id == told.account_id)
        if condition is not None:
            of_key.append(condition)
        found = transaction.execute(delete(table).where(*of_key).returning(table)).all()
        rows = [{**row._mapping, "campaign": new} for row in found]  # noqa: SLF001 - its API
        transaction.many(self._into[table], [tuple(row.values()) for row in rows])
        return found


def _messages(told: Telling) -> Select[Any]:
    return select(message.c.id).where(
        message.c.account_id == told.account_id,
        message.c.list_id == told.list_id,
        message.c.campaign == told.key,
    )


def _window(connection: Connection, told: Telling, after: int) -> tuple[list[int], int | None]:
    """Messages above `after` that are to be moved; where to go on, None: all were seen."""
    first, last = first_id(told.first_at - _MARGIN), first_id(told.last_at + _MARGIN)
    seen = and_(message.c.id > max(after, first - 1), message.c.id <= last)
    reach = select(message.c.id).where(message.c.account_id == told.account_id, seen)
    reach = reach.order_by(message.c.id).offset(_WINDOW - 1).limit(1)
    up_to = connection.execute(reach).scalar()
    query = _messages(told).where(seen, message.c.id != told.found_by)
    if up_to is not None:
        query = query.where(message.c.id <= up_to)
    return list(connection.scalars(query.order_by(message.c.id))), up_to


def _move_messages(
    transaction: Transaction, old: str, ids: Sequence[int], new: str, name: str
) -> None:
    changing = update(message).where(message.c.id.in_(ids), message.c.campaign == old)
    transaction.execute(changing.values(campaign=new, campaign_name=name))


def _days(connection: Connection, told: Telling, now: float) -> list[int]:
    """Those on which something was counted in it: found by the key, which times lead."""
    columns = counter_day_campaign.c
    found: set[int] = set()
    for some in chunks(range(day_of(told.first_at) - DAY, day_of(now) + 2 * DAY, DAY)):
        query = select(columns.day).where(
            columns.account_id == told.account_id,
            columns.day.in_(some),
            columns.list_id == told.list_id,
            columns.campaign == told.key,
        )
        found.update(connection.scalars(query))
    return sorted(found)
