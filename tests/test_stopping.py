"""More than one signal to end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.stopping import stop_once


class AReactor:
    """What is asked of it."""

    def __init__(self) -> None:
        self.triggers: list[Callable[[], None]] = []

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], None]) -> None:
        """Twisted's."""
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(call)


class StopOnceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stops: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.signal(number, lambda number, _: self.stops.append(number))
            self.addCleanup(signal.signal, number, before)
        self.reactor = AReactor()
        stop_once(self.reactor)

    def test_D12_the_first_counts_whichever_it_is(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
        self.assertEqual(self.stops, [signal.SIGINT])

    def test_D12_none_counts_once_it_stops_by_itself(self) -> None:
        self.reactor.triggers[0]()
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(self.stops, [])
