"""A process's end of the talk with the one that writes for all (`write_talk.py`).

Guarantees: each request is answered once, after the commit that holds it, whoever made it; while
nobody writes for us we write ourselves. Where the writer goes away, what was asked of it runs once
more here, as something that may have been written: when its end of the socket is closed, what it
did is done or undone. One that stands still with our requests for ten looks, a second apart, is
ended: it may hold the locks that everybody else needs. A slow disk is waited for. Runs in the
reactor's thread, as a descriptor of the reactor (`doRead`, `doWrite`: Twisted's names).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpplus.ports import IClock
from smtpplus.store.commits import DoubtfulError, Request
from smtpplus.store.write_talk import (
    SOCKET_NAME,
    Answer,
    Commit,
    Frames,
    Work,
    error_from,
    frame,
)
from smtpplus.store.writer_process import WriterProcess

__all__ = ["WriteLink", "connected"]

_log = Logger()
_LOOK_SECONDS = 0.2  # for a writer that is not there
_WATCH_SECONDS = 1.0  # between two looks at one that does not answer
_SILENT_LOOKS = 15  # after which the log tells of it, whatever it does
_STILL_LOOKS = 10  # not seconds: whoever was frozen beside it has looked but once meanwhile
_PIECE = 256 * 1024

_decode = msgspec.msgpack.Decoder(tuple[Commit | None, list[Answer]]).decode


def connected(data_dir: Path) -> socket.socket:
    """A connection to the writer of `data_dir`; OSError where there is none."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A path may be too long for a socket's name.
        made.connect(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
    except BaseException:
        made.close()
        raise
    finally:
        os.close(folder)
    made.setblocking(False)
    return made


@implementer(IReadDescriptor, IWriteDescriptor)
class WriteLink:
    """The link.

    Args:
        works: what may be asked for.
        write_here: writes the requests on this process's own connection.
        fire: hands out the answers of requests.
        observe: is told of each commit that had a request of ours first.
        process_of: the writer's process, at the other end of a connection.
    """

    def __init__(
        self,
        reactor: Any,
        clock: IClock,
        data_dir: Path,
        works: Mapping[str, Work],
        write_here: Callable[[list[Request]], None],
        fire: Callable[[Sequence[Request]], None],
        observe: Callable[[int, float, float], None],
        process_of: Callable[[socket.socket], WriterProcess] = WriterProcess.of,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._data_dir = data_dir
        self._names = {work.write: name for name, work in works.items()}
        self._again = {work.write: work.again for work in works.values()}
        self._results = {
            work.write: msgspec.msgpack.Decoder(work.result).decode for work in works.values()
        }
        self._write_here = write_here
        self._fire = fire
        self._observe = observe
        self._process_of = process_of
        self._socket: socket.socket | None = None
        self._process: WriterProcess | None = None
        self._has_heard = False  # from it since the last look
        self._still = 0  # looks in a row
        self._silent = 0  # likewise, also where it works
        self._end_watch: Callable[[], None] | None = None
        self._frames = Frames()
        self._unsent = b""
        self._asked: dict[int, Request] = {}
        self._number = 0
        self._look_again: Callable[[], None] | None = None
        self._closing = False
        self._idle: Callable[[], None] | None = None

    def start(self) -> None:
        """Look for the writer, until it is there; whenever it went away, too."""
        self._look_again = None
        try:
            self._socket = connected(self._data_dir)
        except OSError:
            self._look_again = self._clock.call_later(_LOOK_SECONDS, self.start)
            return
        self._process = self._process_of(self._socket)
        self._still = self._silent = 0
        self._frames = Frames()
        self._reactor.addReader(self)

    def stop(self, idle: Callable[[], None]) -> None:
        """Ask for nothing any more; `idle` is called once all is answered."""
        self._closing = True
        self._idle = idle
        if self._look_again is not None:
            self._look_again()
        self._end_if_idle()

    @property
    def is_up(self) -> bool:
        """Does somebody write for us?"""
        return self._socket is not None and not self._closing

    def ask(self, requests: Sequence[Request]) -> list[Request]:
        """Let them be written, while it is up; those that the writer knows nothing of."""
        told, others = [], []
        for request in requests:
            name = None if request.item is None else self._names.get(request.work)
            if name is None:
                others.append(request)
                continue
            self._number += 1
            self._asked[self._number] = request
            told.append((self._number, name, request.item))
        if told:
            self._tell(frame(told))
            if self._end_watch is None:
                self._watch()
        return others

    def _tell(self, octets: bytes) -> None:
        if self._unsent:
            self._unsent += octets
            return
        sent = self._send(octets)
        if sent < len(octets):
            self._unsent = octets[sent:]
            self._reactor.addWriter(self)

    def _watch(self) -> None:
        """Look at the writer while it owes answers."""
        self._end_watch = self._clock.call_later(_WATCH_SECONDS, self._look)

    def _look(self) -> None:
        self._end_watch = None
        has_heard, self._has_heard = self._has_heard, False
        if self._process is None or not self._asked:
            self._still = self._silent = 0
            return
        self._silent = 0 if has_heard else self._silent + 1
        if self._silent == _SILENT_LOOKS:
            _log.error("the writer does not answer: it works, or waits for the disk")
        is_still = self._process.stands_still() and not has_heard
        self._still = self._still + 1 if is_still else 0
        if self._still >= _STILL_LOOKS:
            self._still = 0
            _log.error("the writer does not answer, and stands still: it is ended")
            self._process.kill()
        self._watch()

    # ------------------------------------------------ called by the reactor

    def fileno(self) -> int:
        """The socket's."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "writer"

    def doRead(self) -> Failure | None:
        """Answers have come, or the end."""
        assert self._socket is not None
        try:
            octets = self._socket.recv(_PIECE)
        except BlockingIOError:
            return None
        except OSError:
            octets = b""
        if not octets:
            self._has_gone()
            return None
        self._has_heard = True
        for one in self._frames.take(octets):
            self._take(one)
        self._end_if_idle()
        return None

    def doWrite(self) -> None:
        """There is room for more, unless reading has just told of the end."""
        if self._socket is None:
            return
        self._unsent = self._unsent[self._send(self._unsent) :]
        if not self._unsent:
            self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """Poll says so."""
        self._has_gone()

    # ------------------------------------------------

    def _send(self, octets: bytes) -> int:
        assert self._socket is not None
        try:
            return self._socket.send(octets)
        except OSError:  # full, or gone: reading tells that
            return 0

    def _take(self, octets: bytes) -> None:
        commit, answers = _decode(octets)
        done = []
        for number, result, error in answers:
            request = self._asked.pop(number)
            if error is None:
                request.result = self._results[request.work](result)
            else:
                request.error = error_from(error)
            done.append(request)
        if commit is not None:
            self._observe(*commit)
        self._fire(done)

    def _has_gone(self) -> None:
        if self._socket is None:
            return
        self._close()
        asked, self._asked = list(self._asked.values()), {}
        if asked:
            self._write_here([self._once_more(request) for request in asked])
        if self._closing:
            self._end_if_idle()
            return
        _log.warn("the writer has gone: this process writes itself until it is back")
        self._look_again = self._clock.call_later(_LOOK_SECONDS, self.start)

    def _once_more(self, request: Request) -> Request:
        """`request` as one that may have been written; what fails now stays in doubt."""

        def failed(failure: Failure) -> None:
            _log.warn("what the writer was asked for failed: {why}", why=failure.getErrorMessage())
            request.answer.errback(DoubtfulError())

        answer: Deferred[Any] = Deferred()
        answer.addCallbacks(request.answer.callback, failed)
        return Request(self._again[request.work], request.item, answer)

    def _close(self) -> None:
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._end_watch is not None:
            self._end_watch()
            self._end_watch = None
        self._unsent = b""

    def _end_if_idle(self) -> None:
        if self._idle is not None and not self._asked:
            idle, self._idle = self._idle, None
            self._close()
            idle()
