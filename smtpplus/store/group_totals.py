"""Sums of campaigns and providers from the counters.

A campaign is counted by day, list and metric: thirty days of 240 campaigns are 57,000 rows, and
all but the newest day never change again; nor do the hours at the beginning of what was asked
for. Guarantees: what is kept of a time is used only where the sums of its days or hours, which
are written with each count, say that nothing was counted there since, and no campaign was moved
(campaign_moves.py). Safe in several threads.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, func, select

from smtpplus.store.counter_spans import Span, within
from smtpplus.store.erased_campaigns import MOVED
from smtpplus.store.facts import DAY
from smtpplus.store.schema import (
    counter,
    counter_campaign,
    counter_day,
    counter_day_campaign,
    counter_day_provider,
    counter_hour,
    installation,
)

__all__ = ["GroupSums", "GroupTotals"]

# By the values of the columns, and by metric.
GroupSums: TypeAlias = Mapping[tuple[Any, ...], Mapping[str, int]]

_MOST_KEPT = 20_000  # groups of all spans together, below 1 KiB each
_PROOFS = {  # written with each count
    counter_day_campaign: counter_day,
    counter_day_provider: counter_day,
    counter: counter_hour,
}

_MOVED = select(installation.c.value).where(installation.c.name == MOVED)


class GroupTotals:
    """Reads sums by group; keeps them, by account and time."""

    def __init__(self) -> None:
        # Each step on it is one of the interpreter's own: readers are several threads.
        self._kept: OrderedDict[Any, tuple[Any, GroupSums]] = OrderedDict()

    def read(
        self,
        connection: Connection,
        account_id: int | None,
        spans: Sequence[Span],
        names: tuple[str, ...],
    ) -> GroupSums:
        """Sums over `spans` by the columns `names`, none of them 0.

        The span of whole days goes first, where there is one. Where most of the days there are
        were asked for: all that was counted, less the others.
        """
        days, *ends = spans
        outside = None
        if days.table is counter_day_campaign:
            outside = _outside(connection, account_id, days)
        if outside is not None:
            spans = [Span(counter_campaign), *ends, *outside]
        elif days.table is not counter and days.until - days.since > DAY:
            newest = days.until - DAY
            spans = [replace(days, until=newest), replace(days, since=newest), *ends]
        found: defaultdict[tuple[Any, ...], defaultdict[str, int]]
        found = defaultdict(lambda: defaultdict(int))
        for span in spans:
            for group, metrics in self._of(connection, account_id, span, names).items():
                of_one = found[group]
                for metric, n in metrics.items():
                    of_one[metric] += span.sign * n
        return {
            group: {metric: n for metric, n in metrics.items() if n}
            for group, metrics in found.items()
            if any(metrics.values())
        }

    def _of(
        self, connection: Connection, account_id: int | None, span: Span, names: tuple[str, ...]
    ) -> GroupSums:
        """Sums of one span, as they were kept where nothing was counted in it since."""
        if span.table not in _PROOFS:
            return _summed(connection, account_id, span, names, _metrics(connection, account_id))
        key = (names, account_id, span.table.name, span.since, span.until)
        counted = _proof(connection, account_id, span)
        proof = (counted, connection.execute(_MOVED).scalar())
        kept = self._kept.pop(key, None)
        if kept is None or kept[0] != proof:
            metrics = sorted({metric for _, metric, _ in counted})
            kept = (proof, _summed(connection, account_id, span, names, metrics))
        self._kept[key] = kept  # the last one used stands last
        with contextlib.suppress(KeyError):  # another thread has just taken the last one away
            while sum([1 + len(sums) for _, sums in list(self._kept.values())]) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return kept[1]


def _proof(connection: Connection, account_id: int | None, span: Span) -> Sequence[Any]:
    """What was counted in this time, by account and metric: it only grows."""
    table = _PROOFS[span.table]
    by = (table.c.account_id, table.c.metric)
    query = select(*by, func.sum(table.c.n)).group_by(*by).order_by(*by)
    counted = Span(table, span.since, span.until)
    return [tuple(row) for row in connection.execute(within(query, counted, account_id))]


def _summed(
    connection: Connection,
    account_id: int | None,
    span: Span,
    names: tuple[str, ...],
    metrics: Sequence[str],
) -> GroupSums:
    found: dict[tuple[Any, ...], Mapping[str, int]] = {}
    for row in connection.execute(_by_group(span, account_id, names, metrics)):
        group, sums = tuple(row[: len(names)]), row[len(names) :]
        found[group] = {
            metric: int(n) for metric, n in zip(metrics, sums, strict=True) if n is not None
        }
    return found


def _by_group(
    span: Span, account_id: int | None, names: tuple[str, ...], metrics: Sequence[str]
) -> Select[Any]:
    """The columns and a sum of each metric; many rows in the order of their key first.

    To sort tens of thousands by group and metric would take SQLite longer than to read them.
    """
    table = span.table
    key = list(table.primary_key.columns)
    key = key[: 1 + max(key.index(table.c[name]) for name in names)]
    group = [table.c[name] for name in names]
    sums = [
        func.sum(table.c.n).filter(table.c.metric == metric).label(f"n{place}")
        for place, metric in enumerate(metrics)
    ]
    found = select(*group, *sums).group_by(*key)
    parts = within(found, span, account_id).subquery()
    columns = [parts.c[name] for name in names]
    of_all = [func.sum(parts.c[one.name]) for one in sums]
    return select(*columns, *of_all).group_by(*columns)


def _metrics(connection: Connection, account_id: int | None) -> Sequence[str]:
    """What was ever counted."""
    found = select(counter_day.c.metric).distinct()
    return connection.execute(within(found, Span(counter_day), account_id)).scalars().all()


def _outside(connection: Connection, account_id: int | None, days: Span) -> list[Span] | None:
    """The days that were not asked for; None where those that were are fewer."""
    ends = select(func.min(counter_day.c.day), func.max(counter_day.c.day))
    query = within(ends, Span(counter_day), account_id)
    first, last = connection.execute(query).one()
    if first is None:
        return None
    since, until = max(days.since, first), min(days.until, last + DAY)
    if until - since <= (last + DAY - first) / 2:
        return None
    before, after = (first, since), (until, last + DAY)
    return [Span(days.table, *one, -1) for one in (before, after) if one[0] < one[1]]
