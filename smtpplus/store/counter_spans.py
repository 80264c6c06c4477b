"""Which counters are read for a span of time, and the conditions that say so.

Guarantees: whole days come from the sums by day, and of the days at both ends what is fewer: the
hours that were asked for, or those that were not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, func, literal, select

from smtpplus.store.facts import DAY, day_of, hour_of
from smtpplus.store.schema import counter_hour

__all__ = ["Span", "spans_between", "within"]


@dataclass(frozen=True, slots=True)
class Span:
    """Counters to be read from `since` to before `until`; added, or taken away."""

    table: Table
    since: float = -math.inf
    until: float = math.inf
    sign: int = 1

    @property
    def at(self) -> Column[int]:
        """The table's own measure of time."""
        found: Column[int] = self.table.c.hour if "hour" in self.table.c else self.table.c.day
        return found


def spans_between(
    connection: Connection, tables: tuple[Table, Table], since: float, until: float
) -> list[Span]:
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
        ends.append(Span(hours, first, start, -1))
    elif start < first:
        ends.append(Span(hours, start, first))
    if until - last > DAY / 2:
        last += DAY
        ends.append(Span(hours, until, last, -1))
    elif last < until:
        ends.append(Span(hours, last, until))
    if first >= last:
        return [Span(hours, start, until)]
    return [Span(days, first, last), *ends]


def _has_counters(connection: Connection, since: float, until: float) -> bool:
    query = select(literal(1)).select_from(counter_hour).limit(1)
    span = Span(counter_hour, since, until)
    return connection.execute(within(query, span, None)).first() is not None


def within(query: Select[Any], span: Span, account_id: int | None) -> Select[Any]:
    """`query` for the counters of `span`, of one account or, None, of all."""
    if span.since > -math.inf:
        query = query.where(span.at >= span.since)
    if span.until < math.inf:
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
