"""What is counted, and what Prometheus' own reader makes of the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from smtpplus.log import LeastLevel, MailLog, UserNames
from smtpplus.metrics import CountedQueue, Metrics
from smtpplus.net.clock import ReactorClock
from smtpplus.net.delay import ReactorDelay
from smtpplus.net.spawn import Spawn
from smtpplus.ports import IHistory, IQueue
from smtpplus.store.memory import MemoryContents, MemoryQueue
from smtpplus.values.errors import StoreBrokenError, StoreFullError, StoreUnavailableError
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Accepted, DeliveryState
from smtpplus.values.queue import QueueChange, Selection
from tests.store.samples import (
    NOW,
    TO_BOB,
    TO_ZOE,
    StoreCase,
    accepted,
    delivery_of,
    settlement,
)


class _Sizes:
    """A history that is asked for the queue's size and counts alone."""

    async def queue_ages(
        self, bounds: Sequence[float], now: float
    ) -> dict[DeliveryState, tuple[int, ...]]:
        return {DeliveryState.QUEUED: (3, *(0 for _ in bounds))}

    async def counted(self, metric: str, since: float) -> dict[int, int]:
        return {}


class MetricsTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(ReactorClock(self.clock, lambda: NOW))
        self.inner = MemoryQueue(MemoryContents())
        self.lines: list[str] = []
        self.log = MailLog(
            self.lines.append,
            LeastLevel("info"),
            UserNames(lambda: succeed(()), Spawn(ReactorClock(self.clock))),
        )
        self.queue = CountedQueue(self.inner, self.metrics.counts, self.log)

    async def values(self) -> dict[str, float]:
        page = (await self.metrics.page()).decode()
        return {
            f"{sample.name}{sorted(sample.labels.values()) or ''}": sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }

    async def test_work_is_counted_after_its_commit(self) -> None:
        verifyObject(IQueue, self.queue)
        ids = IdSource(0)
        item = accepted(ids, TO_BOB, TO_ZOE, TO_BOB, leased=True)
        await self.queue.accept(item)
        self.assertEqual(self.queue.unwritten, 0)
        later = settlement(delivery_of(item, 1), DeliveryState.QUEUED, due_at=NOW + 9)
        await self.queue.settle([settlement(delivery_of(item)), later])
        await self.queue.settle([settlement(delivery_of(item, 2), DeliveryState.BOUNCED)])
        self.inner.failure = StoreUnavailableError("away")
        with self.assertRaises(StoreUnavailableError):
            await self.queue.accept(accepted(ids))
        self.assertEqual(
            [json.loads(line)["event"] for line in self.lines],
            ["accepted", "delivered", "deferred", "bounced"],
        )
        found = await self.values()
        for name, value in {
            "messages_accepted": 1,
            "accepted": 3,
            "delivered": 1,
            "deferred": 1,
            "bounced": 1,
            "expired": 0,
            "accepts_failed": 1,
        }.items():
            self.assertEqual(found[f"smtpplus_{name}_total"], value, name)

    async def test_R_too_much_unwritten_is_told(self) -> None:
        held: list[Deferred[None]] = []

        class Slow(MemoryQueue):
            def accept(self, accepted: Accepted) -> Deferred[None]:
                held.append(Deferred())
                return held[-1]

        queue = CountedQueue(Slow(MemoryContents()), self.metrics.counts, self.log)
        ids = IdSource(0)
        waiting = [queue.accept(accepted(ids)) for _ in range(999)]
        self.assertFalse(queue.is_crowded)
        waiting.append(queue.accept(accepted(ids)))
        self.assertTrue(queue.is_crowded)
        held.pop().callback(None)
        self.assertFalse(queue.is_crowded)
        self.assertEqual(len(waiting), 1000)
        large = [queue.accept(accepted(ids, content=bytes(1 << 20))) for _ in range(32)]
        self.assertTrue(queue.is_crowded)
        for one in held:
            one.callback(None)
        self.assertEqual((queue.is_crowded, queue.unwritten, len(large)), (False, 0, 32))

    async def test_a_store_that_answers_nothing_is_told_of(self) -> None:
        held: list[Deferred[None]] = []

        class Stuck(MemoryQueue):
            def accept(self, accepted: Accepted) -> Deferred[None]:
                held.append(Deferred())
                return held[-1]

        queue = CountedQueue(Stuck(MemoryContents()), self.metrics.counts, self.log)
        ids = IdSource(0)
        self.clock.advance(100)
        self.assertEqual(await queue.trouble(), "")  # nothing is waited for
        waiting = [queue.accept(accepted(ids)) for _ in range(2)]
        self.clock.advance(14)
        self.assertEqual(await queue.trouble(), "")
        self.clock.advance(6)
        self.assertEqual(await queue.trouble(), "The store has not answered for 20 s.")
        held.pop().callback(None)
        self.assertEqual(await queue.trouble(), "")
        self.clock.advance(15)
        self.assertEqual(await queue.trouble(), "The store has not answered for 15 s.")
        held.pop().callback(None)
        self.assertEqual((await queue.trouble(), len(waiting)), ("", 2))

    async def test_trouble_of_the_store_is_told_for_a_while(self) -> None:
        self.assertEqual(await self.queue.trouble(), "")
        self.inner.failure = StoreBrokenError("The disk failed.")
        with self.assertRaises(StoreBrokenError):
            await self.queue.accept(accepted(IdSource(0)))
        self.assertEqual(await self.queue.trouble(), "The disk failed.")
        self.clock.advance(11)
        self.assertEqual(await self.queue.trouble(), "")

    async def test_D5_what_was_not_settled_or_is_known_stands_against_the_store_too(self) -> None:
        known = [""]
        self.queue = CountedQueue(
            self.inner, self.metrics.counts, self.log, known_trouble=lambda: known[0]
        )
        self.inner.failure = StoreFullError("The disk is full.")
        with self.assertRaises(StoreFullError):
            await self.queue.settle([])
        self.assertEqual(await self.queue.trouble(), "The disk is full.")
        self.clock.advance(11)
        self.assertEqual(self.queue.noted_trouble, "")
        known[0] = "The store is damaged."
        self.assertEqual(await self.queue.trouble(), "The store is damaged.")

    async def test_D5_store_up_tells_of_it_and_of_the_writer(self) -> None:
        sources = self.metrics.sources
        sources.queue, sources.history = self.queue, cast("IHistory", _Sizes())
        sources.trouble = lambda: "The disk is full."
        found = await self.values()
        self.assertEqual(found["smtpplus_store_up"], 0)
        sources.trouble, sources.writer_trouble = str, lambda: "The disk is full."
        found = await self.values()
        self.assertEqual(found["smtpplus_store_up"], 1)
        self.assertEqual(found["smtpplus_store_up['writer']"], 0)

    async def test_lanes_beyond_the_fullest_share_a_label(self) -> None:
        self.metrics.sources.lanes = lambda: {f"d{n}.example": (n, 1, 10) for n in range(80)}
        found = await self.values()
        self.assertEqual(found["smtpplus_lanes"], 80)
        self.assertEqual(found["smtpplus_lane_waiting['d79.example']"], 79)
        self.assertEqual(found["smtpplus_lane_waiting['']"], sum(range(30)))
        self.assertEqual(sum("lane_under_way" in name for name in found), 51)
        self.assertEqual(found["smtpplus_lane_limit['d79.example']"], 10)
        self.assertEqual(found["smtpplus_lane_limit['']"], 300)

    async def test_process_and_store_are_there_also_without_a_store(self) -> None:
        found = await self.values()
        self.assertEqual(found["smtpplus_store_up"], 0)
        self.assertGreater(found["process_resident_memory_bytes"], 1e6)

    async def test_commits_and_delays_are_histograms(self) -> None:
        self.metrics.commit(20, 0.004, 0.003)
        self.metrics.commit(1, 0.001, 0.0)  # rolled back
        self.metrics.delay(0.2)
        found = await self.values()
        self.assertEqual(found["smtpplus_commit_requests_sum"], 21)
        self.assertEqual(found["smtpplus_commit_seconds_count"], 2)
        self.assertEqual(found["smtpplus_sync_seconds_sum"], 0.003)
        self.assertEqual(found["smtpplus_reactor_delay_seconds_bucket['0.25']"], 1)


class StoredTests(StoreCase):
    """What is read from the store, whoever wrote it."""

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.now = NOW
        self.metrics = Metrics(ReactorClock(Clock(), lambda: self.now))
        self.store = await self.started()
        sources = self.metrics.sources
        sources.history, sources.queue = self.store.history, self.store.queue

    async def values(self, name: str) -> dict[tuple[str, ...], float]:
        page = (await self.metrics.page()).decode()
        return {
            tuple(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == f"smtpplus_{name}"
        }

    async def put(self, at: float, withheld: str = "") -> Accepted:
        item = accepted(self.store.ids, TO_BOB, at=at)
        new = tuple(replace(one, withheld=withheld) for one in item.deliveries)
        await self.store.queue.accept(replace(item, deliveries=new))
        return item

    async def cancelled(self) -> float:
        return (await self.values("cancelled_total"))[()]

    async def test_what_anybody_cancelled_since_the_start_is_counted(self) -> None:
        everything = Selection(everything=True)
        elsewhere = self.open_blocking().queue  # as the command line has it
        await self.put(NOW)
        await elsewhere.change(QueueChange.CANCEL, everything, NOW, "")
        await self.metrics.begin()
        self.assertEqual(await self.cancelled(), 0)
        for number in range(1, 5):
            await self.put(self.now)
            await elsewhere.change(QueueChange.CANCEL, everything, self.now, "")
            self.assertEqual(await self.cancelled(), number)
            self.now += 3_000
        item = await self.put(self.now)
        suppressed = settlement(delivery_of(item), DeliveryState.CANCELLED, at=self.now)
        await self.store.queue.settle([suppressed])
        await self.put(self.now, withheld="suppressed")
        self.assertEqual(await self.cancelled(), 6)
        self.now += 86_400
        self.assertEqual(await self.cancelled(), 6)

    async def test_what_waits_is_told_by_state_and_age(self) -> None:
        for seconds in (10_000_000, 86_401, 86_399, 3_600, 61, 59, 0):  # ids grow
            last = await self.put(NOW - seconds)
        which = Selection(ids=(last.message.id,))
        await self.store.queue.change(QueueChange.HOLD, which, NOW, "")
        found = await self.values("queue_age")
        ages = ("1m", "15m", "4h", "1d", "older")
        by_state = {state: [found[age, state] for age in ages] for state in ("queued", "held")}
        self.assertEqual(by_state, {"queued": [1, 1, 1, 1, 2], "held": [1, 0, 0, 0, 0]})
        self.assertEqual(await self.values("queue"), {("queued",): 6, ("held",): 1})


class DelayTests(TestCase):
    def test_a_late_timer_is_remembered_for_a_minute(self) -> None:
        clock = Clock()
        seen: list[float] = []
        delay = ReactorDelay(ReactorClock(clock), seen.append)
        delay.start()
        clock.advance(0.5)
        clock.advance(1.5)
        self.assertEqual((delay.worst, seen), (1.0, [0.0, 1.0]))
        clock.pump([0.5] * 121)
        self.assertEqual(delay.worst, 0.0)
        delay.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
