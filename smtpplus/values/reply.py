"""An SMTP reply, ours or a peer's (RFC 5321 §4.2).

Guarantees: frozen; `encode` writes valid lines whatever the text held (a control character or
a non-ASCII one becomes ``?``). Replies 221 and 421 end the connection by their meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from smtpplus.values.made_quickly import made_quickly
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["Reply"]

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_MAX_TEXT = 500  # RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets with code and CRLF


class _Written:
    """Where a reply keeps its octets and its text: most are said many times."""

    __slots__ = ("_octets", "_shown")
    _octets: bytes
    _shown: str


@made_quickly
@dataclass(frozen=True, slots=True)
class Reply(_Written):
    """One reply: a three-digit code, an optional enhanced code, one or more lines of text."""

    code: int
    enhanced: EnhancedCode | None
    lines: tuple[str, ...]

    @classmethod
    def of(cls, code: int, enhanced: str | None, *lines: str) -> Reply:
        """A reply of ours: ``Reply.of(550, "5.7.1", "Relaying denied")``.

        Raises:
            ValueError: `enhanced` is not an enhanced code.
        """
        if enhanced is None:
            return cls(code, None, lines or ("",))
        parsed = EnhancedCode.parse(enhanced)
        if parsed is None:
            raise ValueError(f"{enhanced!r} is not an enhanced status code")
        return cls(code, parsed, lines or ("",))

    @property
    def text(self) -> str:
        """All lines, joined by a blank."""
        return " ".join(line for line in self.lines if line)

    @property
    def is_positive(self) -> bool:
        """2xx or 3xx: go on."""
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """4xx: the same may succeed later."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx: the same will not succeed."""
        return self.code >= 500

    @property
    def closes(self) -> bool:
        """Does the server close the connection after it (RFC 5321 §3.8, §4.2.1)?"""
        return self.code in {221, 421}

    def encode(self) -> bytes:
        """The reply as bytes on the wire, each line with its code and CRLF."""
        try:
            return self._octets
        except AttributeError:
            octets = self._encoded()
            object.__setattr__(self, "_octets", octets)
            return octets

    def _encoded(self) -> bytes:
        mark = f"{self.enhanced} " if self.enhanced else ""
        if len(self.lines) == 1:
            text = mark + self.lines[0]
            if text.isascii() and text.isprintable() and len(text) <= _MAX_TEXT:
                return f"{self.code} {text}\r\n".encode("ascii")
        texts = [_UNPRINTABLE.sub("?", mark + line)[:_MAX_TEXT] for line in self.lines]
        last = len(texts) - 1
        return "".join(
            f"{self.code}{' ' if index == last else '-'}{text}\r\n"
            for index, text in enumerate(texts)
        ).encode("ascii")

    def __str__(self) -> str:
        try:
            return self._shown
        except AttributeError:
            mark = f"{self.enhanced} " if self.enhanced else ""
            shown = f"{self.code} {mark}{self.text}".rstrip()
            object.__setattr__(self, "_shown", shown)
            return shown
