"""What a client can cost: errors, junk, lines without end, memory."""

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.buffer import FLOOD_OCTETS
from smtpplus.smtp.events import Closed, HelloReceived, RcptReceived, Tarpit, Wait
from smtpplus.smtp.server import ServerConversation
from smtpplus.values.reply import Reply
from tests.smtp.pump import TLS, Pump, codes, cuts, settings

HELLO = b"EHLO c\r\n"
ONE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"


class ErrorLimitTests(SynchronousTestCase):
    def test_R6_twenty_errors_and_no_more(self) -> None:
        for bad in (
            b"FOO\r\n",
            b"MAIL FROM:x y\r\n",
            b"DATA\r\n",
            b"\xff\r\n",
            b"x\n\r\n",
            b"\r\n",
        ):
            pump = Pump()
            got = pump.send(HELLO, *[bad] * 30)
            self.assertEqual(len(got), 22, bad)
            self.assertTrue(all(400 <= code < 600 for code in codes(got)[1:]), got)
            self.assertEqual(got[-1], "421 4.7.0 Too many errors on this connection")
            self.assertIsNotNone(pump.closed)

    def test_R6_tarpit_after_ten(self) -> None:
        pump = Pump()
        pump.send(HELLO, *[b"FOO\r\n"] * 10)
        self.assertEqual(pump.of(Tarpit), [])
        pump.send(b"FOO\r\n", b"NOOP\r\n", b"FOO\r\n")
        self.assertEqual(pump.of(Tarpit), [Tarpit(1.0)] * 2)

    def test_R6_the_reply_waits_in_the_tarpit(self) -> None:
        talk = ServerConversation(settings(tarpit_after=0), client_ip="::1", client_port=1)
        talk.next_event()
        talk.answer(Reply.of(220, None, "hi"))
        talk.receive(HELLO + b"FOO\r\nNOOP\r\n")
        self.assertIsInstance(talk.next_event(), HelloReceived)
        talk.bytes_to_send()
        self.assertIsInstance(talk.next_event(), Tarpit)
        self.assertEqual(talk.bytes_to_send(), b"")
        self.assertIs(talk.next_event(), Wait.NEED_DATA)
        self.assertEqual(talk.bytes_to_send()[:4], b"500 ")

    def test_R6_a_hundred_commands_of_junk(self) -> None:
        for junk in (b"NOOP\r\n", b"RSET\r\n", b"VRFY x\r\n", b"HELP\r\n", HELLO):
            pump = Pump()
            got = pump.send(HELLO, *[junk] * 110)
            self.assertEqual(len(got), 102)
            self.assertEqual(codes(got)[-1], 421)
            self.assertIsNotNone(pump.closed)

    def test_R6_a_message_makes_good(self) -> None:
        pump = Pump()
        pump.send(HELLO)
        for _ in range(5):
            self.assertEqual(codes(pump.send(*[b"NOOP\r\n"] * 90, *[b"FOO\r\n"] * 9))[-1], 500)
            self.assertEqual(codes(pump.send(ONE))[-1], 250)
        self.assertEqual(pump.of(Tarpit), [])

    def test_R6_refused_recipients_of_strangers_count(self) -> None:
        refused = [b"RCPT TO:<refuse%d@d>\r\n" % number for number in range(30)]
        pump = Pump()
        got = pump.send(HELLO, b"MAIL FROM:<a@b>\r\n", *refused)
        self.assertEqual(codes(got), [250, 250, *[550] * 20, 421])
        for known in (
            Pump(settings(refusals_count=False)),
            Pump(trusted_network=True),
            Pump(tls=TLS),
        ):
            known.send(HELLO)
            if known.talk.tls:
                known.send(b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n")
            got = known.send(b"MAIL FROM:<a@b>\r\n", *refused, ONE[17:])
            self.assertEqual(codes(got), [250, *[550] * 30, 250, 354, 250])

    def test_R6_deferred_recipients_do_not_count(self) -> None:
        pump = Pump()
        later = [b"RCPT TO:<later%d@d>\r\n" % number for number in range(50)]
        self.assertEqual(codes(pump.send(HELLO, b"MAIL FROM:<a@b>\r\n", *later))[2:], [450] * 50)


class LineTests(SynchronousTestCase):
    def test_S5_long_commands(self) -> None:
        for length, code in ((512, 250), (4096, 250), (4097, 500), (60_000, 500)):
            wire = b"NOOP " + b"x" * (length - 7) + b"\r\nNOOP\r\n"
            for pieces in cuts(wire) if length < 5000 else [[wire]]:
                pump = Pump()
                pump.send(HELLO)
                got = pump.send(*pieces)
                self.assertEqual(codes(got), [code, 250])
                self.assertTrue(code == 250 or got[0].startswith("500 5.5.2"))

    def test_S5_auth_lines_are_longer(self) -> None:
        pump = Pump(tls=TLS)
        pump.send(HELLO)
        long = b"AUTH PLAIN " + b"A" * 12_000 + b"\r\n"
        self.assertTrue(pump.send(long)[0].startswith("501"))
        self.assertTrue(pump.send(b"x" * 5000 + b"\r\n" + long)[1].startswith("501"))
        self.assertTrue(
            pump.send(b"AUTH PLAIN " + b"A" * 13_000 + b"\r\n")[0].startswith("500 5.5.6")
        )

    def test_S5_a_hundred_mebibytes_without_an_end(self) -> None:
        for start in (b"", b"AUTH PLAIN ", b"MAIL FROM:<", b"x\n"):
            pump = Pump(tls=TLS)
            pump.send(HELLO)
            pump.talk.receive(start)
            taken = len(start)
            piece = b"A" * 4096
            tracemalloc.start()
            for _ in range(100 * 1024 * 1024 // len(piece)):
                pump.send(piece)
                taken += len(piece)
                self.assertLessEqual(pump.talk.buffered, FLOOD_OCTETS)
                if pump.closed:
                    break
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertLess(peak, 1 << 20)
            self.assertLessEqual(taken, FLOOD_OCTETS + 2 * 4096)
            self.assertEqual(codes([pump.closed or ""]), [421])

    def test_a_bare_line_feed_ends_no_command(self) -> None:
        for wire, expected in (
            (b"NOOP\nMAIL FROM:<a@b>\r\nNOOP\r\n", [500, 250]),
            (b"NOOP\n\r\nNOOP\r\n", [500, 250]),
            (b"NOOP\rMAIL FROM:<a@b>\r\nNOOP\r\n", [500, 250]),
            (b"NOOP\r\r\nNOOP\r\n", [500, 250]),
        ):
            for pieces in cuts(wire):
                pump = Pump()
                pump.send(HELLO)
                self.assertEqual(codes(pump.send(*pieces)), expected)

    def test_S9_every_verb_with_every_argument(self) -> None:
        verbs = (
            *(b"EHLO", b"HELO", b"STARTTLS", b"AUTH", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"RSET"),
            *(
                b"NOOP",
                b"HELP",
                b"VRFY",
                b"EXPN",
                b"QUIT",
                b"TURN",
                b"ETRN",
                b"XCLIENT",
                b"",
                b"\xff",
            ),
        )
        arguments = (
            *(b"", b" ", b" junk", b" \0", b" a\0b", b" caf\xe9", b" \x7f", b" " + b"x" * 3000),
            *(
                b" " + bytes(range(128, 256)),
                b" " + b"x" * 100_000,
                b" FROM:",
                b" TO:<>",
                b" 0 LAST",
            ),
            *(b" <script>", b" ${jndi:x}", b" %n%s", b" FROM:<\xf0\x9f\x92\xa9@x>", b" =", b" *"),
        )
        fine = {b"EHLO", b"HELO", b"NOOP", b"HELP", b"VRFY", b"QUIT", b"RSET", b"STARTTLS"}
        for state in (b"", HELLO, HELLO + ONE[:17], HELLO + ONE[:32]):
            for verb in verbs:
                for argument in arguments:
                    pump = Pump(settings(max_errors=1000), tls=TLS)
                    pump.send(state)
                    got = codes(pump.send(verb + argument + b"\r\n"))
                    if len(argument) > FLOOD_OCTETS:
                        self.assertEqual(got, [500, 421])
                    elif got == [354] or got[0] < 400:
                        self.assertIn(verb, fine | {b"DATA", b"MAIL", b"AUTH", b"BDAT"}, argument)
                    else:
                        self.assertEqual(len(got), 1)
                        self.assertTrue(got[0] >= 500 or got == [221], (verb, argument, got))
                        self.assertEqual(pump.of(Closed), [])


class PipelineTests(SynchronousTestCase):
    def test_ES2_one_segment_and_slow_answers(self) -> None:
        """A hundred recipients and a content arrive at once; answers come one by one."""
        rcpts = b"".join(b"RCPT TO:<u%d@d>\r\n" % number for number in range(100))
        content = b"QUIT\r\nRSET\r\nMAIL FROM:<evil@x>\r\n"
        talk = ServerConversation(settings(), client_ip="::1", client_port=1)
        talk.next_event()
        talk.answer(Reply.of(220, None, "hi"))
        talk.bytes_to_send()
        talk.receive(
            HELLO + b"MAIL FROM:<a@b>\r\n" + rcpts + b"DATA\r\n" + content + b".\r\nQUIT\r\n"
        )
        policy = Pump().policy
        output, asked = b"", 0
        while True:
            event = talk.next_event()
            if event is Wait.NEED_DATA:
                break
            if type(event) in policy:
                for _ in range(3):  # however often it is asked while the answer is not there
                    self.assertIs(talk.next_event(), Wait.PAUSED)
                    output += talk.bytes_to_send()
                asked += isinstance(event, RcptReceived)
                answer = policy[type(event)](event)
                assert isinstance(answer, Reply)
                talk.answer(answer)
            output += talk.bytes_to_send()
        self.assertEqual(asked, 100)
        lines = output.decode().splitlines()[-104:]
        self.assertEqual(codes(lines), [250, *[250] * 100, 354, 250, 221])
