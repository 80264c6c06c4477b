"""D16: counters, events and deliveries say the same, whatever happened in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.store import Store, open_store_blocking, run
from smtpplus.values.message import DeliveryState
from tests.store.samples import NOW, SECRET, TO_BOB, TO_ZOE, accepted, delivery_of, settlement

_FINAL = [state for state in DeliveryState if state.is_final]
_ACCEPT = st.tuples(st.just("accept"), st.integers(1, 2), st.integers(0, 3 * 3600))
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
    items = []
    for kind, what, seconds in steps:
        at = NOW + seconds
        if kind == "accept":
            to = [TO_BOB, TO_ZOE][:what]
            items.append(accepted(store.ids, *to, at=at))
            await store.queue.accept(items[-1])
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


_Tables: TypeAlias = tuple[Counter[str], Counter[str], Counter[str], Counter[str]]


async def _tables(store: Store) -> _Tables:
    def work(connection: Connection) -> _Tables:
        def count(sql: str) -> Counter[str]:
            rows = connection.exec_driver_sql(sql)
            return Counter({name: n for name, n in rows if n})

        return (
            count("SELECT metric, sum(n) FROM counter GROUP BY metric"),
            count("SELECT type, sum(n) FROM event GROUP BY type"),
            count("SELECT state, count(*) FROM delivery GROUP BY state"),
            count(
                "SELECT 'wrong', count(*) FROM message m WHERE remaining !="
                " (SELECT count(*) FROM delivery d WHERE d.message_id = m.id"
                "  AND d.state IN ('queued', 'held'))"
                " OR (remaining > 0) != EXISTS"
                " (SELECT 1 FROM content c WHERE c.message_id = m.id)"
            ),
        )

    return await store._transactions.read(work)


def _open(folder: Path) -> Store:
    clock = ReactorClock(Clock(), lambda: NOW)
    url = f"sqlite:///{folder}/store.sqlite"
    return open_store_blocking(url, folder, clock=clock, secret=SECRET, create=True)


class CounterTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        run(_close(_open(folder)))
        self.empty = folder / "store.sqlite"

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(_ACCEPT, _SETTLE), max_size=25))
    def test_D16_counters_events_and_deliveries_agree(self, steps: list[Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(self.empty, folder)
            store = _open(Path(folder))
            run(_play(store, steps))
            counters, events, deliveries, wrong = run(_tables(store))
            run(_close(store))
        self.assertEqual(wrong, Counter())
        del counters["messages"]
        self.assertEqual(counters, events)
        for state in _FINAL:
            self.assertEqual(counters[state.value], deliveries[state.value])
        self.assertEqual(counters["accepted"], deliveries.total())


async def _close(store: Store) -> None:
    await store.close()
