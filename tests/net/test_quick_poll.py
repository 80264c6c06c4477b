"""The poller: who wakes it, and when that is needed."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.trial.unittest import TestCase

from smtpplus.net.quick_poll import poll_quickly

_LONG = 60.0  # seconds that nobody waits where it works


class _Poller:
    """The reactor's own; says when it is entered, and how long it was to wait."""

    def __init__(self, own: Any) -> None:
        self._own = own
        self.entered = threading.Event()
        self.waits: list[float] = []

    def poll(self, timeout: float, most: int) -> Any:
        self.waits.append(timeout)
        self.entered.set()
        return self._own.poll(timeout, most)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class _Waker:
    def __init__(self, own: Any) -> None:
        self._own = own
        self.woken = 0

    def wakeUp(self) -> None:
        self.woken += 1
        self._own.wakeUp()


class QuickPollTests(TestCase):
    def setUp(self) -> None:
        self.reactor: Any = EPollReactor()
        self.addCleanup(self._close)
        self.poller = _Poller(self.reactor._poller)
        self.reactor._poller = self.poller
        self.waker = _Waker(self.reactor.waker)
        self.reactor.waker = self.waker
        poll_quickly(self.reactor)
        self.came: list[str] = []

    def _close(self) -> None:
        for reader in self.reactor.removeAll():
            reader.connectionLost(None)
        self.reactor._poller.close()

    def test_a_call_of_another_thread_ends_the_wait(self) -> None:
        def call() -> None:
            self.poller.entered.wait(_LONG)
            self.reactor.callFromThread(self.came.append, "call")

        thread = threading.Thread(target=call)
        thread.start()
        self.reactor.doIteration(_LONG)
        thread.join()
        self.reactor.runUntilCurrent()
        self.assertEqual(self.came, ["call"])
        self.assertEqual(self.waker.woken, 1)

    def test_a_call_that_came_before_the_wait_needs_nobody_to_wake_it(self) -> None:
        self.reactor.callFromThread(self.came.append, "call")
        self.reactor.doIteration(_LONG)
        self.assertEqual(self.poller.waits, [0])
        self.reactor.runUntilCurrent()
        self.assertEqual(self.came, ["call"])
        self.assertEqual(self.waker.woken, 0)

    def test_a_call_made_by_a_call_is_not_left_waiting(self) -> None:
        self.reactor.callFromThread(self.reactor.callFromThread, self.came.append, "call")
        self.reactor.runUntilCurrent()
        self.reactor.doIteration(_LONG)
        self.reactor.runUntilCurrent()
        self.assertEqual(self.came, ["call"])

    def test_without_calls_it_waits_as_long_as_it_may(self) -> None:
        self.reactor.doIteration(0)
        self.reactor.doIteration(0.01)
        self.assertEqual(self.poller.waits, [0, 0.01])
