"""Remotes for outbound sessions: in memory, octet by octet, and over real sockets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpplus.net.client_session import ClientSession
from smtpplus.net.clock import ReactorClock
from smtpplus.net.timeouts import Timeouts
from smtpplus.net.tls import OutboundTls
from smtpplus.ports import IBody
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient

__all__ = ["Content", "MemoryRemote", "MemoryTransport", "Remote", "RemoteFactory", "envelope"]


def envelope(*recipients: str) -> Envelope:
    return Envelope(
        sender=Address.parse("a@example.com"),
        recipients=tuple(
            EnvelopeRecipient(Address.parse(r)) for r in recipients or ("b@example.net",)
        ),
    )


@implementer(IBody)
class Content:
    """`IBody` of given pieces; `watch` is called before each is given out."""

    def __init__(
        self, *pieces: bytes, size: int | None = None, watch: Callable[[], None] = lambda: None
    ) -> None:
        self.size = sum(map(len, pieces)) if size is None else size
        self.closed = 0
        self.given = 0
        self._pieces = iter(pieces)
        self._watch = watch

    async def next_chunk(self) -> bytes:
        self._watch()
        self.given += 1
        return next(self._pieces, b"")

    def close(self) -> None:
        self.closed += 1


class MemoryTransport:
    """What a session writes; where it `is_narrow`, its buffer is full after every write."""

    def __init__(self, protocol: Protocol) -> None:
        self.written: list[bytes] = []
        self.producer: Any = None
        self.closed = ""
        self.is_narrow = False
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written.append(data)
        if self.is_narrow and self.producer is not None:
            self.producer.pauseProducing()

    def abortConnection(self) -> None:
        self.end("aborted", ConnectionAborted())

    def loseConnection(self) -> None:
        self.closed = "closing"

    def end(self, how: str, reason: Exception) -> None:
        if self.closed in {"", "closing"}:
            self.closed = how
            self._protocol.connectionLost(Failure(reason))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 40000)


class MemoryRemote:
    """A session in memory, with a clock that moves by hand."""

    def __init__(self, ip: str = "192.0.2.25") -> None:
        self.reactor = Clock()
        clock = ReactorClock(self.reactor)
        self.session = ClientSession(
            host="mx.example.net",
            ip=ip,
            port=25,
            clock=clock,
            tls=OutboundTls(),
            timeouts=Timeouts(),
            nonce=lambda: "nonce",
        )
        self.transport = MemoryTransport(self.session.wire)
        self.session.wire.makeConnection(self.transport)
        self.session.connected()

    def start(self, method: Any) -> Deferred[Any]:
        """Run a coroutine of the session up to where it waits."""
        return Deferred.fromCoroutine(method)

    def say(self, octets: bytes) -> None:
        self.session.wire.dataReceived(octets)

    def close(self) -> None:
        self.transport.end("closed", ConnectionDone())

    def said(self) -> bytes:
        """What was written since the last call."""
        written, self.transport.written = b"".join(self.transport.written), []
        return written

    def ready(self, *keywords: str) -> MemoryRemote:
        """Greet and answer EHLO."""
        self.say(b"220 mx\r\n")
        self.start(self.session.greeting())
        self.start(self.session.hello("me.example.com"))
        lines = ["mx.example.net", *keywords]
        self.say(
            "".join(
                f"250{' ' if n == len(lines) else '-'}{line}\r\n" for n, line in enumerate(lines, 1)
            ).encode()
        )
        self.said()
        return self


class Remote(Protocol):
    """A server over a real socket: a table of answers by verb; bodies are hashed, not kept."""

    def __init__(self, factory: RemoteFactory) -> None:
        self._factory = factory
        self._buffer = b""
        self._in_body = False
        self._hash = hashlib.sha256()
        self._octets = 0

    def connectionMade(self) -> None:
        self._factory.connections.append(self)
        self._answer("greeting")

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._factory.lost.append(self)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer:
            if self._in_body:
                if not self._read_body():
                    return
                continue
            line, end, rest = self._buffer.partition(b"\r\n")
            if not end:
                return
            self._buffer = rest
            text = line.decode()
            self._factory.said.append(text)
            self._answer(text.split()[0].upper())

    def _read_body(self) -> bool:
        end = self._buffer.find(b"\r\n.\r\n")
        keep = end + 2 if end >= 0 else len(self._buffer) - 4
        if keep > 0:
            self._hash.update(self._buffer[:keep])
            self._octets += keep
            self._buffer = self._buffer[keep:]
        if end < 0:
            return False
        self._buffer = self._buffer[3:]
        self._in_body = False
        self._factory.bodies.append((self._octets, self._hash.hexdigest()))
        self._answer("body")
        return True

    def _answer(self, to: str) -> None:
        answer = self._factory.answers.get(to, b"502 5.5.1 What?\r\n")
        if callable(answer):
            answer(self)
            return
        self.send(answer)
        if to == "DATA" and answer.startswith(b"354"):
            self._in_body = True

    def send(self, octets: bytes) -> None:
        assert self.transport is not None
        self.transport.write(octets)


class RemoteFactory(Factory):
    """Makes `Remote`; `answers` by verb, and for ``greeting`` and ``body``."""

    noisy = False

    def __init__(self, *keywords: str, **answers: bytes | Callable[[Remote], None]) -> None:
        ehlo = "".join(f"250-{keyword}\r\n" for keyword in keywords)
        self.answers: dict[str, bytes | Callable[[Remote], None]] = {
            "greeting": b"220 mx.example.net\r\n",
            "EHLO": f"250-mx.example.net\r\n{ehlo}250 OK\r\n".encode(),
            "MAIL": b"250 2.1.0 ok\r\n",
            "RCPT": b"250 2.1.5 ok\r\n",
            "DATA": b"354 go\r\n",
            "RSET": b"250 2.0.0 ok\r\n",
            "QUIT": _quit,
            "body": b"250 2.0.0 taken\r\n",
            **answers,
        }
        self.said: list[str] = []
        self.bodies: list[tuple[int, str]] = []
        self.connections: list[Remote] = []
        self.lost: list[Remote] = []

    def buildProtocol(self, addr: object) -> Remote:
        return Remote(self)


def _quit(remote: Remote) -> None:
    remote.send(b"221 2.0.0 bye\r\n")
    assert remote.transport is not None
    remote.transport.loseConnection()
