"""Unsubscribing by mail over real sockets: what counts as a wish, and what is said to whom."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from smtpplus.feedback.service import FeedbackPorts, FeedbackService, FeedbackSettings
from smtpplus.message.token import Purpose, TokenFacts, Tokens
from smtpplus.message.verp import local_part
from smtpplus.net.clock import ReactorClock
from smtpplus.net.spawn import Spawn
from smtpplus.values.errors import StoreFullError, StoreUnavailableError
from smtpplus.values.response import ResponseKind
from tests.web.tracking.rig import MemoryResponses

T = TypeVar("T")

DOMAIN = "bounce.example.com"
MAIL = b"From: anna@example.net\r\nTo: x@example.com\r\nSubject: unsubscribe\r\n\r\nNo more\r\n"
FACTS = TokenFacts(1, 7, 3, 4)


class FeedbackTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = ReactorClock(reactor)
        self.tokens = Tokens([b"an installation's own secret, 32"])
        self.kept = MemoryResponses({7: "news", 8: "offers"})
        self.service = FeedbackService(
            reactor,
            FeedbackSettings(
                hostname="mx.example.com",
                domain=DOMAIN,
                tokens=self.tokens,
                listen=("127.0.0.1:0",),
                max_message_bytes=1024 * 1024,
                stop_seconds=1.0,
            ),
            FeedbackPorts(responses=self.kept, clock=self.clock, spawn=Spawn(self.clock)),
            None,
        )
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def address(self, facts: TokenFacts = FACTS) -> str:
        token = self.tokens.make(Purpose.UNSUBSCRIBE, facts, self.clock.now())
        return f"{local_part(Purpose.UNSUBSCRIBE, token)}@{DOMAIN}"

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        result: T = await deferToThread(work, *arguments)
        return result

    async def send(self, *to: str, sender: str = "anna@example.net", mail: bytes = MAIL) -> str:
        """One transaction; its last reply."""
        return await self.in_thread(self._send, to, sender, mail)

    def _send(self, to: tuple[str, ...], sender: str, mail: bytes) -> str:
        host, port = self.service.listeners.addresses[0]
        with smtplib.SMTP(host, port, timeout=30, local_hostname="mx.test") as client:
            client.ehlo()
            reply = client.mail(sender)
            for one in to:
                reply = client.rcpt(one)
                if reply[0] != 250:
                    return f"{reply[0]} {reply[1].decode()}"
            code, text = client.data(mail)
            return f"{code} {text.decode()}"

    async def test_UN4_mail_to_the_mailto_unsubscribes_before_the_250(self) -> None:
        self.assertEqual(await self.send(self.address()), "250 2.0.0 Ok, unsubscribed")
        (one,) = self.kept.changes
        self.assertEqual(one.kind, ResponseKind.UNSUBSCRIBED)
        self.assertEqual(
            (one.account_id, one.list_id, one.message_id, one.delivery_id), (1, 7, 3, 4)
        )
        self.assertEqual((one.reason, one.client_ip, one.agent), ("mail", "", ""))

    async def test_UN4_a_second_mail_is_250_and_changes_nothing(self) -> None:
        for _ in range(2):
            self.assertEqual((await self.send(self.address()))[:3], "250")
        self.assertEqual(len(self.kept.changes), 1)
        self.assertEqual(self.service.returns, {"unsubscribed": 1, "repeated": 1})

    async def test_each_recipient_of_a_mail_is_unsubscribed(self) -> None:
        others = [TokenFacts(1, list_id, 3, 4) for list_id in (7, 8)]
        self.assertEqual((await self.send(*map(self.address, others)))[:3], "250")
        self.assertEqual([one.list_id for one in self.kept.changes], [7, 8])

    async def test_AS2_a_machines_answer_changes_nothing(self) -> None:
        automatic = b"Auto-Submitted: auto-replied (vacation)\r\n" + MAIL
        for sender, mail in (("", MAIL), ("anna@example.net", automatic)):
            reply = await self.send(self.address(), sender=sender, mail=mail)
            self.assertEqual(reply[:9], "250 2.0.0")
        self.assertEqual(self.kept.changes, [])
        self.assertEqual(self.service.returns, {"answered": 2})

    async def test_UN4_what_a_program_sends_for_a_person_is_that_persons_wish(self) -> None:
        for field in (b"Auto-Submitted: no\r\n", b"Auto-Submitted: auto-generated\r\n"):
            self.kept.inactive.clear()
            self.assertEqual((await self.send(self.address(), mail=field + MAIL))[:3], "250")
        self.assertEqual(len(self.kept.changes), 2)

    async def test_VE1_a_forged_address_is_refused_and_nothing_changes(self) -> None:
        local, _, domain = self.address().partition("@")
        forged = f"{local[:-1]}{'0' if local[-1] != '0' else '1'}@{domain}"
        self.assertEqual((await self.send(forged))[:9], "550 5.1.1")
        self.assertEqual((await self.send("anna@example.net"))[:9], "550 5.7.1")
        self.assertEqual(self.kept.changes, [])
        self.assertEqual(self.service.returns, {"forged": 1, "relay": 1})

    async def test_a_mail_that_is_no_longer_known_is_refused_at_RCPT(self) -> None:
        self.kept.gone.add(FACTS.delivery_id)
        self.assertEqual((await self.send(self.address()))[:9], "550 5.1.1")

    async def test_a_store_that_is_away_or_full_is_told_as_such_and_nothing_is_lost(self) -> None:
        for error, code in ((StoreUnavailableError("x"), "451"), (StoreFullError("x"), "452")):
            self.kept.error = error
            self.assertEqual((await self.send(self.address()))[:3], code)
        self.kept.error = None
        self.assertEqual((await self.send(self.address()))[:3], "250")
        self.assertEqual(len(self.kept.changes), 1)

    async def test_a_large_mail_is_taken_and_only_its_head_is_held(self) -> None:
        mail = MAIL + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 10_000
        self.assertEqual((await self.send(self.address(), mail=mail))[:3], "250")

    async def test_SM2_a_bare_line_end_is_refused_and_smuggles_nothing(self) -> None:
        other = self.address(TokenFacts(1, 8, 3, 4))
        said = await self.in_thread(self._smuggle, self.address(), other)
        self.assertIn(b"\r\n550 5.6.", said)
        self.assertEqual(self.kept.changes, [])

    def _smuggle(self, address: str, other: str) -> bytes:
        host, port = self.service.listeners.addresses[0]
        with socket.create_connection((host, port), timeout=30) as wire:
            wire.sendall(
                b"EHLO mx.test\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<%s>\r\nDATA\r\n"
                b"Subject: x\r\n\r\nx\n.\nMAIL FROM:<a@example.net>\r\nRCPT TO:<%s>\r\nDATA\r\n"
                b".\r\nQUIT\r\n" % (address.encode(), other.encode())
            )
            pieces = []
            while piece := wire.recv(65536):
                pieces.append(piece)
            return b"".join(pieces)

    async def test_nobody_signs_in(self) -> None:
        def offered() -> tuple[dict[str, str], int]:
            host, port = self.service.listeners.addresses[0]
            with smtplib.SMTP(host, port, timeout=30) as client:
                client.ehlo("mx.test")
                return dict(client.esmtp_features), client.docmd("AUTH", "PLAIN AGEAYg==")[0]

        features, code = await self.in_thread(offered)
        self.assertNotIn("auth", features)
        self.assertIn(code, {502, 503})
