"""Reads of the counters: series for charts, sums for tables."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from smtpplus.store.facts import HOUR, MESSAGES, hour_of
from smtpplus.store.schema import account, counter, mail_list, smtp_user
from smtpplus.values.errors import UsageError
from smtpplus.values.message import EventType

__all__ = ["read_series", "read_totals"]

_DAY = 24 * HOUR


def read_series(
    connection: Connection, account_id: int | None, since: float, until: float, step: float
) -> dict[str, list[int]]:
    """Per event type one number per `step` from the hour of `since` on."""
    start, width = hour_of(since), max(int(step), HOUR)
    count = max(math.ceil((until - start) / width), 0)
    series = {kind.value: [0] * count for kind in EventType}
    query = (
        select(counter.c.hour, counter.c.metric, func.sum(counter.c.n))
        .where(counter.c.hour >= start, counter.c.hour < until, counter.c.metric != MESSAGES)
        .group_by(counter.c.hour, counter.c.metric)
    )
    if account_id is not None:
        query = query.where(counter.c.account_id == account_id)
    for hour, metric, n in connection.execute(query):
        series.setdefault(metric, [0] * count)[(hour - start) // width] += int(n)
    return series


def read_totals(
    connection: Connection, account_id: int | None, since: float, until: float, by: str
) -> list[tuple[str, dict[str, int]]]:
    """Sums per metric (``messages`` among them), grouped; days in their order, newest first.

    Raises:
        UsageError: `by` is none of the groups.
    """
    groups = {"user": counter.c.user_id, "list": counter.c.list_id, "day": counter.c.hour}
    if by not in groups:
        raise UsageError(f"Totals are grouped by user, list or day, not by {by!r}.")
    query = (
        select(groups[by], counter.c.metric, func.sum(counter.c.n))
        .where(counter.c.hour >= hour_of(since), counter.c.hour < until)
        .group_by(groups[by], counter.c.metric)
    )
    if account_id is not None:
        query = query.where(counter.c.account_id == account_id)
    sums: defaultdict[int, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for group, metric, n in connection.execute(query):
        sums[group // _DAY if by == "day" else group][metric] += int(n)
    if by == "day":
        return [(_day(day), dict(sums[day])) for day in sorted(sums, reverse=True)]
    names = _names(connection, by, list(sums))
    largest = sorted(sums, key=lambda group: sums[group].get("accepted", 0), reverse=True)
    return [(names.get(group, str(group)), dict(sums[group])) for group in largest]


def _day(number: int) -> str:
    return datetime.fromtimestamp(number * _DAY, UTC).date().isoformat()


def _names(connection: Connection, by: str, ids: Sequence[int]) -> dict[int, str]:
    if by == "user":
        users = select(smtp_user.c.id, smtp_user.c.username).where(smtp_user.c.id.in_(ids))
        return {row.id: row.username for row in connection.execute(users)}
    lists = (
        select(mail_list.c.id, mail_list.c.name, account.c.name.label("account_name"))
        .join(account, account.c.id == mail_list.c.account_id)
        .where(mail_list.c.id.in_(ids))
    )
    return {row.id: f"{row.account_name}/{row.name}" for row in connection.execute(lists)}
