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

from smtpplus.net.direct_write import Turn, write_directly


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


class TurnTests(TestCase):
    def setUp(self) -> None:
        self.turn = Turn()
        self.one, self.other = StringTransport(), StringTransport()

    def test_what_is_held_goes_out_behind_the_events(self) -> None:
        self.assertFalse(self.turn.hold(self.one, b"outside of a turn"))
        for _ in range(2):
            with self.turn:
                self.assertTrue(self.turn.hold(self.one, b"250 "))
                self.assertTrue(self.turn.hold(self.other, b"354\r\n"))
                self.assertTrue(self.turn.hold(self.one, b"Ok\r\n"))
                self.assertEqual(self.one.value() + self.other.value(), b"")
            self.assertEqual((self.one.value(), self.other.value()), (b"250 Ok\r\n", b"354\r\n"))
            self.one.clear()
            self.other.clear()

    def test_what_is_written_at_once_goes_behind_what_was_held(self) -> None:
        with self.turn:
            self.turn.hold(self.one, b"220 Go ahead\r\n")
            self.turn.write(self.one, b"")
            self.assertEqual(self.one.value(), b"220 Go ahead\r\n")
            self.turn.hold(self.one, b"1")
            self.turn.write(self.one, b"2")
            self.turn.write(self.other, b"3")
            self.assertEqual((self.one.value()[-2:], self.other.value()), (b"12", b"3"))

    def test_only_so_much_is_held(self) -> None:
        with self.turn:
            self.assertTrue(self.turn.hold(self.one, b"x" * 1_000))
            self.assertFalse(self.turn.hold(self.one, b"x" * 25))

    def test_a_transport_that_fails_harms_no_other(self) -> None:
        class Failing(StringTransport):
            def write(self, data: bytes) -> None:
                raise ZeroDivisionError

        failing = Failing()
        with self.turn:
            self.turn.hold(failing, b"1")
            self.turn.hold(self.one, b"2")
        self.assertEqual(self.one.value(), b"2")
        self.assertTrue(failing.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
