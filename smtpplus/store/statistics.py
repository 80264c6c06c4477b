"""Reads of the counters: series for charts, sums for tables.

Guarantees: reads counters only, never events; sums by campaign and provider take whole days from
the sums by day, and the hours at both ends from the counters themselves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import Column, Connection, Select, Table, func, select, tuple_

from smtpplus.store.facts import DAY, HOUR, MESSAGES, day_of, hour_of
from smtpplus.store.messages import chunks
from smtpplus.store.schema import (
    account,
    campaign,
    counter,
    counter_day,
    counter_hour,
    mail_list,
    smtp_user,
)
from smtpplus.values.errors import UsageError
from smtpplus.values.message import EventType

__all__ = ["NO_PROVIDER", "read_series", "read_totals"]

NO_PROVIDER = "(none)"
_BY = ("user", "list", "day", "campaign", "provider")
_PAIRS = 200  # campaigns in one statement

_Sums: TypeAlias = defaultdict[Any, defaultdict[str, int]]


def read_series(
    connection: Connection, account_id: int | None, since: float, until: float, step: float
) -> dict[str, list[int]]:
    """Per metric one number per `step` from the hour of `since` on."""
    start, width = hour_of(since), max(int(step), HOUR)
    count = max(math.ceil((until - start) / width), 0)
    series = {kind.value: [0] * count for kind in EventType}
    columns = counter_hour.c
    step_number = ((columns.hour - start) // width).label("step_number")
    sums: Select[Any] = select(step_number, columns.metric, func.sum(columns.n))
    query = sums.where(columns.metric != MESSAGES)
    query = _within(query, counter_hour, account_id, start, until)
    for number, metric, n in connection.execute(query.group_by(step_number, columns.metric)):
        series.setdefault(metric, [0] * count)[int(number)] += int(n)
    return series


def read_totals(
    connection: Connection, account_id: int | None, since: float, until: float, by: str
) -> list[tuple[str, dict[str, int]]]:
    """Sums per metric (``messages`` among them), grouped; days in their order, newest first.

    Raises:
        UsageError: `by` is none of the groups.
    """
    if by not in _BY:
        words = f"{', '.join(_BY[:-1])} or {_BY[-1]}"
        raise UsageError(f"Totals are grouped by {words}, not by {by!r}.")
    if by == "campaign":
        sums = _by_campaign(connection, account_id, since, until)
    elif by == "provider":
        sums = _by_provider(connection, account_id, since, until)
    else:
        sums = _by_hour(connection, account_id, since, until, by)
    if by == "day":
        return [(_day(day), dict(sums[day])) for day in sorted(sums, reverse=True)]
    largest = sorted(sums, key=lambda group: _size(sums[group]), reverse=True)
    names = _names(connection, by, largest) if by in {"user", "list"} else {}
    return [(names.get(group, str(group)), dict(sums[group])) for group in largest]


def _size(metrics: dict[str, int]) -> tuple[int, int]:
    return metrics.get("accepted", 0), metrics.get("delivered", 0)


def _sums() -> _Sums:
    return defaultdict(lambda: defaultdict(int))


def _within(
    query: Select[Any], table: Table, account_id: int | None, since: float, until: float
) -> Select[Any]:
    """Between two times, by the table's own measure of time."""
    time = table.c.day if table is counter_day else table.c.hour
    query = query.where(time >= since, time < until)
    return query if account_id is None else query.where(table.c.account_id == account_id)


def _by_hour(
    connection: Connection, account_id: int | None, since: float, until: float, by: str
) -> _Sums:
    columns = counter_hour.c
    group: Any = {"user": columns.user_id, "list": columns.list_id}.get(
        by, (columns.hour // DAY).label("day")
    )
    every: Select[Any] = select(group, columns.metric, func.sum(columns.n))
    query = _within(every, counter_hour, account_id, hour_of(since), until)
    query = query.group_by(group, columns.metric)
    sums = _sums()
    for key, metric, n in connection.execute(query):
        sums[int(key)][metric] += int(n)
    return sums


def _spans(since: float, until: float) -> list[tuple[Table, float, float]]:
    """Which counters to read from when to when: whole days by the day, the ends by the hour."""
    start = hour_of(since)
    first = start if start == day_of(start) else day_of(start) + DAY
    last = day_of(until)
    if first >= last:
        return [(counter, start, until)]
    ends = [(counter, start, first), (counter, last, until)]
    return [(counter_day, first, last), *(one for one in ends if one[1] < one[2])]


def _grouped(
    connection: Connection,
    account_id: int | None,
    since: float,
    until: float,
    names: Sequence[str],
) -> dict[tuple[Any, ...], int]:
    """Sums by the columns `names`."""
    found: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for table, start, end in _spans(since, until):
        group: list[Column[Any]] = [table.c[name] for name in names]
        query = select(*group, func.sum(table.c.n)).group_by(*group)
        for *key, n in connection.execute(_within(query, table, account_id, start, end)):
            found[tuple(key)] += int(n)
    return found


def _by_provider(
    connection: Connection, account_id: int | None, since: float, until: float
) -> _Sums:
    sums = _sums()
    found = _grouped(connection, account_id, since, until, ("provider", "metric"))
    for (provider, metric), n in found.items():
        sums[provider or NO_PROVIDER][metric] += n
    return sums


def _by_campaign(
    connection: Connection, account_id: int | None, since: float, until: float
) -> _Sums:
    """By the names of today; campaigns of one name in two lists are told apart by the list."""
    found = _grouped(connection, account_id, since, until, ("list_id", "campaign", "metric"))
    resolved = _resolved(connection, {(key[0], key[1]) for key in found})
    lists = _names(connection, "list", list({list_id for list_id, _ in resolved.values()}))
    places: defaultdict[str, set[int]] = defaultdict(set)
    for list_id, name in resolved.values():
        places[name].add(list_id)
    sums = _sums()
    for (list_id, key, metric), n in found.items():
        at, name = resolved[list_id, key]
        if len(places[name]) > 1:
            name = f"{name} ({lists.get(at, at)})"
        sums[name][metric] += n
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
