"""Background work is named, counted, logged and waited for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpplus.net.clock import ReactorClock
from smtpplus.net.spawn import Spawn
from smtpplus.ports import ISpawn


class SpawnTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Clock()
        self.spawn = Spawn(ReactorClock(self.reactor))

    async def _wait(self, gate: Deferred[str]) -> str:
        return await gate

    def test_it_is_the_port(self) -> None:
        verifyObject(ISpawn, self.spawn)

    def test_work_is_counted_while_it_runs(self) -> None:
        gate: Deferred[str] = Deferred()
        self.spawn.spawn("look", self._wait(gate))
        self.spawn.spawn("look", self._wait(Deferred()))
        self.assertEqual(self.spawn.running, {"look": 2})
        gate.callback("")
        self.assertEqual(self.spawn.running, {"look": 1})

    def test_a_failure_is_logged_with_its_name(self) -> None:
        async def fail() -> None:
            raise ValueError("no")

        self.spawn.spawn("break", fail())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.spawn.running, {})

    def test_a_cancellation_is_no_failure(self) -> None:
        cancel = self.spawn.spawn("wait", self._wait(Deferred()))
        cancel()
        self.assertEqual(self.spawn.running, {})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_begin_hands_result_and_failure_over(self) -> None:
        gate: Deferred[str] = Deferred()
        ends: list[Any] = []
        self.spawn.begin("ask", self._wait(gate), ends.append)
        self.spawn.begin("ask", self._wait(succeed("at once")), ends.append)
        self.assertEqual(self.spawn.running, {"ask": 1})
        gate.errback(ValueError("no"))
        self.assertEqual(ends[0], "at once")
        self.assertIsInstance(ends[1].value, ValueError)
        self.assertEqual(self.spawn.running, {})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_drain_waits(self) -> None:
        gate: Deferred[str] = Deferred()
        self.spawn.spawn("wait", self._wait(gate))
        drained = Deferred.fromCoroutine(self.spawn.drain(10))
        self.assertNoResult(drained)
        gate.callback("")
        self.assertEqual(self.successResultOf(drained), 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_drain_cancels_in_the_end(self) -> None:
        self.spawn.spawn("wait", self._wait(Deferred()))
        self.spawn.spawn("wait", self._wait(Deferred()))
        drained = Deferred.fromCoroutine(self.spawn.drain(10))
        self.reactor.advance(10)
        self.assertEqual(self.successResultOf(drained), 2)
        self.assertEqual(self.spawn.running, {})

    def test_drain_of_nothing(self) -> None:
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.spawn.drain(10))), 0)
