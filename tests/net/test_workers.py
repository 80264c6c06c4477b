"""Threads, bounded."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from smtpplus.net.workers import InlineWorkers, Workers, WorkersStoppedError
from smtpplus.ports import IWorkers


class WorkersTests(TestCase):
    def setUp(self) -> None:
        self.workers = Workers(reactor, "test", 2)
        self.workers.start()
        self.addCleanup(self.workers.stop)

    def test_they_are_the_port(self) -> None:
        verifyObject(IWorkers, self.workers)
        verifyObject(IWorkers, InlineWorkers())

    @inlineCallbacks
    def test_results_and_exceptions_arrive(self) -> Generator[Deferred[Any], Any, None]:
        name = yield self._work(lambda: threading.current_thread().name)
        self.assertIn("test", name)
        yield self.assertFailure(self._work(int, "x"), ValueError)
        self.assertEqual(self.workers.unfinished, 0)

    @inlineCallbacks
    def test_never_more_threads_than_asked_for(self) -> Generator[Deferred[Any], Any, None]:
        both = threading.Barrier(2)
        running: set[str] = set()

        def work() -> None:
            running.add(threading.current_thread().name)
            both.wait(10)

        yield gatherResults([self._work(work) for _ in range(20)])
        self.assertEqual(len(running), 2)

    @inlineCallbacks
    def test_stop_finishes_what_was_taken(self) -> Generator[Deferred[Any], Any, None]:
        gate = threading.Event()
        begun = self._work(gate.wait, 10)
        stopped = self.workers.stop()
        yield self.assertFailure(self._work(int), WorkersStoppedError)
        gate.set()
        yield stopped
        self.assertTrue(self.successResultOf(begun))

    def test_inline_runs_at_once(self) -> None:
        self.assertEqual(self.successResultOf(InlineWorkers().run(int, "7")), 7)
        self.failureResultOf(InlineWorkers().run(int, "x"), ValueError)

    def _work(self, function: Any, *arguments: Any) -> Deferred[Any]:
        return self.workers.run(function, *arguments)
