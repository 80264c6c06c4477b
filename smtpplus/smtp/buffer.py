"""Octets received and not consumed yet.

Guarantees: a line is found once, wherever the octets were cut; a line that is too long or that
has a bare LF is reported once and then skipped up to its CRLF, without being kept; a line of
more than `FLOOD_OCTETS` is reported as a flood. Raises `LineError` and its kinds, only from
`line`. Does not bound what is added while nobody takes: whoever adds looks at ``len``.
"""

from __future__ import annotations

__all__ = [
    "FLOOD_OCTETS",
    "BareLineFeedError",
    "FloodError",
    "LineError",
    "LineTooLongError",
    "ReceiveBuffer",
]

FLOOD_OCTETS = 65_536


class LineError(Exception):
    """The next line cannot be taken; it is being skipped."""


class LineTooLongError(LineError):
    """It is longer than the limit."""


class BareLineFeedError(LineError):
    """It holds an LF without CR."""


class FloodError(LineError):
    """It goes on and on: give the connection up."""


class ReceiveBuffer:
    """First in, first out, by lines or by octets."""

    __slots__ = ("_scanned", "_skipped", "octets")

    def __init__(self) -> None:
        self.octets = b""  # all of them, to be looked at
        self._scanned = 0  # no LF before this index
        self._skipped: int | None = None  # octets skipped so far, None while nothing is skipped

    def __len__(self) -> int:
        return len(self.octets)

    def add(self, octets: bytes) -> None:
        """Append what was received."""
        self.octets = self.octets + octets if self.octets else octets

    def take(self, most: int) -> bytes:
        """The first octets, at most so many."""
        octets = self.octets
        self.octets = octets[most:]
        self._scanned = 0
        return octets[:most]

    def take_all(self) -> bytes:
        """All there is."""
        octets, self.octets = self.octets, b""
        self._scanned = 0
        self._skipped = None
        return octets

    def clear(self) -> None:
        """Forget everything."""
        self.octets = b""
        self._scanned = 0
        self._skipped = None

    def begins_with(self, word: bytes) -> bool:
        """Do the first octets spell `word` (upper case), whatever their case?"""
        return self.octets[: len(word)].upper() == word

    def line(self, limit: int, word: bytes = b"", word_limit: int = 0) -> bytes | None:
        """The next line without its CRLF, or None where it is not complete.

        Args:
            limit: octets of a line, CRLF included.
            word: a line that begins so (upper case, whatever its case) may have `word_limit`.
            word_limit: see `word`.

        Raises:
            LineTooLongError: it is longer; it will be skipped.
            BareLineFeedError: it has an LF without CR; all up to its CRLF will be skipped.
            FloodError: one that is being skipped goes on and on.
        """
        if self._skipped is not None and not self._at_line_start():
            return None
        octets = self.octets
        end = octets.find(b"\n", self._scanned)
        if 0 < end < limit and octets[end - 1] == 13:
            self.octets = octets[end + 1 :]
            self._scanned = 0
            return octets[: end - 1]
        if len(octets) > limit and word and self.begins_with(word):
            limit = word_limit
        if end < 0:
            self._scanned = len(octets)
            if len(octets) > limit:
                self._skipped = 0
                raise LineTooLongError
            return None
        if end >= limit:
            self._skipped = 0
            raise LineTooLongError
        if end == 0 or octets[end - 1] != 13:
            self.octets = octets[end + 1 :]
            self._scanned = 0
            self._skipped = end + 1
            raise BareLineFeedError
        self.octets = octets[end + 1 :]
        self._scanned = 0
        return octets[: end - 1]

    def _at_line_start(self) -> bool:
        """Go on skipping what `line` could not take. False: its CRLF has not come yet."""
        assert self._skipped is not None
        end = self.octets.find(b"\r\n")
        keep = 1 if end < 0 and self.octets.endswith(b"\r") else 0
        dropped = len(self.octets) - keep if end < 0 else end + 2
        self._skipped += dropped
        if self._skipped > FLOOD_OCTETS:
            raise FloodError
        self.octets = self.octets[dropped:]
        self._scanned = 0
        if end >= 0:
            self._skipped = None
        return end >= 0
