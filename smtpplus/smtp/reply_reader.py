"""A peer's SMTP replies, read from octets that arrive in any pieces (RFC 5321 §4.2).

Guarantees: bounded, whatever the peer sends: a line, a reply's lines and a reply's octets have
limits (R7), and a reply is only handed on when it is whole. What is kept of its text is
printable and at most 2 KiB (O7). Raises `RemoteProtocolError` where the octets are no reply;
nothing can be read after that. Does not judge which reply was due.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from smtpplus.values.errors import ProtocolError
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

__all__ = [
    "MAX_KEPT_OCTETS",
    "MAX_LINES",
    "MAX_LINE_OCTETS",
    "MAX_REPLY_OCTETS",
    "RawReply",
    "RemoteProtocolError",
    "ReplyReader",
    "printable",
]

# RFC 5321 §4.5.3.1.5 says 512, RFC 4954 §4 says 12288 for a challenge: the larger one.
MAX_LINE_OCTETS = 12_288
MAX_REPLY_OCTETS = 65_536
MAX_LINES = 100
MAX_KEPT_OCTETS = 2_048
_MAX_QUOTED = 120
_MAX_REMEMBERED = 256  # octets of a line

# Reply-code = %x32-35 %x30-35 %x30-39, and the code may stand alone (RFC 5321 §4.2).
# Departure: any second digit, because the meaning is in the first.
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


class RemoteProtocolError(ProtocolError):
    """The remote server sent what no SMTP server may send; the text says what, and for what."""


def printable(octets: bytes) -> str:
    r"""`octets` as text without anything that a terminal or a page could obey.

    UTF-8 stays where it is valid (RFC 6531 §3.7.4.2); the rest becomes ``\xNN``, ``\uNNNN``.
    """
    text = octets.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


@dataclass(frozen=True, slots=True)
class RawReply:
    """A whole reply as it came: `lines` are its texts, without code and line end."""

    code: int
    lines: tuple[bytes, ...]

    def reply(self) -> Reply:
        """The reply as it is kept: enhanced code split off, text printable and bounded."""
        if len(self.lines) == 1 and len(self.lines[0]) <= _MAX_REMEMBERED:
            return _short(self.code, self.lines[0])
        texts = [printable(line[:MAX_KEPT_OCTETS]) for line in self.lines]
        enhanced, texts[0] = _split(self.code, texts[0])
        if enhanced is not None:  # RFC 2034 §4: every line repeats the code
            mark = f"{enhanced} "
            texts[1:] = [text.removeprefix(mark) for text in texts[1:]]
        return Reply(self.code, enhanced, _bounded(texts))


@functools.lru_cache(maxsize=1024)  # to MAIL, RCPT and DATA a host says the same all the time
def _short(code: int, line: bytes) -> Reply:
    """A reply of one line that is shorter, also when escaped, than what is kept."""
    enhanced, text = _split(code, printable(line))
    return Reply(code, enhanced, (text,))


def _split(code: int, text: str) -> tuple[EnhancedCode | None, str]:
    enhanced, rest = EnhancedCode.leading(text)
    # RFC 2034 §4: class and first digit agree; where they do not, the text keeps the code.
    if enhanced is not None and enhanced.klass == code // 100:
        return enhanced, rest
    return None, text


def _bounded(texts: list[str]) -> tuple[str, ...]:
    """As many of `texts` as fit into what is kept, the last one cut."""
    kept: list[str] = []
    left = MAX_KEPT_OCTETS
    for text in texts:
        size = len(text) if text.isascii() else len(text.encode())
        if size > left:
            cut = text.encode()[: max(left - 4, 0)].decode("utf-8", "ignore")
            kept.append(f"{cut}…")
            break
        kept.append(text)
        left -= size
        if left < 8 and len(kept) < len(texts):  # no room for a cut line
            break
    return tuple(kept)


class ReplyReader:
    """Octets in, whole replies out."""

    __slots__ = ("_buffer", "_code", "_lines", "_octets", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no line end before it: dripping octets cost O(n), not O(n²)
        self._code = 0
        self._lines: list[bytes] = []
        self._octets = 0

    @property
    def is_empty(self) -> bool:
        """Nothing is held: neither octets nor the beginning of a reply."""
        return not self._buffer and not self._lines

    def receive(self, octets: bytes) -> None:
        """Take what arrived."""
        self._buffer += octets

    def next_reply(self) -> RawReply | None:
        """The next whole reply, or None: more octets are needed.

        Raises:
            RemoteProtocolError: what came is no reply, or is larger than any reply may be.
        """
        while self._buffer and (line := self._next_line()) is not None:
            match = _LINE.fullmatch(line)
            if match is None:
                raise RemoteProtocolError(f"The remote sent no SMTP reply: {_quoted(line)}.")
            code, mark, text = match.groups()
            is_last = mark != b"-"
            if is_last and not self._lines:
                self._octets = 0
                return RawReply(int(code), (text or b"",))
            self._add(int(code), text or b"")
            if is_last:
                whole = RawReply(self._code, tuple(self._lines))
                self._lines.clear()
                self._octets = 0
                return whole
        return None

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if (len(self._buffer) if end < 0 else end) > MAX_LINE_OCTETS:
            raise RemoteProtocolError(
                f"The remote sent a reply line longer than {MAX_LINE_OCTETS} octets: "
                f"{_quoted(bytes(self._buffer[:_MAX_QUOTED]))}."
            )
        if end < 0:
            self._searched = len(self._buffer)
            return None
        # Departure from RFC 5321 §2.3.8: a bare LF ends a reply line too, as every client has it.
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._searched = 0
        self._octets += end + 1
        return line

    def _add(self, code: int, text: bytes) -> None:
        if self._lines and code != self._code:
            # RFC 5321 §4.2.1: every line of a reply has the same code.
            raise RemoteProtocolError(
                f"The remote's reply began with {self._code} and went on with {code}."
            )
        self._code = code
        self._lines.append(text)
        if len(self._lines) > MAX_LINES:
            raise RemoteProtocolError(
                f"The remote sent a reply of more than {MAX_LINES} lines ({code})."
            )
        if self._octets > MAX_REPLY_OCTETS:
            raise RemoteProtocolError(
                f"The remote sent a reply of more than {MAX_REPLY_OCTETS} octets ({code})."
            )


def _quoted(line: bytes) -> str:
    """The beginning of what came, for an error text."""
    return f'"{printable(line[:_MAX_QUOTED])}{"…" if len(line) > _MAX_QUOTED else ""}"'
