"""Reads of the counters: series for charts, sums for tables.

Guarantees: reads counters only, never events.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import Column, Connection, Select, Table, func, select, tuple_

from smtpplus.store.counter_spans import Span, spans_between, within
from smtpplus.store.facts import DAY, HOUR, MESSAGES, day_of, hour_of
from smtpplus.store.group_totals import GroupTotals
from smtpplus.store.messages import chunks
from smtpplus.store.schema import (
    account,
    campaign,
    counter,
    counter_day,
    counter_day_campaign,
    counter_day_provider,
    counter_hour,
    mail_list,
    smtp_user,
)
from smtpplus.values.errors import UsageError
from smtpplus.values.message import EventType

__all__ = ["NO_PROVIDER", "read_counted", "read_series", "read_totals"]

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
    spans = [Span(_HOURS, start, until)]
    if width % DAY == 0 and start == day_of(start):
        spans = spans_between(connection, (_DAYS, _HOURS), since, until)
    for (at, metric), n in _grouped(connection, account_id, spans, ("at", "metric")).items():
        if metric != MESSAGES:
            series.setdefault(metric, [0] * count)[(at - start) // width] += n
    return series


def read_counted(connection: Connection, metric: str, since: float) -> dict[int, int]:
    """How many of `metric`, by hour from that of `since` on."""
    query = select(_HOURS.c.hour, func.sum(_HOURS.c.n)).where(_HOURS.c.metric == metric)
    query = within(query, Span(_HOURS, hour_of(since)), None).group_by(_HOURS.c.hour)
    return {int(row[0]): int(row[1]) for row in connection.execute(query)}


def read_totals(
    connection: Connection,
    kept: GroupTotals,
    account_id: int | None,
    since: float,
    until: float,
    by: str,
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
    spans = spans_between(connection, tables, since, until)
    sums: Mapping[Any, Mapping[str, int]]
    if by == "campaign":
        sums = _named(connection, kept.read(connection, account_id, spans, names))
    elif by == "provider":
        of_providers = kept.read(connection, account_id, spans, names)
        sums = {provider: metrics for (provider,), metrics in of_providers.items()}
    else:
        sums = _by_number(connection, account_id, spans, names, by)
    if by == "day":
        return [(_day(day), dict(sums[day])) for day in sorted(sums, reverse=True)]
    largest = sorted(sums, key=lambda group: _size(sums[group]), reverse=True)
    shown = _names(connection, by, largest) if by in {"user", "list"} else {"": NO_PROVIDER}
    return [(shown.get(group, str(group)), dict(sums[group])) for group in largest]


def _by_number(
    connection: Connection,
    account_id: int | None,
    spans: Sequence[Span],
    names: Sequence[str],
    by: str,
) -> _Sums:
    """By user, list or day: few rows."""
    sums = _sums()
    found = _grouped(connection, account_id, spans, (*names, "metric"))
    for (group, metric), n in found.items():
        sums[group // DAY if by == "day" else group][metric] += n
    return sums


def _size(metrics: Mapping[str, int]) -> tuple[int, int]:
    return metrics.get("accepted", 0), metrics.get("delivered", 0)


def _sums() -> _Sums:
    return defaultdict(lambda: defaultdict(int))


_DAYS, _HOURS = counter_day, counter_hour
# The sums by day, the counters by hour, and the columns to group by.
_GROUPS: dict[str, tuple[tuple[Table, Table], tuple[str, ...]]] = {
    "user": ((_DAYS, _HOURS), ("user_id",)),
    "list": ((_DAYS, _HOURS), ("list_id",)),
    "day": ((_DAYS, _HOURS), ("at",)),
    "campaign": ((counter_day_campaign, counter), ("list_id", "campaign")),
    "provider": ((counter_day_provider, counter), ("provider",)),
}


def _grouped(
    connection: Connection,
    account_id: int | None,
    spans: Sequence[Span],
    names: Sequence[str],
) -> dict[tuple[Any, ...], int]:
    """Sums by the columns `names`, none of them 0; ``at`` is the time."""
    found: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for span in spans:
        group: list[Column[Any]] = [
            span.at if name == "at" else span.table.c[name] for name in names
        ]
        query: Select[Any] = select(*group, func.sum(span.table.c.n)).group_by(*group)
        for *key, n in connection.execute(within(query, span, account_id)).all():
            found[tuple(key)] += span.sign * int(n)
    return {key: n for key, n in found.items() if n}


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
