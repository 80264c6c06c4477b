"""Reads of the counters: series for charts, sums for tables.

Guarantees: reads counters only, never events; whole days come from the sums by day, and of the
days at both ends what is fewer: the hours that were asked for, or those that were not.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import Column, Connection, Select, Table, func, literal, select, tuple_

from smtpplus.store.facts import DAY, HOUR, MESSAGES, day_of, hour_of
from smtpplus.store.messages import chunks
from smtpplus.store.schema import (
    account,
    campaign,
    counter,
    counter_campaign,
    counter_day,
    counter_day_campaign,
    counter_day_provider,
    counter_hour,
    mail_list,
    smtp_user,
)
from smtpplus.values.errors import UsageError
from smtpplus.values.message import EventType

__all__ = ["NO_PROVIDER", "read_series", "read_totals"]

NO_PROVIDER = "(none)"
_PAIRS = 200  # campaigns in one statement

_Sums: TypeAlias = defaultdict[Any, defaultdict[str, int]]


def read_series(
    connection: Connection, account_id: int | None, since: float, until: float, step: float
) -> dict[str, list[int]]:
    """Per metric one number per `step` from the hour of `since` on."""
    start, width = hour_of(since), max(int(step), HOUR)
    count = max(math.ceil((until - start) / width), 0)
    series = {kind.value: [0] * count for kind in EventType}
    spans = [_Span(_HOURS, start, until)]
    if width % DAY == 0 and start == day_of(start):
        spans = _spans(connection, (_DAYS, _HOURS), since, until)
    for (at, metric), n in _grouped(connection, account_id, spans, ("at", "metric")).items():
        if metric != MESSAGES:
            series.setdefault(metric, [0] * count)[(at - start) // width] += n
    return series


def read_totals(
    connection: Connection, account_id: int | None, since: float, until: float, by: str
) -> list[tuple[str, dict[str, int]]]:
    """Sums per metric (``messages`` among them), grouped; days in their order, newest first.

    Raises:
        UsageError: `by` is none of the groups.
    """
    if by not in _GROUPS:
        words = list(_GROUPS)
        raise UsageError(
            f"Totals are grouped by {', '.join(words[:-1])} or {words[-1]}, not by {by!r}."
        )
    tables, names = _GROUPS[by]
    spans = _spans(connection, tables, since, until)
    if by == "campaign":
        sums = _named(connection, _by_campaign(connection, account_id, spans))
    else:
        sums = _sums()
        found = _grouped(connection, account_id, spans, (*names, "metric"))
        for (group, metric), n in found.items():
            sums[group // DAY if by == "day" else group][metric] += n
    if by == "day":
        return [(_day(day), dict(sums[day])) for day in sorted(sums, reverse=True)]
    largest = sorted(sums, key=lambda group: _size(sums[group]), reverse=True)
    shown = _names(connection, by, largest) if by in {"user", "list"} else {"": NO_PROVIDER}
    return [(shown.get(group, str(group)), dict(sums[group])) for group in largest]


def _size(metrics: dict[str, int]) -> tuple[int, int]:
    return metrics.get("accepted", 0), metrics.get("delivered", 0)


def _sums() -> _Sums:
    return defaultdict(lambda: defaultdict(int))


# ---------------------------------------------------------------- which counters, from when to when


@dataclass(frozen=True, slots=True)
class _Span:
    """Counters to be read from `since` to before `until`, None: whenever; added, or taken away."""

    table: Table
    since: float | None = None
    until: float | None = None
    sign: int = 1

    @property
    def at(self) -> Column[int]:
        """The table's own measure of time."""
        found: Column[int] = self.table.c.hour if "hour" in self.table.c else self.table.c.day
        return found


_DAYS, _HOURS = counter_day, counter_hour
# The sums by day, the counters by hour, and the columns to group by.
_GROUPS: dict[str, tuple[tuple[Table, Table], tuple[str, ...]]] = {
    "user": ((_DAYS, _HOURS), ("user_id",)),
    "list": ((_DAYS, _HOURS), ("list_id",)),
    "day": ((_DAYS, _HOURS), ("at",)),
    "campaign": ((counter_day_campaign, counter), ("list_id", "campaign")),
    "provider": ((counter_day_provider, counter), ("provider",)),
}


def _spans(
    connection: Connection, tables: tuple[Table, Table], since: float, until: float
) -> list[_Span]:
    """Whole days by the day, the ends by the hour; a day of which most is wanted, less the rest."""
    days, hours = tables
    start = hour_of(since)
    first = start if start == day_of(start) else day_of(start) + DAY
    last = day_of(until)
    if last < until and not _has_counters(connection, until, last + DAY):
        last += DAY  # nothing is counted after `until`: its day is whole
    ends = []
    if first - start > DAY / 2:
        first -= DAY
        ends.append(_Span(hours, first, start, -1))
    elif start < first:
        ends.append(_Span(hours, start, first))
    if until - last > DAY / 2:
        last += DAY
        ends.append(_Span(hours, until, last, -1))
    elif last < until:
        ends.append(_Span(hours, last, until))
    if first >= last:
        return [_Span(hours, start, until)]
    return [_Span(days, first, last), *ends]


def _has_counters(connection: Connection, since: float, until: float) -> bool:
    query = select(literal(1)).select_from(counter_hour).limit(1)
    span = _Span(counter_hour, since, until)
    return connection.execute(_within(query, span, None)).first() is not None


def _within(query: Select[Any], span: _Span, account_id: int | None) -> Select[Any]:
    if span.since is not None:
        query = query.where(span.at >= span.since)
    if span.until is not None:
        query = query.where(span.at < span.until)
    account = span.table.c.account_id
    if account_id is not None:
        return query.where(account == account_id)
    return query.where(account.in_(_all_accounts(span.table)))


def _all_accounts(table: Table) -> Select[Any]:
    """The accounts that lead the table's key: with them the times are found by it."""
    first, further = table.alias("first_account"), table.alias("next_account")
    found = select(func.min(first.c.account_id).label("id")).cte("accounts", recursive=True)
    following = select(func.min(further.c.account_id)).where(further.c.account_id > found.c.id)
    found = found.union_all(select(following.scalar_subquery()).where(found.c.id.is_not(None)))
    return select(found.c.id).where(found.c.id.is_not(None))


def _grouped(
    connection: Connection,
    account_id: int | None,
    spans: Sequence[_Span],
    names: Sequence[str],
) -> dict[tuple[Any, ...], int]:
    """Sums by the columns `names`, none of them 0; ``at`` is the time."""
    found: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for span in spans:
        group: list[Column[Any]] = [
            span.at if name == "at" else span.table.c[name] for name in names
        ]
        query: Select[Any] = select(*group, func.sum(span.table.c.n)).group_by(*group)
        for *key, n in connection.execute(_within(query, span, account_id)).all():
            found[tuple(key)] += span.sign * int(n)
    return {key: n for key, n in found.items() if n}


def _by_campaign(
    connection: Connection, account_id: int | None, spans: Sequence[_Span]
) -> dict[tuple[int, str], dict[str, int]]:
    """Sums of each campaign, by list and key, none of them 0.

    Where most of the days there are were asked for: all that was counted, less the others.
    """
    days, *ends = spans
    outside = _outside(connection, account_id, days)
    if outside is not None:
        spans = [_Span(counter_campaign), *ends, *outside]
    metrics = _metrics(connection, account_id, spans)
    found: defaultdict[tuple[int, str], list[int]] = defaultdict(lambda: [0] * len(metrics))
    for span in spans:
        for list_id, key, *sums in connection.execute(_campaigns(span, account_id, metrics)):
            of_one = found[list_id, key]
            for place, n in enumerate(sums):
                if n is not None:
                    of_one[place] += span.sign * int(n)
    return {
        pair: {metric: n for metric, n in zip(metrics, sums, strict=True) if n}
        for pair, sums in found.items()
        if any(sums)
    }


def _campaigns(span: _Span, account_id: int | None, metrics: Sequence[str]) -> Select[Any]:
    """List, key and a sum of each metric; tens of thousands of rows in the order of their key first.

    To sort them all by list, key and metric would take SQLite longer than to read them.
    """
    table = span.table
    key = list(table.primary_key.columns)
    key = key[: key.index(table.c.campaign) + 1]
    sums = [
        func.sum(table.c.n).filter(table.c.metric == metric).label(f"n{place}")
        for place, metric in enumerate(metrics)
    ]
    found = select(table.c.list_id, table.c.campaign, *sums).group_by(*key)
    parts = _within(found, span, account_id).subquery()
    of_all = [func.sum(parts.c[one.name]) for one in sums]
    pair = (parts.c.list_id, parts.c.campaign)
    return select(*pair, *of_all).group_by(*pair)


def _metrics(
    connection: Connection, account_id: int | None, spans: Sequence[_Span]
) -> Sequence[str]:
    """What was counted on the days of `spans`."""
    days = _Span(counter_day, day_of(min(span.since or 0 for span in spans)))
    found = select(counter_day.c.metric).distinct()
    return connection.execute(_within(found, days, account_id)).scalars().all()


def _outside(connection: Connection, account_id: int | None, days: _Span) -> list[_Span] | None:
    """The days that were not asked for; None where those that were are fewer."""
    if days.table is not counter_day_campaign:
        return None
    ends = select(func.min(counter_day.c.day), func.max(counter_day.c.day))
    query = _within(ends, _Span(counter_day), account_id)
    first, last = connection.execute(query).one()
    if first is None:
        return None
    since, until = max(days.since, first), min(days.until, last + DAY)
    if until - since <= (last + DAY - first) / 2:
        return None
    before, after = (first, since), (until, last + DAY)
    return [_Span(days.table, *one, -1) for one in (before, after) if one[0] < one[1]]


# ---------------------------------------------------------------- names


def _named(connection: Connection, found: Mapping[tuple[int, str], Mapping[str, int]]) -> _Sums:
    """By the names of today; campaigns of one name in two lists are told apart by the list."""
    resolved = _resolved(connection, found)
    lists = _names(connection, "list", list({list_id for list_id, _ in resolved.values()}))
    places: defaultdict[str, set[int]] = defaultdict(set)
    for list_id, name in resolved.values():
        places[name].add(list_id)
    sums = _sums()
    for pair, of_one in found.items():
        at, name = resolved[pair]
        if len(places[name]) > 1:
            name = f"{name} ({lists.get(at, at)})"
        together = sums[name]
        for metric, n in of_one.items():
            together[metric] += n
    return sums


def _resolved(
    connection: Connection, keys: Collection[tuple[int, str]]
) -> dict[tuple[int, str], tuple[int, str]]:
    """Of list and key: list and name of the campaign that it is counted in."""
    into = campaign.alias("into")
    query = select(campaign.c.list_id, campaign.c.key, campaign.c.name, into.c.name).outerjoin(
        into, (into.c.list_id == campaign.c.list_id) & (into.c.key == campaign.c.merged_into)
    )
    found = {pair: (pair[0], pair[1] or NO_PROVIDER) for pair in keys}
    pairs = [pair for pair in keys if pair[1]]
    for start in range(0, len(pairs), _PAIRS):
        some = tuple_(campaign.c.list_id, campaign.c.key).in_(pairs[start : start + _PAIRS])
        for list_id, key, own, merged in connection.execute(query.where(some)):
            found[list_id, key] = (list_id, merged or own)
    return found


def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY, UTC).date().isoformat()


def _names(connection: Connection, by: str, ids: Sequence[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in chunks(ids):
        if by == "user":
            users = select(smtp_user.c.id, smtp_user.c.username).where(smtp_user.c.id.in_(some))
            found |= {row.id: row.username for row in connection.execute(users)}
            continue
        lists = (
            select(mail_list.c.id, mail_list.c.name, account.c.name.label("account_name"))
            .join(account, account.c.id == mail_list.c.account_id)
            .where(mail_list.c.id.in_(some))
        )
        found |= {row.id: f"{row.account_name}/{row.name}" for row in connection.execute(lists)}
    return found
