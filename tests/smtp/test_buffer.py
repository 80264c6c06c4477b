from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.buffer import (
    FLOOD_OCTETS,
    BareLineFeedError,
    FloodError,
    LineTooLongError,
    ReceiveBuffer,
)
from tests.smtp.pump import cuts


def lines(pieces: list[bytes], limit: int = 20) -> list[bytes | str]:
    """What a reader sees: lines, and the names of errors."""
    buffer, seen = ReceiveBuffer(), list[bytes | str]()
    for piece in pieces:
        buffer.add(piece)
        while True:
            try:
                line = buffer.line(limit)
            except (LineTooLongError, BareLineFeedError) as error:
                seen.append(type(error).__name__)
                continue
            if line is None:
                break
            seen.append(line)
    return seen


class ReceiveBufferTests(SynchronousTestCase):
    def test_S5_lines_wherever_they_are_cut(self) -> None:
        long, bare = "LineTooLongError", "BareLineFeedError"
        table: tuple[tuple[bytes, list[bytes | str]], ...] = (
            (b"a\r\nbc\r\n\r\n", [b"a", b"bc", b""]),
            (b"x" * 18 + b"\r\ny\r\n", [b"x" * 18, b"y"]),
            (b"x" * 19 + b"\r\ny\r\n", [long, b"y"]),
            (b"x" * 500 + b"\r\ny\r\n", [long, b"y"]),
            (b"x" * 500 + b"\n" + b"x" * 9 + b"\r\ny\r\n", [long, b"y"]),
            (b"a\nb\r\nc\r\n", [bare, b"c"]),
            (b"a\nb\nc\nd\r\ne\r\n", [bare, b"e"]),
            (b"\n\r\nc\r\n", [bare, b"c"]),
            (b"a\rb\r\nc", [b"a\rb"]),
            (b"x" * 30 + b"\r\r\ny\r\n", [long, b"y"]),
        )
        for octets, expected in table:
            for pieces in cuts(octets):
                self.assertEqual(lines(pieces), expected, pieces)

    def test_S5_a_line_without_end_is_a_flood_and_is_not_kept(self) -> None:
        buffer = ReceiveBuffer()
        buffer.add(b"x" * 5000)
        with self.assertRaises(LineTooLongError):
            buffer.line(4096)
        with self.assertRaises(FloodError):
            for _ in range(FLOOD_OCTETS // 1000 + 1):
                self.assertIsNone(buffer.line(4096))
                self.assertEqual(len(buffer), 0)
                buffer.add(b"x" * 1000)

    def test_take(self) -> None:
        buffer = ReceiveBuffer()
        buffer.add(b"abcdef")
        self.assertEqual(buffer.take(2), b"ab")
        self.assertEqual(len(buffer), 4)
        self.assertTrue(buffer.begins_with(b"CDE"))
        self.assertFalse(buffer.begins_with(b"CDEFG"))
        self.assertEqual(buffer.take_all(), b"cdef")
        self.assertEqual(buffer.take(5), b"")
