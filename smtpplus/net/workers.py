"""A bounded pool of threads for DNS, signing and password checks.

Guarantees: never more threads than were asked for; results and exceptions arrive on the
reactor thread; after `stop` nothing new is taken and what was taken is finished. Raises
`WorkersStoppedError` for work that comes too late. Work that runs cannot be interrupted:
cancelling only forgets its result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from smtpplus.ports import IWorkers

__all__ = ["InlineWorkers", "Workers", "WorkersStoppedError"]

T = TypeVar("T")


class WorkersStoppedError(Exception):
    """The pool was stopped, or not started yet: the work was not taken."""


@implementer(IWorkers)
class Workers:
    """At most `threads` threads called `name`; they start when there is work for them."""

    def __init__(self, reactor: Any, name: str, threads: int) -> None:
        self._reactor = reactor
        self._name = name
        self._pool = ThreadPool(0, threads, name)
        self._is_running = False
        self._unfinished = 0

    @property
    def unfinished(self) -> int:
        """Pieces of work that wait or run."""
        return self._unfinished

    def start(self) -> None:
        """Take work from now on."""
        self._pool.start()
        self._is_running = True

    def stop(self) -> Deferred[None]:
        """Take no more, finish what was taken; the threads have ended when the answer fires.

        The reactor is not blocked meanwhile, and must go on running until then.
        """
        if not self._is_running:
            return maybeDeferred(lambda: None)
        self._is_running = False
        ended: Deferred[None] = Deferred()

        def join() -> None:
            self._pool.stop()
            self._reactor.callFromThread(ended.callback, None)

        threading.Thread(target=join, name=f"{self._name}-stop", daemon=True).start()
        return ended

    def run(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """Run ``function(*arguments)`` in a thread."""
        if not self._is_running:
            return fail(WorkersStoppedError(f"The {self._name} threads are not running."))
        done: Deferred[T] = Deferred()
        self._unfinished += 1

        def arrived(succeeded: bool, result: Any) -> None:
            self._unfinished -= 1
            if succeeded:
                done.callback(result)
            else:
                done.errback(result)

        def finished(succeeded: bool, result: Any) -> None:
            self._reactor.callFromThread(arrived, succeeded, result)

        self._pool.callInThreadWithCallback(finished, function, *arguments)
        return done


@implementer(IWorkers)
class InlineWorkers:
    """`IWorkers` in memory: runs the work at once, in the caller's thread."""

    def run(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """Run ``function(*arguments)`` now."""
        return maybeDeferred(function, *arguments)
