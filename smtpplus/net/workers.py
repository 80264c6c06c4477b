"""A bounded pool of threads for DNS, signing and password checks.

Guarantees: never more threads than were asked for; results and exceptions arrive on the
reactor thread; after `stop` nothing new is taken and what was taken is finished. Raises
`WorkersStoppedError` for work that comes too late. Work that runs cannot be interrupted:
cancelling only forgets its result.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpplus.ports import IWorkers

__all__ = ["InlineWorkers", "Workers", "WorkersStoppedError"]

T = TypeVar("T")


class WorkersStoppedError(Exception):
    """The pool was stopped, or not started yet: the work was not taken."""


_Work: TypeAlias = "tuple[Callable[..., Any], tuple[Any, ...], Deferred[Any]]"


@implementer(IWorkers)
class Workers:
    """At most `threads` threads called `name`; they start when there is work for them.

    Twisted's own pool takes three locks, five calls and a team of helpers for each piece of
    work: a tenth of what a signature costs.

    Those that `yield_to_others` do not take a busy processor from the reactor when work comes:
    sched(7), SCHED_BATCH.
    """

    def __init__(
        self, reactor: Any, name: str, threads: int, *, yield_to_others: bool = False
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._yields = yield_to_others
        self._most = threads
        self._threads: list[threading.Thread] = []
        self._tasks: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._is_running = False
        self._unfinished = 0

    @property
    def unfinished(self) -> int:
        """Pieces of work that wait or run."""
        return self._unfinished

    def start(self) -> None:
        """Take work from now on."""
        self._is_running = True

    def stop(self) -> Deferred[None]:
        """Take no more, finish what was taken; the threads have ended when the answer fires.

        The reactor is not blocked meanwhile, and must go on running until then.
        """
        if not self._is_running:
            return succeed(None)
        self._is_running = False
        threads, self._threads = self._threads, []
        for _ in threads:
            self._tasks.put(None)
        ended: Deferred[None] = Deferred()

        def join() -> None:
            for thread in threads:
                thread.join()
            self._reactor.callFromThread(ended.callback, None)

        threading.Thread(target=join, name=f"{self._name}-stop", daemon=True).start()
        return ended

    def run(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """Run ``function(*arguments)`` in a thread."""
        if not self._is_running:
            return fail(WorkersStoppedError(f"The {self._name} threads are not running."))
        done: Deferred[T] = Deferred()
        self._unfinished += 1
        self._tasks.put((function, arguments, done))
        if len(self._threads) < min(self._unfinished, self._most):
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return done

    def _work(self) -> None:
        if self._yields:
            with contextlib.suppress(AttributeError, OSError):  # not Linux; not allowed
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        while (task := self._tasks.get()) is not None:
            function, arguments, done = task
            try:
                result = function(*arguments)
            except BaseException:  # noqa: BLE001 - it arrives where it was asked for
                self._reactor.callFromThread(self._arrived, done.errback, Failure())  # type: ignore[no-untyped-call]
            else:
                self._reactor.callFromThread(self._arrived, done.callback, result)

    def _arrived(self, tell: Callable[[Any], None], result: Any) -> None:
        self._unfinished -= 1
        tell(result)


@implementer(IWorkers)
class InlineWorkers:
    """`IWorkers` in memory: runs the work at once, in the caller's thread."""

    def run(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """Run ``function(*arguments)`` now."""
        return maybeDeferred(function, *arguments)
