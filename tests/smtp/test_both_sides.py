"""Client and server conversation of ours, in memory, one against the other."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.client import ClientConversation
from smtpplus.smtp.client_events import (
    BodyWanted,
    ClientEvent,
    Command,
    HandshakeWanted,
    Replied,
    TransactionEnded,
)
from smtpplus.smtp.client_sasl import choose_exchange
from smtpplus.smtp.client_states import ClientState
from smtpplus.smtp.dotcodec import normalise
from smtpplus.smtp.events import MailReceived, RcptReceived, Wait
from smtpplus.smtp.server import ServerSettings
from smtpplus.smtp.transcript import Transcript
from smtpplus.values.address import Address
from smtpplus.values.envelope import Body, Envelope, EnvelopeRecipient, Notify, Ret
from tests.smtp.client_dialog import envelope
from tests.smtp.pump import TLS, Pump
from tests.smtp.pump import settings as listener


class Pair:
    """Both sides; what goes over is cut into pieces of `width` octets."""

    def __init__(self, server: ServerSettings | None = None, width: int = 65_536) -> None:
        self.pump = Pump(server)
        self.transcript = Transcript(lambda: 0.0)
        self.client = ClientConversation(self.transcript)
        self._width = width
        self._read = 0

    def event(self) -> ClientEvent:
        """Carry octets to and fro until the client has an event."""
        for _ in range(200_000):
            event = self.client.next_event()
            if not isinstance(event, Wait):
                return event
            said = self.client.bytes_to_send()
            for start in range(0, len(said), self._width):
                self.pump.send(said[start : start + self._width])
            answer = self.pump.output[self._read : self._read + self._width]
            assert answer, "both wait"
            self._read += len(answer)
            self.client.receive(answer)
        raise AssertionError("no end")

    def hello(self) -> None:
        self.client.hello("me.example.com")
        event = self.event()
        assert isinstance(event, Replied)
        assert event.reply.code == 250

    def ready(self) -> Pair:
        greeting = self.event()
        assert isinstance(greeting, Replied)
        assert greeting.command is Command.GREETING
        self.hello()
        return self

    def send(self, what: Envelope, pieces: Sequence[bytes]) -> TransactionEnded:
        if self.client.state is ClientState.OPEN:
            self.client.reset()
            self.event()
        self.client.begin(what, sum(map(len, pieces)))
        event = self.event()
        if isinstance(event, BodyWanted):
            for piece in pieces:
                self.client.body(piece)
            self.client.end_body()
            event = self.event()
        assert isinstance(event, TransactionEnded)
        return event


ENDS = [b"\r\n", b".", b"a", b"\r\n.\r\n", b"..", b"\r\n.", b"x" * 100, b"\r", b"\n", b"\0"]
CONTENT = st.lists(st.lists(st.sampled_from(ENDS), max_size=8).map(b"".join), max_size=5)
RECIPIENT = st.sampled_from(["ok", "refuse", "later"])


class BothSidesTests(SynchronousTestCase):
    @given(
        st.lists(st.tuples(st.lists(RECIPIENT, min_size=1, max_size=4), CONTENT), max_size=5),
        st.sampled_from([1, 2, 3, 7, 65_536]),
    )
    @settings(max_examples=150, deadline=None)
    def test_S2_S3_every_message_arrives_once_and_whole(
        self, mails: list[tuple[list[str], list[bytes]]], width: int
    ) -> None:
        pair = Pair(width=width).ready()
        expected = []
        for names, pieces in mails:
            what = envelope(*(f"{name}{n}@example.net" for n, name in enumerate(names)))
            end = pair.send(what, pieces)
            codes = [reply and reply.code for reply in end.recipients]
            self.assertEqual(codes, [{"o": 250, "r": 550, "l": 450}[n[0]] for n in names])
            if 250 not in codes:
                self.assertIsNone(end.final)
                continue
            assert end.final is not None
            self.assertEqual(end.final.code, 250)
            content = normalise(b"".join(pieces))
            expected.append(content + b"\r\n" * (not content.endswith(b"\r\n") and content != b""))
        self.assertEqual(pair.pump.messages, expected)
        pair.client.quit()
        pair.event()
        self.assertIsNotNone(pair.pump.closed)

    def test_DS4_O12_parameters_arrive_as_they_were(self) -> None:
        what = Envelope(
            sender=Address.parse("grüße@example.com"),
            recipients=(
                EnvelopeRecipient(
                    Address.parse("ü@example.net"),
                    notify=frozenset({Notify.SUCCESS, Notify.FAILURE}),
                    orcpt="rfc822;x+2By@example.org",
                ),
                EnvelopeRecipient(Address.parse("c@example.net"), frozenset({Notify.NEVER})),
            ),
            body=Body.EIGHT_BIT_MIME,
            smtputf8=True,
            ret=Ret.FULL,
            envid="QQ+2B1",
        )
        pair = Pair().ready()
        end = pair.send(what, [b"hello\r\n"])
        assert end.final is not None
        (mail,) = pair.pump.of(MailReceived)
        self.assertEqual(
            (mail.sender, mail.body, mail.smtputf8, mail.ret, mail.envid, mail.declared_bytes),
            (what.sender, what.body, True, what.ret, what.envid, 7),
        )
        received = [event.recipient for event in pair.pump.of(RcptReceived)]
        self.assertEqual(received, list(what.recipients))

    def test_too_large_is_refused_at_mail(self) -> None:
        pair = Pair(listener(max_message_bytes=1000)).ready()
        end = pair.send(envelope("b@example.net"), [b"x" * 1001])
        assert end.mail is not None
        self.assertEqual(str(end.mail.enhanced), "5.3.4")
        end = pair.send(envelope("b@example.net"), [b"x" * 900])
        assert end.final is not None
        self.assertEqual(end.final.code, 250)

    def test_starttls_and_every_mechanism(self) -> None:
        every = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")
        for mechanism in every:
            for password, code in (("secret", 235), ("not-it", 535)):
                pair = Pair(listener(require_auth=True, mechanisms=(mechanism,))).ready()
                self.assertNotIn("AUTH", pair.client.keywords)
                pair.client.start_tls()
                self.assertIsInstance(pair.event(), HandshakeWanted)
                pair.client.tls_started()
                pair.hello()
                exchange = choose_exchange(
                    pair.client.keywords["AUTH"].split(),
                    "user",
                    password,
                    nonce="abc",
                    exporter=TLS.exporter,
                )
                assert exchange is not None
                self.assertEqual(exchange.mechanism, mechanism)
                pair.client.authenticate(exchange)
                event = pair.event()
                assert isinstance(event, Replied)
                self.assertEqual(event.reply.code, code, mechanism)
                end = pair.send(envelope("b@example.net"), [b"hello\r\n"])
                self.assertEqual(end.final is not None, code == 235)
                self.assertNotIn(password, pair.transcript.take())
