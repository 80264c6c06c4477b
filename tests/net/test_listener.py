"""Listeners on real sockets: TLS, limits, stopping, smuggling."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from smtpplus.net.certificates import CertificateFiles, self_signed
from smtpplus.net.clock import ReactorClock
from smtpplus.net.listener import ConnectionLimits, SmtpListener, parse_host_port
from smtpplus.net.spawn import Spawn
from smtpplus.net.tls import ServerTls
from smtpplus.ports import IConversationRole
from smtpplus.smtp.server_settings import ServerSettings
from smtpplus.values.errors import ConfigError
from tests.folders import folder_of
from tests.net.roles import MemoryRole
from tests.net.wire import PlainClientTls, Wire, dial

ENDS_OF_DATA = (
    b"\n.\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\n.\r\n", b"\r\n.\n",
    b"\r.\r\n", b"\r\n.\r", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n",
)  # fmt: skip
ENVELOPE = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"


class ListenerTests(TestCase):
    def setUp(self) -> None:
        folder = folder_of(self)
        folder.mkdir()
        certificate, key = self_signed("localhost", 1_800_000_000.0)
        (folder / "cert.pem").write_bytes(certificate)
        (folder / "key.pem").write_bytes(key)
        self.clock = ReactorClock(reactor)
        self.tls = ServerTls(CertificateFiles(folder / "cert.pem", folder / "key.pem"), self.clock)
        self.roles: list[MemoryRole] = []
        self.answers: dict[str, Any] = {}
        self.wires: list[Wire] = []
        self.addCleanup(self._hang_up)

    def _listen(self, **options: Any) -> SmtpListener:
        clock = options.pop("clock", self.clock)
        settings = ServerSettings(hostname="mx.test", require_auth=False, **options.pop("set", {}))
        options = {"tls": self.tls, "where": "127.0.0.1:0", **options}
        listener = SmtpListener(
            reactor,
            clock,
            Spawn(clock),
            settings=settings,
            new_role=self._new_role,
            **options,
        )
        listener.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(listener.stop(0)))
        return listener

    def _new_role(self) -> MemoryRole:
        self.roles.append(MemoryRole(self.answers))
        return self.roles[-1]

    async def _dial(self, listener: SmtpListener) -> Wire:
        wire = await dial(reactor, listener.address[1])
        self.wires.append(wire)
        return wire

    async def _hang_up_all(self) -> None:
        for wire in self.wires:
            if not wire.is_gone:
                wire.transport.abortConnection()  # type: ignore[union-attr]
                await wire.gone

    def _hang_up(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._hang_up_all())

    async def _start_tls(self, listener: SmtpListener) -> Wire:
        wire = await self._dial(listener)
        await wire.until(b"220 ")
        wire.say(b"EHLO c\r\n")
        await wire.until(b"\r\n250 ")
        wire.say(b"STARTTLS\r\n")
        await wire.until(b"220 ")
        await wire.shake_hands(PlainClientTls())
        return wire

    # ---- TLS

    async def test_T3_starttls_forgets_and_is_offered_once(self) -> None:
        wire = await self._start_tls(self._listen())
        wire.say(b"MAIL FROM:<a@example.com>\r\n")
        self.assertIn(b"503 5.5.1", await wire.until(b"\r\n"))
        wire.say(b"EHLO c\r\n")
        offered = await wire.until(b"\r\n250 ")
        self.assertNotIn(b"STARTTLS", offered)
        self.assertIn(b"AUTH", offered)
        wire.say(b"STARTTLS\r\n")
        self.assertIn(b"503 ", await wire.until(b"\r\n5"[:2]))
        self.assertIn("secured TLSv1.3 TLS_AES_256_GCM_SHA384", self.roles[0].told)
        verifyObject(IConversationRole, self.roles[0])

    async def test_implicit_tls_shakes_hands_before_the_banner(self) -> None:
        wire = await self._dial(self._listen(implicit_tls=True))
        await wire.shake_hands(PlainClientTls())
        await wire.until(b"220 ")
        self.assertEqual(self.roles[0].told[0][:7], "secured")
        wire.say(b"EHLO c\r\n")
        self.assertNotIn(b"STARTTLS", await wire.until(b"\r\n250 "))

    async def test_SM5_commands_in_the_segment_of_starttls(self) -> None:
        listener = self._listen()
        for injected in (b"MAIL FROM:<evil@example.com>\r\n", b"x", b"NOOP\r\n" * 2_000):
            wire = await self._dial(listener)
            await wire.until(b"220 ")
            wire.say(b"EHLO c\r\n")
            await wire.until(b"\r\n250 ")
            wire.say(b"STARTTLS\r\n" + injected)
            self.assertIn(b"554 5.5.0", await wire.until(b"554 5.5.0"))
            await wire.gone
            self.assertNotIn("mail", self.roles[-1].told)

    async def test_T1_clear_text_after_the_220_ends_it(self) -> None:
        wire = await self._dial(self._listen())
        await wire.until(b"220 ")
        wire.say(b"EHLO c\r\n")
        await wire.until(b"\r\n250 ")
        wire.say(b"STARTTLS\r\n")
        await wire.until(b"220 ")
        wire.say(b"MAIL FROM:<evil@example.com>\r\n")
        await wire.gone
        self.assertNotIn("mail", self.roles[0].told)
        self.assertIn("TLS handshake", self.roles[0].closed_because or "")

    async def test_T5_a_stalled_handshake_ends_in_30_s(self) -> None:
        time = Clock()
        for implicit_tls in (True, False):
            listener = self._listen(clock=ReactorClock(time), implicit_tls=implicit_tls)
            wire = await self._dial(listener)
            if not implicit_tls:
                await wire.until(b"220 ")
                wire.say(b"EHLO c\r\nSTARTTLS\r\n")
                await wire.until(b"\r\n220 ")
            wire.say(b"\x16\x03\x01")
            await self._until(lambda at=listener: at.connections == 1)
            for _ in range(29):
                time.advance(1)
            self.assertEqual(listener.connections, 1)
            time.advance(2)
            await wire.gone

    async def test_T9_no_close_notify_in_data(self) -> None:
        wire = await self._start_tls(self._listen())
        wire.say(b"EHLO c\r\n" + ENVELOPE)
        await wire.until(b"354 ")
        wire.say(b"half of a message\r\n")
        wire.transport.abortConnection()  # type: ignore[union-attr]
        await wire.gone
        await self._until(lambda: self.roles[0].closed_because is not None)
        self.assertEqual(self.roles[0].messages, [])

    async def test_a_message_over_tls_of_many_segments(self) -> None:
        wire = await self._start_tls(self._listen())
        wire.say(b"EHLO c\r\n" + ENVELOPE)
        await wire.until(b"354 ")
        body = b"".join(b"%d %s\r\n" % (number, b"x" * 70) for number in range(20_000))
        wire.say(body + b".\r\n")
        await wire.until(b"250 2.0.0")
        self.assertEqual(self.roles[0].messages, [body])

    async def test_proxy_header_before_implicit_tls(self) -> None:
        listener = self._listen(implicit_tls=True, proxies=["127.0.0.0/8"])
        wire = await self._dial(listener)
        wire.say(b"PROXY TCP4 203.0.113.7 192.0.2.1 5555 465\r\n")
        await wire.shake_hands(PlainClientTls())
        await wire.until(b"220 ")
        self.assertEqual(self.roles[0].events[0].client_ip, "203.0.113.7")

    async def test_proxy_header_before_the_banner(self) -> None:
        listener = self._listen(proxies=["127.0.0.0/8"])
        wire = await self._dial(listener)
        wire.say(b"PROXY TCP4 203.0.113.7 192.0.2.1 5555 587\r\n")
        await wire.until(b"220 ")
        self.assertEqual(self.roles[0].events[0].client_ip, "203.0.113.7")

    # ---- smuggling

    async def test_S1_only_crlf_dot_crlf_ends_a_message(self) -> None:
        listener = self._listen(set={"max_junk": 10_000})
        wire = await self._start_tls(listener)
        wire.say(b"EHLO c\r\n")
        await wire.until(b"\r\n250 ")
        role = self.roles[0]
        for end in ENDS_OF_DATA:
            before = len(role.messages)
            smuggled = ENVELOPE.replace(b"a@", b"smuggled@") + b"evil\r\n.\r\n"
            wire.say(ENVELOPE)
            await wire.until(b"354 ")
            # Without the true end the smuggled envelope is content of the one message.
            wire.say(b"Subject: x\r\n\r\nhello" + end + smuggled)
            await wire.until(b"\r\n")
            self.assertEqual(len(role.messages), before + 1, end)
            self.assertIn(b"smuggled@example.com", role.messages[-1], end)
        senders = [str(event.sender) for event in role.events if hasattr(event, "sender")]
        self.assertEqual(set(senders), {"a@example.com"})

    async def test_S1_wherever_the_segments_end(self) -> None:
        listener = self._listen(set={"max_junk": 10_000})
        wire = await self._start_tls(listener)
        wire.say(b"EHLO c\r\n")
        await wire.until(b"\r\n250 ")
        ending = b"x\r\n.\n\r\n..\r\n.\r\n"
        for cut, again in itertools.product(range(1, len(ending)), (1, 3)):
            wire.say(ENVELOPE)
            await wire.until(b"354 ")
            for piece in (ending[:cut], ending[cut : cut + again], ending[cut + again :]):
                wire.say(piece)
                await self.clock.sleep(0)
            await wire.until(b"250 2.0.0")
        self.assertEqual(len(self.roles[0].messages), 2 * (len(ending) - 1))
        self.assertEqual(len(set(self.roles[0].messages)), 1)

    # ---- limits

    async def test_R2_the_51st_connection(self) -> None:
        listener = self._listen()
        for _ in range(50):
            await (await self._dial(listener)).until(b"220 ")
        refused = await self._dial(listener)
        self.assertIn(b"421 4.7.0", await refused.until(b"\r\n"))
        await refused.gone
        self.wires[0].transport.abortConnection()  # type: ignore[union-attr]
        await self.wires[0].gone
        await self._until(lambda: listener.connections == 49)
        await (await self._dial(listener)).until(b"220 ")

    async def test_R4_a_client_that_does_not_read_over_tls(self) -> None:
        listener = self._listen(set={"max_junk": 10**9})
        wire = await self._start_tls(listener)
        wire.say(b"EHLO c\r\n")
        size = len(await wire.until(b"\r\n250 "))
        wire.transport.pauseProducing()  # type: ignore[union-attr]
        commands = 40_000
        wire.say(b"EHLO c\r\n" * commands)
        told = self.roles[0].told
        (session,) = listener._sessions
        await self._until(lambda: session._is_blocked)
        self.assertLess(len(told), commands)
        total = wire.total
        wire.transport.resumeProducing()  # type: ignore[union-attr]
        await self._until(lambda: wire.total - total >= (commands - 1) * size)
        self.assertEqual(sum(it == "hello c" for it in told), commands + 2)

    async def test_R2_counts_the_client_behind_a_proxy(self) -> None:
        listener = self._listen(
            proxies=["127.0.0.1/32"], limits=ConnectionLimits(per_address=1, total=9)
        )
        for client, reply in ((7, b"220 "), (8, b"220 "), (7, b"421 4.7.0 ")):
            wire = await self._dial(listener)
            wire.say(b"PROXY TCP4 203.0.113.%d 192.0.2.1 5555 587\r\n" % client)
            await wire.until(reply)

    async def test_D12_stopping_over_tls(self) -> None:
        listener = self._listen()
        wire = await self._start_tls(listener)
        wire.say(b"EHLO c\r\n")
        await wire.until(b"\r\n250 ")
        stopped = Deferred.fromCoroutine(listener.stop(30))
        await wire.until(b"421 4.3.2 ")
        await wire.gone
        self.assertEqual(await stopped, 0)

    # ---- addresses

    def test_an_address_in_use(self) -> None:
        listener = self._listen()
        where = f"127.0.0.1:{listener.address[1]}"
        with self.assertRaises(ConfigError) as caught:
            self._listen(where=where)
        self.assertIn(where, str(caught.exception))

    def test_addresses_as_written(self) -> None:
        self.assertEqual(parse_host_port("0.0.0.0:587"), ("0.0.0.0", 587))
        self.assertEqual(parse_host_port("[::]:465"), ("::", 465))
        self.assertEqual(parse_host_port("*:25"), ("", 25))
        for text in ("587", "host:25", "1.2.3.4", "1.2.3.4:99999", "::", "[::1", "1.2.3.4:x", ""):
            with self.assertRaises(ConfigError):
                parse_host_port(text)

    async def _until(self, true: Any) -> None:
        for _ in range(1_000):
            if true():
                return
            await self.clock.sleep(0.005)
        raise AssertionError("it never came true")
