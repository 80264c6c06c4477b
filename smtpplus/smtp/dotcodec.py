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
_BARE_CR = re.compile(rb"\r(?!\n)")
_DOT = re.compile(rb"\r\n\.")  # the regular expression finds it faster than bytes.find
# What the end of a piece may be the beginning of; longest first.
_BEGINNINGS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


def has_bare_line_ends(octets: bytes) -> bool:
    """Is there a CR without LF, or an LF without CR? A CR at the very end counts as bare."""
    # Where every CR has its LF, equal counts leave no LF without CR. (Fastest of six ways tried.)
    return octets.count(b"\n") != octets.count(b"\r") or _BARE_CR.search(octets) is not None


def normalise(octets: bytes) -> bytes:
    """Every CR, LF and CRLF as one CRLF, every NUL as a space."""
    if has_bare_line_ends(octets):
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return octets.replace(b"\0", b" ")


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
        dot = _DOT.search(raw)
        if dot is None:
            raw = self._hold_back(raw)
        else:
            end = raw.find(_END, dot.start())
            if end >= 0:
                self.ended, self.rest, self._carry = True, raw[end + len(_END) :], b""
                raw = raw[: end + 2]
            else:
                raw = self._hold_back(raw)
            raw = raw.replace(b"\r\n.", b"\r\n")  # RFC 5321 §4.5.2
        if self._virtual and raw:
            raw, self._virtual = raw[self._virtual :], 0
        self.bare = self.bare or has_bare_line_ends(raw)
        return normalise(raw)

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
        self._line_start = raw.endswith(b"\n")
        self.bare = self.bare or has_bare_line_ends(raw)
        return normalise(raw)

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
