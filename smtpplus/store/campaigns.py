"""Campaigns, on a database: `ICampaigns`.

Guarantees: as the port says. Counters keep the key that a message came with; names and merges are
resolved when they are read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, exists, func, or_, select, tuple_, update
from zope.interface import implementer

from smtpplus.ports import CampaignRow, ICampaigns, LinkRow
from smtpplus.store.campaign_series import keys_of, read_campaign_series
from smtpplus.store.commits import Transaction
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import campaign, counter_campaign, link, mail_list
from smtpplus.store.search import contains
from smtpplus.store.transactions import Transactions
from smtpplus.values.errors import NotFoundError, UsageError

__all__ = ["SqlCampaigns"]

T = TypeVar("T")

_MAX_NAME = 200
_PAIRS = 200  # campaigns in one statement
_ROWS = select(campaign, mail_list.c.name.label("list_name")).outerjoin(
    mail_list, mail_list.c.id == campaign.c.list_id
)


@implementer(ICampaigns)
class SqlCampaigns:
    """Campaigns of all accounts."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def campaigns(
        self, account_id: int | None, search: str, skip: int, most: int
    ) -> Sequence[CampaignRow]:
        """See `ICampaigns.campaigns`."""
        query = _within(_ROWS.where(campaign.c.merged_into.is_(None)), account_id)
        word = search.strip()
        if word:
            name, key = func.lower(campaign.c.name), func.lower(campaign.c.key)
            query = query.where(or_(contains(name, word), contains(key, word)))

        def work(connection: Connection) -> list[CampaignRow]:
            return _with_totals(connection, _newest(connection, query, max(skip, 0), most))

        return await self._transactions.read(work)

    async def campaign(self, account_id: int | None, list_id: int, key: str) -> CampaignRow | None:
        """See `ICampaigns.campaign`."""
        query = _within(_ROWS.where(_is(list_id, key)), account_id)
        found = await self._transactions.read(
            lambda connection: _with_totals(connection, connection.execute(query).all())
        )
        return found[0] if found else None

    async def series(
        self, list_id: int, key: str, since: float, until: float, step: float
    ) -> dict[str, list[int]]:
        """See `ICampaigns.series`."""
        return await self._transactions.read(
            lambda connection: read_campaign_series(connection, list_id, key, since, until, step)
        )

    async def links(self, list_id: int, key: str, most: int) -> Sequence[LinkRow]:
        """See `ICampaigns.links`."""

        def work(connection: Connection) -> list[LinkRow]:
            persons, others = func.sum(link.c.persons), func.sum(link.c.others)
            query = (
                select(link.c.target, persons, others)
                .where(link.c.list_id == list_id)
                .where(link.c.campaign.in_(keys_of(connection, list_id, key)))
                .group_by(link.c.target)
                .order_by(persons.desc(), others.desc(), link.c.target)
                .limit(most)
            )
            return [LinkRow(row[0], int(row[1]), int(row[2])) for row in connection.execute(query)]

        return await self._transactions.read(work)

    async def others(self, list_id: int, key: str, most: int) -> Sequence[CampaignRow]:
        """See `ICampaigns.others`."""
        query = (
            _ROWS.where(campaign.c.list_id == list_id, campaign.c.key != safe_text(key))
            .where(campaign.c.merged_into.is_(None))
            .order_by(campaign.c.last_at.desc(), campaign.c.key)
            .limit(most)
        )
        return await self._transactions.read(
            lambda connection: [_row(row, {}) for row in connection.execute(query)]
        )

    async def merged(self, list_id: int, key: str) -> Sequence[CampaignRow]:
        """See `ICampaigns.merged`."""
        query = _ROWS.where(campaign.c.list_id == list_id, campaign.c.merged_into == safe_text(key))
        query = query.order_by(campaign.c.name)
        return await self._transactions.read(
            lambda connection: [_row(row, {}) for row in connection.execute(query)]
        )

    async def rename(
        self, account_id: int | None, list_id: int, key: str, name: str
    ) -> CampaignRow:
        """See `ICampaigns.rename`."""
        name = name.strip()
        if not name or len(name) > _MAX_NAME or not name.isprintable():
            raise UsageError(f"A campaign needs a name of 1 to {_MAX_NAME} printable characters.")

        def work(transaction: Transaction) -> CampaignRow:
            _one(transaction, account_id, list_id, key)
            changing = update(campaign).where(_is(list_id, key))
            transaction.execute(changing.values(name=name))
            return _one(transaction, account_id, list_id, key)

        return await self._transactions.write(work)

    async def merge(self, account_id: int | None, list_id: int, key: str, into: str) -> CampaignRow:
        """See `ICampaigns.merge`."""
        own, into = safe_text(key), safe_text(into)

        def work(transaction: Transaction) -> CampaignRow:
            found = _one(transaction, account_id, list_id, own)
            if not into:
                transaction.execute(
                    update(campaign).where(_is(list_id, own)).values(merged_into=None)
                )
                return _one(transaction, account_id, list_id, own)
            target = _one(transaction, account_id, list_id, into)
            end = target.merged_into or target.key
            if end == found.key:
                raise UsageError("A campaign cannot be merged into itself.")
            following = or_(campaign.c.key == own, campaign.c.merged_into == own)
            changing = update(campaign).where(campaign.c.list_id == list_id, following)
            transaction.execute(changing.values(merged_into=end))
            return _one(transaction, account_id, list_id, end)

        return await self._transactions.write(work)


def _newest(connection: Connection, query: Select[Any], skip: int, most: int) -> Sequence[Row[Any]]:
    """Of `query` those with the newest mails, what was merged into them among it.

    The few whose newest mail is a merged one's are read whole; of the others, by their index,
    those that may stand between them.
    """
    merged = campaign.alias("merged")
    newest = (
        select(merged.c.list_id, merged.c.merged_into, func.max(merged.c.last_at).label("at"))
        .where(merged.c.merged_into.is_not(None))
        .group_by(merged.c.list_id, merged.c.merged_into)
        .subquery()
    )
    moved = connection.execute(
        query.add_columns(newest.c.at)
        .join(
            newest,
            (newest.c.list_id == campaign.c.list_id) & (newest.c.merged_into == campaign.c.key),
        )
        .where(newest.c.at > campaign.c.last_at)
    ).all()
    if moved:
        is_moved = exists().where(
            merged.c.list_id == campaign.c.list_id,
            merged.c.merged_into == campaign.c.key,
            merged.c.last_at > campaign.c.last_at,
        )
        query = query.where(~is_moved)
    passed = max(skip - len(moved), 0)
    query = query.order_by(campaign.c.last_at.desc(), campaign.c.list_id, campaign.c.key)
    others = connection.execute(query.offset(passed).limit(skip - passed + most)).all()
    found = [(-row.at, row.list_id, row.key, row) for row in moved]
    found += [(-row.last_at, row.list_id, row.key, row) for row in others]
    found.sort(key=lambda one: one[:3])
    return [row for *_, row in found[skip - passed : skip - passed + most]]


def _is(list_id: int, key: str) -> Any:
    return (campaign.c.list_id == list_id) & (campaign.c.key == safe_text(key))


def _within(query: Select[Any], account_id: int | None) -> Select[Any]:
    return query if account_id is None else query.where(campaign.c.account_id == account_id)


def _one(transaction: Transaction, account_id: int | None, list_id: int, key: str) -> CampaignRow:
    query = _within(_ROWS.where(_is(list_id, key)), account_id)
    found = _with_totals(transaction.connection, transaction.execute(query).all())
    if not found:
        raise NotFoundError(f"There is no campaign {key!r} in this list.")
    return found[0]


def _with_totals(connection: Connection, rows: Sequence[Row[Any]]) -> list[CampaignRow]:
    """The rows, each with its sums and times and those of what was merged into it."""
    spans = {(row.list_id, row.key): (row.first_at, row.last_at) for row in rows}
    into = {(row.account_id, row.list_id, row.key): (row.list_id, row.key) for row in rows}
    for pairs in _pieces(list(into.values())):
        merged = select(campaign).where(
            tuple_(campaign.c.list_id, campaign.c.merged_into).in_(pairs)
        )
        for row in connection.execute(merged):
            pair = into[row.account_id, row.list_id, row.key] = (row.list_id, row.merged_into)
            first_at, last_at = spans[pair]
            spans[pair] = min(first_at, row.first_at), max(last_at, row.last_at)
    sums: defaultdict[tuple[int, str], defaultdict[str, int]]
    sums = defaultdict(lambda: defaultdict(int))
    columns = counter_campaign.c
    of = (columns.account_id, columns.list_id, columns.campaign)
    for keys in _pieces(list(into)):
        counted = select(*of, columns.metric, func.sum(columns.n)).where(tuple_(*of).in_(keys))
        for account_id, list_id, key, metric, n in connection.execute(
            counted.group_by(*of, columns.metric)
        ).all():
            sums[into[account_id, list_id, key]][metric] += int(n)
    found = [_row(row, dict(sums[row.list_id, row.key])) for row in rows]
    times = [spans[row.list_id, row.key] for row in rows]
    return [
        replace(one, first_at=first_at, last_at=last_at)
        for one, (first_at, last_at) in zip(found, times, strict=True)
    ]


def _pieces(keys: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(keys), _PAIRS):
        yield keys[start : start + _PAIRS]


def _row(row: Row[Any], totals: dict[str, int]) -> CampaignRow:
    return CampaignRow(
        account_id=row.account_id,
        list_id=row.list_id,
        list_name=row.list_name or "",
        key=row.key,
        name=row.name,
        first_at=row.first_at,
        last_at=row.last_at,
        merged_into=row.merged_into or "",
        totals=totals,
    )
