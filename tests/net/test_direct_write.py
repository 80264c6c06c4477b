"""What is written goes out whole and in order, whether or not the socket takes it at once."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from smtpplus.net.direct_write import write_directly


class _Reader(Protocol):
    transport: Any
    """Reads nothing until told to."""

    def __init__(self) -> None:
        self.octets = b""
        self.ended: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        self.octets += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.octets)


class _Writer(Protocol):
    def __init__(self, connected: Deferred[Any]) -> None:
        self._connected = connected

    def connectionMade(self) -> None:
        self._connected.callback(self.transport)


class DirectWriteTests(TestCase):
    async def _pair(self) -> tuple[Any, _Reader]:
        any_reactor: Any = reactor
        connected: Deferred[Any] = Deferred()
        endpoint = TCP4ServerEndpoint(any_reactor, 0, interface="127.0.0.1")
        port: Any = await endpoint.listen(Factory.forProtocol(lambda: _Writer(connected)))
        self.addCleanup(maybeDeferred, port.stopListening)
        client = TCP4ClientEndpoint(any_reactor, "127.0.0.1", port.getHost().port)
        reader: Any = await client.connect(Factory.forProtocol(_Reader))
        return await connected, reader

    async def test_more_than_the_socket_takes_arrives_in_order(self) -> None:
        transport, reader = await self._pair()
        dice = random.Random(3)
        pieces = [dice.randbytes(dice.randrange(1, 200_000)) for _ in range(100)]
        for piece in pieces:
            write_directly(transport, piece)
        transport.loseConnection()
        reader.transport.resumeProducing()
        self.assertEqual(await reader.ended, b"".join(pieces))

    async def test_what_is_written_to_a_lost_connection_harms_nobody(self) -> None:
        transport, reader = await self._pair()
        reader.transport.abortConnection()
        await reader.ended
        for _ in range(10):
            write_directly(transport, b"x" * 1000)
        transport.abortConnection()

    def test_other_transports_are_written_to_as_ever(self) -> None:
        transport = StringTransport()
        write_directly(transport, b"hello")
        self.assertEqual(transport.value(), b"hello")
