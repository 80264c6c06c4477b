"""Edits in encoded bodies: what is not replaced decodes to the same, line lengths hold (M6)."""

from __future__ import annotations

import base64
import binascii
import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.copy_plan import CopyFields
from smtpplus.message.edits import NotFittingError, OctetEdit, OctetFill, Piece
from smtpplus.message.encoded_body import Base64Body, PlainBody, QuotedPrintableBody, body_of
from smtpplus.values.address import Address
from tests.message.wrapped import encoded

EXAMPLES = 20_000 if os.environ.get("SMTPPLUS_TEST_WHOLE_CORPORA") == "1" else 200
FIELDS = CopyFields(Address.parse("a@b.example"))
TEXTS = st.lists(
    st.sampled_from(
        ["a", " ", "\t", "=", "ä", "\r\n", ".", "From ", "<a href=x>", "=3D", "w" * 30, "x" * 75]
    ),
    max_size=60,
).map(lambda pieces: "".join(pieces).encode())
ENCODED = st.lists(
    st.sampled_from(
        [
            b"a",
            b" ",
            b"\t",
            b"=",
            b"=3D",
            b"=\r\n",
            b"= \r\n",
            b"\r\n",
            b"=C3=A4",
            b"=zz",
            b"w" * 40,
        ]
    ),
    max_size=60,
).map(b"".join)


def constant(value: bytes) -> OctetFill:
    return lambda fields: value


def spliced(pieces: list[Piece]) -> bytes:
    return b"".join(p if isinstance(p, bytes) else p(FIELDS) for p in pieces)  # type: ignore[operator]


@st.composite
def edits_of(draw: st.DrawFn, octets: bytes) -> list[OctetEdit]:
    """Edits that neither touch one another nor cut a line end in two."""
    edits: list[OctetEdit] = []
    position = 0
    while position <= len(octets) and draw(st.booleans()):
        start = draw(st.integers(position, len(octets)))
        end = draw(st.integers(start, min(start + 9, len(octets))))
        if any(octets[at - 1 : at + 1] == b"\r\n" for at in (start, end) if at):
            break
        pieces: tuple[bytes | OctetFill, ...] = tuple(
            value if draw(st.booleans()) else constant(value)
            for value in draw(st.lists(TEXTS, max_size=3))
        )
        edits.append(OctetEdit(start, end, pieces))
        position = end + 1
    return edits


def expected(octets: bytes, edits: list[OctetEdit]) -> bytes:
    made, position = b"", 0
    for edit in edits:
        value = b"".join(p if isinstance(p, bytes) else p(FIELDS) for p in edit.pieces)
        made += octets[position : edit.start] + value
        position = edit.end
    return made + octets[position:]


class EncodedBodyTest(SynchronousTestCase):
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.data())
    def test_M6_what_encoders_write(self, data: st.DataObject) -> None:
        octets = data.draw(TEXTS)
        for encoding in ("quoted-printable", "base64"):
            body = body_of(encoded(octets, encoding), encoding)
            assert isinstance(body, QuotedPrintableBody | Base64Body)
            self.assertEqual(body.octets, octets)
            edits = data.draw(edits_of(octets))
            made = spliced(body.spliced(edits))
            decode = binascii.a2b_qp if encoding == "quoted-printable" else base64.b64decode
            self.assertEqual(decode(made), expected(octets, edits))
            theirs = set(body.encoded.split(b"\r\n"))
            ours = [line for line in made.split(b"\r\n") if line not in theirs]
            self.assertLessEqual(max(map(len, ours), default=0), 76)
            self.assertNotRegex(made, rb"(?<!\r)\n|\r(?!\n)|[ \t]\r\n|[ \t]\Z")

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.data())
    def test_M6_any_quoted_printable(self, data: st.DataObject) -> None:
        body = QuotedPrintableBody(data.draw(ENCODED))
        edits = data.draw(edits_of(body.octets))
        again = QuotedPrintableBody(spliced(body.spliced(edits)))
        self.assertEqual(
            again.octets, expected(body.octets, edits), (body.encoded, edits, again.encoded)
        )

    def test_M6_what_stands_before_a_blank_at_a_lines_end(self) -> None:
        for written, start, end, left in ((b" a ", 1, 2, b" "), (b"b a \t\r\nc", 2, 3, b"b \r\nc")):
            body = QuotedPrintableBody(written)
            for pieces in ((), (b"x",), (b" ",), (constant(b"y "),)):
                edits = [OctetEdit(start, end, pieces)]
                made = QuotedPrintableBody(spliced(body.spliced(edits))).octets
                self.assertEqual(made, expected(body.octets, edits))
                if not pieces:
                    self.assertEqual(made, left)

    def test_base64_keeps_its_first_lines(self) -> None:
        octets = bytes(random.Random(1).randbytes(5_000))
        for width in (76, 64, 60, 4):
            lines = base64.b64encode(octets)
            text = b"\r\n".join(lines[at : at + width] for at in range(0, len(lines), width))
            body = body_of(text + b"\r\n\r\n", "base64")
            assert not isinstance(body, str)
            made = spliced(body.spliced([OctetEdit(3_000, 3_010, (b"new", constant(b"er")))]))
            self.assertEqual(base64.b64decode(made), octets[:3_000] + b"newer" + octets[3_010:])
            kept = 3_000 // 3 * 4 // width * (width + 2)
            self.assertEqual(made[:kept], text[:kept], width)
            self.assertTrue(made.endswith(b"\r\n\r\n"))

    def test_base64_with_a_blank_at_a_line_is_encoded_anew(self) -> None:
        octets = bytes(random.Random(2).randbytes(1_000))
        lines = base64.encodebytes(octets).replace(b"\n", b"\r\n").split(b"\r\n")
        for at in range(5):
            encoded = b"\r\n".join(
                [*lines[:at], lines[at][:60] + b" ", lines[at][60:], *lines[at + 1 :]]
            )
            body = body_of(encoded, "base64")
            assert not isinstance(body, str)
            for start in range(0, 600, 7):
                made = spliced(body.spliced([OctetEdit(start, start, (b"new",))]))
                self.assertEqual(base64.b64decode(made), octets[:start] + b"new" + octets[start:])

    def test_plain_lines_keep_within_their_bound(self) -> None:
        long = b"x" * 700
        body = PlainBody(b"short line\r\n" + long + b"\r\n")
        spliced(body.spliced([OctetEdit(3, 3, (constant(b"y" * 900),))]))
        with self.assertRaises(NotFittingError):
            spliced(body.spliced([OctetEdit(3, 3, (constant(b"y" * 1_000),))]))
        with self.assertRaises(NotFittingError):
            body.spliced([OctetEdit(20, 20, (b"y" * 300,))])
        with self.assertRaises(NotFittingError):
            body.spliced([OctetEdit(at, at, (constant(b"y"),)) for at in (20, 30, 40)])
        made = spliced(body.spliced([OctetEdit(20, 20, (b"y" * 200 + b"\r\n" + b"z" * 290,))]))
        self.assertLessEqual(max(map(len, made.split(b"\r\n"))), 998)

    def test_plain_lines_that_an_edit_joins_keep_within_their_bound(self) -> None:
        """A link may have line ends in it; browsers drop them."""
        body = PlainBody(b"x" * 600 + b"href\r\nhref" + b"x" * 600 + b"\r\n")
        with self.assertRaises(NotFittingError):
            body.spliced([OctetEdit(600, 610, (b"y",))])
        body = PlainBody(b"x" * 100 + b"href\r\nhref" + b"x" * 100 + b"\r\n")
        made = spliced(body.spliced([OctetEdit(100, 110, (constant(b"y" * 700),))]))
        self.assertEqual(made, b"x" * 100 + b"y" * 700 + b"x" * 100 + b"\r\n")

    def test_a_line_that_is_too_long_already_is_not_ours_to_mend(self) -> None:
        body = PlainBody(b"x" * 2_000)
        self.assertEqual(
            len(spliced(body.spliced([OctetEdit(5, 5, (constant(b"y" * 500),))]))), 2_500
        )
