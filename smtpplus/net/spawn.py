"""The one place where a coroutine becomes background work.

Guarantees: everything started here is counted under its name until it ends, and `drain` waits
for all of it. A failure nobody else sees is logged with its traceback; a cancellation is
neither a failure nor swallowed. Does not restart anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpplus.ports import IClock, ISpawn

__all__ = ["Spawn"]


class _Course:
    """A coroutine on its way; `then` gets what it returned, or its Failure.

    What `Deferred.fromCoroutine` does, in a fifth of the time: no context variables, no Deferred
    of its own, and of one that waits for nothing nothing is kept.
    """

    __slots__ = ("_ended", "_running", "_then", "_waits_for", "_work", "name")

    def __init__(
        self,
        name: str,
        work: Coroutine[Any, Any, Any],
        then: Callable[[Any], object],
        running: set[_Course],
        ended: Callable[[_Course], None],
    ) -> None:
        self.name = name
        self._work = work
        self._then = then
        self._running = running
        self._ended = ended
        self._waits_for: Deferred[Any] | None = None

    def cancel(self) -> None:
        """Let what the coroutine waits for fail with CancelledError; it goes on from there."""
        if self._waits_for is not None:
            self._waits_for.cancel()

    def go_on(self, result: object = None) -> None:
        """Run up to the next Deferred that has not fired. It tells its result itself."""
        try:
            if isinstance(result, Failure):
                waits_for = result.throwExceptionIntoGenerator(self._work)  # type: ignore[no-untyped-call]
            else:
                waits_for = self._work.send(None)
        except StopIteration as stop:
            ended: Any = stop.value
        except BaseException:  # noqa: BLE001 - whoever looks at the result gets it
            ended = Failure()  # type: ignore[no-untyped-call]
        else:
            if self._waits_for is None:
                self._running.add(self)
            self._waits_for = waits_for
            waits_for.addBoth(self.go_on)
            return
        if self._waits_for is not None:
            self._waits_for = None
            self._ended(self)
        self._then(ended)


@implementer(ISpawn)
class Spawn:
    """Starts, counts, logs and ends background work."""

    def __init__(self, clock: IClock, log: Logger | None = None) -> None:
        self._clock = clock
        self._log = log or Logger()
        self._running: set[_Course] = set()
        self._waiting: list[Deferred[None]] = []

    @property
    def running(self) -> Counter[str]:
        """How many pieces of work run, by name."""
        return Counter(course.name for course in self._running)

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> Callable[[], None]:
        """Start `work` now; its failure is logged. The answer cancels it."""

        def ended(result: object) -> None:
            if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
                self._log.failure("{name} failed", failure=result, name=name)

        return self.begin(name, work, ended)

    def begin(
        self, name: str, work: Coroutine[Any, Any, Any], then: Callable[[Any], object]
    ) -> Callable[[], None]:
        """Start `work` now for somebody who looks at its end: `then` gets its result or Failure.

        `then` raises nothing; of work that waits for nothing it is called at once. The answer
        cancels the work.
        """
        course = _Course(name, work, then, self._running, self._ended)
        course.go_on()
        return course.cancel

    async def drain(self, seconds: float) -> int:
        """Wait for all work to end, at most `seconds`; then cancel. How many were cancelled.

        Whoever drains must not itself be running under this `Spawn`: it would wait for itself.
        """
        if self._running:
            waited: Deferred[None] = Deferred()
            self._waiting.append(waited)
            cancel = self._clock.call_later(seconds, lambda: self._give_up(waited))
            try:
                await waited
            finally:
                cancel()
        left = list(self._running)
        for course in left:
            self._log.warn("Cancelling {name}: it did not end in time", name=course.name)
            course.cancel()
        return len(left)

    def _give_up(self, waited: Deferred[None]) -> None:
        if waited in self._waiting:
            self._waiting.remove(waited)
            waited.callback(None)

    def _ended(self, course: _Course) -> None:
        self._running.discard(course)
        if self._waiting and not self._running:
            waiting, self._waiting = self._waiting, []
            for waited in waiting:
                waited.callback(None)
