"""A mail host of the tests' own that writes down the very octets it gets.

It takes every message. What a strict reader would object to is kept in `faults`: a bare CR or
LF, a NUL, octets that come before the reply they have to wait for.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass

from twisted.trial.unittest import SynchronousTestCase

__all__ = ["Arrived", "Recorder"]

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_EHLO = b"250-recorder.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE\r\n"


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message; `content` without the dots that were stuffed."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def to(self) -> str:
        """Its recipient; the relay sends one transaction for each."""
        (one,) = self.recipients
        return one


class Recorder:
    """`port` is where it listens; `before_reply` runs before a message is answered."""

    def __init__(
        self, test: SynchronousTestCase, before_reply: Callable[[Arrived], None] | None = None
    ) -> None:
        self.faults: list[str] = []
        self.before_reply = before_reply
        self._arrived: list[Arrived] = []
        self.sessions = 0  # connections that are open
        self.counting = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Session)
        self._server.recorder = self
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        test.addCleanup(self._stop)

    @property
    def mails(self) -> list[Arrived]:
        """What has arrived so far."""
        return list(self._arrived)

    def __len__(self) -> int:
        return len(self._arrived)

    def take(self, arrived: Arrived) -> None:
        """Keep a message."""
        self._arrived.append(arrived)

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 100
    block_on_close = False
    recorder: Recorder


class _Session(socketserver.BaseRequestHandler):
    """One connection."""

    request: socket.socket
    server: _Server
    _held = b""
    _sender = ""

    def handle(self) -> None:
        recorder = self.server.recorder
        # Each reply is a write of its own: none is to wait for the acknowledgement of another.
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with recorder.counting:
            recorder.sessions += 1
        try:
            self._converse()
        finally:
            with recorder.counting:
                recorder.sessions -= 1

    def _converse(self) -> None:
        self._recipients: list[str] = []
        self.request.sendall(b"220 recorder.example\r\n")
        try:
            while line := self._line():
                if not self._answer(line.decode("utf-8", "replace").rstrip("\r\n")):
                    return
        except OSError:
            return  # a peer that was killed

    def _answer(self, line: str) -> bool:
        verb = line[:4].upper()
        if verb == "EHLO":
            self.request.sendall(_EHLO)
        elif verb == "DATA":
            self._say("354 go on")
            return self._take()
        elif verb == "QUIT":
            self._say("221 bye")
            return False
        elif verb in {"MAIL", "RCPT", "RSET", "NOOP"}:
            self._note(verb, line)
            self._say("250 ok")
        else:
            self.server.recorder.faults.append(f"not a command: {line[:80]!r}")
            self._say("500 what?")
        return True

    def _note(self, verb: str, line: str) -> None:
        if verb in {"MAIL", "RSET"}:
            self._recipients = []
        if verb == "MAIL":
            self._sender = _path(line)
        elif verb == "RCPT":
            self._recipients.append(_path(line))

    def _take(self) -> bool:
        pieces = [b"\r\n", self._held]
        self._held = b""
        tail = b"".join(pieces)
        while b"\r\n.\r\n" not in tail:
            octets = self.request.recv(262_144)
            if not octets:
                return False  # cut off: nothing has arrived
            pieces.append(octets)
            tail = tail[-4:] + octets
        raw, _, early = b"".join(pieces).partition(b"\r\n.\r\n")
        recorder = self.server.recorder
        content = raw[2:] + b"\r\n" if len(raw) > 2 else b""
        if _BARE.search(raw):
            recorder.faults.append(f"a bare CR, LF or NUL in the mail to {self._recipients}")
        if early:
            recorder.faults.append(f"octets before the final reply: {early[:80]!r}")
        content = re.sub(rb"(?m)^\.", b"", content)
        arrived = Arrived(self._sender, tuple(self._recipients), content)
        if recorder.before_reply is not None:
            recorder.before_reply(arrived)
        recorder.take(arrived)
        self._say("250 2.0.0 kept")
        return True

    def _line(self) -> bytes:
        while b"\n" not in self._held:
            octets = self.request.recv(65_536)
            if not octets:
                return b""
            self._held += octets
        line, _, self._held = self._held.partition(b"\n")
        return line + b"\n"

    def _say(self, text: str) -> None:
        self.request.sendall(f"{text}\r\n".encode())


def _path(line: str) -> str:
    found = re.search(r"<([^>]*)>", line)
    return found[1] if found else ""
