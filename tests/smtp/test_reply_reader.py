"""Replies, whatever a remote sends: whole, cut anywhere, hostile (R7, O7)."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.reply_reader import (
    MAX_KEPT_OCTETS,
    MAX_LINE_OCTETS,
    MAX_LINES,
    MAX_REPLY_OCTETS,
    RawReply,
    RemoteProtocolError,
    ReplyReader,
    printable,
)
from smtpplus.values.reply import Reply

# What came, what is made of it.
READ: list[tuple[bytes, list[Reply]]] = [
    (b"250 OK\r\n", [Reply.of(250, None, "OK")]),
    (b"250\r\n", [Reply.of(250, None, "")]),
    (b"250 \r\n", [Reply.of(250, None, "")]),
    (b"250-a\r\n250-b\r\n250 c\r\n", [Reply.of(250, None, "a", "b", "c")]),
    (b"250-a\r\n250\r\n", [Reply.of(250, None, "a", "")]),
    (b"250 2.1.5 Fine\r\n", [Reply.of(250, "2.1.5", "Fine")]),
    (b"550-5.1.1 No\r\n550 5.1.1 such user\r\n", [Reply.of(550, "5.1.1", "No", "such user")]),
    (b"550-5.1.1 No\r\n550 such user\r\n", [Reply.of(550, "5.1.1", "No", "such user")]),
    (b"450 5.1.1 Which?\r\n", [Reply.of(450, None, "5.1.1 Which?")]),
    (b"550 5.1.1\r\n", [Reply.of(550, "5.1.1", "")]),
    (b"250 one\n250 two\n", [Reply.of(250, None, "one"), Reply.of(250, None, "two")]),
    (b"554 a\rb\x00\x1b[2J\r\n", [Reply.of(554, None, r"a\rb\x00\x1b[2J")]),
    (b"554 \xff\xfe\x80\r\n", [Reply.of(554, None, r"\xff\xfe\x80")]),
    ("554 Größe \u202e\u4e2d\r\n".encode(), [Reply.of(554, None, "Größe \\u202e\u4e2d")]),
    (b"250 unfinished\r", []),
    (b"250-unfinished\r\n", []),
    (b"", []),
]

BROKEN: list[bytes] = [
    b"\r\n",
    b"hello\r\n",
    b"25 OK\r\n",
    b"2500 OK\r\n",
    b"250:OK\r\n",
    b"150 OK\r\n",
    b"600 OK\r\n",
    b"\xd9\xa2\xd9\xa5\xd9\xa0 OK\r\n",
    b"HTTP/1.1 400 Bad Request\r\n",
    b"\x15\x03\x01\x00\x02\x02\x0a\r\n",
    b"250-a\r\n251 b\r\n",
    b"250-a\r\n\r\n",
    b"250-a\r\n550-b\r\n250 c\r\n",
]


def read(pieces: list[bytes]) -> tuple[list[Reply], str | None]:
    """All replies of what came in these pieces, and the error they ended with."""
    reader = ReplyReader()
    replies = []
    try:
        for piece in pieces:
            reader.receive(piece)
            while (raw := reader.next_reply()) is not None:
                replies.append(raw.reply())
    except RemoteProtocolError as error:
        return replies, str(error)
    return replies, None


def one_by_one(octets: bytes) -> list[bytes]:
    return [octets[i : i + 1] for i in range(len(octets))]


class ReadTests(SynchronousTestCase):
    def test_replies_whole_and_octet_by_octet(self) -> None:
        for octets, expected in READ:
            self.assertEqual(read([octets]), (expected, None), octets)
            self.assertEqual(read(one_by_one(octets)), (expected, None), octets)

    def test_O7_no_reply(self) -> None:
        for octets in BROKEN:
            for pieces in ([octets], one_by_one(octets)):
                replies, error = read(pieces)
                self.assertEqual(replies, [], octets)
                assert error is not None, octets
                self.assertTrue(error.isprintable(), error)
                self.assertLess(len(error), 300)

    def test_several_replies_and_the_rest(self) -> None:
        reader = ReplyReader()
        reader.receive(b"250 a\r\n550 b\r\n35")
        self.assertEqual(reader.next_reply(), RawReply(250, (b"a",)))
        self.assertEqual(reader.next_reply(), RawReply(550, (b"b",)))
        self.assertIsNone(reader.next_reply())
        self.assertFalse(reader.is_empty)
        reader.receive(b"4 c\r\n")
        self.assertEqual(reader.next_reply(), RawReply(354, (b"c",)))
        self.assertTrue(reader.is_empty)


class BoundTests(SynchronousTestCase):
    def endless(self, piece: bytes, most_octets: int) -> str:
        """Feed `piece` until the reader refuses; it has to before `most_octets` were fed."""
        reader = ReplyReader()
        fed = 0
        while fed <= most_octets:
            reader.receive(piece)
            fed += len(piece)
            try:
                self.assertIsNone(reader.next_reply())
            except RemoteProtocolError as error:
                return str(error)
        raise self.failureException(f"{fed} octets were taken")

    def test_R7_endless_lines(self) -> None:
        error = self.endless(b"250-more\r\n", 10 * (MAX_LINES + 1))
        self.assertIn("100 lines", error)

    def test_R7_thousand_line_greeting_in_one_piece(self) -> None:
        replies, error = read([b"220-Welcome\r\n" * 999 + b"220 Welcome\r\n"])
        self.assertEqual(replies, [])
        self.assertIn("100 lines", str(error))

    def test_R7_hundred_lines_are_fine(self) -> None:
        replies, error = read([b"220-Welcome\r\n" * (MAX_LINES - 1) + b"220 Welcome\r\n"])
        self.assertIsNone(error)
        self.assertEqual(len(replies), 1)

    def test_R7_no_line_end(self) -> None:
        for piece in (b"2", b"250 " + b"x" * 1000, b"x" * 1_000_000):
            error = self.endless(piece, MAX_LINE_OCTETS + len(piece))
            self.assertIn("longer than", error)
            self.assertLess(len(error), 300)

    def test_R7_long_line_in_one_piece(self) -> None:
        replies, error = read([b"250 " + b"x" * 1_000_000 + b"\r\n"])
        self.assertEqual(replies, [])
        self.assertIn("longer than", str(error))

    def test_R7_long_lines(self) -> None:
        line = b"250-" + b"x" * 8000 + b"\r\n"
        error = self.endless(line, MAX_REPLY_OCTETS + len(line))
        self.assertIn("octets", error)

    def test_O7_kept_text_is_bounded(self) -> None:
        for text in (b"x" * 12_000, b"\xff" * 12_000, "\u4e2d".encode() * 4000):
            for octets in (
                b"550 5.1.1 " + text + b"\r\n",
                b"550-5.1.1 a\r\n550 5.1.1 " + text + b"\r\n",
                (b"550-5.1.1 " + text[:3000] + b"\r\n") * 4 + b"550 5.1.1 end\r\n",
            ):
                (reply,), error = read([octets])
                self.assertIsNone(error)
                self.assertLessEqual(sum(len(s.encode()) for s in reply.lines), MAX_KEPT_OCTETS)
                self.assertTrue(reply.text.isprintable())
                self.assertEqual(str(reply.enhanced), "5.1.1")


class FuzzTests(SynchronousTestCase):
    @given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
    @settings(max_examples=300, deadline=None)
    def test_garbage_cut_anywhere_reads_the_same(self, octets: bytes, cuts: list[int]) -> None:
        self.same(octets, cuts)

    @given(
        st.lists(
            st.sampled_from([b"250", b"550", b"-", b" ", b"5.1.1", b"x", b"\r", b"\n", b"\r\n"])
        ),
        st.lists(st.integers(0, 200), max_size=8),
    )
    @settings(max_examples=500, deadline=None)
    def test_nearly_replies_cut_anywhere_read_the_same(
        self, tokens: list[bytes], cuts: list[int]
    ) -> None:
        self.same(b"".join(tokens), cuts)

    def same(self, octets: bytes, cuts: list[int]) -> None:
        edges = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
        pieces = [octets[a:b] for a, b in itertools.pairwise(edges)]
        self.assertEqual(read(pieces), read([octets]))

    @given(st.binary(max_size=200))
    @settings(max_examples=200, deadline=None)
    def test_printable_is(self, octets: bytes) -> None:
        self.assertTrue(printable(octets).isprintable())
