"""Events and counters: what every transaction that changes something writes, in one place (D16).

Guarantees: for each event of a metric the counters grow by the event's ``n``, in the same
transaction, so that sums of counters equal sums of events exactly, in `counter` and in each of
its sums. What a machine opened or clicked has a metric of its own,
`metric_of`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from smtpplus.store.commits import Transaction
from smtpplus.store.counting import adding
from smtpplus.store.dialects import StoreDialect, insert_sql
from smtpplus.store.rows import json_text, safe_text
from smtpplus.store.schema import COUNTERS, event
from smtpplus.values.ids import IdSource
from smtpplus.values.message import EventType, Message

__all__ = [
    "ANONYMOUS",
    "DAY",
    "HOUR",
    "MESSAGES",
    "ONCE",
    "PERSON",
    "Counted",
    "FactSql",
    "Facts",
    "Sums",
    "day_of",
    "detail_text",
    "hour_of",
    "metric_of",
    "sums_of",
]

HOUR = 3_600
DAY = 24 * HOUR
MESSAGES = "messages"  # the metric that counts submissions, for limits
ANONYMOUS = "anonymous opens"  # by persons, of deliveries that are not known (privacy mode)
PERSON = "person"  # see smtpplus.rules.opens
Sums: TypeAlias = defaultdict[tuple[Any, ...], int]
ONCE = {  # metrics that count a delivery once, however often a person opened it or clicked in it
    EventType.OPENED: "opened once",
    EventType.CLICKED: "clicked once",
}


_WORDS = {kind: kind.value for kind in EventType}  # as Enum's own ``value``, sooner


def metric_of(kind: EventType, by: str = PERSON) -> str:
    """What an event is counted as; `by` is who opened or clicked."""
    return _WORDS[kind] if by == PERSON else f"{kind.value} {by}"


def detail_text(detail: dict[str, Any]) -> str:
    """What an event says, as JSON; empty where it says nothing."""
    return json_text(detail) if detail else ""


def day_of(at: float) -> int:
    """The Unix time of the start of the day (UTC) that `at` is in."""
    return int(at // DAY) * DAY


def hour_of(at: float) -> int:
    """The Unix time of the start of the hour that `at` is in."""
    return int(at // HOUR) * HOUR


class Counted(NamedTuple):
    """What of a message an event needs."""

    id: int
    account_id: int
    list_id: int
    user_id: int
    campaign: str


class FactSql:
    """The SQL of events and counters, compiled once; `ids` are made in the writer's thread.

    `node` counts: its number stands in the counters, so that nodes do not wait for each other.
    """

    def __init__(self, dialect: StoreDialect, ids: IdSource, node: int) -> None:
        self.ids = ids
        self.node = node
        self.events = insert_sql(event, dialect)
        self.counting = dialect.counting()
        each = COUNTERS if self.counting is None else ()
        self.counters = [insert_sql(table, dialect, adding(table)) for table in each]


class Facts(msgspec.Struct, array_like=True):
    """Events and counts of one transaction, gathered and written together.

    Events have no id before they are written. `counts` are by account, hour, list, user, campaign,
    provider, metric.
    """

    events: list[tuple[Any, ...]] = []
    counts: dict[tuple[Any, ...], int] = {}

    def add(
        self,
        kind: EventType,
        at: float,
        message: Message | Counted,
        *,
        about: int | None = None,
        delivery_id: int | None = None,
        n: int = 1,
        detail: str = "",
        provider: str = "",
        by: str = PERSON,
    ) -> None:
        """One event, and what it counts.

        `about` is the message it is about, where another one; `detail` is of `detail_text`.
        """
        self.events.append(
            (
                _WORDS[kind],
                at,
                message.account_id,
                message.list_id,
                message.user_id,
                message.id if about is None else about,
                delivery_id,
                n,
                detail,
            )
        )
        self.count(metric_of(kind, by), at, message, n=n, provider=provider)

    def count(
        self, metric: str, at: float, message: Message | Counted, *, n: int = 1, provider: str = ""
    ) -> None:
        """Count what has no event of its own."""
        key = (
            message.account_id,
            hour_of(at),
            message.list_id,
            message.user_id,
            safe_text(message.campaign),
            provider,
            metric,
        )
        self.counts[key] = self.counts.get(key, 0) + n

    def add_all(self, others: Facts) -> None:
        """Those that were gathered apart."""
        self.events += others.events
        counts = self.counts
        for key, n in others.counts.items():
            counts[key] = counts.get(key, 0) + n

    def write(self, transaction: Transaction, sql: FactSql) -> None:
        """Write them all."""
        node, next_id = sql.node, sql.ids.next
        transaction.many(sql.events, [(next_id(event[1]), *event) for event in self.events])
        if sql.counting is not None:
            rows = [
                (*key[:2], key[1] - key[1] % DAY, *key[2:], node, n)
                for key, n in self.counts.items()
            ]
            transaction.many(sql.counting, rows)
            return
        for statement, counts in zip(sql.counters, sums_of(self.counts), strict=True):
            transaction.many(statement, [(*key, node, n) for key, n in counts.items()])


def sums_of(counts: Mapping[tuple[Any, ...], int]) -> tuple[Mapping[tuple[Any, ...], int], ...]:
    """The counts, and their sums as each of `COUNTERS` has them, by all but the node."""
    hours: Sums = defaultdict(int)
    days: Sums = defaultdict(int)
    campaigns: Sums = defaultdict(int)
    providers: Sums = defaultdict(int)
    ever: Sums = defaultdict(int)
    for (account, hour, mail_list, user, campaign, provider, metric), n in counts.items():
        day = hour - hour % DAY
        hours[account, hour, mail_list, user, metric] += n
        days[account, day, mail_list, user, metric] += n
        campaigns[account, day, mail_list, campaign, metric] += n
        providers[account, day, provider, metric] += n
        ever[account, mail_list, campaign, metric] += n
    return counts, hours, days, campaigns, providers, ever
