from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.events import (
    BodyEnded,
    BodyStarted,
    Closed,
    Connected,
    HelloReceived,
    MailReceived,
    RcptReceived,
    StartTls,
    TransactionReset,
    Wait,
)
from smtpplus.smtp.server import ServerConversation, ServerSettings, State, TlsChannel
from smtpplus.smtp.server_states import TRANSITIONS, Step
from smtpplus.values.address import Address
from smtpplus.values.envelope import Body, Envelope, EnvelopeRecipient, Notify, Ret
from smtpplus.values.reply import Reply
from tests.smtp.pump import TLS, Pump, codes, cuts, replies, settings

HELLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<a@example.com>\r\n"
RCPT = b"RCPT TO:<b@example.net>\r\n"


class ConversationTests(SynchronousTestCase):
    def test_a_message(self) -> None:
        wire = HELLO + MAIL + RCPT + b"DATA\r\nSubject: x\r\n\r\n..\r\nbody\r\n.\r\nQUIT\r\n"
        for pieces in cuts(wire):
            pump = Pump()
            got = pump.send(*pieces)
            self.assertEqual(codes(got), [250, 250, 250, 354, 250, 221])
            self.assertEqual(pump.messages, [b"Subject: x\r\n\r\n.\r\nbody\r\n"])
            self.assertEqual(
                [type(event) for event in pump.events if "Chunk" not in type(event).__name__],
                [
                    Connected,
                    HelloReceived,
                    MailReceived,
                    RcptReceived,
                    BodyStarted,
                    BodyEnded,
                    Closed,
                ],
            )

    def test_the_ehlo_reply(self) -> None:
        [reply] = Pump(settings(max_messages=5), tls=TLS).send(HELLO)
        self.assertEqual(
            reply.splitlines(),
            [
                "250-mx.example",
                "250-PIPELINING",
                "250-SIZE 31457280",
                "250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN",
                "250-ENHANCEDSTATUSCODES",
                "250-8BITMIME",
                "250-SMTPUTF8",
                "250-DSN",
                "250-CHUNKING",
                "250 LIMITS RCPTMAX=1000 MAILMAX=5",
            ],
        )

    def test_BD3_what_is_not_offered(self) -> None:
        bare = settings(starttls=False, mechanisms=(), smtputf8=False, chunking=False, dsn=False)
        pump = Pump(bare)
        [reply] = pump.send(HELLO)
        for word in ("STARTTLS", "AUTH", "SMTPUTF8", "CHUNKING", "DSN", "BINARYMIME"):
            self.assertNotIn(word, reply)
        got = pump.send(
            b"STARTTLS\r\n",
            b"AUTH PLAIN AGEAYg==\r\n",
            b"MAIL FROM:<a@b> SMTPUTF8\r\n",
            b"MAIL FROM:<a@b> RET=HDRS\r\n",
            b"MAIL FROM:<a@b> ENVID=x\r\n",
            MAIL,
            b"RCPT TO:<b@c> NOTIFY=NEVER\r\n",
            RCPT,
            b"BDAT 5 LAST\r\nNOOP\n",
            b"NOOP\r\n",
        )
        self.assertEqual(codes(got), [502, 502, 555, 555, 555, 250, 555, 250, 502, 250])

    def test_helo_gets_one_line(self) -> None:
        pump = Pump()
        self.assertEqual(pump.send(b"HELO client\r\n"), ["250 mx.example"])
        self.assertFalse(pump.talk.extended)
        self.assertEqual(pump.talk.hello, "client")
        self.assertEqual(codes(pump.send(MAIL, RCPT)), [250, 250])

    def test_the_envelope(self) -> None:
        pump = Pump()
        pump.send(
            HELLO,
            b"MAIL FROM:<a@example.com> SIZE=1234 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=q+2B1"
            b" AUTH=<>\r\n",
            b"RCPT TO:<b@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bx@example.net\r\n",
            "RCPT TO:<r\u00e9my@b\u00fccher.example>\r\n".encode(),
            b"DATA\r\n",
        )
        [started] = pump.of(BodyStarted)
        self.assertEqual(
            started.envelope,
            Envelope(
                sender=Address("a", "example.com"),
                recipients=(
                    EnvelopeRecipient(
                        Address("b", "example.net"),
                        frozenset({Notify.SUCCESS, Notify.DELAY}),
                        "rfc822;b+2Bx@example.net",
                    ),
                    EnvelopeRecipient(Address("r\u00e9my", "b\u00fccher.example")),
                ),
                body=Body.EIGHT_BIT_MIME,
                smtputf8=True,
                ret=Ret.HDRS,
                envid="q+2B1",
                declared_bytes=1234,
            ),
        )

    def test_the_null_sender_and_postmaster(self) -> None:
        pump = Pump()
        got = pump.send(HELLO, b"MAIL FROM:<>\r\n", b"RCPT TO:<PostMaster>\r\n")
        self.assertEqual(codes(got), [250, 250, 250])
        self.assertIsNone(pump.of(MailReceived)[0].sender)
        [rcpt] = pump.of(RcptReceived)
        self.assertEqual(str(rcpt.recipient.address), "PostMaster@mx.example")

    def test_parameters_refused(self) -> None:
        pump = Pump(settings(max_errors=1000))
        pump.send(HELLO)
        for line, expected in (
            (b"MAIL FROM:<a@b> BODY=BINARYMIME", "501 5.5.4"),
            (b"MAIL FROM:<a@b> BODY", "501 5.5.4"),
            (b"MAIL FROM:<a@b> SMTPUTF8=1", "501 5.5.4"),
            (b"MAIL FROM:<a@b> RET=ALL", "501 5.5.4"),
            (b"MAIL FROM:<a@b> RET", "501 5.5.4"),
            (b"MAIL FROM:<a@b> ENVID=", "501 5.5.4"),
            (b"MAIL FROM:<a@b> ENVID=a+", "501 5.5.4"),
            (b"MAIL FROM:<a@b> ENVID=" + b"x" * 101, "501 5.5.4"),
            (b"MAIL FROM:<a@b> SIZE=1 SIZE=2", "501 5.5.4"),
            (b"MAIL FROM:<a@b> HOLDFOR=5", "555 5.5.4"),
            (b"MAIL FROM:<a@b> NOTIFY=NEVER", "555 5.5.4"),
            (b"MAIL FROM:<a..b@c>", "501 5.1.7"),
            (b"MAIL FROM:<postmaster>", "501 5.1.7"),
            ("MAIL FROM:<r\u00e9my@b>".encode(), "553 5.6.7"),
            ("MAIL FROM:<a@b\u00fccher.example>".encode(), "553 5.6.7"),
            (b"MAIL FROM:<a\xe9@b> SMTPUTF8", "501 5.1.7"),
            (b"MAIL", "501 5.5.4"),
            (b"MAIL TO:<a@b>", "501 5.5.4"),
        ):
            [reply] = pump.send(line + b"\r\n")
            self.assertEqual(reply[:9], expected, line)
        self.assertEqual(codes(pump.send(MAIL)), [250])
        for line, expected in (
            (b"RCPT TO:<>", "501 5.1.3"),
            (b"RCPT TO:<a>", "501 5.1.3"),
            (b"RCPT TO:<a\0@b>", "500 5.5.2"),
            (b"RCPT TO:<a@b> SIZE=1", "555 5.5.4"),
            (b"RCPT TO:<a@b> NOTIFY=", "501 5.5.4"),
            (b"RCPT TO:<a@b> ORCPT=a", "501 5.5.4"),
            (b"RCPT TO:<a@b> MT-PRIORITY=1", "555 5.5.4"),
            ("RCPT TO:<r\u00e9my@b>".encode(), "553 5.6.7"),
            (b"RCPT FROM:<a@b>", "501 5.5.4"),
        ):
            [reply] = pump.send(line + b"\r\n")
            self.assertEqual(reply[:9], expected, line)
        self.assertEqual(pump.of(RcptReceived), [])

    def test_out_of_order(self) -> None:
        pump = Pump()
        self.assertEqual(
            codes(pump.send(MAIL, RCPT, b"DATA\r\n", b"RSET\r\n")), [503, 503, 503, 250]
        )
        self.assertEqual(
            codes(pump.send(HELLO, RCPT, b"DATA\r\n", b"BDAT 0\r\n")), [250, 503, 503, 503]
        )
        self.assertEqual(
            codes(pump.send(MAIL, MAIL, b"DATA\r\n", b"STARTTLS\r\n")), [250, 503, 503, 503]
        )

    def test_rset_and_ehlo_end_the_transaction(self) -> None:
        for command in (b"RSET\r\n", HELLO, b"HELO again\r\n"):
            pump = Pump()
            pump.send(HELLO, MAIL, RCPT, command)
            self.assertEqual(len(pump.of(TransactionReset)), 1)
            self.assertEqual(codes(pump.send(RCPT, b"DATA\r\n", MAIL)), [503, 503, 250])

    def test_all_recipients_refused(self) -> None:
        pump = Pump()
        got = pump.send(
            HELLO, MAIL, b"RCPT TO:<refuse@b>\r\n", b"RCPT TO:<later@b>\r\n", b"DATA\r\n"
        )
        self.assertEqual(codes(got), [250, 250, 550, 450, 554])
        self.assertIn("No valid recipients", got[-1])
        self.assertEqual(codes(pump.send(RCPT, b"DATA\r\n")), [250, 354])

    def test_refused_data_and_final_reply(self) -> None:
        pump = Pump(answers={BodyStarted: lambda _: Reply.of(451, "4.3.0", "Later")})
        self.assertEqual(
            codes(pump.send(HELLO, MAIL, RCPT, b"DATA\r\n", b"RSET\r\n"))[-2:], [451, 250]
        )
        pump = Pump(answers={BodyEnded: lambda _: Reply.of(452, "4.3.1", "Full")})
        got = pump.send(HELLO, MAIL, RCPT, b"DATA\r\n", b"x\r\n.\r\n", MAIL)
        self.assertEqual(codes(got)[-2:], [452, 250])
        self.assertEqual(pump.of(TransactionReset), [])

    def test_S14_duplicates_collapse(self) -> None:
        pump = Pump()
        pump.send(HELLO, MAIL)
        got = pump.send(
            RCPT, b"RCPT TO:<B@EXAMPLE.NET>\r\n", b"RCPT TO:<@relay.example:b@example.net>\r\n"
        )
        self.assertEqual([reply[:9] for reply in got], ["250 2.1.5"] * 3)
        self.assertEqual(len(pump.of(RcptReceived)), 1)
        pump.send(b"DATA\r\n")
        self.assertEqual(len(pump.of(BodyStarted)[0].envelope.recipients), 1)

    def test_S14_ES4_one_recipient_too_many(self) -> None:
        for most in (100, 1000):
            pump = Pump(settings(max_recipients=most))
            pump.send(HELLO, MAIL)
            group = b"".join(
                b"RCPT TO:<u%d@example.net>\r\n" % number for number in range(most + 1)
            )
            got = pump.send(group)
            self.assertEqual(codes(got), [250] * most + [452])
            self.assertTrue(got[-1].startswith("452 4.5.3"))
            self.assertEqual(codes(pump.send(b"DATA\r\n", b"x\r\n.\r\n")), [354, 250])
            self.assertEqual(len(pump.of(BodyStarted)[0].envelope.recipients), most)

    def test_S20_nothing_is_disclosed(self) -> None:
        pump = Pump()
        pump.send(HELLO)
        got = pump.send(b"VRFY postmaster\r\n", b"VRFY nobody\r\n", b"EXPN staff\r\n")
        self.assertEqual(codes(got), [252, 252, 502])
        self.assertEqual(got[0], got[1])

    def test_enhanced_codes_on_every_reply(self) -> None:
        pump = Pump(answers={RcptReceived: lambda _: Reply.of(250, None, "Fine")})
        got = pump.send(
            HELLO,
            b"NOOP x\r\n",
            b"HELP\r\n",
            b"FOO\r\n",
            MAIL,
            RCPT,
            b"DATA\r\n",
            b"x\r\n.\r\n",
            b"QUIT\r\n",
        )
        plain = [reply[:3] for reply in got if not reply[4:9].startswith(f"{reply[0]}.")]
        self.assertEqual(plain, ["250", "354"])

    def test_S7_octets_before_the_greeting(self) -> None:
        for octets in (b"EHLO early\r\n", b"x", b"\x16\x03\x01"):
            pump = Pump(greet=False)
            got = pump.send(octets)
            self.assertTrue(got[0].startswith("554 5.5.0"), got)
            self.assertIsNotNone(pump.closed)

    def test_S7_octets_that_the_driver_holds_back(self) -> None:
        for so_far, expected in (
            ([], []),
            ([HELLO, b"STARTTLS\r\n"], [220, 250]),
            ([HELLO, MAIL, b"RCPT TO:<refuse@x>\r\n", b"DATA\r\n"], [220, 250, 250, 550]),
        ):
            held: list[bytes] = []
            pump = Pump(greet=False, more=lambda held=held: bool(held))
            if so_far:
                pump.run()
                pump.send(*so_far[:-1])
            held.append(b"more")
            pump.send(b"".join(so_far[-1:]))
            self.assertEqual(codes(replies(pump.output)), [*expected, 554])
            self.assertIsNotNone(pump.closed)

    def test_turned_away(self) -> None:
        pump = Pump(answers={Connected: lambda _: Reply.of(554, "5.7.1", "Not you")})
        got = pump.send(HELLO, MAIL, b"NOOP\r\n", b"QUIT\r\n")
        self.assertEqual(codes(got), [503, 503, 503, 221])
        pump = Pump(answers={Connected: lambda _: Reply.of(421, "4.7.0", "Busy")})
        self.assertEqual(pump.output, b"421 4.7.0 Busy\r\n")
        self.assertIsNotNone(pump.closed)

    def test_421_closes_everywhere(self) -> None:
        bye = Reply.of(421, "4.3.2", "Going down")
        for kind in (MailReceived, RcptReceived, BodyStarted, BodyEnded):
            pump = Pump(answers={kind: lambda _: bye})
            pump.send(HELLO, MAIL, RCPT, b"DATA\r\n", b"x\r\n.\r\n", b"NOOP\r\n")
            self.assertTrue(pump.output.endswith(b"421 4.3.2 Going down\r\n"))
            self.assertIsNotNone(pump.closed)

    def test_nothing_after_the_end(self) -> None:
        pump = Pump()
        pump.send(HELLO, b"QUIT\r\nNOOP\r\n")
        self.assertEqual(pump.send(b"NOOP\r\n"), [])
        pump.hang_up()
        self.assertEqual(len(pump.of(Closed)), 1)
        self.assertIs(pump.talk.next_event(), Wait.NEED_DATA)
        pump.talk.answer(Reply.of(250, "2.0.0"))  # a late answer hurts nobody

    def test_answers_that_were_not_asked_for(self) -> None:
        talk = ServerConversation(settings(), client_ip="::1", client_port=1)
        talk.next_event()
        talk.answer(Reply.of(220, None, "hi"))
        with self.assertRaises(RuntimeError):
            talk.answer(Reply.of(250, "2.0.0"))
        with self.assertRaises(RuntimeError):
            talk.tls_started(TLS)

    def test_http_is_sent_away(self) -> None:
        for line in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /x HTTP/1.0\r\n",
            b"CONNECT x:25\r\n",
        ):
            pump = Pump()
            self.assertEqual(codes(pump.send(line)), [554])
            self.assertIsNotNone(pump.closed)

    def test_T9_eof_within_the_content(self) -> None:
        wire = b"x\r\n.\r\n"
        for length in range(len(wire)):
            pump = Pump()
            pump.send(HELLO + MAIL + RCPT, b"DATA\r\n", wire[:length])
            pump.hang_up()
            self.assertEqual(pump.messages, [])
            self.assertEqual(
                [type(event) for event in pump.events[-2:]], [TransactionReset, Closed]
            )
        pump = Pump()
        pump.send(HELLO + MAIL + RCPT, b"BDAT 5 LAST\r\n", b"abcd")
        pump.hang_up()
        self.assertEqual(pump.messages, [])
        self.assertEqual([type(event) for event in pump.events[-2:]], [TransactionReset, Closed])

    def test_T9_what_was_complete_is_served_before_the_end(self) -> None:
        talk = Pump(greet=False).talk
        talk.next_event()
        talk.answer(Reply.of(220, None, "hi"))
        talk.receive(HELLO + b"QUIT\r\n")
        talk.receive_eof()
        self.assertIsInstance(talk.next_event(), HelloReceived)
        self.assertIsInstance(talk.next_event(), Closed)
        self.assertIn(b"221 2.0.0", talk.bytes_to_send())

    def test_limits_mailmax(self) -> None:
        pump = Pump(settings(max_messages=2))
        one = MAIL + RCPT + b"DATA\r\nx\r\n.\r\n"
        got = pump.send(HELLO + one + one + MAIL)
        self.assertEqual(codes(got), [250, *[250, 250, 354, 250] * 2, 421])

    def test_timeout_and_state(self) -> None:
        pump = Pump()
        self.assertEqual((pump.talk.state, pump.talk.timeout), (State.START, 300.0))
        pump.talk.receive(b"EHLO x")
        self.assertEqual(pump.talk.buffered, 6)

    def test_the_table_is_whole(self) -> None:
        self.assertEqual({step for _, step in TRANSITIONS}, set(Step))
        sources = {state for state, _ in TRANSITIONS}
        self.assertEqual(set(State) - sources, {State.SWALLOW, State.CLOSED})
        for open_state in (State.START, State.READY, State.MAIL, State.RCPT, State.CHUNKS):
            self.assertIs(TRANSITIONS[open_state, Step.QUIT], State.CLOSED)

    def test_no_message_needs_more_than_the_settings_say(self) -> None:
        plain = ServerSettings(hostname="mx.example")
        self.assertTrue(plain.require_auth)
        self.assertTrue(plain.auth_needs_tls)
        self.assertNotIn("exporter", repr(TlsChannel("TLSv1.3", "x", b"secret")))


class TlsTests(SynchronousTestCase):
    def test_T3_everything_is_forgotten(self) -> None:
        pump = Pump(settings(auth_needs_tls=False, require_auth=True))
        pump.send(HELLO, b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n")
        self.assertEqual(pump.talk.authenticated_as, "user")
        self.assertEqual(codes(pump.send(b"STARTTLS\r\n")), [220])
        self.assertEqual(len(pump.of(StartTls)), 1)
        talk = pump.talk
        self.assertEqual(
            (
                talk.state,
                talk.hello,
                talk.extended,
                talk.authenticated_as,
                talk.mechanism,
                talk.tls,
            ),
            (State.START, "", False, None, "", TLS),
        )
        got = pump.send(MAIL, b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n", HELLO, MAIL, b"STARTTLS\r\n")
        self.assertEqual(codes(got), [503, 503, 250, 530, 503])
        self.assertNotIn("STARTTLS", got[2])

    def test_S7_SM5_T1_octets_in_the_clear_after_starttls(self) -> None:
        for injected in (b"MAIL FROM:<evil@x>\r\n", b"EHLO x\r\n", b"\r\n", b"x"):
            pump = Pump()
            got = pump.send(HELLO, b"STARTTLS\r\n" + injected)
            self.assertTrue(got[-1].startswith("554 5.5.0"))
            self.assertIsNotNone(pump.closed)
            self.assertEqual(pump.of(MailReceived) + pump.of(StartTls), [])

    def test_SM5_octets_between_220_and_the_handshake(self) -> None:
        for late in (False, True):
            talk = ServerConversation(settings(), client_ip="::1", client_port=1)
            talk.next_event()
            talk.answer(Reply.of(220, None, "hi"))
            talk.receive(HELLO + b"STARTTLS\r\n")
            self.assertIsInstance(talk.next_event(), HelloReceived)
            self.assertIsInstance(talk.next_event(), StartTls)
            talk.receive(b"MAIL FROM:<evil@x>\r\n")
            if not late:
                self.assertIsInstance(talk.next_event(), Closed)
            talk.tls_started(TLS)
            if late:
                self.assertIsInstance(talk.next_event(), Closed)
            self.assertIs(talk.next_event(), Wait.NEED_DATA)
            self.assertNotIn(b"250 2.1.0", talk.bytes_to_send())

    def test_starttls_refused(self) -> None:
        pump = Pump()
        got = pump.send(b"STARTTLS\r\n", HELLO, b"STARTTLS now\r\n", MAIL, b"STARTTLS\r\n")
        self.assertEqual(codes(got), [503, 250, 501, 250, 503])
        self.assertEqual(codes(Pump(tls=TLS).send(HELLO, b"STARTTLS\r\n")), [250, 503])

    def test_T4_mail_needs_tls_and_auth(self) -> None:
        wanting = settings(require_auth=True)
        got = Pump(wanting).send(HELLO, MAIL)
        self.assertEqual(got[1], "530 5.7.0 Must issue a STARTTLS command first")
        got = Pump(wanting, tls=TLS).send(HELLO, MAIL)
        self.assertEqual(got[1], "530 5.7.0 Authentication required")

    def test_a_known_network_needs_neither(self) -> None:
        wanting = settings(require_auth=True)
        self.assertEqual(codes(Pump(wanting, trusted_network=True).send(HELLO, MAIL)), [250, 250])
        pump = Pump(wanting)
        pump.talk.allow_without_auth()
        self.assertEqual(codes(pump.send(HELLO, MAIL, RCPT)), [250, 250, 250])
