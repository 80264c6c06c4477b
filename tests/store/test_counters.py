"""D16, C2: counters, events and deliveries say the same, whatever happened in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.rules.aggregation import CampaignFacts, bucket
from smtpplus.store.store import Store, open_store_blocking, run
from smtpplus.values.message import Accepted, DeliveryState, EventType
from smtpplus.values.response import Response, ResponseKind
from tests.folders import folder_of
from tests.store.laid_out import lay_out
from tests.store.samples import NOW, SECRET, TO_BOB, TO_ZOE, accepted, delivery_of, settlement
from tests.store.sums import faults_in_sums

_ACCEPT = st.tuples(st.just("accept"), st.integers(1, 2), st.integers(0, 3 * 3600))
_WITHHOLD = st.tuples(
    st.just("withhold"), st.sampled_from([EventType.SUPPRESSED, EventType.CANCELLED]), st.just(0)
)
_ANSWER = st.tuples(
    st.just("answer"),
    st.lists(
        st.tuples(
            st.integers(0, 9),  # which message
            st.integers(0, 1),  # which delivery of it
            st.sampled_from([ResponseKind.OPENED, ResponseKind.CLICKED]),
            st.sampled_from(["person", "scanner"]),
            st.booleans(),  # only counted
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 50 * 3600),
)
_SETTLE = st.tuples(
    st.just("settle"),
    st.lists(
        st.tuples(
            st.integers(0, 9),  # which message
            st.integers(0, 1),  # which delivery of it
            st.integers(0, 2),  # attempts the settlement knows of
            st.sampled_from(list(DeliveryState)),
            st.booleans(),  # with a report
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 3 * 3600),
)


async def _play(store: Store, steps: list[Any]) -> None:
    items: list[Accepted] = []
    for kind, what, seconds in steps:
        at = NOW + seconds
        if kind == "accept":
            to = [TO_BOB, TO_ZOE][:what]
            item = accepted(store.ids, *to, at=at)
            campaign = f"code:{len(items) % 2}"
            items.append(replace(item, message=replace(item.message, campaign=campaign)))
            await store.queue.accept(items[-1])
            continue
        if kind == "withhold":
            item = accepted(store.ids, TO_BOB, TO_ZOE, at=at)
            first = replace(item.deliveries[0], withheld="because", withheld_as=what)
            items.append(replace(item, deliveries=(first, item.deliveries[1])))
            await store.queue.accept(items[-1])
            continue
        if kind == "answer":
            responses = _responses(items, what, at)
            await store.responses.record(responses)
            # Every second one that was a person's was none.
            persons = [one for one in responses if one.by == "person" and not one.only_counted]
            mistaken = [replace(one, by="scanner") for one in persons[::2]]
            await store.responses.record([], mistaken)
            continue
        settlements, reports = [], []
        for message, index, attempts, state, reported in what:
            if message >= len(items) or index >= len(items[message].deliveries):
                continue
            delivery = delivery_of(items[message], index, attempts)
            settlements.append(settlement(delivery, state, at=at, due_at=at + 60))
            if reported:
                of = items[message].message.id
                reports.append(accepted(store.ids, at=at, sender=None, reports_on=of))
        await store.queue.settle(settlements, reports)


def _responses(items: list[Accepted], what: list[Any], at: float) -> list[Response]:
    return [
        Response(
            answer,
            at,
            about.account_id,
            about.list_id,
            about.id,
            items[message].deliveries[index].id,
            by=by,
            target="https://a.example/" if answer is ResponseKind.CLICKED else "",
            only_counted=only_counted,
        )
        for message, index, answer, by, only_counted in what
        if message < len(items) and index < len(items[message].deliveries)
        for about in [items[message].message]
    ]


async def _faults(store: Store) -> list[str]:
    def work(connection: Connection) -> list[str]:
        def query(sql: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

        wrong = query(
            "SELECT m.id FROM message m WHERE remaining !="
            " (SELECT count(*) FROM delivery d WHERE d.message_id = m.id"
            "  AND d.state IN ('queued', 'held'))"
            " OR (remaining > 0) != EXISTS"
            " (SELECT 1 FROM content c WHERE c.message_id = m.id)"
        )
        return [*(f"message {row[0]} counts wrongly" for row in wrong), *faults_in_sums(query)]

    return await store._transactions.read(work)


def _open(folder: Path) -> Store:
    clock = ReactorClock(Clock(), lambda: NOW)
    url = lay_out(f"sqlite:///{folder}/store.sqlite")
    return open_store_blocking(url, folder, clock=clock, secret=SECRET, create=True)


class CounterTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = folder_of(self)
        run(_close(_open(folder)))
        self.empty = folder / "store.sqlite"

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(_ACCEPT, _SETTLE, _WITHHOLD, _ANSWER), max_size=25))
    def test_D16_counters_events_and_deliveries_agree(self, steps: list[Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(self.empty, folder)
            store = _open(Path(folder))
            run(_play(store, steps))
            faults = run(_faults(store))
            run(_close(store))
        self.assertEqual(faults, [])

    def test_C2_sums_over_buckets_are_all_events_also_when_clocks_are_set(self) -> None:
        """The nights of summer time, and a leap second, which a Unix clock shows twice."""
        rome = ZoneInfo("Europe/Rome")
        half_a_day = [n * 600.0 for n in range(72)]
        for begin, moments, by_day in (
            (datetime(2026, 3, 28, 20, tzinfo=UTC), half_a_day, [18, 54]),
            (datetime(2026, 10, 24, 20, tzinfo=UTC), half_a_day, [12, 60]),
            (datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC), [0.2, 0.9, 1.4, 1.0, 1.6], [5]),
        ):
            with tempfile.TemporaryDirectory() as folder:
                shutil.copy(self.empty, folder)
                store = _open(Path(folder))
                for seconds in moments:
                    at = begin.timestamp() + seconds
                    key = bucket("day", CampaignFacts(received_at=at), rome).key
                    item = accepted(store.ids, at=at)
                    item = replace(item, message=replace(item.message, campaign=key))
                    run(_accept(store, item))
                self.assertEqual(run(_faults(store)), [])
                since, until = begin.timestamp() - 86_400, begin.timestamp() + 2 * 86_400
                history = store.history
                for step in (3_600.0, 86_400.0):
                    series = run(history.counters(1, since, until, step))
                    self.assertEqual(sum(series["accepted"]), len(moments), step)
                for by in ("day", "user", "list"):
                    found = dict(run(history.totals(1, since, until, by)))
                    self.assertEqual(_accepted(found.values()), len(moments), by)
                found = dict(run(history.totals(1, since, until, "campaign")))
                sums = {key: sums["accepted"] for key, sums in found.items()}
                self.assertEqual(sorted(sums.values()), by_day)
                run(_close(store))


def _accepted(sums: Iterable[dict[str, int]]) -> int:
    return sum(one.get("accepted", 0) for one in sums)


async def _accept(store: Store, item: Accepted) -> None:
    await store.queue.accept(item)


async def _close(store: Store) -> None:
    await store.close()
