"""The other processes of a service: started by the first, which looks after them.

Each sibling takes mail in and delivers it, with sockets and a node of its own, on the same store;
the first has the pages, too. On a store in a file one more, the writer (`smtpplus.writer`), writes
for all. Guarantees: one that ends is started again, after longer and longer rests, also where it
never came up (why is in the log); a sibling that answers nothing is told of, and ended after half a
minute, whatever it does: nobody's mail is served by it (who looks after the writer is
`smtpplus.store.write_link`); none outlives the first; their log lines go to the log of the first.
Raises nothing.

On descriptor `TALK` each tells, a line each: ``ready``; ``metrics N``, ``trouble N`` or ``there N``,
and N octets, when a sibling was asked by such a line on its standard input. The
writer tells its ``trouble`` unasked, also that it is over, and is told ``level L`` of its log
there. Standard output is the log.
"""

from __future__ import annotations

import contextlib
import os
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
from smtpplus.parent import TALK
from smtpplus.ports import IClock
from smtpplus.writer import WriterOf

__all__ = ["SiblingOf", "Siblings", "in_effect"]

_WRITER = "the writer"
_IN_EFFECT = "SMTPPLUS_IN_EFFECT"
_FIRST_OF_SOCKETS = 6
_TALLY, _LOCK = 4, 5
_SHORTEST_REST, _LONGEST_REST = 0.5, 30.0  # seconds before one that ended is started again
_WELL_SECONDS = 60.0  # after which the next end is taken for the first
_ANSWER_SECONDS = 2.0
_TROUBLE_SECONDS = 10.0  # how long the writer's word stands; while it has trouble it says so again
_STOP_SECONDS = 28.0  # from SIGTERM on; D12: 30 in all
_WAKE_SECONDS = 10.0  # likewise: where memory is short, one may stand still for a while
_LOOK_SECONDS = 2.0  # between two looks at each sibling
# Not seconds: where the whole machine stood still, the first has looked but once meanwhile.
_SILENT_LOOKS, _LOST_LOOKS = 3, 15


class SiblingOf(msgspec.Struct, frozen=True, kw_only=True):
    """What a sibling is told on its command line; `tally` and `sockets` are open in it.

    `config` and `settings` are where the configuration is read again; what is in effect of it is
    in the environment (`in_effect`), where others do not see a store's url.
    """

    number: int
    processes: int
    config: str
    settings: tuple[str, ...]
    tally: int
    sockets: dict[str, int]


def in_effect() -> dict[str, Any]:
    """The configuration that a sibling is started with, as `smtpplus.config.effective` says it."""
    values: dict[str, Any] = msgspec.json.decode(os.environ.pop(_IN_EFFECT))
    return values


class Siblings:
    """All of them.

    Args:
        config, settings: the configuration's file, and what overrides it.
        values: what is in effect of it now.
        processes: of the service, the first included.
        put_line: takes a line of their logs.
        writer: what the writer is told; None: there is none.
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
        values: Callable[[], dict[str, Any]],
        put_line: Callable[[str], object],
        writer: WriterOf | None = None,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._processes = processes
        self._config = config
        self._settings = tuple(settings)
        self._values = values
        self._put_line = put_line
        self._writer = writer
        self._bound = BoundPorts()
        self._lock: int | None = None
        self.tally = SharedTally(processes)
        self._numbers = {f"process {number}": number for number in range(1, processes)}
        self._names = [*self._numbers] if writer is None else [_WRITER, *self._numbers]
        self._children: dict[str, _Child] = {}
        self._rests = dict.fromkeys(self._names, 0.0)
        self._stopping = False
        self.all_ready: Deferred[None] = Deferred()

    def start(self, bound: BoundPorts, lock: int | None) -> None:
        """Start all; `all_ready` fires once they are.

        `bound` has a socket for each; whoever has `lock` open holds the data directory.
        """
        self._bound, self._lock = bound, lock
        for name in self._names:
            self._start(name)
        self._clock.call_later(_LOOK_SECONDS, self._look)

    def hang_up(self, writer: WriterOf | None) -> None:
        """Let them read their configuration again; of what `writer` is to be it hears its level."""
        self._signal("HUP")
        if self._writer is None or writer is None:
            return
        # What it was started with otherwise stays, as in all others.
        self._writer = msgspec.structs.replace(self._writer, level=writer.level)
        child = self._children.get(_WRITER)
        if child is not None:
            child.tell(b"level " + writer.level.encode())

    def terminate(self) -> None:
        """Let them come to an end; `ended` says when.

        Who takes too long is killed, the writer, too: one that is frozen may have the locks that
        the first process's own end waits for. Who did not answer before has less time to wake.
        """
        self._stopping = True
        self._signal("TERM")
        self._clock.call_later(_WAKE_SECONDS, self._kill_silent)
        self._clock.call_later(_STOP_SECONDS, self._kill)

    async def ended(self) -> None:
        """All but the writer are gone."""
        if not self._stopping:
            self.terminate()
        for sibling in self._siblings:
            await sibling.ended

    async def writer_ended(self) -> None:
        """Let the writer end, once nobody asks it any more."""
        writers = [child for name, child in self._children.items() if name == _WRITER]
        for writer in writers:
            writer.let_end()
            await writer.ended

    async def metrics(self) -> list[bytes]:
        """What each sibling counts, in Prometheus' text format; who does not answer is left out."""
        return list((await self._answers(b"metrics")).values())

    async def troubles(self) -> dict[str, str]:
        """Why the store does not do the work of which process; who does not answer is left out."""
        answers = await self._answers(b"trouble")
        troubles = {name: answer.decode() for name, answer in answers.items()}
        return {_WRITER: self.writer_trouble, **troubles} if self.writer_trouble else troubles

    @property
    def writer_trouble(self) -> str:
        """Why the store does not do the writer's work; "" where it does, or there is no writer."""
        writer = self._children.get(_WRITER)
        if writer is None or self._clock.monotonic() > writer.told_at + _TROUBLE_SECONDS:
            return ""
        return writer.trouble

    async def _answers(self, question: bytes) -> dict[str, bytes]:
        """What those siblings say that are at work, by name, where it is more than nothing."""
        at_work = [one for one in self._siblings if one.is_ready and not one.is_silent]
        asked = {sibling.name: sibling.ask(question) for sibling in at_work}
        for answer in asked.values():
            answer.addTimeout(_ANSWER_SECONDS, self._reactor)
            answer.addErrback(lambda _: b"")
        answers = {name: await answer for name, answer in asked.items()}
        return {name: answer for name, answer in answers.items() if answer}

    @property
    def absent(self) -> list[str]:
        """The names of those that are not at work, the writer's, too."""
        children = self._children
        return [n for n in self._names if n not in children or not children[n].is_ready]

    @property
    def silent(self) -> list[str]:
        """The names of those that came up, and answer nothing for a while."""
        return [sibling.name for sibling in self._siblings if sibling.is_silent]

    @property
    def ready(self) -> int:
        """How many siblings are at work."""
        return sum(sibling.is_ready and not sibling.is_silent for sibling in self._siblings)

    @property
    def _siblings(self) -> list[_Child]:
        return [child for name, child in self._children.items() if name in self._numbers]

    def _look(self) -> None:
        """Is each sibling there? One that is frozen, or computes for ever, is not."""
        if self._stopping:
            return
        for sibling in self._siblings:
            if sibling.is_ready:
                sibling.look()
        self._clock.call_later(_LOOK_SECONDS, self._look)

    def _signal(self, name: str) -> None:
        for sibling in self._siblings:
            sibling.signal(name)

    def _kill_silent(self) -> None:
        for sibling in self._siblings:
            if sibling.is_silent:
                sibling.signal("KILL")

    def _kill(self) -> None:
        for child in self._children.values():
            child.signal("KILL")

    def _start(self, name: str) -> None:
        inherited = {} if self._lock is None else {_LOCK: self._lock}
        environment = dict(os.environ)
        if name == _WRITER:
            module, told = "smtpplus.writer", msgspec.json.encode(self._writer)
        else:
            module, told = "smtpplus.tap", self._told_sibling(self._numbers[name], inherited)
            environment[_IN_EFFECT] = msgspec.json.encode(self._values()).decode()
        child = self._children[name] = _Child(
            name, self._clock, self._put_line, self._has_come_up, self._has_ended
        )
        self._reactor.spawnProcess(
            child,
            sys.executable,
            [sys.executable, "-m", module, told.decode()],
            env=environment,
            childFDs={0: "w", 1: "r", 2: 2, TALK: "r"} | inherited,
        )
        child.begun = self._clock.monotonic()

    def _told_sibling(self, number: int, inherited: dict[int, int]) -> bytes:
        """What a sibling is told; what it is to inherit is added."""
        sockets = self._bound.of_sibling(number)
        places = {where: _FIRST_OF_SOCKETS + place for place, where in enumerate(sockets)}
        inherited[_TALLY] = self.tally.descriptor
        inherited |= {places[where]: descriptor for where, descriptor in sockets.items()}
        return msgspec.json.encode(
            SiblingOf(
                number=number,
                processes=self._processes,
                config=self._config,
                settings=self._settings,
                tally=_TALLY,
                sockets=places,
            )
        )

    def _has_come_up(self) -> None:
        ready = sum(child.is_ready for child in self._children.values())
        if ready == len(self._names) and not self.all_ready.called:
            self.all_ready.callback(None)

    def _has_ended(self, child: _Child, reason: str) -> None:
        name = child.name
        del self._children[name]
        if self._stopping:
            return
        if self._clock.monotonic() - child.begun > _WELL_SECONDS:
            self._rests[name] = 0.0
        rest = self._rests[name] = min(max(self._rests[name] * 2, _SHORTEST_REST), _LONGEST_REST)
        self._log.error(
            "{name} ended ({reason}); started again in {rest} s",
            name=name,
            reason=reason,
            rest=rest,
        )

        def again() -> None:
            if not self._stopping:
                self._start(name)

        self._clock.call_later(rest, again)


class _Child(ProcessProtocol):
    """The first process's end of the talk with one of them."""

    _log = Logger()

    def __init__(
        self,
        name: str,
        clock: IClock,
        put_line: Callable[[str], object],
        come_up: Callable[[], None],
        ended: Callable[[_Child, str], None],
    ) -> None:
        self.name = name
        self.begun = 0.0
        self.is_ready = False
        self.trouble = ""
        self.told_at = 0.0  # when it was told
        self._clock = clock
        self.ended: Deferred[None] = Deferred()
        self._put_line = put_line
        self._tell_come_up = come_up
        self._tell_ended = ended
        self._lines = b""
        self._told = b""
        self._silent_looks = 0
        self._asked: dict[bytes, list[Deferred[bytes]]] = {
            b"metrics": [],
            b"trouble": [],
            b"there": [],
        }

    @property
    def is_silent(self) -> bool:
        """Has it answered nothing for a while?"""
        return self._silent_looks >= _SILENT_LOOKS

    def look(self) -> None:
        """Ask whether it is there; end it where that stays unanswered."""
        if not self._asked[b"there"]:
            self.ask(b"there")
            return
        self._silent_looks += 1
        if self._silent_looks == _SILENT_LOOKS:
            self._log.error("{name} does not answer", name=self.name)
        elif self._silent_looks == _LOST_LOOKS:
            self._log.error("{name} does not answer: it is ended", name=self.name)
            self.signal("KILL")

    def ask(self, question: bytes) -> Deferred[bytes]:
        """Its ``metrics``, its ``trouble``, or nothing, if it is ``there``."""
        answer: Deferred[bytes] = Deferred()
        self._asked[question].append(answer)
        self.tell(question)
        return answer

    def tell(self, line: bytes) -> None:
        """Say it on its standard input."""
        self.transport.write(line + b"\n")  # type: ignore[union-attr]

    def signal(self, name: str) -> None:
        """Send it a signal; harmless where it has gone."""
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)  # type: ignore[union-attr]

    def let_end(self) -> None:
        """Say that nothing is to come."""
        self.transport.closeStdin()  # type: ignore[union-attr]

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
        for asked in self._asked.values():
            for answer in asked:
                answer.callback(b"")
            asked.clear()
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
        else:
            question, _, size = line.partition(b" ")
            if len(rest) < int(size):
                return False
            answer, rest = rest[: int(size)], rest[int(size) :]
            self._has_told(question, answer)
        self._told = rest
        return True

    def _has_told(self, question: bytes, answer: bytes) -> None:
        self._silent_looks = 0
        if question == b"trouble":
            self.trouble, self.told_at = answer.decode("utf-8", "replace"), self._clock.monotonic()
        asked = self._asked[question]
        if asked:
            first = asked.pop(0)
            if not first.called:
                first.callback(answer)
