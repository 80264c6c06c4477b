"""The sandbox over real sockets, as the relay meets it."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smtpplus.net.certificates import CertificateFiles, self_signed
from smtpplus.net.clock import ReactorClock
from smtpplus.net.spawn import Spawn
from smtpplus.net.tls import ServerTls
from smtpplus.ports import ISandbox, SandboxMail
from smtpplus.sandbox.conversation import SandboxConversation, SandboxParts
from smtpplus.sandbox.outcomes import Deferrals
from smtpplus.sandbox.service import SandboxService, SandboxSettings
from smtpplus.smtp.events import RcptReceived
from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.errors import StoreFullError
from smtpplus.values.ids import IdSource
from tests.folders import folder_of

T = TypeVar("T")

MAIL = b"From: Anna <a@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n"


@implementer(ISandbox)
class MemorySandbox:
    def __init__(self) -> None:
        self.kept: list[SandboxMail] = []
        self.is_full = False

    async def keep(self, mail: SandboxMail) -> None:
        if self.is_full:
            raise StoreFullError("full")
        self.kept.append(mail)

    async def mails(self, search: str, before: int | None, most: int) -> Sequence[SandboxMail]:
        return self.kept[:most]

    async def mail(self, mail_id: int) -> SandboxMail | None:
        return next((mail for mail in self.kept if mail.id == mail_id), None)


class SandboxTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        folder = folder_of(self)
        folder.mkdir()
        clock = ReactorClock(reactor)
        for name, octets in zip("ck", self_signed("localhost", clock.now()), strict=True):
            (folder / name).write_bytes(octets)
        self.spawn = Spawn(clock)
        self.sandbox = MemorySandbox()
        self.service = SandboxService(
            reactor,
            SandboxSettings(),
            sandbox=self.sandbox,
            clock=clock,
            spawn=self.spawn,
            ids=IdSource(1),
            tls=ServerTls(CertificateFiles(folder / "c", folder / "k"), clock),
        )
        self.service.startService()
        self.addCleanup(self.service.stopService)

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        result: T = await deferToThread(work, *arguments)
        return result

    def deliver(self, *recipients: str, mail: bytes = MAIL, tls: bool = False) -> str:
        """One transaction; the last reply."""
        host, port = self.service.address
        with smtplib.SMTP(host, port, timeout=30, local_hostname="relay.test") as client:
            if tls:
                client.starttls(context=unverified())
            client.ehlo()
            reply = client.mail("a@example.com")
            for recipient in recipients:
                reply = client.rcpt(recipient)
            if reply[0] == 250:
                reply = client.data(mail)
            client.rset()
            return f"{reply[0]} {reply[1].decode()}"

    async def test_mail_is_kept_octet_for_octet(self) -> None:
        reply = await self.in_thread(lambda: self.deliver("anna@mail.example", tls=True))
        self.assertTrue(reply.startswith("250 2.0.0 kept as "))
        (kept,) = self.sandbox.kept
        self.assertEqual(kept.content, MAIL)
        self.assertEqual(kept.octets, len(MAIL))
        self.assertEqual(
            (kept.sender, kept.recipient, kept.subject, kept.header_from),
            ("a@example.com", "anna@mail.example", "Grüße", "Anna <a@example.com>"),
        )
        self.assertTrue(kept.tls.startswith("TLSv1.3"))

    async def test_each_recipient_has_a_mail(self) -> None:
        await self.in_thread(self.deliver, "a@x.example", "b@x.example")
        self.assertEqual(
            [mail.recipient for mail in self.sandbox.kept], ["a@x.example", "b@x.example"]
        )
        self.assertEqual(len({mail.id for mail in self.sandbox.kept}), 2)

    async def test_outcomes(self) -> None:
        for local, start in (
            ("bounce-5.1.1", "550 5.1.1"),
            ("bounce-4.2.2", "452 4.2.2"),
            ("full", "452 4.2.2"),
        ):
            reply = await self.in_thread(self.deliver, f"{local}@mail.example")
            self.assertEqual(reply[:9], start)
        self.assertEqual(self.sandbox.kept, [])

    async def test_deferrals(self) -> None:
        first, second = (b"Message-ID: <%d@x>\r\n" % number + MAIL for number in (1, 2))
        replies = [
            await self.in_thread(lambda mail=mail: self.deliver("defer-2@x.example", mail=mail))
            for mail in (first, second, first, first, second, second)
        ]
        self.assertEqual(
            [reply[:3] for reply in replies], ["451", "451", "451", "250", "451", "250"]
        )
        self.assertEqual(len(self.sandbox.kept), 2)

    async def test_drop_closes_without_a_reply(self) -> None:
        def deliver() -> str:
            try:
                return self.deliver("drop@mail.example")
            except (smtplib.SMTPServerDisconnected, ConnectionResetError):
                return "dropped"

        self.assertEqual(await self.in_thread(deliver), "dropped")
        self.assertEqual(self.sandbox.kept, [])

    async def test_a_full_disk_is_told(self) -> None:
        self.sandbox.is_full = True
        reply = await self.in_thread(self.deliver, "a@x.example")
        self.assertEqual(reply[:9], "452 4.3.1")

    async def test_tls_fails_where_it_is_asked_to(self) -> None:
        host, port = self.service.tls_fail_address

        def shake_hands() -> str:
            with smtplib.SMTP(host, port, timeout=30) as client:
                client.ehlo()
                assert client.has_extn("starttls")
                try:
                    client.starttls(context=unverified())
                except (ssl.SSLError, ConnectionResetError) as error:
                    return type(error).__name__
                return "established"

        def plainly() -> int:
            with smtplib.SMTP(host, port, timeout=30) as client:
                client.sendmail("a@example.com", ["tls-fail@mail.example"], MAIL)
            return 250

        self.assertNotEqual(await self.in_thread(shake_hands), "established")
        self.assertEqual(await self.in_thread(plainly), 250)
        self.assertEqual(self.sandbox.kept[0].tls, "")

    def test_slow_takes_ten_seconds_a_reply(self) -> None:
        timers = Clock()
        parts = SandboxParts(
            self.sandbox, ReactorClock(timers, lambda: 0.0), IdSource(1), Deferrals()
        )
        role = SandboxConversation(parts)
        slow = RcptReceived(EnvelopeRecipient(Address.parse("slow@x.example")))
        replied = Deferred.fromCoroutine(role.rcpt(slow))
        timers.advance(9.9)
        self.assertNoResult(replied)
        timers.advance(0.2)
        self.assertEqual(self.successResultOf(replied).code, 250)


def unverified() -> ssl.SSLContext:
    """TLS towards a self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
