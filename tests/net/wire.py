"""The far end of a connection, for tests: says octets, waits for octets, shakes hands.

wire = await dial(reactor, port)
await wire.until(b"220 ")              # everything received since the last `until`
wire.say(b"EHLO x\r\n")
await wire.shake_hands(connection)     # an OpenSSL client connection creator
await wire.gone                        # the connection was closed
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["PlainClientTls", "Wire", "dial"]


@implementer(IOpenSSLClientConnectionCreator)
class PlainClientTls:
    """TLS without verification; `context` can be restricted before use."""

    def __init__(self) -> None:
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self.context, None)


@implementer(IHandshakeListener)
class Wire(Protocol):
    """One end."""

    def __init__(self) -> None:
        self.received = b""
        self.total = 0
        self.gone: Deferred[str] = Deferred()
        self.is_gone = False
        self._wanted: tuple[bytes, Deferred[bytes]] | None = None
        self._shaken: Deferred[None] | None = None

    def say(self, octets: bytes) -> None:
        assert self.transport is not None
        self.transport.write(octets)

    def until(self, wanted: bytes) -> Deferred[bytes]:
        """What was received, once it holds `wanted`; fails when the connection ends before."""
        assert self._wanted is None
        waited: Deferred[bytes] = Deferred()
        self._wanted = (wanted, waited)
        self._look()
        return waited

    def shake_hands(self, tls: Any) -> Deferred[None]:
        self._shaken = Deferred()
        self.transport.startTLS(tls)  # type: ignore[union-attr]
        return self._shaken

    def handshakeCompleted(self) -> None:
        shaken, self._shaken = self._shaken, None
        if shaken is not None:
            shaken.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.total += len(data)
        self.received += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_gone = True
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted[1].errback(EOFError(f"connection lost, received {self.received!r}"))
        shaken, self._shaken = self._shaken, None
        if shaken is not None:
            shaken.errback(reason)
        self.gone.callback(reason.getErrorMessage())

    def _look(self) -> None:
        if self._wanted is None:
            return
        wanted, waited = self._wanted
        if wanted in self.received:
            self._wanted = None
            received, self.received = self.received, b""
            waited.callback(received)
        elif self.is_gone:
            self._wanted = None
            waited.errback(EOFError(f"connection lost, received {self.received!r}"))


async def dial(reactor: Any, port: int) -> Wire:
    """A connection to a port on loopback."""
    wire = Wire()
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), wire)
    return wire
