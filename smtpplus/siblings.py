"""The other processes of a service: started by the first, which looks after them.

Each takes mail in and delivers it, with sockets and a node of its own, on the same store; the
first has the pages, too. Guarantees: one that ends is started again, after longer and longer
rests, also where it never came up (why is in the log); none outlives the first; their log lines
go to the log of the first. Raises nothing.

On descriptor `TALK` a sibling tells, a line each: ``ready``; ``metrics N`` and N octets, when it
was asked by the line ``metrics`` on its standard input. Its standard output is its log.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpplus.net.bound import BoundPorts
from smtpplus.net.tally import SharedTally
from smtpplus.ports import IClock

__all__ = ["TALK", "SiblingOf", "Siblings"]

TALK = 3
_FIRST_OF_SOCKETS = 6
_TALLY, _LOCK = 4, 5
_SHORTEST_REST, _LONGEST_REST = 0.5, 30.0  # seconds before one that ended is started again
_WELL_SECONDS = 60.0  # after which the next end is taken for the first
_ANSWER_SECONDS = 2.0
_STOP_SECONDS = 28.0  # D12: 30 in all


class SiblingOf(msgspec.Struct, frozen=True, kw_only=True):
    """What a sibling is told on its command line: `descriptors` are open in it."""

    number: int
    processes: int
    config: str
    settings: tuple[str, ...]
    tally: int
    sockets: dict[str, int]


class Siblings:
    """All of them.

    Args:
        config, settings: the configuration's file, and what overrides it.
        processes: of the service, the first included.
        put_line: takes a line of their logs.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        clock: IClock,
        *,
        processes: int,
        config: str,
        settings: Sequence[str],
        put_line: Callable[[str], object],
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._processes = processes
        self._config = config
        self._settings = tuple(settings)
        self._put_line = put_line
        self._bound = BoundPorts()
        self._lock: int | None = None
        self.tally = SharedTally(processes)
        self._siblings: dict[int, _Sibling] = {}
        self._rests = dict.fromkeys(range(1, processes), 0.0)
        self._stopping = False
        self.all_ready: Deferred[None] = Deferred()

    def start(self, bound: BoundPorts, lock: int | None) -> None:
        """Start all; `all_ready` fires once they are.

        `bound` has a socket for each; whoever has `lock` open holds the data directory.
        """
        self._bound, self._lock = bound, lock
        for number in range(1, self._processes):
            self._start(number)

    def hang_up(self) -> None:
        """Let them read their configuration again."""
        self._signal("HUP")

    def terminate(self) -> None:
        """Let them come to an end; `ended` says when."""
        self._stopping = True
        self._signal("TERM")

    async def ended(self) -> None:
        """All are gone; who takes too long is killed."""
        self._stopping = True
        kill = self._clock.call_later(_STOP_SECONDS, lambda: self._signal("KILL"))
        for sibling in list(self._siblings.values()):
            await sibling.ended
        kill()

    async def metrics(self) -> list[bytes]:
        """What each counts, in Prometheus' text format; who does not answer soon is left out."""
        asked = [sibling.ask() for sibling in self._siblings.values()]
        answers: list[bytes] = []
        for answer in asked:
            answer.addTimeout(_ANSWER_SECONDS, self._reactor)
            answer.addErrback(lambda _: b"")
            answers.append(await answer)
        return [answer for answer in answers if answer]

    @property
    def ready(self) -> int:
        """How many are at work."""
        return sum(sibling.is_ready for sibling in self._siblings.values())

    def _signal(self, name: str) -> None:
        for sibling in self._siblings.values():
            sibling.signal(name)

    def _start(self, number: int) -> None:
        sockets = self._bound.of_sibling(number)
        places = {where: _FIRST_OF_SOCKETS + place for place, where in enumerate(sockets)}
        inherited = {_TALLY: self.tally.descriptor}
        inherited |= {places[where]: descriptor for where, descriptor in sockets.items()}
        if self._lock is not None:
            inherited[_LOCK] = self._lock
        told = SiblingOf(
            number=number,
            processes=self._processes,
            config=self._config,
            settings=self._settings,
            tally=_TALLY,
            sockets=places,
        )
        sibling = self._siblings[number] = _Sibling(
            number, self._put_line, self._has_come_up, self._has_ended
        )
        self._reactor.spawnProcess(
            sibling,
            sys.executable,
            [sys.executable, "-m", "smtpplus.tap", msgspec.json.encode(told).decode()],
            env=None,
            childFDs={0: "w", 1: "r", 2: 2, TALK: "r"} | inherited,
        )
        sibling.begun = self._clock.monotonic()

    def _has_come_up(self) -> None:
        if self.ready == self._processes - 1 and not self.all_ready.called:
            self.all_ready.callback(None)

    def _has_ended(self, sibling: _Sibling, reason: str) -> None:
        number = sibling.number
        del self._siblings[number]
        if self._stopping:
            return
        if self._clock.monotonic() - sibling.begun > _WELL_SECONDS:
            self._rests[number] = 0.0
        rest = self._rests[number] = min(
            max(self._rests[number] * 2, _SHORTEST_REST), _LONGEST_REST
        )
        self._log.error(
            "process {number} ended ({reason}); started again in {rest} s",
            number=number,
            reason=reason,
            rest=rest,
        )

        def again() -> None:
            if not self._stopping:
                self._start(number)

        self._clock.call_later(rest, again)


class _Sibling(ProcessProtocol):
    """The first process's end of the talk with one of them."""

    def __init__(
        self,
        number: int,
        put_line: Callable[[str], object],
        come_up: Callable[[], None],
        ended: Callable[[_Sibling, str], None],
    ) -> None:
        self.number = number
        self.begun = 0.0
        self.is_ready = False
        self.ended: Deferred[None] = Deferred()
        self._put_line = put_line
        self._tell_come_up = come_up
        self._tell_ended = ended
        self._lines = b""
        self._told = b""
        self._answers: list[Deferred[bytes]] = []

    def ask(self) -> Deferred[bytes]:
        """Its metrics."""
        answer: Deferred[bytes] = Deferred()
        self._answers.append(answer)
        self.transport.write(b"metrics\n")  # type: ignore[union-attr]
        return answer

    def signal(self, name: str) -> None:
        """Send it a signal; harmless where it has gone."""
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)  # type: ignore[union-attr]

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N803 - Twisted's name
        """Lines of its log, or what it tells."""
        if childFD == TALK:
            self._told += data
            while self._take_told():
                pass
            return
        *lines, self._lines = (self._lines + data).split(b"\n")
        for line in lines:
            self._put_line(line.decode("utf-8", "replace") + "\n")

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        for answer in self._answers:
            answer.callback(b"")
        self._answers.clear()
        self.is_ready = False
        self.ended.callback(None)
        self._tell_ended(self, reason.getErrorMessage())

    def _take_told(self) -> bool:
        line, end, rest = self._told.partition(b"\n")
        if not end:
            return False
        if line == b"ready":
            self.is_ready = True
            self._tell_come_up()
        elif line.startswith(b"metrics "):
            size = int(line[8:])
            if len(rest) < size:
                return False
            answer, rest = rest[:size], rest[size:]
            if self._answers:
                asked = self._answers.pop(0)
                if not asked.called:
                    asked.callback(answer)
        self._told = rest
        return True
