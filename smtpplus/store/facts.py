"""Events and counters: what both accept and settle write, in one place (D16).

Guarantees: for each event of a metric the counter grows by the event's ``n``, in the same
transaction, so that sums of counters equal sums of events exactly.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import StoreDialect, insert_sql
from smtpplus.store.rows import json_text
from smtpplus.store.schema import counter, event
from smtpplus.values.ids import IdSource
from smtpplus.values.message import EventType, Message

__all__ = ["HOUR", "MESSAGES", "Counted", "FactSql", "Facts", "hour_of"]

HOUR = 3_600
MESSAGES = "messages"  # the metric that counts submissions, for limits

_ON_CONFLICT = (
    " ON CONFLICT (account_id, hour, list_id, user_id, metric, node)"
    " DO UPDATE SET n = counter.n + excluded.n"
)


def hour_of(at: float) -> int:
    """The Unix time of the start of the hour that `at` is in."""
    return int(at // HOUR) * HOUR


@dataclass(frozen=True, slots=True)
class Counted:
    """What of a message an event needs."""

    id: int
    account_id: int
    list_id: int
    user_id: int


class FactSql:
    """The SQL of events and counters, compiled once; makes event ids in the writer's thread.

    `node` counts: its number stands in the counters, so that nodes do not wait for each other.
    """

    def __init__(self, dialect: StoreDialect, ids: IdSource, node: int) -> None:
        self.ids = ids
        self.node = node
        self.events = insert_sql(event, dialect)
        self.counters = insert_sql(counter, dialect, _ON_CONFLICT)


class Facts:
    """Events and counts of one transaction, gathered and written together."""

    __slots__ = ("_counts", "_events", "_sql")

    def __init__(self, sql: FactSql) -> None:
        self._sql = sql
        self._events: list[tuple[Any, ...]] = []
        self._counts: defaultdict[tuple[int, int, int, int, str], int] = defaultdict(int)

    def add(
        self,
        kind: EventType,
        at: float,
        message: Message | Counted,
        *,
        about: int | None = None,
        delivery_id: int | None = None,
        n: int = 1,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """One event, and what it counts. `about`: the message it is about, where another one."""
        account, mail_list, user = message.account_id, message.list_id, message.user_id
        message_id = message.id if about is None else about
        self._events.append(
            (
                self._sql.ids.next(at),
                kind.value,
                at,
                account,
                mail_list,
                user,
                message_id,
                delivery_id,
                n,
                json_text(detail) if detail else "",
            )
        )
        self._counts[account, hour_of(at), mail_list, user, kind.value] += n

    def count(self, metric: str, at: float, message: Message | Counted) -> None:
        """Count what has no event of its own."""
        self._counts[message.account_id, hour_of(at), message.list_id, message.user_id, metric] += 1

    def write(self, transaction: Transaction) -> None:
        """Write them all."""
        transaction.many(self._sql.events, self._events)
        node = self._sql.node
        transaction.many(self._sql.counters, [(*key, node, n) for key, n in self._counts.items()])
