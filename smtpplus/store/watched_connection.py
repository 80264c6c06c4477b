"""A connection to PostgreSQL that does not wait for a server that is gone.

A server that is frozen, or a network that swallows what is sent, looks like one that works on a
long statement. Guarantees: where no octet came for `SILENCE_SECONDS`, it is asked whether a new
connection can be had; if not, this one is closed and the statement fails as on a connection
that was lost. A server that does answer is waited for: its own time-outs end what takes too long.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait

__all__ = ["SILENCE_SECONDS", "WatchedConnection"]

V = TypeVar("V")

SILENCE_SECONDS = 5.0
_INTERVAL_SECONDS = 0.1
_EVENTS = {Wait.R: select.POLLIN, Wait.W: select.POLLOUT, Wait.RW: select.POLLIN | select.POLLOUT}
_NOT_OUT = ~select.POLLOUT


class WatchedConnection(psycopg.Connection[Any]):
    """`probe` raises where the server gives no new connection; None: nobody is asked."""

    probe: Callable[[], None] | None = None

    def wait(
        self, gen: PQGen[V], interval: float = _INTERVAL_SECONDS, timeout: float | None = None
    ) -> V:
        """What the driver's own does, with an eye on the clock."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        descriptor = self.pgconn.socket
        try:
            wanted = next(gen)
            poll, heard_at = select.poll(), time.monotonic()
            while True:
                poll.register(descriptor, _EVENTS[wanted])
                found = poll.poll(interval * 1000)
                if found:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at >= SILENCE_SECONDS:
                    self._ask()
                    heard_at = time.monotonic()
                wanted = gen.send(_ready(found[0][1] if found else 0))
        except StopIteration as stop:
            result: V = stop.value
            return result
        except BaseException as error:
            if not isinstance(error, Exception):  # interrupted: where it stands is unknown
                self.pgconn.finish()
            raise

    def _ask(self) -> None:
        """Does the server live?"""
        if self.probe is None:
            return
        try:
            self.probe()
        except psycopg.Error as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"it has said nothing for {SILENCE_SECONDS:g} s and takes no new connection"
            ) from error


def _ready(events: int) -> Ready:
    ready = Ready.NONE
    if events & _NOT_OUT:  # also what is closed or broken is found out by reading
        ready = Ready.R
    if events & select.POLLOUT:
        ready = Ready.RW if ready else Ready.W
    return ready
