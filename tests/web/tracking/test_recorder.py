"""Groups: when they are written, what becomes of them when the store is away, and at the end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.token import TokenFacts
from smtpplus.net.clock import ReactorClock
from smtpplus.net.spawn import Spawn
from smtpplus.rules.opens import Access
from smtpplus.values.errors import StoreUnavailableError
from smtpplus.values.submission import MailList, Stream
from smtpplus.web.tracking.hits import Hit
from smtpplus.web.tracking.recorder import GROUP_HITS, GROUP_SECONDS, Recorder
from tests.web.house import NOW
from tests.web.tracking.rig import MemoryResponses

_AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"


class _Lists:
    """List 1 as it is, list 2 in privacy mode; there is no list 3."""

    async def list_by_id(self, list_id: int) -> MailList | None:
        settings = {"privacy": True} if list_id == 2 else {}
        if list_id == 3:
            return None
        return MailList(list_id, 1, "orders", Stream.TRANSACTIONAL, settings, NOW)


class RecorderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.kept = MemoryResponses({1: "orders"})
        self.number = 0
        self.recorder = self.make()

    def make(self, most_waiting: int = 1000) -> Recorder:
        clock = ReactorClock(self.clock, lambda: NOW + self.clock.seconds())
        self.spawn = Spawn(clock)
        accounts: Any = _Lists()
        return Recorder(self.kept, accounts, clock, self.spawn, most_waiting=most_waiting)

    def hit(self, list_id: int = 1) -> None:
        self.number += 1
        facts = TokenFacts(1, list_id, 7, self.number)
        at = NOW + self.clock.seconds()
        self.recorder.note(Hit(Access.OPEN, at, facts, "GET", "192.0.2.1", _AGENT, {}))

    def stop(self) -> bool:
        """Stop, with time going on; did it end?"""
        ended: list[object] = []
        Deferred.fromCoroutine(self.recorder.stop()).addCallback(ended.append)
        for _ in range(400):
            self.clock.advance(0.02)
        return bool(ended)

    def test_a_group_is_written_within_a_second_of_its_first_hit(self) -> None:
        for _ in range(10):
            self.hit()
            self.clock.advance(0.06)
        self.assertEqual(self.kept.groups, [])
        self.clock.advance(GROUP_SECONDS - 0.59)
        self.assertEqual([len(group) for group in self.kept.groups], [10])
        self.assertLess(GROUP_SECONDS, 1.0)

    def test_a_full_group_is_written_at_once_and_the_next_follows(self) -> None:
        self.recorder = self.make(most_waiting=2 * GROUP_HITS)
        for _ in range(GROUP_HITS + 5):
            self.hit()
        self.assertEqual([len(group) for group in self.kept.groups], [GROUP_HITS])
        self.clock.advance(GROUP_SECONDS)
        self.assertEqual([len(group) for group in self.kept.groups], [GROUP_HITS, 5])
        self.assertEqual((self.recorder.written, self.recorder.waiting), (GROUP_HITS + 5, 0))

    def test_nothing_runs_when_there_is_nothing_to_write(self) -> None:
        self.hit()
        self.clock.advance(5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_store_that_is_away_is_tried_again_and_nothing_is_lost_or_doubled(self) -> None:
        self.kept.error = StoreUnavailableError("locked")
        for _ in range(20):
            self.hit()
            self.clock.advance(1.0)
        self.assertEqual((self.kept.groups, self.recorder.waiting), ([], 20))
        self.kept.error = None
        self.kept.record_errors = [StoreUnavailableError("locked again")]
        for _ in range(20):
            self.clock.advance(1.0)
        self.assertEqual([one.delivery_id for one in self.kept.recorded], list(range(1, 21)))
        self.assertEqual((self.recorder.waiting, self.recorder.lost), (0, 0))

    def test_what_waits_is_bounded(self) -> None:
        self.recorder = self.make(most_waiting=50)
        self.kept.error = StoreUnavailableError("locked")
        for _ in range(60):
            self.hit()
        self.clock.advance(GROUP_SECONDS)
        self.assertEqual((self.recorder.waiting, self.recorder.lost), (50, 10))
        self.kept.error = None
        self.clock.advance(60)
        self.assertEqual(len(self.kept.recorded), 50)

    def test_a_group_that_cannot_be_written_does_not_stand_in_the_way_of_the_next(self) -> None:
        self.kept.record_errors = [ValueError("no")]
        self.hit()
        self.clock.advance(GROUP_SECONDS)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.hit()
        self.clock.pump([1.0] * 3)
        self.assertEqual([one.delivery_id for one in self.kept.recorded], [2])
        self.assertEqual(self.recorder.lost, 1)

    def test_stopping_writes_what_is_left(self) -> None:
        self.hit()
        self.assertTrue(self.stop())
        self.assertEqual(len(self.kept.recorded), 1)
        self.hit()
        self.clock.advance(10)
        self.assertEqual((len(self.kept.recorded), self.recorder.lost), (1, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_ends_also_while_the_store_is_away(self) -> None:
        self.kept.error = StoreUnavailableError("locked")
        self.hit()
        self.assertTrue(self.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.spawn.running, {})

    def test_in_privacy_mode_opens_are_only_counted(self) -> None:
        for list_id in (1, 2, 3):
            self.hit(list_id)
        self.clock.advance(GROUP_SECONDS)
        found = {one.list_id: one for one in self.kept.recorded}
        self.assertEqual((found[1].only_counted, found[1].client_ip), (False, "192.0.2.1"))
        for list_id in (2, 3):
            one = found[list_id]
            self.assertEqual((one.only_counted, one.client_ip, one.agent), (True, "", ""))
