"""The client's conversation: what it says, and when."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.client_events import (
    BodyWanted,
    Command,
    HandshakeWanted,
    RemoteClosed,
    Replied,
)
from smtpplus.smtp.client_states import AFTER_COMMAND, AFTER_REPLY, ClientState
from smtpplus.smtp.reply_reader import RemoteProtocolError
from smtpplus.values.address import Address
from smtpplus.values.envelope import Body, Envelope, EnvelopeRecipient, Notify, Ret
from smtpplus.values.reply import Reply
from tests.smtp.client_dialog import (
    EHLO_PIPELINING,
    conversation,
    ended,
    envelope,
    hear,
    hear_nothing,
    ready,
)


class HelloTests(SynchronousTestCase):
    def test_greeting_and_ehlo(self) -> None:
        client = conversation()
        self.assertIs(client.awaited, Command.GREETING)
        self.assertEqual(
            hear(client, b"220 mx ESMTP\r\n"),
            Replied(Command.GREETING, Reply.of(220, None, "mx ESMTP")),
        )
        client.hello("me.example.com")
        self.assertEqual(client.bytes_to_send(), b"EHLO me.example.com\r\n")
        hear(client, b"250-mx\r\n250-size 99\r\n250-AUTH PLAIN\r\n250-AUTH=LOGIN\r\n250 X-a+b\r\n")
        self.assertEqual(client.keywords, {"SIZE": "99", "AUTH": "PLAIN LOGIN"})

    def test_helo_where_ehlo_is_not_known(self) -> None:
        client = conversation()
        hear(client, b"220 mx\r\n")
        client.hello("me.example.com")
        client.bytes_to_send()
        hear_nothing(client, b"502 What?\r\n")
        self.assertEqual(client.bytes_to_send(), b"HELO me.example.com\r\n")
        self.assertEqual(
            hear(client, b"250 hi\r\n"), Replied(Command.HELO, Reply.of(250, None, "hi"))
        )
        self.assertEqual((client.state, client.keywords), (ClientState.READY, {}))

    def test_ehlo_deferred_is_not_helo(self) -> None:
        client = conversation()
        hear(client, b"220 mx\r\n")
        client.hello("me")
        event = hear(client, b"450 4.7.1 later\r\n")
        self.assertEqual(event, Replied(Command.EHLO, Reply.of(450, "4.7.1", "later")))
        self.assertIs(client.state, ClientState.GREETED)

    def test_no_command_in_a_name(self) -> None:
        client = conversation()
        hear(client, b"220 mx\r\n")
        for name in ("a\r\nMAIL FROM:<>", "a\nb", "a\0b"):
            self.assertRaises(ValueError, client.hello, name)
        self.assertEqual(client.bytes_to_send(), b"")

    def test_out_of_order_is_our_mistake(self) -> None:
        client = conversation()
        for call in (lambda: client.hello("x"), client.start_tls, client.reset, client.quit):
            self.assertRaises(RuntimeError, call)
        self.assertRaises(RuntimeError, client.begin, envelope("b@example.net"), 1)
        self.assertRaises(RuntimeError, client.body, b"x")
        self.assertRaises(RuntimeError, client.tls_started)


class StartTlsTests(SynchronousTestCase):
    def test_T2_what_was_offered_in_the_clear_is_forgotten(self) -> None:
        client = ready()
        client.start_tls()
        self.assertEqual(client.bytes_to_send(), b"STARTTLS\r\n")
        self.assertIsInstance(hear(client, b"220 go\r\n"), HandshakeWanted)
        self.assertRaises(RuntimeError, client.begin, envelope("b@example.net"), 1)
        client.tls_started()
        self.assertEqual((client.state, client.keywords), (ClientState.GREETED, {}))

    def test_T2_response_injection(self) -> None:
        for injected in (b"250-mx\r\n250 AUTH PLAIN\r\n", b"2", b"\x16\x03", b"220-"):
            client = ready()
            client.start_tls()
            client.receive(b"220 go\r\n" + injected)
            self.assertRaises(RemoteProtocolError, client.next_event)
            self.assertIs(client.state, ClientState.CLOSED)

    def test_T2_injected_later_but_before_the_handshake(self) -> None:
        client = ready()
        client.start_tls()
        hear(client, b"220 go\r\n")
        client.receive(b"250 AUTH PLAIN\r\n")
        self.assertRaises(RemoteProtocolError, client.next_event)

    def test_refused(self) -> None:
        client = ready()
        client.start_tls()
        event = hear(client, b"454 4.7.0 not now\r\n")
        self.assertEqual(event, Replied(Command.STARTTLS, Reply.of(454, "4.7.0", "not now")))
        self.assertIs(client.state, ClientState.READY)
        self.assertIn("SIZE", client.keywords)


class ParameterTests(SynchronousTestCase):
    """S16, DS4, O12: what is offered is used, the rest left out."""

    full = Envelope(
        sender=Address.parse("a@example.com"),
        recipients=(
            EnvelopeRecipient(
                Address.parse("b@example.net"),
                notify=frozenset({Notify.DELAY, Notify.SUCCESS}),
                orcpt="rfc822;b+40example.org",
            ),
            EnvelopeRecipient(Address.parse("c@example.net"), notify=frozenset({Notify.NEVER})),
        ),
        body=Body.EIGHT_BIT_MIME,
        ret=Ret.HDRS,
        envid="QQ314159",
    )

    def said(self, keywords: str, what: Envelope, size: int = 10240) -> list[str]:
        lines = [f"250-{keyword}\r\n" for keyword in keywords.split()]
        client = ready(f"250-mx\r\n{''.join(lines)}250 PIPELINING\r\n".encode())
        client.begin(what, size)
        return client.bytes_to_send().decode().splitlines()

    def test_S16_DS4_nothing_offered(self) -> None:
        self.assertEqual(
            self.said("", self.full),
            [
                "MAIL FROM:<a@example.com>",
                "RCPT TO:<b@example.net>",
                "RCPT TO:<c@example.net>",
                "DATA",
            ],
        )

    def test_S16_DS4_O12_all_offered(self) -> None:
        self.assertEqual(
            self.said("SIZE 8BITMIME SMTPUTF8 DSN", self.full),
            [
                "MAIL FROM:<a@example.com> SIZE=10240 BODY=8BITMIME RET=HDRS ENVID=QQ314159",
                "RCPT TO:<b@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+40example.org",
                "RCPT TO:<c@example.net> NOTIFY=NEVER",
                "DATA",
            ],
        )

    def test_S16_eight_bit_only_where_needed(self) -> None:
        said = self.said("SIZE 8BITMIME SMTPUTF8 DSN", envelope("b@example.net", sender=None))
        self.assertEqual(said, ["MAIL FROM:<> SIZE=10240", "RCPT TO:<b@example.net>", "DATA"])

    def test_S16_smtputf8(self) -> None:
        what = envelope("grüße@bücher.example", sender="a@bücher.example")
        self.assertEqual(
            self.said("SMTPUTF8", what),
            [
                "MAIL FROM:<a@xn--bcher-kva.example> SMTPUTF8",
                "RCPT TO:<grüße@bücher.example>",
                "DATA",
            ],
        )
        self.assertRaises(ValueError, self.said, "", what)

    def test_S16_domain_in_a_labels_needs_no_smtputf8(self) -> None:
        self.assertEqual(
            self.said("", envelope("b@bücher.example"))[1], "RCPT TO:<b@xn--bcher-kva.example>"
        )

    def test_nothing_is_said_of_what_cannot_be_said(self) -> None:
        address = Address.parse("b@example.net")
        for recipient in (
            EnvelopeRecipient(address, orcpt="rfc822;x\r\nDATA"),
            EnvelopeRecipient(address, orcpt="rfc822;x NOTIFY=NEVER"),
        ):
            client = ready(b"250-mx\r\n250-PIPELINING\r\n250 DSN\r\n")
            bad = Envelope(sender=None, recipients=(EnvelopeRecipient(address), recipient))
            self.assertRaises(ValueError, client.begin, bad, 1)
            self.assertEqual(client.bytes_to_send(), b"")
            self.assertIs(client.state, ClientState.READY)
        self.assertRaises(ValueError, ready().begin, envelope(), 1)


class TransactionTests(SynchronousTestCase):
    def test_one_write_with_pipelining(self) -> None:
        client = ready(EHLO_PIPELINING)
        client.begin(envelope("b@example.net", "c@example.net"), 5)
        self.assertEqual(
            client.bytes_to_send(),
            b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"
            b"RCPT TO:<c@example.net>\r\nDATA\r\n",
        )
        event = hear(client, b"250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n")
        self.assertEqual(event, BodyWanted())
        client.body(b".a\r\n.b")
        client.end_body()
        self.assertTrue(client.final_dot_unanswered)
        self.assertEqual(client.bytes_to_send(), b"..a\r\n..b\r\n.\r\n")
        end = ended(hear(client, b"250 2.0.0 queued\r\n"))
        self.assertEqual([r.code for r in end.recipients if r], [550, 250])
        self.assertEqual(end.final, Reply.of(250, "2.0.0", "queued"))
        self.assertIs(client.state, ClientState.READY)
        self.assertFalse(client.final_dot_unanswered)

    def test_one_by_one_without_pipelining(self) -> None:
        client = ready()
        client.begin(envelope("b@example.net", "c@example.net"), 5)
        for said, reply in (
            (b"MAIL FROM:<a@example.com> SIZE=5\r\n", b"250 ok\r\n"),
            (b"RCPT TO:<b@example.net>\r\n", b"450 4.2.0 later\r\n"),
            (b"RCPT TO:<c@example.net>\r\n", b"250 ok\r\n"),
        ):
            self.assertEqual(client.bytes_to_send(), said)
            hear_nothing(client, reply)
        self.assertEqual(client.bytes_to_send(), b"DATA\r\n")
        self.assertEqual(hear(client, b"354 go\r\n"), BodyWanted())

    def test_rfc2920_all_refused_but_354(self) -> None:
        client = ready(EHLO_PIPELINING)
        client.begin(envelope("b@example.net", "c@example.net"), 5)
        client.bytes_to_send()
        hear_nothing(client, b"250 ok\r\n550 no\r\n551 no\r\n354 go\r\n")
        self.assertEqual(client.bytes_to_send(), b".\r\n")
        self.assertFalse(client.final_dot_unanswered)
        end = ended(hear(client, b"250 2.0.0 queued nothing\r\n"))
        self.assertEqual([r.code for r in end.recipients if r], [550, 551])
        self.assertIsNone(end.final)
        self.assertIs(client.state, ClientState.READY)

    def test_pipelined_mail_refused(self) -> None:
        client = ready(EHLO_PIPELINING)
        client.begin(envelope("b@example.net"), 5)
        end = ended(hear(client, b"550 5.7.1 no\r\n503 mail first\r\n503 rcpt first\r\n"))
        assert end.mail is not None
        self.assertEqual(str(end.mail), "550 5.7.1 no")
        self.assertEqual(end.recipients, (None,))
        self.assertIsNone(end.final)

    def test_pipelined_mail_refused_and_the_rest_taken(self) -> None:
        client = ready(EHLO_PIPELINING)
        client.begin(envelope("b@example.net"), 5)
        client.bytes_to_send()
        hear_nothing(client, b"450 no\r\n250 ok\r\n354 go\r\n")
        self.assertEqual(client.bytes_to_send(), b".\r\n")
        end = ended(hear(client, b"554 nothing\r\n"))
        self.assertEqual((end.recipients, end.final), ((None,), None))

    def test_a_given_up_transaction_wants_rset(self) -> None:
        client = ready()
        client.begin(envelope("b@example.net"), 5)
        hear_nothing(client, b"250 ok\r\n")
        ended(hear(client, b"550 no\r\n"))
        self.assertIs(client.state, ClientState.OPEN)
        self.assertRaises(RuntimeError, client.begin, envelope("b@example.net"), 5)
        client.reset()
        hear(client, b"250 ok\r\n")
        self.assertIs(client.state, ClientState.READY)

    def test_refused_in_the_middle_of_the_content(self) -> None:
        client = ready(EHLO_PIPELINING)
        client.begin(envelope("b@example.net"), 100)
        hear(client, b"250 ok\r\n250 ok\r\n354 go\r\n")
        client.body(b"half of it")
        end = ended(hear(client, b"552 5.3.4 too big\r\n"))
        self.assertEqual(end.final, Reply.of(552, "5.3.4", "too big"))
        self.assertIs(client.state, ClientState.CLOSED)
        self.assertIsInstance(client.next_event(), RemoteClosed)
        self.assertFalse(client.final_dot_unanswered)

    def test_accepted_in_the_middle_of_the_content(self) -> None:
        client = ready(EHLO_PIPELINING)
        client.begin(envelope("b@example.net"), 100)
        hear(client, b"250 ok\r\n250 ok\r\n354 go\r\n")
        client.receive(b"250 ok\r\n")
        self.assertRaises(RemoteProtocolError, client.next_event)


class TableTests(SynchronousTestCase):
    def test_every_command_awaited_can_be_answered(self) -> None:
        for (_, command), target in AFTER_COMMAND.items():
            digits = {d for (s, c, d) in AFTER_REPLY if (s, c) == (target, command)}
            self.assertTrue({4, 5} <= digits, (target, command))

    def test_every_state_can_be_reached(self) -> None:
        self.assertEqual(
            {*AFTER_COMMAND.values(), *AFTER_REPLY.values()},
            set(ClientState) - {ClientState.CONNECTED},
        )
