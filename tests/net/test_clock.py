"""The real clock over a reactor's timers."""

from __future__ import annotations

import time

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpplus.net.clock import ReactorClock, make_monotonic
from smtpplus.ports import IClock


class ReactorClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Clock()
        self.clock = ReactorClock(self.reactor, lambda: 1_800_000_000.5)

    def test_it_is_a_clock(self) -> None:
        verifyObject(IClock, self.clock)
        self.assertEqual(self.clock.now(), 1_800_000_000.5)
        self.reactor.advance(7)
        self.assertEqual(self.clock.monotonic(), 7.0)

    def test_sleep_ends_in_time(self) -> None:
        slept = Deferred.fromCoroutine(self.clock.sleep(3))
        self.reactor.advance(2.9)
        self.assertNoResult(slept)
        self.reactor.advance(0.1)
        self.assertIsNone(self.successResultOf(slept))

    def test_a_cancelled_sleep_leaves_no_timer(self) -> None:
        slept = Deferred.fromCoroutine(self.clock.sleep(3))
        slept.cancel()
        self.failureResultOf(slept, CancelledError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_cancelling_late_or_twice_is_harmless(self) -> None:
        calls: list[int] = []
        cancel = self.clock.call_later(1, lambda: calls.append(1))
        self.reactor.advance(1)
        cancel()
        never = self.clock.call_later(1, lambda: calls.append(2))
        never()
        never()
        self.reactor.advance(5)
        self.assertEqual(calls, [1])

    def test_C1_timers_follow_the_monotonic_clock(self) -> None:
        make_monotonic(self.reactor)
        self.assertIs(self.reactor.seconds, time.monotonic)
