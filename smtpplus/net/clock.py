"""Time from a reactor.

`ReactorClock` is the real `IClock`. Guarantees: what is waited for follows a clock that never
jumps, once `make_monotonic` was called; cancelling too late does no harm. Does not choose the
reactor.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from smtpplus.ports import IClock

__all__ = ["ReactorClock", "make_monotonic"]


def make_monotonic(reactor: Any) -> None:
    """Let the reactor's timers follow the monotonic clock.

    Twisted's own follow the wall clock: a step of an hour fires a 3 s timer at once, a step
    back never. Call it before the first timer is set.
    """
    reactor.seconds = time.monotonic


@implementer(IClock)
class ReactorClock:
    """`IClock` over a reactor's timers (anything with IReactorTime).

    `wall` gives Unix time, for tests that want to choose it. Made after `make_monotonic`.
    """

    __slots__ = ("_reactor", "monotonic", "now")

    def __init__(self, reactor: Any, wall: Callable[[], float] = time.time) -> None:
        self._reactor = reactor
        # Not methods: both are asked many times a message, and are functions of C.
        self.now: Callable[[], float] = wall
        self.monotonic: Callable[[], float] = reactor.seconds

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; when cancelled, the timer goes too."""
        waited: Deferred[None] = Deferred()
        cancel = self.call_later(seconds, lambda: waited.callback(None))
        try:
            await waited
        finally:
            cancel()

    def call_later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call once after `seconds`; the answer cancels it."""
        delayed: IDelayedCall = self._reactor.callLater(max(0.0, seconds), call)

        def cancel() -> None:
            with contextlib.suppress(AlreadyCalled, AlreadyCancelled):
                delayed.cancel()

        return cancel
