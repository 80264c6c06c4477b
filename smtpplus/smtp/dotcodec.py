"""The content of DATA on the wire: end of data, dot transparency, line ends.

Guarantees: only CRLF.CRLF ends the content, or ``.CRLF`` as its very first line (RFC 5321
§4.1.1.4); dots are undone and done exactly once per CRLF line, wherever the octets are cut;
what `DotDecoder`, `LineEnds` and `DotEncoder` give out holds no CR without LF, no LF without
CR and no NUL. A dot after a bare LF is content: no line began there. No object is made per
line: each piece is searched and replaced as a whole. Nothing here raises or limits sizes.
"""

from __future__ import annotations

import re

__all__ = ["DotDecoder", "DotEncoder", "LineEnds", "has_bare_line_ends", "normalise"]

_END = b"\r\n.\r\n"
# What the end of a piece may be the beginning of; longest first.
_BEGINNINGS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
# Patterns that begin with one certain octet are searched for at the speed of memchr.
_BARE_CR = re.compile(rb"\r(?!\n)")
_BARE_LF = re.compile(rb"\n(?<!\r\n)")
_BARE_LF_OR_DOT = re.compile(rb"\n(?:(?<!\r\n)|(?=\.))")


def has_bare_line_ends(octets: bytes) -> bool:
    """Is there a CR without LF, or an LF without CR? A CR at the very end counts as bare."""
    return _BARE_LF.search(octets) is not None or _BARE_CR.search(octets) is not None


def normalise(octets: bytes) -> bytes:
    """Every CR, LF and CRLF as one CRLF, every NUL as a space."""
    return _line_ends(octets).replace(b"\0", b" ")


def _line_ends(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


class DotDecoder:
    """Reads the octets after DATA up to the true end of data.

    `ended` turns True when the end was seen; `rest` then holds the octets after it. `bare`
    tells whether a bare CR or LF was met (and made CRLF).
    """

    __slots__ = ("_carry", "_virtual", "bare", "ended", "rest")

    def __init__(self) -> None:
        # The content begins as if a CRLF stood before it; `_virtual` octets are not given out.
        self._carry = b"\r\n"
        self._virtual = 2
        self.bare = False
        self.ended = False
        self.rest = b""

    def feed(self, octets: bytes) -> bytes:
        """The content that is certain after these octets; empty where none is."""
        raw = self._carry + octets
        odd = _BARE_LF_OR_DOT.search(raw)
        if odd is None:
            raw = self._hold_back(raw)
        elif odd.start() and raw.startswith(_END, odd.start() - 1):
            raw = self._end(raw, odd.start() - 1)
        else:
            end = raw.find(_END)
            raw = self._end(raw, end) if end >= 0 else self._hold_back(raw)
            raw = raw.replace(b"\r\n.", b"\r\n")  # RFC 5321 §4.5.2
            if _BARE_LF.search(raw) is not None:
                self.bare, raw = True, _line_ends(raw)
        if _BARE_CR.search(raw) is not None:
            self.bare, raw = True, _line_ends(raw)
        if self._virtual and raw:
            raw, self._virtual = raw[self._virtual :], 0
        return raw.replace(b"\0", b" ")

    def _end(self, raw: bytes, at: int) -> bytes:
        self.ended, self.rest, self._carry = True, raw[at + len(_END) :], b""
        return raw[: at + 2]

    def _hold_back(self, raw: bytes) -> bytes:
        for beginning in _BEGINNINGS:
            if raw.endswith(beginning):
                self._carry = beginning
                return raw[: -len(beginning)]
        self._carry = b""
        return raw


class LineEnds:
    """Makes every line end of a content CRLF, across pieces (BDAT, or content to be sent)."""

    __slots__ = ("_carry", "_line_start", "bare")

    def __init__(self) -> None:
        self._carry = b""
        self._line_start = True
        self.bare = False

    def feed(self, octets: bytes) -> bytes:
        """The content that is certain after these octets: a CR at the end waits."""
        raw = self._carry + octets if self._carry else octets
        self._carry = b""
        if raw.endswith(b"\r"):
            raw, self._carry = raw[:-1], b"\r"
        if not raw:
            return b""
        self._line_start = raw.endswith((b"\r", b"\n"))
        if has_bare_line_ends(raw):
            self.bare, raw = True, _line_ends(raw)
        return raw.replace(b"\0", b" ")

    def finish(self) -> bytes:
        """What ends the content: CRLF where its last line has none, else nothing."""
        if self._carry:
            self.bare = True
        elif self._line_start:
            return b""
        self._carry, self._line_start = b"", True
        return b"\r\n"


class DotEncoder:
    """Writes a content as the octets between 354 and the final reply (RFC 5321 §4.5.2)."""

    __slots__ = ("_line_ends", "_line_start")

    def __init__(self) -> None:
        self._line_ends = LineEnds()
        self._line_start = True

    def feed(self, octets: bytes) -> bytes:
        """The octets to send for the next piece of content."""
        content = self._line_ends.feed(octets)
        if not content:
            return b""
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        if self._line_start and content.startswith(b"."):
            stuffed = b"." + stuffed
        self._line_start = content.endswith(b"\n")
        return stuffed

    def finish(self) -> bytes:
        """The last CRLF where it is missing, and the final dot."""
        return self._line_ends.finish() + b".\r\n"
