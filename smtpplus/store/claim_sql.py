"""The statements that claim deliveries, and that ask when the next one is due.

Guarantees: of each priority only the beginning of its range of the index is read, so that what is
due later costs nothing, however much it is (D11); each statement is built once. On PostgreSQL
concurrent claims pass each other's rows by.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from sqlalchemy import (
    Executable,
    Integer,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    union_all,
    update,
)

from smtpplus.rules.schedule import LEAST_URGENT, MOST_URGENT, URGENT
from smtpplus.store.dialects import StoreDialect
from smtpplus.store.schema import delivery

__all__ = ["CLAIMABLE", "ClaimSql"]

# Literals, not parameters: SQLite chooses a partial index when it prepares the statement; and
# it is told which, because without statistics it takes the index of states and sorts.
CLAIMABLE = and_(delivery.c.state == literal_column("'queued'"), delivery.c.lease_node.is_(None))
_CLAIMED = (
    delivery.c.id,
    delivery.c.message_id,
    delivery.c.address,
    delivery.c.notify,
    delivery.c.orcpt,
    delivery.c.attempts,
    delivery.c.due_at,
    delivery.c.delay_reported,
    delivery.c.name,
    delivery.c.fields,
    delivery.c.priority,
)
_now = partial(bindparam, "n_now")
_most = partial(bindparam, "n_most", type_=Integer)

Statement = tuple[Executable, dict[str, Any]]


class ClaimSql:
    """Statements for `node`, with their parameters."""

    def __init__(self, dialect: StoreDialect, node: int) -> None:
        self._dialect = dialect
        self._node = node
        self._made: dict[tuple[Any, ...], Executable] = {}

    def claim(
        self,
        now: float,
        most: int,
        without: Collection[str],
        urgent_without: Collection[str],
        lowest: int,
        *,
        lease_until: float,
        by_age: bool,
    ) -> Statement:
        """Lease up to `most`; by priority, or `by_age` alone."""
        key = ("claim", lowest, by_age, bool(without), bool(urgent_without))
        statement = self._made.get(key)
        if statement is None:
            parts = _by_priority(lowest, without=bool(without), urgent=bool(urgent_without))
            statement = self._made[key] = self._claim(parts, by_age=by_age)
        parameters = {"n_now": now, "n_most": most, "n_lease_until": lease_until}
        return statement, parameters | _left_out(without, urgent_without)

    def next_due(
        self, without: Collection[str], urgent_without: Collection[str], lowest: int
    ) -> Statement:
        """When the first of all is due."""
        key = ("next", lowest, bool(without), bool(urgent_without))
        statement = self._made.get(key)
        if statement is None:
            parts = _by_priority(lowest, without=bool(without), urgent=bool(urgent_without))
            firsts = [part.limit(1).subquery() for part in parts]
            every = union_all(*(select(first.c.due_at) for first in firsts)).subquery()
            statement = self._made[key] = select(func.min(every.c.due_at))
        return statement, _left_out(without, urgent_without)

    def _claim(self, parts: list[Select[Any]], *, by_age: bool) -> Executable:
        due = [part.where(delivery.c.due_at <= _now()).limit(_most()) for part in parts]
        locked = [
            self._dialect.lock_claimed(part, f"part_{number}") for number, part in enumerate(due)
        ]
        every = union_all(*(select(one.c.id, one.c.priority, one.c.due_at) for one in locked))
        found = every.subquery()
        order = (found.c.due_at, found.c.id)
        first = select(found.c.id).order_by(*(order if by_age else (found.c.priority, *order)))
        return (
            update(delivery)
            .where(delivery.c.id.in_(first.limit(_most())))
            .values(lease_node=self._node, lease_until=bindparam("n_lease_until"))
            .returning(*_CLAIMED)
        )


def _by_priority(lowest: int, *, without: bool, urgent: bool) -> list[Select[Any]]:
    """What can be claimed, a query for each priority, each in the order of the index."""
    parts = []
    for priority in range(MOST_URGENT, min(lowest, LEAST_URGENT) + 1):
        query = select(delivery.c.id, delivery.c.priority, delivery.c.due_at)
        query = query.with_hint(delivery, "INDEXED BY ix_delivery_claimable", "sqlite")
        query = query.where(CLAIMABLE, delivery.c.priority == priority)
        is_urgent = priority <= URGENT
        if urgent if is_urgent else without:
            name = "n_urgent_without" if is_urgent else "n_without"
            query = query.where(delivery.c.domain.not_in(bindparam(name, expanding=True)))
        parts.append(query.order_by(delivery.c.due_at, delivery.c.id))
    return parts


def _left_out(without: Collection[str], urgent_without: Collection[str]) -> dict[str, Any]:
    left_out = {"n_without": list(without), "n_urgent_without": list(urgent_without)}
    return {name: domains for name, domains in left_out.items() if domains}
