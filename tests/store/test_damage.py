"""What is known of damage that readers met, and the look that follows (D15)."""

from __future__ import annotations

import threading

from twisted.internet import defer
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.damage import Damage
from smtpplus.values.errors import StoreBrokenError, StoreCorruptError
from tests.store.samples import StoreCase, accepted

_MET = StoreCorruptError("The store is damaged: so it is.")
_OTHER = StoreCorruptError("The store is damaged: elsewhere, too.")


class DamageTests(SynchronousTestCase):
    """`found` is what a look finds, each time; `meanwhile` what is met during the next."""

    def setUp(self) -> None:
        self.now = 0.0
        self.looks = 0
        self.found = ("", False)
        self.meanwhile: StoreCorruptError | None = None
        self.fails: Exception | None = None
        self.damage = Damage(lambda: self.now, self.look)

    def look(self) -> tuple[str, bool]:
        self.looks += 1
        met, self.meanwhile = self.meanwhile, None
        if met is not None:
            self.damage.has_met(met)
        if self.fails is not None:
            raise self.fails
        return self.found

    def test_D15_what_is_met_during_a_look_that_ends_well_stands(self) -> None:
        self.damage.has_met(_MET)
        self.meanwhile = _OTHER
        self.damage.look()
        self.assertEqual(self.damage.text, str(_OTHER))
        self.now += 3_600
        self.damage.look()
        self.assertEqual((self.damage.text, self.looks), ("", 2))

    def test_D15_a_look_that_fails_finds_nothing_and_is_made_again_in_a_minute(self) -> None:
        self.damage.has_met(_MET)
        self.fails = StoreBrokenError("The disk of the store failed: disk I/O error.")
        self.damage.look()
        self.assertEqual((self.damage.text, self.damage.spreading), (str(_MET), None))
        self.now += 59
        self.damage.look()
        self.assertEqual(self.looks, 1)
        self.fails = None
        self.now += 1
        self.damage.look()
        self.assertEqual((self.damage.text, self.looks), ("", 2))

    def test_D15_where_nothing_can_look_it_stands_for_an_hour_and_is_told_of_once(self) -> None:
        self.damage = Damage(lambda: self.now, None)
        with capturedLogs() as events:
            for _ in range(4):
                self.damage.has_met(_MET)
                self.damage.look()
                self.assertEqual(self.damage.text, str(_MET))
                self.now += 900
            self.damage.look()
            self.assertEqual(self.damage.text, "")
            self.damage.has_met(_MET)
        told = [formatEvent(one) for one in events if one["log_level"] is LogLevel.critical]
        self.assertEqual(told, [f"a part of the store cannot be read: {_MET}"] * 2)


class LookTests(StoreCase):
    async def test_D12_a_look_keeps_neither_readers_nor_the_end_waiting(self) -> None:
        store = self.open()
        await store.start()
        looking, finish = threading.Semaphore(0), threading.Event()
        self.addCleanup(finish.set)

        def look() -> tuple[str, bool]:
            looking.release()
            finish.wait(30)
            return "", False

        damage = store._transactions._committer.damage
        damage._look = look
        damage.has_met(_MET)
        item = accepted(store.ids)
        await store.queue.accept(item)
        await store.history.message(None, item.message.id)
        self.assertTrue(looking.acquire(timeout=30))
        self.timers.advance(7_200)
        await defer.gatherResults(
            defer.ensureDeferred(store.history.message(None, item.message.id)) for _ in range(9)
        )
        self.assertFalse(looking.acquire(blocking=False))  # one at a time
        await store.close()
