"""AUTH from the client's side: which mechanism, and what a remote can do wrong."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.client import ClientConversation
from smtpplus.smtp.client_events import (
    Command,
    Replied,
)
from smtpplus.smtp.client_sasl import choose_exchange
from smtpplus.smtp.client_states import ClientState
from smtpplus.smtp.reply_reader import RemoteProtocolError
from smtpplus.smtp.transcript import Transcript
from smtpplus.values.reply import Reply
from tests.smtp.client_dialog import EHLO, hear, hear_nothing, ready


class AuthTests(SynchronousTestCase):
    def begin(self, offered: set[str], password: str = "secret") -> ClientConversation:
        client = ready()
        exchange = choose_exchange(offered, "user", password, nonce="abc", exporter=None)
        assert exchange is not None
        client.authenticate(exchange)
        return client

    def test_plain(self) -> None:
        client = self.begin({"PLAIN", "LOGIN"})
        self.assertEqual(client.bytes_to_send(), b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n")
        event = hear(client, b"235 2.7.0 welcome\r\n")
        self.assertEqual(event, Replied(Command.AUTH, Reply.of(235, "2.7.0", "welcome")))

    def test_plain_with_a_long_password(self) -> None:
        client = self.begin({"PLAIN"}, "x" * 400)
        self.assertEqual(client.bytes_to_send(), b"AUTH PLAIN\r\n")
        hear_nothing(client, b"334 \r\n")
        self.assertGreater(len(client.bytes_to_send()), 500)

    def test_login(self) -> None:
        client = self.begin({"LOGIN"})
        self.assertEqual(client.bytes_to_send(), b"AUTH LOGIN\r\n")
        hear_nothing(client, b"334 VXNlcm5hbWU6\r\n")
        self.assertEqual(client.bytes_to_send(), b"dXNlcg==\r\n")
        hear_nothing(client, b"334 UGFzc3dvcmQ6\r\n")
        self.assertEqual(client.bytes_to_send(), b"c2VjcmV0\r\n")
        self.assertIsInstance(hear(client, b"535 5.7.8 no\r\n"), Replied)
        self.assertIs(client.state, ClientState.READY)

    def test_a_remote_that_errs(self) -> None:
        for offered, replies in (
            ({"PLAIN"}, b"334 bW9yZQ==\r\n"),
            ({"LOGIN"}, b"334 ***\r\n"),
            ({"LOGIN"}, b"334 \r\n" * 3),
            ({"SCRAM-SHA-256"}, b"235 2.7.0 just so\r\n"),
            ({"SCRAM-SHA-256"}, b"334 cj1hYmMscz1hLGk9MQ==\r\n"),
            ({"SCRAM-SHA-256"}, b"334 /////w==\r\n"),
        ):
            client = self.begin(offered)
            client.receive(replies)
            self.assertRaises(RemoteProtocolError, client.next_event)

    def test_nothing_known(self) -> None:
        self.assertIsNone(choose_exchange({"GSSAPI"}, "user", "secret", nonce="a", exporter=None))

    def test_the_best_one(self) -> None:
        every = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"}
        for offered, exporter, expected in (
            (every, b"x", "SCRAM-SHA-256-PLUS"),
            (every, None, "SCRAM-SHA-256"),
            ({"PLAIN", "LOGIN"}, b"x", "PLAIN"),
            ({"LOGIN"}, b"x", "LOGIN"),
        ):
            exchange = choose_exchange(offered, "user", "secret", nonce="a", exporter=exporter)
            assert exchange is not None
            self.assertEqual(exchange.mechanism, expected)

    def test_transcript_holds_no_credential(self) -> None:
        transcript = Transcript(lambda: 0.0)
        for offered in ({"PLAIN"}, {"LOGIN"}):
            client = ClientConversation(transcript)
            hear(client, b"220 hi\r\n")
            client.hello("me")
            hear(client, EHLO)
            exchange = choose_exchange(offered, "user", "secret", nonce="a", exporter=None)
            assert exchange is not None
            client.authenticate(exchange)
            if "LOGIN" in offered:
                hear_nothing(client, b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n")
            hear(client, b"235 ok\r\n")
        text = transcript.take()
        for secret in ("AHVz", "secret", "dXNlcg", "c2Vj", "VXNl", "UGFz"):
            self.assertNotIn(secret, text)
        self.assertIn("> AUTH PLAIN *\n", text)
