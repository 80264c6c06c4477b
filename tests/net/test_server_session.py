"""A session between a transport in memory and a role in memory, by a clock that is turned."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.net.listener import ConnectionLimits, SmtpListener
from smtpplus.net.spawn import Spawn
from smtpplus.ports import HangUpError
from smtpplus.smtp.server_settings import ServerSettings
from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply
from tests.net.roles import OK, MemoryRole

MAIL = b"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"


class Socket(StringTransport):
    """A transport in memory with a send buffer of 64 KiB, as a TCP transport has."""

    aborted = False
    reading = True
    writes = 0

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def write(self, data: bytes) -> None:
        if self.aborted:
            return
        super().write(data)
        self.writes += 1
        if self.producer is not None and len(self.value()) > 65_536:
            self.producer.pauseProducing()

    def read(self) -> bytes:
        """The client reads everything."""
        octets: bytes = self.value()
        self.clear()
        if len(octets) > 65_536 and self.producer is not None:
            self.producer.resumeProducing()
        return octets

    def abortConnection(self) -> None:
        self.aborted = True

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Clock()
        self.role = MemoryRole()
        clock = ReactorClock(self.reactor)
        self.listener = SmtpListener(
            self.reactor,
            clock,
            Spawn(clock),
            where="127.0.0.1:0",
            settings=ServerSettings(hostname="mx.test", require_auth=False, max_junk=10**9),
            tls=None,
            new_role=lambda: self.role,
            limits=ConnectionLimits(per_address=2, total=3),
        )
        self.session, self.socket = self._connect()

    def _connect(self, ip: str = "192.0.2.1") -> tuple[Any, Socket]:
        session = self.listener.buildProtocol(IPv4Address("TCP", ip, 40_000))
        socket = Socket()
        session.makeConnection(socket)
        return session, socket

    def _turn_clock(self, seconds: int) -> None:
        for _ in range(seconds):
            self.reactor.advance(1)

    def _say(self, octets: bytes) -> bytes:
        self.session.dataReceived(octets)
        return self.socket.read()

    # ---- the course of things

    def test_a_message_in_one_segment_but_for_the_body(self) -> None:
        self.assertTrue(self.socket.read().startswith(b"220 "))
        self.assertIn(b"\r\n354 ", self._say(MAIL))
        replies = self._say(b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n")
        self.assertRegex(replies, rb"\A250 2.0.0 OK\r\n221 [^\r]*\r\n\Z")
        self.assertEqual(self.role.messages, [b"Subject: x\r\n\r\nhello\r\n"])
        self.assertTrue(self.socket.disconnecting)

    def test_plain_answers_are_written_in_one_piece(self) -> None:
        before = self.socket.writes
        self.session.dataReceived(MAIL)
        self.assertEqual(self.socket.writes, before + 1)

    def test_S6_answers_that_come_later_keep_the_order(self) -> None:
        gates: list[Deferred[Reply]] = []

        async def later(event: Any) -> Reply:
            gate: Deferred[Reply] = Deferred()
            gates.append(gate)
            return await gate

        self.role.answers = {"mail": later, "rcpt": later}
        self.socket.read()
        replies = self._say(MAIL + b"hello\r\n.\r\n")
        self.assertNotIn(b"250 2.", replies)
        self.assertEqual(len(gates), 1)
        gates[0].callback(OK)
        self.assertEqual(self.socket.read(), b"250 2.0.0 OK\r\n")
        gates[1].callback(Reply.of(550, "5.1.1", "No"))
        self.assertRegex(self.socket.read(), rb"\A550 5.1.1 No\r\n(503|554) ")

    def test_pieces_of_content_wait_for_each_other(self) -> None:
        gates: list[Deferred[None]] = []

        def later(event: Any) -> Deferred[None]:
            gate: Deferred[None] = Deferred()
            gates.append(gate)
            return gate

        self.role.answers = {"body_chunk": later}
        self._say(MAIL)
        self._say(b"x" * 60_000)
        self._say(b"y" * 60_000)
        self.assertEqual(len(gates), 1)
        self.assertFalse(self.socket.reading)
        gates[0].callback(None)
        self.assertEqual(len(gates), 2)
        self.assertTrue(self.socket.reading or gates[1].called is False)
        gates[1].callback(None)
        self.assertTrue(self.socket.reading)
        self._say(b"\r\n.\r\n")
        for gate in gates[2:]:
            gate.callback(None)
        self.assertEqual(self.role.messages, [b"x" * 60_000 + b"y" * 60_000 + b"\r\n"])

    # ---- a role that fails

    def test_an_exception_costs_a_451(self) -> None:
        def fail(event: Any) -> Reply:
            raise ValueError("a fault")

        self.role.answers = {"mail": fail}
        replies = self._say(MAIL)
        self.assertIn(b"451 4.3.0", replies)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.role.answers = {}
        self.assertIn(b"354", self._say(MAIL))

    def test_an_exception_of_a_coroutine_too(self) -> None:
        async def fail(event: Any) -> Reply:
            raise ValueError("a fault")

        self.role.answers = {"body_ended": fail}
        self._say(MAIL)
        self.assertTrue(self._say(b"x\r\n.\r\n").startswith(b"451 4.3.0"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_refusing_by_exception(self) -> None:
        async def refuse(event: Any) -> Reply:
            raise RefusedError(Reply.of(550, "5.7.1", "Not you"))

        self.role.answers = {"rcpt": refuse}
        self.assertIn(b"550 5.7.1 Not you", self._say(MAIL))

    def test_a_piece_that_fails_is_the_final_reply(self) -> None:
        def full(event: Any) -> None:
            raise RefusedError(Reply.of(452, "4.3.1", "Full"))

        self.role.answers = {"body_chunk": full}
        self._say(MAIL)
        self.assertEqual(self._say(b"x\r\ny\r\n.\r\n"), b"452 4.3.1 Full\r\n")
        self.assertEqual(self.role.messages, [])
        self.assertIn("reset", self.role.told)

    def test_a_role_may_hang_up_without_a_word(self) -> None:
        async def hang_up(event: Any) -> Reply:
            raise HangUpError

        self.role.answers = {"body_ended": hang_up}
        self._say(MAIL)
        self.assertEqual(self._say(b"x\r\n.\r\n"), b"")
        self.assertTrue(self.socket.aborted)

    # ---- the end

    def test_T9_a_connection_lost_in_data_queues_nothing(self) -> None:
        self._say(MAIL)
        self._say(b"half of it\r\n")
        self.session.connectionLost(_lost())
        self.assertEqual(self.role.messages, [])
        self.assertEqual(self.role.told[-1], "closed")
        self.assertEqual(self.listener.connections, 0)

    def test_what_came_before_the_end_is_worked_off(self) -> None:
        gate: Deferred[Reply] = Deferred()
        self._say(MAIL)
        self.role.answers = {"body_ended": gate}
        self._say(b"x\r\n.\r\nMAIL FROM:<c@example.com>\r\n")
        self.session.connectionLost(_lost())
        self.assertIsNone(self.role.closed_because)
        gate.callback(OK)
        self.assertEqual(self.role.told[-3:], ["mail", "reset", "closed"])
        self.assertEqual(self.role.messages, [b"x\r\n"])

    def test_R2_one_connection_too_many(self) -> None:
        self._connect()
        _, third = self._connect()
        self.assertTrue(third.read().startswith(b"421 4.7.0 "))
        self.assertTrue(third.disconnecting)

    def test_R2_all_connections_have_a_limit_too(self) -> None:
        for ip in ("192.0.2.2", "192.0.2.3"):
            self.assertTrue(self._connect(ip)[1].read().startswith(b"220 "))
        self.assertTrue(self._connect("192.0.2.4")[1].read().startswith(b"421 4.3.2 "))

    def test_R2_a_flood_is_closed_without_a_word(self) -> None:
        for _ in range(11):
            self._connect()
        self.assertIsNone(self.listener.buildProtocol(IPv4Address("TCP", "192.0.2.1", 9)))

    # ---- time

    def test_R3_an_idle_client_is_closed_after_300_s(self) -> None:
        self.socket.read()
        self._turn_clock(299)
        self.assertFalse(self.socket.disconnecting)
        self._turn_clock(2)
        self.assertTrue(self.socket.read().startswith(b"421 4.4.2 "))
        self.assertTrue(self.socket.disconnecting)
        self._turn_clock(11)
        self.assertTrue(self.socket.aborted)

    def test_R3_a_command_has_300_s_in_all(self) -> None:
        for octet in b"EHLO " + b"x" * 30:
            self.session.dataReceived(bytes([octet]))
            self._turn_clock(10)
        self.assertTrue(self.socket.disconnecting)

    def test_R3_the_look_at_the_time_is_within_the_300_s_of_a_command(self) -> None:
        self.session.dataReceived(b"EHLO")
        self._turn_clock(297)
        self.session.dataReceived(b" x")
        self.assertFalse(self.socket.disconnecting)
        self._turn_clock(2)
        self.assertTrue(self.socket.disconnecting)

    def test_R3_content_that_trickles_ends_in_300_s(self) -> None:
        self._say(MAIL)
        for _ in range(30):
            self._say(b"x")
            self._turn_clock(10)
        self.assertTrue(self.socket.disconnecting)
        self.session.connectionLost(_lost())
        self.assertEqual(self.role.messages, [])
        self.assertEqual(self.role.closed_because, "The message came too slowly")

    def test_R3_content_at_the_least_rate_arrives(self) -> None:
        self._say(MAIL)
        for _ in range(1_000):
            self._say(b"x" * 500)
            self._turn_clock(1)
        self.assertTrue(self._say(b"\r\n.\r\n").startswith(b"250 "))

    def test_R3_a_slow_role_is_not_the_clients_fault(self) -> None:
        gate: Deferred[Reply] = Deferred()
        self.role.answers = {"body_ended": gate}
        self._say(MAIL)
        self._say(b"x\r\n.\r\n")
        self._turn_clock(1_000)
        gate.callback(OK)
        self.assertTrue(self.socket.read().startswith(b"250 "))
        self._turn_clock(200)
        self.assertFalse(self.socket.disconnecting)

    def test_R4_a_client_that_does_not_read(self) -> None:
        self._say(b"EHLO c\r\n")
        sent = 0
        while self.socket.reading and sent < 500:
            self.session.dataReceived(b"MAIL FROM:<a@b.example>\r\nRSET\r\n" * 2_000)
            sent += 1
        self.assertFalse(self.socket.reading)
        self.assertLess(len(self.socket.value()), 2 * 65_536)
        self._turn_clock(301)
        self.assertTrue(self.socket.aborted)

    def test_R4_reading_again_goes_on(self) -> None:
        self._say(b"EHLO c\r\n")
        commands = b"MAIL FROM:<a@b.example>\r\nRSET\r\n" * 4_000
        self.session.dataReceived(commands)
        replies = b""
        while octets := self.socket.read():
            replies += octets
        self.assertEqual(replies.count(b"\r\n"), 8_000)
        self.assertTrue(self.socket.reading)

    # ---- stopping

    def test_D12_an_idle_client_hears_421(self) -> None:
        self.socket.read()
        stopped = Deferred.fromCoroutine(self.listener.stop(30))
        self.assertTrue(self.socket.read().startswith(b"421 4.3.2 "))
        self.session.connectionLost(_lost())
        self.assertEqual(self.successResultOf(stopped), 0)

    def test_D12_an_idle_client_that_does_not_close_holds_nobody_up(self) -> None:
        stopped = Deferred.fromCoroutine(self.listener.stop(30))
        self.assertIn(b"421 4.3.2 ", self.socket.read())
        self._turn_clock(1)
        self.assertFalse(self.socket.aborted)
        self._turn_clock(2)
        self.assertTrue(self.socket.aborted)
        self.session.connectionLost(_lost())
        self.assertEqual(self.successResultOf(stopped), 0)

    def test_D12_a_message_under_way_is_finished(self) -> None:
        self._say(MAIL)
        stopped = Deferred.fromCoroutine(self.listener.stop(30))
        self._say(b"hello\r\n")
        self.assertNoResult(stopped)
        replies = self._say(b".\r\n")
        self.assertRegex(replies, rb"\A250 2.0.0 OK\r\n421 4.3.2 ")
        self.assertEqual(self.role.messages, [b"hello\r\n"])
        self.session.connectionLost(_lost())
        self.assertEqual(self.successResultOf(stopped), 0)

    def test_D12_but_not_for_ever(self) -> None:
        self._say(MAIL)
        stopped = Deferred.fromCoroutine(self.listener.stop(30))
        self._turn_clock(31)
        self.assertEqual(self.successResultOf(stopped), 1)
        self.assertTrue(self.socket.read().startswith(b"421 4.3.2 "))
        self.assertFalse(self.socket.aborted)


def _lost() -> Any:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    return Failure(ConnectionDone())
