import random
import re

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.dotcodec import DotDecoder, DotEncoder, LineEnds, has_bare_line_ends
from tests.smtp.pump import cuts, two_parts

# promises.md, S1: everything that some server somewhere takes for the end of data.
FALSE_ENDS = (
    b"\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
)
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def decode(pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    decoder, content, rest = DotDecoder(), b"", b""
    for piece in pieces:
        if decoder.ended:
            rest += piece
        else:
            content += decoder.feed(piece)
            rest = decoder.rest
    assert decoder.ended
    return content, rest, decoder.bare


def encode(pieces: list[bytes]) -> bytes:
    encoder = DotEncoder()
    return b"".join(encoder.feed(piece) for piece in pieces) + encoder.finish()


def straight(content: bytes) -> bytes:
    """What LineEnds makes of a whole content, written the slow way."""
    lines = re.split(rb"\r\n|\r|\n", content.replace(b"\0", b" "))
    if lines[-1] == b"":
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


class DotDecoderTests(SynchronousTestCase):
    def test_S1_only_the_true_end_ends(self) -> None:
        for false_end in FALSE_ENDS:
            wire = b"a" + false_end + b"MAIL FROM:<x@y>\r\n.\r\nNOOP\r\n"
            expected = decode([wire])
            self.assertEqual(expected[1], b"NOOP\r\n", false_end)
            self.assertIn(b"MAIL FROM", expected[0])
            self.assertIsNone(BARE.search(expected[0]), false_end)
            for pieces in two_parts(wire):
                self.assertEqual(decode(pieces), expected, pieces)
            for pieces in cuts(wire):
                self.assertEqual(decode(pieces), expected, pieces)

    def test_S1_false_end_at_the_beginning(self) -> None:
        for false_end in FALSE_ENDS:
            # At the beginning a CRLF stands before the content as it were.
            for start in (false_end, false_end.lstrip(b"\r\n")):
                if start.startswith(b".\r\n"):
                    continue
                wire = start + b"x\r\n.\r\nREST"
                for pieces in two_parts(wire):
                    self.assertEqual(decode(pieces)[1], b"REST", (false_end, pieces))

    def test_the_table(self) -> None:
        table = (
            (b".\r\n", b""),
            (b"\r\n.\r\n", b"\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b".a\r\n.\r\n", b"a\r\n"),
            (b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n"),
            (b"a\r\n...\r\n.\r\n", b"a\r\n..\r\n"),
            (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
            (b"a\rb\r\n.\r\n", b"a\r\nb\r\n"),
            (b"a\r\rb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
            (b"a\n\rb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
            (b"a\0b\r\n.\r\n", b"a b\r\n"),
            (b"a\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\n..b\r\n.\r\n", b"a\r\n..b\r\n"),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        )
        for wire, content in table:
            for pieces in (*cuts(wire + b"REST"), *two_parts(wire + b"REST")):
                self.assertEqual(decode(pieces)[:2], (content, b"REST"), pieces)

    def test_bare_is_told(self) -> None:
        self.assertFalse(decode([b"a\r\n..\r\n.\r\n"])[2])
        for bare in (b"a\nb", b"a\rb", b"a\r\r\nb", b"\n", b"\r"):
            for pieces in cuts(bare + b"\r\n.\r\n"):
                self.assertTrue(decode(pieces)[2], pieces)

    def test_has_bare_line_ends(self) -> None:
        for octets in (b"", b"a", b"\r\n", b"a\r\nb\r\n\r\n"):
            self.assertFalse(has_bare_line_ends(octets))
        for octets in (b"\r", b"\n", b"\n\r", b"\r\n\r", b"a\nb\r", b"\r\r\n\n"):
            self.assertTrue(has_bare_line_ends(octets))

    def test_S4_long_lines_are_content(self) -> None:
        for length in (998, 999, 2048, 16_384, 16_385, 1 << 20):
            line = b"x" * (length - 2) + b"\r\n"
            wire = line + b"MAIL FROM:<x@y>\r\n.\r\nREST"
            pieces = [wire[at : at + 16_384] for at in range(0, len(wire), 16_384)]
            self.assertEqual(decode(pieces)[:2], (line + b"MAIL FROM:<x@y>\r\n", b"REST"))


class RoundTripTests(SynchronousTestCase):
    def test_S3_SM4_dot_lines_at_chunk_borders(self) -> None:
        offsets = [*range(16_300, 16_501)]
        offsets += [border + by for border in (4096, 8192, 65_536) for by in range(-2, 3)]
        for offset in (0, *offsets):
            content = b"x" * max(offset - 2, 0) + b"\r\n" * bool(offset) + b".\r\n..\r\n.b\r\n"
            for size in (4096, 16_384, 65_536):
                wire = encode([content[at : at + size] for at in range(0, len(content), size)])
                back = [wire[at : at + size] for at in range(0, len(wire), size)]
                self.assertEqual(decode(back), (content, b"", False), (offset, size))

    def test_S2_random_contents_come_back_clean(self) -> None:
        chance = random.Random(1)
        words = (b"\r\n", b".", b"a", b"\r\n.", b"\n", b"\r", b"\0", b"..", b"\r\n.\r\n", b"\xe9")
        for _ in range(3000):
            content = b"".join(chance.choices(words, k=chance.randrange(12)))
            wire = encode([content])
            self.assertIsNone(BARE.search(wire), content)
            self.assertTrue(wire.endswith(b"\r\n.\r\n") or wire == b".\r\n")
            self.assertNotIn(b"\r\n.\r\n", wire[:-3])
            for pieces in cuts(content):
                self.assertEqual(encode(pieces), wire)
            for pieces in cuts(wire + b"REST"):
                self.assertEqual(decode(pieces), (straight(content), b"REST", False))

    def test_S2_false_ends_never_leave(self) -> None:
        for false_end in FALSE_ENDS:
            for pieces in two_parts(b"a" + false_end + b"b"):
                wire = encode(pieces)
                self.assertIsNone(BARE.search(wire))
                self.assertEqual(wire.count(b"\r\n.\r\n"), 1, pieces)


class LineEndsTests(SynchronousTestCase):
    def test_BD2_line_ends_across_pieces(self) -> None:
        chance = random.Random(2)
        for _ in range(2000):
            content = b"".join(chance.choices((b"\r", b"\n", b"a", b"\0", b"."), k=8))
            for pieces in cuts(content):
                line_ends = LineEnds()
                got = b"".join(map(line_ends.feed, pieces)) + line_ends.finish()
                self.assertEqual(got, straight(content))
                self.assertEqual(line_ends.bare, bool(re.search(rb"\r(?!\n)|(?<!\r)\n", content)))

    def test_empty_stays_empty(self) -> None:
        self.assertEqual(LineEnds().finish(), b"")
        self.assertEqual(encode([]), b".\r\n")
