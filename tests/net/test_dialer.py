"""Outbound sessions over real sockets: TLS, a large content, a real peer, no connection."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Awaitable
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import ITLSTransport
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from smtpplus.net.certificates import CertificateFiles, self_signed
from smtpplus.net.client_session import ClientSession
from smtpplus.net.clock import ReactorClock
from smtpplus.net.dialer import Dialer
from smtpplus.net.timeouts import Timeouts
from smtpplus.net.tls import OutboundTls, ServerTls
from smtpplus.ports import IDialer, SessionLostError
from smtpplus.values.duration import Duration
from tests.folders import folder_of
from tests.net.remote import Content, Remote, RemoteFactory, envelope

reactor: Any = installed_reactor
MIB = 1024 * 1024


class Case(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = ReactorClock(reactor)
        self.dialer = Dialer(reactor, self.clock, OutboundTls())

    def listen(self, factory: RemoteFactory) -> int:
        """Serve; the port."""
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")

        async def stop() -> None:
            await port.stopListening()
            for remote in factory.connections:
                if remote not in factory.lost:
                    remote.transport.abortConnection()  # type: ignore[union-attr]
            while len(factory.lost) < len(factory.connections):
                await deferLater(reactor, 0.01)

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return int(port.getHost().port)

    async def dial(self, port: int) -> ClientSession:
        session = await self.dialer.dial("localhost", "127.0.0.1", port, None)
        self.addCleanup(session.abort)
        return session

    async def ready(self, port: int) -> ClientSession:
        session = await self.dial(port)
        self.assertEqual((await session.greeting()).code, 220)
        self.assertEqual((await session.hello("me.example.com")).code, 250)
        return session

    async def lost(self, waiting: Awaitable[Any]) -> SessionLostError:
        try:
            await waiting
        except SessionLostError as error:
            return error
        raise self.failureException("The session was not lost")

    def tls(self) -> ServerTls:
        """A self-signed certificate for localhost."""
        folder = folder_of(self)
        folder.mkdir()
        certificate, key = self_signed("localhost", time.time())
        (folder / "c").write_bytes(certificate)
        (folder / "k").write_bytes(key)
        return ServerTls(CertificateFiles(folder / "c", folder / "k"), self.clock)

    def starting_tls(self, *keywords: str, injected: bytes = b"") -> RemoteFactory:
        tls = self.tls()

        def start(remote: Remote) -> None:
            remote.send(b"220 2.0.0 go\r\n" + injected)
            assert ITLSTransport.providedBy(remote.transport)
            remote.transport.startTLS(tls)

        return RemoteFactory("STARTTLS", *keywords, STARTTLS=start)


class DialTests(Case):
    def test_provides_the_port(self) -> None:
        self.assertTrue(verifyObject(IDialer, self.dialer))

    async def test_refused(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))  # nobody listens
            port = bound.getsockname()[1]
            lost = await self.lost(self.dial(port))
        self.assertEqual(str(lost), f"No connection to 127.0.0.1 port {port}: Connection refused.")

    async def test_a_source_that_is_not_ours(self) -> None:
        port = self.listen(RemoteFactory())
        lost = await self.lost(self.dialer.dial("x", "127.0.0.1", port, "192.0.2.1"))
        self.assertIn("from 192.0.2.1", str(lost))

    async def test_a_source(self) -> None:
        port = self.listen(RemoteFactory())
        session = await self.dialer.dial("x", "127.0.0.1", port, "127.0.0.2")
        self.assertEqual(session.source_ip, "127.0.0.2")
        await session.quit()

    async def test_no_answer(self) -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)  # and its queue is filled
            waiting = [socket.socket() for _ in range(3)]
            for one in waiting:
                self.addCleanup(one.close)
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            self.dialer = Dialer(
                reactor,
                self.clock,
                OutboundTls(),
                Timeouts(connect=Duration(seconds=0.2)),
            )
            lost = await self.lost(self.dial(full.getsockname()[1]))
        self.assertIn("within 0.2 s", str(lost))

    async def test_cancelled(self) -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            waiting = [socket.socket() for _ in range(3)]
            for one in waiting:
                self.addCleanup(one.close)
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            dialling = Deferred.fromCoroutine(self.dial(full.getsockname()[1]))
            dialling.cancel()
            await self.assertFailure(dialling, CancelledError)


class TlsTests(Case):
    async def test_starttls_with_a_self_signed_certificate(self) -> None:
        factory = self.starting_tls("PIPELINING", "SIZE")
        session = await self.ready(self.listen(factory))
        self.assertEqual((await session.start_tls("localhost")).code, 220)
        self.assertEqual(session.extensions.keywords, {})
        facts = session.tls
        assert facts is not None
        self.assertEqual((facts.version, facts.trusted), ("TLSv1.3", False))
        self.assertTrue(facts.peer_name_ok)
        self.assertIn("localhost", facts.subject)
        await session.hello("me.example.com")
        for _ in range(2):
            replies = await session.send(envelope(), Content(b"hello\r\n"))
            assert replies.final is not None
            self.assertEqual(replies.final.code, 250)
        await session.quit()
        self.assertEqual(len(factory.bodies), 2)
        self.assertIn("= TLS: TLSv1.3", session.transcript())

    async def test_T2_injected_response(self) -> None:
        factory = self.starting_tls(injected=b"250-localhost\r\n250 AUTH PLAIN\r\n")
        session = await self.ready(self.listen(factory))
        lost = await self.lost(session.start_tls("localhost"))
        self.assertIn("in the clear", str(lost))
        self.assertFalse(session.is_open)
        self.assertIsNone(session.tls)
        self.assertEqual(factory.said, ["EHLO me.example.com", "STARTTLS"])

    async def test_handshake_failed(self) -> None:
        for said, words in (
            (b"this is no TLS\r\n" * 20, "wrong version number"),
            (b"\x15\x03\x01\x00\x02\x02\x28", "handshake failure"),
            (b"", "onnection"),
        ):

            def start(remote: Remote, said: bytes = said) -> None:
                remote.send(b"220 go\r\n")

                def hello_came(data: bytes) -> None:
                    remote.send(said)
                    remote.transport.loseConnection()  # type: ignore[union-attr]

                remote.dataReceived = hello_came  # type: ignore[method-assign]

            session = await self.ready(self.listen(RemoteFactory("STARTTLS", STARTTLS=start)))
            lost = await self.lost(session.start_tls("localhost"))
            self.assertIn("The TLS handshake failed", str(lost))
            self.assertIn(words, str(lost))
            self.assertIn(words, session.transcript())

    async def test_handshake_stalled(self) -> None:
        def start(remote: Remote) -> None:
            remote.send(b"220 go\r\n")
            remote.dataReceived = lambda data: None  # type: ignore[method-assign]

        self.dialer = Dialer(
            reactor, self.clock, OutboundTls(), Timeouts(tls=Duration(seconds=0.2))
        )
        session = await self.ready(self.listen(RemoteFactory("STARTTLS", STARTTLS=start)))
        lost = await self.lost(session.start_tls("localhost"))
        self.assertEqual(str(lost), "No end of the TLS handshake within 0.2 s.")

    async def test_log_in_bound_to_the_connection(self) -> None:
        factory = self.starting_tls("AUTH SCRAM-SHA-256-PLUS PLAIN", "DSN")
        factory.answers["AUTH"] = b"535 5.7.8 no\r\n"
        session = await self.ready(self.listen(factory))
        await session.start_tls("localhost")
        await session.hello("me.example.com")
        reply = await session.log_in("user", "secret")
        self.assertEqual(str(reply), "535 5.7.8 no")
        self.assertTrue(factory.said[-1].startswith("AUTH SCRAM-SHA-256-PLUS cD10bHMt"))
        await session.quit()


class LargeTests(Case):
    """20 MiB, with little of it in memory at any time."""

    piece = (b"." + b"x" * 1021 + b"\r\n") * 64  # 64 KiB, and every line needs its dot

    async def carry(self, session: ClientSession, factory: RemoteFactory) -> None:
        pieces = 20 * MIB // len(self.piece)
        held: list[int] = []

        def watch() -> None:
            transport: Any = session.wire.transport
            held.append(len(transport.dataBuffer) + sum(map(len, transport._tempDataBuffer)))

        content = Content(*[self.piece] * pieces, watch=watch)
        replies = await session.send(envelope(), content)
        assert replies.final is not None
        self.assertEqual(replies.final.code, 250)
        self.assertLess(max(held), 256 * 1024)
        stuffed = self.piece.replace(b"\r\n.", b"\r\n..")
        whole = hashlib.sha256(b"." + stuffed)
        for _ in range(pieces - 1):
            whole.update(b"." + stuffed)
        octets = pieces * (len(stuffed) + 1)
        self.assertEqual(factory.bodies, [(octets, whole.hexdigest())])
        self.assertIn(f"> ({content.size} octets)", session.transcript())
        await session.quit()

    def slow_start(self, remote: Remote) -> None:
        """354, and then for a while nothing is read."""
        transport: Any = remote.transport
        remote.send(b"354 go\r\n")
        remote._in_body = True
        transport.pauseProducing()
        reactor.callLater(0.3, transport.resumeProducing)

    async def test_in_the_clear(self) -> None:
        factory = RemoteFactory("PIPELINING", DATA=self.slow_start)
        await self.carry(await self.ready(self.listen(factory)), factory)

    async def test_over_tls(self) -> None:
        factory = self.starting_tls("PIPELINING")
        factory.answers["DATA"] = self.slow_start
        session = await self.ready(self.listen(factory))
        await session.start_tls("localhost")
        await session.hello("me.example.com")
        await self.carry(session, factory)

    async def test_O7_refused_in_the_middle(self) -> None:
        for bye, code in ((b"552 5.3.4 too big\r\n", 552), (b"421 4.3.1 bye\r\n", 421)):

            def refuse(remote: Remote, bye: bytes = bye) -> None:
                remote.send(b"354 go\r\n")
                remote.dataReceived = lambda data: None  # type: ignore[method-assign]
                remote.send(bye)

            session = await self.ready(self.listen(RemoteFactory("PIPELINING", DATA=refuse)))
            content = Content(*[self.piece] * 320)
            if code == 421:
                lost = await self.lost(session.send(envelope(), content))
                assert lost.reply is not None
                self.assertEqual((lost.reply.code, lost.after_final_dot), (421, False))
            else:
                replies = await session.send(envelope(), content)
                assert replies.final is not None
                self.assertEqual(replies.final.code, code)
            self.assertFalse(session.is_open)
            self.assertEqual(content.closed, 1)


class PeerTests(Case):
    """Against aiosmtpd, in a thread of its own."""

    async def serve(self, handler: object, **settings: Any) -> int:
        from aiosmtpd.controller import Controller

        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))

        class Bound(Controller):
            def _create_server(self) -> Any:
                return self.loop.create_server(self._factory_invoker, sock=bound)

        controller = Bound(handler, "127.0.0.1", bound.getsockname()[1], **settings)
        await deferToThread(controller.start)
        self.addCleanup(deferToThread, controller.stop)
        return int(bound.getsockname()[1])

    async def test_messages_arrive_as_they_were(self) -> None:
        contents = [
            b"Subject: one\r\n\r\n.\r\n..\r\n.a\r\n",
            b"Subject: big\r\n\r\n" + (b"." * 70 + b"\r\n") * 30_000,
            "Subject: 8\r\n\r\nGrüße\r\n".encode(),
        ]
        arrived: list[tuple[str, list[str], bytes]] = []

        class Keep:
            async def handle_DATA(self, server: Any, session: Any, mail: Any) -> str:
                arrived.append((mail.mail_from, mail.rcpt_tos, mail.original_content))
                return "250 2.0.0 taken"

            async def handle_RCPT(
                self, server: Any, session: Any, mail: Any, address: str, options: list[str]
            ) -> str:
                if address.startswith("no"):
                    return "550 5.1.1 unknown"
                mail.rcpt_tos.append(address)
                return "250 2.1.5 ok"

        session = await self.ready(await self.serve(Keep(), enable_SMTPUTF8=True))
        self.assertIn("SMTPUTF8", session.extensions)
        for content in contents:
            pieces = [content[i : i + 65_536] for i in range(0, len(content), 65_536)]
            replies = await session.send(
                envelope("b@example.net", "no@example.net"), Content(*pieces)
            )
            self.assertEqual([reply and reply.code for reply in replies.recipients], [250, 550])
        replies = await session.send(envelope("no@example.net"), Content(b"x\r\n"))
        self.assertIsNone(replies.final)
        replies = await session.send(envelope("c@example.net"), Content(b"x\r\n"))
        assert replies.final is not None
        self.assertEqual(str(replies.final), "250 2.0.0 taken")
        await session.quit()
        self.assertEqual([mail[2] for mail in arrived], [*contents, b"x\r\n"])
        self.assertEqual(session.messages, 5)

    async def test_log_in(self) -> None:
        from aiosmtpd.smtp import AuthResult

        def check(server: Any, session: Any, mail: Any, mechanism: str, data: Any) -> Any:
            good = (data.login, data.password) == (b"user", b"secret")
            return AuthResult(success=good, handled=False)

        for offered, password, code in (
            ({"PLAIN"}, "secret", 235),
            ({"LOGIN"}, "secret", 235),
            ({"PLAIN", "LOGIN"}, "wrong", 535),
        ):
            port = await self.serve(
                object(),
                authenticator=check,
                auth_require_tls=False,
                auth_exclude_mechanism={"PLAIN", "LOGIN"} - offered,
            )
            session = await self.ready(port)
            self.assertEqual(session.extensions.auth, offered)
            self.assertEqual((await session.log_in("user", password)).code, code)
            await session.quit()
