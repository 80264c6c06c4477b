"""Short of connections (R10): less time, fewer errors, and back at ease soon after."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.net.listener import ConnectionLimits, SmtpListener
from smtpplus.net.spawn import Spawn
from smtpplus.smtp.server_settings import ServerSettings
from tests.net.roles import MemoryRole


class _Line(StringTransport):
    """A connection that ends at once when either side ends it."""

    def loseConnection(self) -> None:
        self._end()

    def abortConnection(self) -> None:
        self._end()

    def setTcpNoDelay(self, _on: bool) -> None:
        pass

    def _end(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            from twisted.internet.error import ConnectionDone
            from twisted.python.failure import Failure

            self.protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[attr-defined]


class StressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.timers = Clock()
        clock = ReactorClock(self.timers)
        self.listener = SmtpListener(
            None,
            clock,
            Spawn(clock),
            where="127.0.0.1:0",
            settings=ServerSettings(hostname="mx.test", require_auth=False),
            tls=None,
            new_role=lambda: MemoryRole({}),
            limits=ConnectionLimits(per_address=100, total=20),
        )
        self.lines: list[Any] = []

    def connect(self, count: int = 1) -> None:
        for _ in range(count):
            line: Any = _Line(peerAddress=IPv4Address("TCP", "192.0.2.1", 4000))
            line.protocol = self.listener.buildProtocol(line.getPeer())
            line.protocol.makeConnection(line)
            self.lines.append(line)

    def open(self) -> int:
        return sum(not line.disconnecting for line in self.lines)

    def wait(self, seconds: int) -> None:
        self.timers.pump([1.0] * seconds)

    def test_R10_idle_connections_have_ten_seconds_when_ninety_percent_are_taken(self) -> None:
        self.connect(17)
        self.wait(60)
        self.assertEqual((self.open(), self.listener.stress), (17, None))
        self.connect(1)
        self.assertIsNotNone(self.listener.stress)
        self.wait(9)
        self.assertEqual(self.open(), 18)
        self.wait(3)
        self.assertEqual(self.open(), 0)
        self.assertIn(b"421 4.4.2", self.lines[0].value())

    def test_R10_who_goes_on_talking_stays(self) -> None:
        self.connect(18)
        for _ in range(5):
            self.wait(6)
            self.lines[0].protocol.dataReceived(b"NOOP\r\n")
        self.assertEqual(self.open(), 1)

    def test_R10_one_error_is_forgiven_the_second_is_not(self) -> None:
        self.connect(18)
        line = self.lines[3]
        line.protocol.dataReceived(b"NONSENSE\r\n")
        self.assertFalse(line.disconnecting)
        line.protocol.dataReceived(b"NONSENSE\r\n")
        self.assertTrue(line.disconnecting)
        self.assertIn(b"\r\n421 ", line.value())

    def test_R10_a_body_that_comes_slowly_has_ten_seconds_too(self) -> None:
        self.connect(1)
        line = self.lines[0]
        line.protocol.dataReceived(
            b"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
        )
        self.assertIn(b"354", line.value())
        line.protocol.dataReceived(b"Subject: x\r\n")
        self.connect(17)
        self.wait(12)
        self.assertTrue(line.disconnecting)

    def test_R10_it_is_at_ease_again_within_a_minute(self) -> None:
        self.connect(18)
        self.wait(12)
        self.assertEqual(self.open(), 0)
        self.assertIsNotNone(self.listener.stress)
        self.wait(60)
        self.assertIsNone(self.listener.stress)
        self.assertEqual(self.timers.getDelayedCalls(), [])
        self.connect(1)
        self.wait(60)
        self.assertEqual(self.open(), 1)
        for _ in range(15):
            self.lines[-1].protocol.dataReceived(b"NONSENSE\r\n")
            self.wait(2)
        self.assertEqual(self.open(), 1)

    def test_R10_those_who_were_hurried_get_their_time_back(self) -> None:
        self.connect(18)
        for _ in range(7):
            self.wait(6)
            self.lines[0].protocol.dataReceived(b"NOOP\r\n")
        self.wait(2)
        self.assertIsNone(self.listener.stress)
        self.lines[0].protocol.dataReceived(b"NOOP\r\n")
        self.wait(100)
        self.assertEqual(self.open(), 1)
