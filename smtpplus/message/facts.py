"""What must be known of a content's octets to choose how it is sent; found while it streams.

Guarantees: constant memory; the same facts however the content is cut into pieces; no object
per line. Content is expected with CRLF line ends only. The checksum finds what a disk did to a
content, not what somebody did: it costs 5 µs for 10 KB.
"""

from __future__ import annotations

import zlib

__all__ = ["MAX_LINE_OCTETS", "ContentFacts"]

MAX_LINE_OCTETS = 998  # RFC 5322 §2.1.1, without CRLF
_WINDOW = MAX_LINE_OCTETS + 2


class ContentFacts:
    """Counts and flags of the octets given to `update` so far."""

    __slots__ = ("_last", "_long", "_run", "crc32", "eight_bit", "octets")

    def __init__(self) -> None:
        self.octets = 0
        self.crc32 = 0
        self.eight_bit = False
        self._long = False
        self._run = 0  # octets since the last line end
        self._last = b""

    def update(self, chunk: bytes) -> None:
        """The next piece."""
        if not chunk:
            return
        self.octets += len(chunk)
        self.crc32 = zlib.crc32(chunk, self.crc32)
        if not self.eight_bit and not chunk.isascii():
            self.eight_bit = True
        if not self._long:
            self._measure(chunk)
        self._last = chunk[-1:]

    def _measure(self, chunk: bytes) -> None:
        # From the start of a line, hop to the furthest line end that a line of the greatest
        # length would reach: one step per 1,000 octets, not per line.
        position, length = -self._run, len(chunk)
        while length - position >= _WINDOW:
            end = chunk.rfind(b"\n", max(position, 0), position + _WINDOW)
            if end < 0:
                self._long = True
                return
            position = end + 1
        last = chunk.rfind(b"\n", max(position, 0))
        self._run = length - (last + 1 if last >= 0 else position)

    @property
    def long_lines(self) -> bool:
        """Is a line longer than 998 octets without its CRLF?"""
        return self._long or self._run - (self._last == b"\r") > MAX_LINE_OCTETS
