"""A part's body in its transfer encoding, and how decoded octets are replaced in it (RFC 2045 §6).

Guarantees: what is not replaced keeps its encoded form, octet by octet: in quoted-printable
soft line breaks stand around what is put in and no line gets longer than 76 characters, in
base64 the lines before the first edit stay; whatever else is decoded decodes to the same.
Lines put in keep within 998 octets. Linear time.
Raises `NotFittingError` where a line of an unencoded body would get too long, or what is put in
is not 7-bit there. A body that is damaged or in an unknown encoding cannot be opened.
"""

from __future__ import annotations

import binascii
import functools
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from string import ascii_letters, digits

from smtpplus.message.copy_plan import CopyFields
from smtpplus.message.edits import NotFittingError, OctetEdit, OctetFill, Piece
from smtpplus.message.facts import MAX_LINE_OCTETS

__all__ = ["Base64Body", "EncodedBody", "PlainBody", "QuotedPrintableBody", "body_of"]

PLAIN_ENCODINGS = frozenset({"7bit", "8bit", "binary", "7bits", "8bits", "7-bit", "8-bit", "none"})
_LINE = 76
_MAX_KEPT = 4_096  # octets of a constant whose quoted form is kept
_LEAST_ROOM = 160  # octets that a URL of ours may need

_QP = re.compile(rb"=[0-9A-Fa-f]{2}|=[ \t]*(?:\r?\n|\Z)|(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_BLANK_END = re.compile(rb"[ \t]++(?:\r?\n|\Z)")
_SOFT = (b"=\r\n", b"=\n")
_SOFT_BREAKS = re.compile(rb"(?>(?:=\r?\n)*)")
_PLAIN = b"".join([ascii_letters.encode(), digits.encode(), b":/?&;.,_~%+-"])
_PLAIN_LINE = re.compile(rb".{1,75}")  # of what needs nothing but line breaks
_BASE64 = re.compile(rb"[A-Za-z0-9+/ \t\r\n]*+={0,2}[ \t\r\n]*+")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


class PlainBody:
    """7bit, 8bit, binary: the octets are the body."""

    def __init__(self, encoded: bytes) -> None:
        self.octets = encoded

    def spliced(self, edits: Sequence[OctetEdit]) -> list[Piece]:
        """The body with the edits, which are in order, made."""
        pieces: list[Piece] = []
        position = 0
        rooms = self._rooms(edits)
        for edit, room in zip(edits, rooms, strict=True):
            pieces.append(self.octets[position : edit.start])
            pieces += [p if isinstance(p, bytes) else _within(p, room) for p in edit.pieces]
            position = edit.end
        pieces.append(self.octets[position:])
        return pieces

    def _rooms(self, edits: Sequence[OctetEdit]) -> list[int]:
        """For each edit, how long each of its fills may be so that its line stays in bounds."""
        rooms: list[int] = []
        group: list[OctetEdit] = []
        start = line_end = -1
        for edit in edits:
            if edit.start > line_end:
                rooms += _group_rooms(group, self.octets[start:line_end])
                group = []
                start = self._line_start(edit.start)
                line_end = self._line_end(edit.end)
            group.append(edit)
            line_end = max(line_end, self._line_end(edit.end))
        return rooms + _group_rooms(group, self.octets[start:line_end])

    def _line_start(self, at: int) -> int:
        least = max(at - MAX_LINE_OCTETS - 2, 0)
        return max(self.octets.rfind(b"\n", least, at) + 1, least)

    def _line_end(self, at: int) -> int:
        most = min(at + MAX_LINE_OCTETS + 2, len(self.octets))
        found = self.octets.find(b"\n", at, most)
        return most if found < 0 else found


def _group_rooms(group: list[OctetEdit], lines: bytes) -> list[int]:
    """Rooms of edits that share a line, or `lines` that one of them joins."""
    fills, used = 0, len(lines)
    if used > MAX_LINE_OCTETS + 1 and max(map(len, lines.split(b"\n"))) > MAX_LINE_OCTETS + 1:
        return [sys.maxsize] * len(group)  # too long already: that is not ours to mend
    for edit in group:
        for piece in edit.pieces:
            if isinstance(piece, bytes):
                used += max(map(len, piece.split(b"\n")))
            else:
                fills += 1
    left = MAX_LINE_OCTETS - used
    if left < _LEAST_ROOM * fills or left < 0:
        raise NotFittingError("a line would get longer than 998 octets")
    return [left // max(fills, 1)] * len(group)


def _within(fill: OctetFill, room: int) -> OctetFill:
    def bounded(fields: CopyFields) -> bytes:
        value = fill(fields)
        if len(value) > room:
            raise NotFittingError("a line would get longer than 998 octets")
        return value

    return bounded


class _Tokens:
    """Where encoded and decoded form step apart, of a body that nobody should have written so."""

    def __init__(self, encoded: bytes) -> None:
        # After each token of the encoded form: octets decoded so far, and where it goes on.
        self._decoded_at = [0]
        self._encoded_at = [0]
        # Soft breaks and blanks at line ends stand for nothing: where they begin.
        self._before: dict[int, int] = {}
        pieces: list[bytes] = []
        position = size = 0
        for token in _QP.finditer(encoded):
            start, end = token.span()
            plain = start - position
            if plain:
                pieces.append(encoded[position:start])
                size += plain
            if end - start == 3 and encoded[start] == 61 and encoded[start + 1] not in b" \t\r\n":
                pieces.append(binascii.unhexlify(encoded[start + 1 : end]))
                size += 1
            else:
                self._before.setdefault(size, start)
            position = end
            self._decoded_at.append(size)
            self._encoded_at.append(end)
        pieces.append(encoded[position:])
        self.octets = b"".join(pieces)
        self._encoded = encoded

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where decoded octets stand in the encoded form: between the soft breaks around them."""
        begin, nothing = self.last(start), self.first(start)
        if nothing < begin:  # after the last soft break; before blanks, which would count now
            begin = max(nothing, self._encoded.rfind(b"\n", nothing, begin) + 1)
        return begin, begin if end == start else max(begin, self.first(end))

    def last(self, at: int) -> int:
        """Where decoded octet `at` begins in the encoded form: behind what stands for nothing."""
        index = bisect_right(self._decoded_at, at) - 1
        return self._encoded_at[index] + at - self._decoded_at[index]

    def first(self, at: int) -> int:
        """The same, before what stands for nothing there."""
        if at in self._before:
            return self._before[at]
        index = bisect_left(self._decoded_at, at)
        if index < len(self._decoded_at) and self._decoded_at[index] == at:
            return self._encoded_at[index]
        return self._encoded_at[index - 1] + at - self._decoded_at[index - 1]


class _Stretches:
    """The same of a body as encoders write it, in stretches between its soft breaks.

    Every sign is an escape, of three octets for one, or a soft break for nothing.
    """

    def __init__(
        self, encoded: bytes, octets: bytes, encoded_at: list[int], decoded_at: list[int]
    ) -> None:
        self._encoded = encoded
        self.octets = octets
        # Where each stretch begins, in the encoded form less the breaks before it.
        self._encoded_at = encoded_at
        self._decoded_at = decoded_at
        self._asked = (0, 0)  # what was asked for last, and the answer: places come in order

    @classmethod
    def of(cls, encoded: bytes) -> _Stretches | None:
        """None: a sign is neither escape nor soft break, or a line ends in a blank."""
        if b" \r\n" in encoded or encoded.endswith((b" ", b"\t")):
            return None
        if b"\t" in encoded and (b"\t\r\n" in encoded or b"\t\n" in encoded):
            return None
        stretches = encoded.split(b"=\r\n")
        lines = encoded.count(b"\r\n")
        if not lines == encoded.count(b"\n") == encoded.count(b"\r") and (
            b" \n" in encoded or encoded.count(b"=\r") != len(stretches) - 1
        ):
            return None
        octets = binascii.a2b_qp(encoded)
        sizes = [len(one) - 2 * one.count(b"=") for one in stretches]
        decoded_at = list(accumulate(sizes, initial=0))
        if decoded_at[-1] != len(octets):  # of any other sign less is gone
            return None
        return cls(encoded, octets, list(accumulate(map(len, stretches), initial=0)), decoded_at)

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where decoded octets stand in the encoded form: between the soft breaks around them."""
        begin = self._position(start)
        if self._encoded.startswith(_SOFT, begin):
            soft = _SOFT_BREAKS.match(self._encoded, begin)
            assert soft is not None  # the pattern matches nothing, too
            begin = soft.end()
        return begin, begin if end == start else max(begin, self._position(end))

    def _position(self, at: int) -> int:
        """Where decoded octet `at` begins, before soft breaks there."""
        if not at:
            return 0
        encoded, find = self._encoded, self._encoded.find
        stretch = bisect_left(self._decoded_at, at) - 1
        begins = self._decoded_at[stretch]
        known, position = self._asked
        if not begins < known <= at:
            known, position = begins, self._encoded_at[stretch] + 3 * stretch
        left = at - known
        while left:
            sign = find(b"=", position, position + left)
            if sign < 0:
                position += left
                break
            left -= sign - position
            if encoded[sign + 1] == 10:
                position = sign + 2
            else:
                left -= 1
                position = sign + 3
        self._asked = (at, position)
        return position


class QuotedPrintableBody:
    """Quoted-printable."""

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded
        self._map = _Stretches.of(encoded) or _Tokens(encoded)
        self.octets = self._map.octets

    def spliced(self, edits: Sequence[OctetEdit]) -> list[Piece]:
        """The body with the edits, which are in order, made."""
        encoded, pieces, position = self.encoded, list[Piece](), 0
        for edit in edits:
            start, end = self._map.place(edit.start, edit.end)
            ends_line = end == len(encoded) or (
                encoded[end] in b"\r\n= \t" and _ends_line(encoded, end)
            )
            made = _constants_joined(edit.pieces)
            if made and not isinstance(made[0], bytes):
                pieces.append(self._up_to(position, start))
            else:
                pieces.append(self._before_edit(position, start, end, made, ends_line=ends_line))
            last = len(made) - 1
            for index, piece in enumerate(made):
                is_last = ends_line and index == last
                pieces.append(
                    _quoted_constant(piece, ends_line=is_last)
                    if isinstance(piece, bytes)
                    else _quoted_fill(piece, ends_line=is_last)
                )
            position = end
        pieces.append(encoded[position:])
        return pieces

    def _before_edit(
        self,
        position: int,
        start: int,
        end: int,
        made: Sequence[bytes | OctetFill],
        *,
        ends_line: bool,
    ) -> bytes:
        """What stands before an edit, with the soft line break that it needs."""
        kept = self.encoded[position:start]
        first = made[0] if made else b""
        ends = (isinstance(first, bytes) and first.startswith(b"\r\n")) or (not made and ends_line)
        joins = not made and not ends_line and b"\n" not in self.encoded[start:end]
        before = self.encoded[start - 2 : start] if start > 1 else self.encoded[:start]
        # A blank would end its line and be lost; a sign that is not escaped would find letters.
        if (joins or (ends and before[-1:] not in {b" ", b"\t"})) and b"=" not in before:
            return kept
        return self._up_to(position, start)

    def _up_to(self, position: int, start: int) -> bytes:
        """What stands before an edit, and a soft line break unless its line is empty so far."""
        kept = self.encoded[position:start]
        column = start - (self.encoded.rfind(b"\n", max(start - _LINE - 2, 0), start) + 1)
        if not kept or column == 0:
            return kept
        if kept.endswith(b"="):  # not escaped as it should be: before a soft break it must be
            kept, column = kept[:-1] + b"=3D", column + 2
        if column >= _LINE and len(kept) > 3:
            last = -3 if kept[-3:-2] == b"=" else -1
            return kept[:last] + b"=\r\n" + kept[last:] + b"=\r\n"
        return kept + b"=\r\n"


def _constants_joined(pieces: Sequence[bytes | OctetFill]) -> Sequence[bytes | OctetFill]:
    """The pieces with constant neighbours as one, and without empty ones."""
    if len(pieces) == 1 and pieces[0] != b"":
        return pieces
    joined: list[bytes | OctetFill] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, bytes) and isinstance(last, bytes):
            joined[-1] = last + piece
        elif piece != b"":
            joined.append(piece)
    return joined


def _ends_line(encoded: bytes, at: int) -> bool:
    """Does nothing follow on the line, or nothing but what stands for nothing?"""
    if encoded[at] == 61:
        return encoded[at + 1 : at + 2] in {b"\r", b"\n", b" ", b"\t", b""}
    return encoded[at] in b"\r\n" or _BLANK_END.match(encoded, at) is not None


def _quoted_constant(value: bytes, *, ends_line: bool) -> bytes:
    """The same of what stands in the copies of many messages, such as a footer."""
    return (_quoted_once if len(value) <= _MAX_KEPT else _quoted)(value, ends_line=ends_line)


def _quoted(value: bytes, *, ends_line: bool) -> bytes:
    """`value` as whole lines, the last one with a soft break unless it `ends_line`."""
    if len(value) < _LINE and value.isalnum():
        return value if ends_line else value + b"=\r\n"
    if not value:
        return b""
    if not value.translate(None, _PLAIN):
        lines = _PLAIN_LINE.findall(value)
        return b"=\r\n".join(lines) if ends_line else b"=\r\n".join([*lines, b""])
    before = b""
    if b"\n" in value:
        lines = value.split(b"\r\n")
        before = b"".join(
            binascii.b2a_qp(line, istext=False).replace(b"\n", b"\r\n") + b"\r\n"
            for line in lines[:-1]
        )
        value = lines[-1]
        if not value:
            return before
    # The letter behind keeps the last line at 75, and a blank at the end from being special.
    made = binascii.b2a_qp(value + b"x", istext=False)[:-1].replace(b"\n", b"\r\n")
    if made.endswith(b"\n") or (ends_line and value[-1] not in b" \t"):
        return before + made
    return before + made + b"=\r\n"


_quoted_once = functools.lru_cache(maxsize=512)(_quoted)


def _quoted_fill(fill: OctetFill, *, ends_line: bool) -> OctetFill:
    def quoted(fields: CopyFields) -> bytes:
        value = fill(fields)
        if ends_line or value.translate(None, _PLAIN):
            return _quoted(value, ends_line=ends_line)
        return b"=\r\n".join([*_PLAIN_LINE.findall(value), b""])

    return quoted


class Base64Body:
    """Base64: encoded anew from the line of the first edit on."""

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded
        clean = _NOT_BASE64.sub(b"", encoded)
        self.octets = binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))

    def spliced(self, edits: Sequence[OctetEdit]) -> list[Piece]:
        """The body with the edits, which are in order, made."""
        if not edits:
            return [self.encoded]
        kept, position = self._whole_lines(edits[0].start)
        text = self.encoded.rstrip(b" \t\r\n")
        tail = self.encoded[len(text) :]
        template: list[bytes | OctetFill] = []
        for edit in edits:
            template += [self.octets[position : edit.start], *edit.pieces]
            position = edit.end
        template.append(self.octets[position:])
        if all(isinstance(piece, bytes) for piece in template):
            return [self.encoded[:kept], _based(template, None), tail]

        def filled(fields: CopyFields) -> bytes:
            return _based(template, fields)

        return [self.encoded[:kept], filled, tail]

    def _whole_lines(self, most: int) -> tuple[int, int]:
        """The longest run of lines that decode to at most `most` octets by themselves."""
        encoded = self.encoded
        line = encoded.find(b"\n") + 1
        text = len(encoded[:line].strip())
        if not line or text % 4 or not text:
            return 0, 0
        count = most * 4 // 3 // text
        if encoded[: count * line].count(b"\n") != count or len(encoded) < count * line:
            return 0, 0
        kept = encoded[: count * line]
        try:
            octets = binascii.a2b_base64(kept)
        except binascii.Error:  # padding or blanks somewhere inside
            return 0, 0
        # Lines of other lengths than the first: then everything is encoded anew.
        regular = len(octets) == count * text // 4 * 3 and kept[-1:] in {b"\n", b""}
        return (count * line, len(octets)) if regular and len(octets) <= most else (0, 0)


def _based(template: Sequence[bytes | OctetFill], fields: CopyFields | None) -> bytes:
    octets = b"".join(
        [
            piece if isinstance(piece, bytes) else piece(fields)  # type: ignore[arg-type]
            for piece in template
        ]
    )
    made = binascii.b2a_base64(octets, newline=False)
    return b"\r\n".join([made[at : at + _LINE] for at in range(0, len(made), _LINE)])


EncodedBody = PlainBody | QuotedPrintableBody | Base64Body


def body_of(encoded: bytes, encoding: str) -> EncodedBody | str:
    """The body, or the reason why it cannot be edited."""
    if encoding in PLAIN_ENCODINGS:
        return PlainBody(encoded)
    if encoding == "quoted-printable":
        return QuotedPrintableBody(encoded)
    if encoding == "base64":
        if not _BASE64.fullmatch(encoded):
            return "its base64 is damaged"
        try:
            return Base64Body(encoded)
        except binascii.Error:
            return "its base64 is damaged"
    return f"its transfer encoding {encoding!r} is not known"
