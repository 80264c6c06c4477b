"""D16: do counters, their sums, events, deliveries and recipients say the same?

Of any store whose rows `query` answers (SQLite's or PostgreSQL's), and in which nobody was erased.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from smtpplus.store.facts import ANONYMOUS, MESSAGES, ONCE, metric_of
from smtpplus.values.message import DeliveryState, EventType

__all__ = ["faults_in_sums"]

_Query: TypeAlias = Callable[[str], Iterable[tuple[Any, ...]]]

_DAY = 86_400
_FINAL = [state.value for state in DeliveryState if state.is_final]
_COUNTED = "SELECT {group}, metric, sum(n) FROM {table} GROUP BY {group}, metric"
_SUMS = (  # a table, and by what it must be the sum of `counter`
    ("counter_hour", "account_id, hour, list_id, user_id, node"),
    ("counter_day", "account_id, {day}, list_id, user_id, node"),
    ("counter_day_campaign", "account_id, {day}, list_id, campaign, node"),
    ("counter_day_provider", "account_id, {day}, provider, node"),
    ("counter_campaign", "account_id, list_id, campaign, node"),
)
_ANSWERS = {EventType.OPENED.value, EventType.CLICKED.value}
_MAILED = (
    "FROM delivery d JOIN message m ON m.id = d.message_id"
    " WHERE m.sender IS NOT NULL AND d.withheld IS NULL"
)


def faults_in_sums(query: _Query, *, is_new: bool = True) -> list[str]:
    """What differs; nothing where all is well.

    A store that `is_new` has a recipient for each address that it mailed: it was never without.
    """
    counters = _one(query, "SELECT metric, sum(n) FROM counter GROUP BY metric")
    found = [*_sums(query), *_events(query, counters), *_deliveries(query, counters)]
    return [*found, *_recipients(query, is_new=is_new), *_links(query)]


def _one(query: _Query, sql: str) -> Counter[str]:
    return Counter({row[0]: int(row[1]) for row in query(sql) if row[1]})


def _grouped(query: _Query, table: str, group: str) -> Counter[tuple[Any, ...]]:
    sql = _COUNTED.format(group=group, table=table)
    return Counter({tuple(row[:-1]): int(row[-1]) for row in query(sql) if row[-1]})


def _sums(query: _Query) -> list[str]:
    wrong = []
    for table, group in _SUMS:
        whole = _grouped(query, "counter", group.format(day=f"hour - hour % {_DAY}"))
        part = _grouped(query, table, group.format(day="day"))
        wrong += [
            f"{table} {key}: {part[key]}, counters {whole[key]}"
            for key in {*whole, *part}
            if whole[key] != part[key]
        ]
    return wrong


def _events(query: _Query, counters: Counter[str]) -> list[str]:
    """Every counter but that of submissions and those of first answers has its events."""
    events: Counter[str] = Counter()
    for kind, n in query("SELECT type, sum(n) FROM event GROUP BY type"):
        if kind not in _ANSWERS:
            events[kind] += int(n)
    answers = (
        "SELECT type, detail, delivery_id IS NULL, sum(n) FROM event"
        " WHERE type IN ('opened', 'clicked') GROUP BY type, detail, delivery_id IS NULL"
    )
    for kind, detail, is_anonymous, n in query(answers):
        metric = metric_of(EventType(kind), json.loads(detail)["by"])
        events[metric] += int(n)
        if is_anonymous and metric == EventType.OPENED.value:
            events[ANONYMOUS] += int(n)
    without = {MESSAGES, *ONCE.values()}
    return [
        f"{metric}: counter {counters[metric]}, events {events[metric]}"
        for metric in {*counters, *events} - without
        if counters[metric] != events[metric]
    ]


def _deliveries(query: _Query, counters: Counter[str]) -> list[str]:
    """Accepted is what is delivered, bounced, expired, cancelled, and waits."""
    states = _one(query, "SELECT state, count(*) FROM delivery GROUP BY state")
    states["accepted"] = states.total()
    for name, column in (("opened once", "opened_at"), ("clicked once", "clicked_at")):
        ((n,),) = query(f"SELECT count(*) FROM delivery WHERE {column} IS NOT NULL")
        states[name] = int(n)
    return [
        f"{metric}: counter {counters[metric]}, deliveries {states[metric]}"
        for metric in (*_FINAL, "accepted", *ONCE.values())
        if counters[metric] != states[metric]
    ]


def _recipients(query: _Query, *, is_new: bool) -> list[str]:
    """Each recipient's counts are those of its deliveries and their events."""
    counted = {
        (row[0], row[1]): tuple(map(int, row[2:]))
        for row in query(
            "SELECT account_id, address_key, mails, delivered, bounced, opens, clicks FROM recipient"
        )
    }
    told: dict[tuple[Any, ...], list[int]] = {}
    for account, key, state, n in query(
        f"SELECT d.account_id, d.address_key, d.state, count(*) {_MAILED}"
        " GROUP BY d.account_id, d.address_key, d.state"
    ):
        sums = told.setdefault((account, key), [0] * 5)
        sums[0] += n
        sums[1] += n * (state == DeliveryState.DELIVERED.value)
        sums[2] += n * (state in {DeliveryState.BOUNCED.value, DeliveryState.EXPIRED.value})
    for account, key, kind, detail, n in query(
        "SELECT d.account_id, d.address_key, e.type, e.detail, sum(e.n) FROM event e"
        " JOIN delivery d ON d.id = e.delivery_id WHERE e.type IN ('opened', 'clicked')"
        " GROUP BY d.account_id, d.address_key, e.type, e.detail"
    ):
        if json.loads(detail)["by"] == "person" and (account, key) in told:
            told[account, key][3 if kind == EventType.OPENED.value else 4] += int(n)
    return [
        f"recipient {key}: {counted.get(key)}, deliveries and events {told.get(key)}"
        for key in ({*counted, *told} if is_new else counted)
        if counted.get(key, ()) != tuple(told.get(key, ()))
    ]


def _links(query: _Query) -> list[str]:
    """A click that left more than a count was on a link."""
    clicks: Counter[str] = Counter()
    for detail, n in query(
        "SELECT detail, sum(n) FROM event WHERE type = 'clicked' AND delivery_id IS NOT NULL"
        " GROUP BY detail"
    ):
        told = json.loads(detail)
        clicks[told.get("target", "")] += int(n)
    links = _one(query, "SELECT target, sum(persons + others) FROM link GROUP BY target")
    return [
        f"link {target!r}: {links[target]}, events {clicks[target]}"
        for target in {*links, *clicks}
        if links[target] != clicks[target]
    ]
