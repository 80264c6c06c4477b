"""Another process of a service: what `smtpplus.siblings` starts, and talks with.

Guarantees: it ends when it is told to, in good order; when the first process is gone without a
word it is gone, too, and leaves its work as a kill would.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpplus import tuning
from smtpplus.assembly import Assembly
from smtpplus.hangup import Hangup
from smtpplus.log import LogWriter
from smtpplus.parent import TALK, end_with_parent
from smtpplus.stopping import stop_once

__all__ = ["Sibling"]


class Sibling(Protocol):
    """Its end of the talk with the first process."""

    _log = Logger()

    def __init__(self, service: Assembly, reactor: Any, lines: LogWriter, hangup: Hangup) -> None:
        self._service = service
        self._reactor = reactor
        self._lines = lines
        self._hangup = hangup
        self._heard = b""
        self.status = 0

    def run(self) -> int:
        """Work until it is told to end; the exit status."""
        end_with_parent()
        reactor = self._reactor
        StandardIO(self, stdin=0, stdout=TALK, reactor=reactor)  # type: ignore[call-arg, no-untyped-call]
        self._lines.start()
        reactor.addSystemEventTrigger("before", "shutdown", self._service.stopService)
        reactor.addSystemEventTrigger("after", "shutdown", self._lines.stop)
        self._service.started.addCallbacks(lambda _: self._is_up(), self._has_failed)
        reactor.callWhenRunning(self._service.startService)
        reactor.callWhenRunning(self._hangup.watch, reactor)
        reactor.callWhenRunning(stop_once, reactor)
        reactor.run()
        return self.status

    def dataReceived(self, data: bytes) -> None:
        """Questions, a line each."""
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            Deferred.fromCoroutine(self._answer(line)).addErrback(
                lambda failure: self._log.failure("a question was not answered", failure)
            )

    async def _answer(self, question: bytes) -> None:
        if question == b"there":
            answer = b""
        elif question == b"trouble":
            answer = (await self._service.store_trouble()).encode()
        else:
            answer = await self._service.metrics()
        self._tell(b"%b %d\n%b" % (question, len(answer), answer))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The first process is gone."""
        if self._reactor.running:
            os._exit(1)

    def _is_up(self) -> None:
        tuning.when_ready()
        self._tell(b"ready\n")

    def _has_failed(self, failure: Failure) -> None:
        self._log.error("does not start: {reason}", reason=failure.getErrorMessage())
        self.status = 1
        self._reactor.stop()

    def _tell(self, octets: bytes) -> None:
        self.transport.write(octets)  # type: ignore[union-attr]
