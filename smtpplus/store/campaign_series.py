"""The counters of one campaign over time: what `ICampaigns.series` reads.

Guarantees: reads counters only; what was merged into the campaign is among them. Steps of whole
days read the sums by day.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from smtpplus.store.facts import DAY, HOUR, MESSAGES, day_of, hour_of
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import campaign, counter, counter_day_campaign
from smtpplus.values.message import EventType

__all__ = ["keys_of", "read_campaign_series"]

_MOST_TIMES = 5_000  # in one statement


def keys_of(connection: Connection, list_id: int, key: str) -> list[str]:
    """The campaign's own key, and those of what was merged into it."""
    own = safe_text(key)
    merged = select(campaign.c.key).where(
        campaign.c.list_id == list_id, campaign.c.merged_into == own
    )
    return [own, *connection.scalars(merged)]


def read_campaign_series(
    connection: Connection, list_id: int, key: str, since: float, until: float, step: float
) -> dict[str, list[int]]:
    """Per metric one number per `step`, from the hour of `since` on."""
    start, width = hour_of(since), max(int(step), HOUR)
    count = max(math.ceil((until - start) / width), 0)
    series = {kind.value: [0] * count for kind in EventType}
    by_day = width % DAY == 0 and start == day_of(start)
    for at, metric, n in _rows(connection, list_id, key, start, until, by_day=by_day):
        series.setdefault(metric, [0] * count)[(at - start) // width] += int(n)
    return series


def _rows(
    connection: Connection, list_id: int, key: str, start: int, until: float, *, by_day: bool
) -> Sequence[tuple[int, str, int]]:
    table = counter_day_campaign if by_day else counter
    time, width = (table.c.day, DAY) if by_day else (table.c.hour, HOUR)
    times = range(start, math.ceil(until), width)
    # Account, each time and the list lead the table's key: their rows are found at once.
    account = select(campaign.c.account_id).where(campaign.c.list_id == list_id).limit(1)
    query = (
        select(time, table.c.metric, func.sum(table.c.n))
        .where(table.c.account_id == account.scalar_subquery())
        .where(time.in_(times) if len(times) <= _MOST_TIMES else time.between(start, until))
        .where(table.c.list_id == list_id, table.c.campaign.in_(keys_of(connection, list_id, key)))
        .where(table.c.metric != MESSAGES)
        .group_by(time, table.c.metric)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]
