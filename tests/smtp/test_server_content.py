"""DATA and BDAT: where a content ends, what becomes of it, and that nothing of it is run."""

import random
import re
import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.events import BodyChunk, BodyEnded, BodyStarted, Closed, TransactionReset
from smtpplus.smtp.server import ServerSettings, State
from smtpplus.values.reply import Reply
from tests.smtp.pump import Pump, codes, cuts, settings, two_parts
from tests.smtp.test_dotcodec import FALSE_ENDS

START = b"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"
SMUGGLED = b"MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nsmuggled\r\n"
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def ready(changed: ServerSettings | None = None) -> Pump:
    pump = Pump(changed)
    pump.send(START)
    return pump


class SmugglingTests(SynchronousTestCase):
    def test_S1_SM1_one_message_whatever_stands_in_it(self) -> None:
        for false_end in FALSE_ENDS:
            wire = b"Subject: x\r\n\r\na" + false_end + SMUGGLED + b".\r\n"
            for pieces in (*two_parts(wire), *cuts(wire)):
                pump = ready()
                got = pump.send(b"DATA\r\n", *pieces)
                self.assertEqual(codes(got), [354, 250], (false_end, pieces))
                [message] = pump.messages
                self.assertIn(b"MAIL FROM:<evil@x>\r\n", message)
                self.assertIsNone(BARE.search(message))

    def test_S1_pipelined_in_one_segment(self) -> None:
        for false_end in FALSE_ENDS:
            wire = START + b"DATA\r\na" + false_end + SMUGGLED + b".\r\nQUIT\r\n"
            for pieces in cuts(wire):
                pump = Pump()
                self.assertEqual(codes(pump.send(*pieces)), [250, 250, 250, 354, 250, 221])
                self.assertEqual(len(pump.messages), 1)

    def test_SM2_reject_answers_once_at_the_true_end(self) -> None:
        strict = settings(bare_line_ends="reject")
        for false_end in FALSE_ENDS:
            bare = bool(re.search(rb"\r(?!\n)|(?<!\r)\n", false_end))
            wire = b"a" + false_end + SMUGGLED + b".\r\n"
            for pieces in (*two_parts(wire), *cuts(wire)):
                pump = ready(strict)
                got = pump.send(b"DATA\r\n", *pieces)
                self.assertEqual(codes(got), [354, 550 if bare else 250], (false_end, pieces))
                self.assertEqual(len(pump.messages), 0 if bare else 1)
                self.assertEqual(len(pump.of(TransactionReset)), int(bare))
                self.assertEqual(codes(pump.send(START[8:])), [250, 250])

    def test_SM2_the_refusal(self) -> None:
        got = ready(settings(bare_line_ends="reject")).send(b"DATA\r\n", b"a\nb\r\n.\r\n")
        self.assertTrue(got[-1].startswith("550 5.6.0"))

    def test_S4_ES3_long_lines_are_never_commands(self) -> None:
        for length in (998, 999, 2048, 16_384, 16_385, 1 << 20):
            line = b"x" * (length - 2) + b"\r\n"
            wire = line + SMUGGLED + line + b".\r\n"
            pieces = [wire[at : at + 4096] for at in range(0, len(wire), 4096)]
            pump = ready()
            self.assertEqual(codes(pump.send(b"DATA\r\n", *pieces)), [354, 250])
            self.assertEqual(pump.messages, [line + SMUGGLED + line])

    def test_S3_dot_lines(self) -> None:
        content = b".\r\n..\r\n.a\r\n" + b"x" * 16_380 + b"\r\n.\r\n.\r\n"
        wire = re.sub(rb"(?m)^\.", b"..", content) + b".\r\n"
        for width in (1, 7, 4096, 16_384, 16_385):
            pump = ready()
            pump.send(b"DATA\r\n", *(wire[at : at + width] for at in range(0, len(wire), width)))
            self.assertEqual(pump.messages, [content])

    def test_S7_ES2_content_behind_a_refused_data_is_not_run(self) -> None:
        pump = Pump()
        got = pump.send(
            b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<refuse@b>\r\nDATA\r\n" + SMUGGLED + b".\r\n"
        )
        self.assertEqual(codes(got), [250, 250, 550, 554])
        self.assertEqual([type(event) for event in pump.events[-2:]], [TransactionReset, Closed])
        pump = Pump(answers={BodyStarted: lambda _: Reply.of(451, "4.3.0", "Later")})
        got = pump.send(START + b"DATA\r\n" + SMUGGLED + b".\r\n")
        self.assertEqual(codes(got), [250, 250, 250, 554])
        self.assertIsNotNone(pump.closed)

    def test_pieces_are_large(self) -> None:
        pump = ready()
        pump.send(b"DATA\r\n", b"line\r\n" * 10_000, b".\r\n")
        self.assertEqual(len(pump.of(BodyChunk)), 2)


class SizeTests(SynchronousTestCase):
    def test_S13_ES1_size_is_refused_at_once(self) -> None:
        pump = Pump(settings(max_message_bytes=1000))
        pump.send(b"EHLO c\r\n")
        for size, code in (
            (b"1000", "250"),
            (b"1001", "552 5.3.4"),
            (b"1" + b"0" * 30, "552 5.3.4"),
            (b"9" * 3000, "552 5.3.4"),
            (b"-1", "501 5.5.4"),
            (b"0", "250"),
            (b"00000000000000000000000000007", "250"),
        ):
            [reply, _] = pump.send(b"MAIL FROM:<a@b> SIZE=" + size + b"\r\n", b"RSET\r\n")
            self.assertTrue(reply.startswith(code), (size, reply))

    def test_S13_ES1_too_much_is_swallowed_to_the_true_end(self) -> None:
        limit = 1000
        for length, code in ((limit, 250), (limit + 1, 552), (5000, 552)):
            content = b"x" * (length - 2) + b"\r\n"
            wire = content + b".\r\n"
            for pieces in (*cuts(wire), [wire[:-4], wire[-4:]]):
                pump = ready(settings(max_message_bytes=limit))
                got = pump.send(b"DATA\r\n", *pieces)
                self.assertEqual(codes(got), [354, code])
                self.assertEqual(len(pump.of(BodyEnded)), int(code == 250))
                self.assertEqual(len(pump.of(TransactionReset)), int(code == 552))
                self.assertEqual(codes(pump.send(START[8:])), [250, 250])

    def test_S13_dots_do_not_count(self) -> None:
        pump = ready(settings(max_message_bytes=9))
        self.assertEqual(codes(pump.send(b"DATA\r\n", b"..\r\n" * 3 + b".\r\n")), [354, 250])

    def test_S13_lying_size_costs_no_memory(self) -> None:
        pump = ready(settings(max_message_bytes=100_000))
        pump.send(b"DATA\r\n")
        piece = b"x" * 65_534 + b"\r\n"
        tracemalloc.start()
        for _ in range(300):
            pump.send(piece)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertLess(peak, 1 << 20)
        self.assertEqual(codes(pump.send(b".\r\n")), [552])

    def test_a_whole_20_mib_message(self) -> None:
        pump = ready()
        line = b"0123456789" * 7 + b"\r\n"
        piece = line * 900
        octets = 0
        pump.send(b"DATA\r\n")
        for _ in range(20 * 1024 * 1024 // len(piece)):
            pump.send(piece)
            octets += len(piece)
        self.assertEqual(codes(pump.send(b".\r\n")), [250])
        self.assertEqual(len(pump.messages[0]), octets)


class ChunkingTests(SynchronousTestCase):
    def bdat(self, *chunks: bytes, changed: ServerSettings | None = None) -> Pump:
        wire = (
            b"".join(b"BDAT %d\r\n" % len(chunk) + chunk for chunk in chunks) + b"BDAT 0 LAST\r\n"
        )
        pump = ready(changed)
        pump.send(wire)
        return pump

    def test_BD1_S15_the_octets_of_data(self) -> None:
        content = b"Subject: x\r\n\r\n.\r\n..\r\nbody\r\n.\r\nMAIL FROM:<x@y>\r\n"
        for cut in range(len(content) + 1):
            first, second = content[:cut], content[cut:]
            wire = b"BDAT %d\r\n" % len(first) + first
            wire += b"BDAT %d LAST\r\n" % len(second) + second + b"NOOP\r\n"
            for pieces in cuts(wire, cut) if cut % 10 == 0 else [[wire]]:
                pump = ready()
                got = pump.send(*pieces)
                self.assertEqual(codes(got), [250, 250, 250])
                self.assertEqual(pump.messages, [content])
                self.assertEqual(len(pump.of(BodyStarted)), 1)

    def test_BD1_replies(self) -> None:
        got = ready().send(b"BDAT 5\r\n", b"abcde", b"BDAT 0 LAST\r\n")
        self.assertEqual(got, ["250 2.0.0 5 octets received", "250 2.0.0 Queued 7"])

    def test_BD1_an_empty_content(self) -> None:
        pump = ready()
        self.assertEqual(codes(pump.send(b"BDAT 0 LAST\r\n")), [250])
        self.assertEqual(pump.messages, [b""])

    def test_BD1_data_after_bdat(self) -> None:
        pump = ready()
        got = pump.send(b"BDAT 3\r\nabc", b"DATA\r\n", b"RCPT TO:<c@d>\r\n", b"MAIL FROM:<>\r\n")
        self.assertEqual(codes(got), [250, 503, 503, 503])
        self.assertEqual(codes(pump.send(b"BDAT 2 LAST\r\n\r\n")), [250])
        self.assertEqual(pump.messages, [b"abc\r\n"])

    def test_BD1_octets_of_refused_chunks_are_consumed(self) -> None:
        evil = b"MAIL FROM:<evil@x>\r\nRSET\r\n"
        command = b"BDAT %d%s\r\n" % (len(evil), b"") + evil
        for before, expected in (
            (b"", [503, 250]),
            (b"EHLO c\r\n", [250, 503, 250]),
            (b"EHLO c\r\nMAIL FROM:<a@b>\r\n", [250, 250, 503, 250]),
            (b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<refuse@b>\r\n", [250, 250, 550, 554, 250]),
        ):
            wire = before + command + b"NOOP\r\n"
            for pieces in cuts(wire):
                pump = Pump()
                self.assertEqual(codes(pump.send(*pieces)), expected)

    def test_BD1_a_chunk_refused_by_the_driver(self) -> None:
        no = Reply.of(451, "4.3.0", "Later")
        for wire, expected, state in (
            (b"BDAT 3\r\nabcBDAT 3\r\ndefBDAT 1 LAST\r\ng", [451, 503, 503], State.READY),
            (b"BDAT 3 LAST\r\nabc", [451], State.READY),
            (b"BDAT 3\r\nabcRSET\r\n", [451, 250], State.READY),
            (b"BDAT 3\r\nabcMAIL FROM:<a@b>\r\n", [451, 250], State.MAIL),
            (b"BDAT 3\r\nabcDATA\r\n", [451, 503], State.CHUNKS_REFUSED),
        ):
            for pieces in cuts(wire):
                pump = Pump(answers={BodyStarted: lambda _: no})
                pump.send(START)
                self.assertEqual(codes(pump.send(*pieces)), expected)
                self.assertEqual(len(pump.of(TransactionReset)), 1)
                self.assertIs(pump.talk.state, state)

    def test_BD1_malformed(self) -> None:
        pump = ready()
        got = pump.send(b"BDAT\r\n", b"BDAT x\r\n", b"BDAT -1\r\n", b"BDAT 5 FIRST\r\nRSET\n")
        self.assertEqual(codes(got), [501] * 4)
        self.assertEqual(codes(pump.send(b"BDAT 1 LAST\r\na")), [250])
        pump = ready()
        got = pump.send(b"BDAT 3\r\nabc", b"BDAT 2 FIRST\r\nde", b"BDAT 1 LAST\r\nf")
        self.assertEqual(codes(got), [250, 501, 503])
        self.assertEqual(pump.messages, [])

    def test_S15_absurd_sizes_end_the_connection(self) -> None:
        for size in (b"9" * 19, b"9" * 400, b"18446744073709551616"):
            pump = ready()
            self.assertEqual(codes(pump.send(b"BDAT " + size + b"\r\n")), [552])
            self.assertIsNotNone(pump.closed)

    def test_S13_BD1_too_large(self) -> None:
        small = settings(max_message_bytes=10)
        for wire, expected in (
            (b"BDAT 11 LAST\r\n01234567890NOOP\r\n", [552, 250]),
            (b"BDAT 6\r\n012345BDAT 6\r\n012345BDAT 1 LAST\r\nxNOOP\r\n", [250, 552, 503, 250]),
            (b"BDAT 6\r\n012345BDAT 6 LAST\r\n012345NOOP\r\n", [250, 552, 250]),
            (b"BDAT 8\r\n01234567BDAT 0 LAST\r\nNOOP\r\n", [250, 250, 250]),
            (b"BDAT 6\r\n\n\n\n\n\n\nBDAT 0 LAST\r\nNOOP\r\n", [552, 503, 250]),
        ):
            for pieces in cuts(wire):
                pump = ready(small)
                self.assertEqual(codes(pump.send(*pieces)), expected, pieces)
                refused = 552 in expected
                self.assertEqual(len(pump.messages), int(not refused))
                self.assertEqual(len(pump.of(TransactionReset)), int(refused))

    def test_BD2_line_ends_as_in_data(self) -> None:
        for octets, content in (
            (b"a\nb", b"a\r\nb\r\n"),
            (b"a\rb\r", b"a\r\nb\r\n"),
            (b"a\0b\r\n", b"a b\r\n"),
            (b"a\r\n.\r\nb\r\n", b"a\r\n.\r\nb\r\n"),
        ):
            for pieces in cuts(octets):
                self.assertEqual(self.bdat(*pieces).messages, [content], pieces)

    def test_BD2_reject(self) -> None:
        strict = settings(bare_line_ends="reject")
        for octets in (b"a\nb\r\n", b"a\rb\r\n", b"a\r\nb\r", b"\n"):
            for pieces in cuts(octets):
                pump = self.bdat(*pieces, changed=strict)
                self.assertEqual(pump.messages, [], pieces)
                self.assertIn(b"550 5.6.0", pump.output)
                self.assertEqual(codes(pump.send(START[8:])), [250, 250])
        self.assertEqual(len(self.bdat(b"a\r", b"\nb\r\n", changed=strict).messages), 1)

    def test_S15_chunk_fuzz(self) -> None:
        """Whatever is asked for, a chunk's octets are never run: no reply but to BDAT and RSET."""
        chance = random.Random(15)
        evil = b"QUIT\r\nEVIL\r\n.\r\n\r\n"
        for _ in range(500):
            wire, asked = b"EHLO c\r\n", 1
            for _ in range(chance.randrange(1, 12)):
                verb = chance.choice((b"BDAT", b"BDAT", b"BDAT", b"MAIL", b"RCPT", b"RSET"))
                if verb == b"BDAT":
                    octets = evil[: chance.randrange(len(evil) + 1)]
                    tail = chance.choice((b"", b" LAST", b" WRONG"))
                    wire += b"BDAT %d%s\r\n" % (len(octets), tail) + octets
                else:
                    argument = {b"MAIL": b" FROM:<a@b>", b"RCPT": b" TO:<c@d>", b"RSET": b""}[verb]
                    wire += verb + argument + b"\r\n"
                asked += 1
            expected = None
            for pieces in cuts(wire, chance.randrange(1000)):
                pump = Pump(settings(max_errors=1000, tarpit_after=1000))
                got = pump.send(*pieces)
                self.assertEqual(len(got), asked, wire)
                self.assertIsNone(pump.closed)
                expected = expected or got
                self.assertEqual(got, expected)
