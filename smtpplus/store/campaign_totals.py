"""Sums of campaigns from the counters.

A campaign is counted by day, list and metric: thirty days of 240 campaigns are 57,000 rows, and
all but the newest day never change again. Guarantees: what is kept of older days is used only
where the day's own sums, which are written with each count, say that nothing was counted there
since. Safe in several threads.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, func, select

from smtpplus.store.counter_spans import Span, within
from smtpplus.store.facts import DAY, day_of
from smtpplus.store.schema import counter_campaign, counter_day, counter_day_campaign

__all__ = ["CampaignSums", "CampaignTotals"]

# By list and key of the campaign, and by metric.
CampaignSums: TypeAlias = Mapping[tuple[int, str], Mapping[str, int]]

_MOST_KEPT = 32  # spans


class CampaignTotals:
    """Reads sums of campaigns; keeps those of older days, by account and days."""

    def __init__(self) -> None:
        # Each step on it is one of the interpreter's own: readers are several threads.
        self._kept: OrderedDict[Any, tuple[Any, CampaignSums]] = OrderedDict()

    def read(
        self, connection: Connection, account_id: int | None, spans: Sequence[Span]
    ) -> CampaignSums:
        """Sums over `spans`, none of them 0; that of whole days goes first, where there is one.

        Where most of the days there are were asked for: all that was counted, less the others.
        """
        days, *ends = spans
        older: CampaignSums = {}
        if days.table is counter_day_campaign:
            outside = _outside(connection, account_id, days)
            if outside is not None:
                spans = [Span(counter_campaign), *ends, *outside]
            elif days.until - days.since > DAY:
                newest = days.until - DAY
                older = self._older(connection, account_id, replace(days, until=newest))
                spans = [replace(days, since=newest), *ends]
        found = _summed(connection, account_id, spans, _metrics(connection, account_id, spans))
        for pair, metrics in older.items():
            of_one = found[pair]
            for metric, n in metrics.items():
                of_one[metric] += n
        return {
            pair: {metric: n for metric, n in metrics.items() if n}
            for pair, metrics in found.items()
            if any(metrics.values())
        }

    def _older(self, connection: Connection, account_id: int | None, days: Span) -> CampaignSums:
        key = (account_id, days.since, days.until)
        proof = _proof(connection, account_id, days)
        kept = self._kept.pop(key, None)
        if kept is None or kept[0] != proof:
            metrics = sorted({metric for _, metric, _ in proof})
            kept = (proof, _summed(connection, account_id, [days], metrics))
        self._kept[key] = kept  # the last one used stands last
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return kept[1]


def _proof(connection: Connection, account_id: int | None, days: Span) -> Sequence[Any]:
    """What was counted on these days, by account and metric: it only grows."""
    by = (counter_day.c.account_id, counter_day.c.metric)
    query = select(*by, func.sum(counter_day.c.n)).group_by(*by).order_by(*by)
    span = Span(counter_day, days.since, days.until)
    return [tuple(row) for row in connection.execute(within(query, span, account_id))]


def _summed(
    connection: Connection, account_id: int | None, spans: Sequence[Span], metrics: Sequence[str]
) -> defaultdict[tuple[int, str], defaultdict[str, int]]:
    found: defaultdict[tuple[int, str], defaultdict[str, int]]
    found = defaultdict(lambda: defaultdict(int))
    for span in spans:
        for list_id, key, *sums in connection.execute(_campaigns(span, account_id, metrics)):
            of_one = found[list_id, key]
            for metric, n in zip(metrics, sums, strict=True):
                if n is not None:
                    of_one[metric] += span.sign * int(n)
    return found


def _campaigns(span: Span, account_id: int | None, metrics: Sequence[str]) -> Select[Any]:
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
    parts = within(found, span, account_id).subquery()
    of_all = [func.sum(parts.c[one.name]) for one in sums]
    pair = (parts.c.list_id, parts.c.campaign)
    return select(*pair, *of_all).group_by(*pair)


def _metrics(
    connection: Connection, account_id: int | None, spans: Sequence[Span]
) -> Sequence[str]:
    """What was counted on the days of `spans`."""
    days = Span(counter_day, _first_day(spans))
    found = select(counter_day.c.metric).distinct()
    return connection.execute(within(found, days, account_id)).scalars().all()


def _first_day(spans: Sequence[Span]) -> float:
    since = min(span.since for span in spans)
    return since if since == -math.inf else day_of(since)


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
