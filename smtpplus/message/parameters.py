"""Values with parameters: Content-Type, Content-Disposition (RFC 2045 §5.1, RFC 2231).

Guarantees: never raises, linear time, at most 100 parameters are looked at. Parameter values
are decoded (RFC 2231, and encoded words as common clients write them) but not made harmless.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from smtpplus.message.charset import decode

__all__ = ["parameterised"]

_TOKEN = re.compile(
    r"""[ \t\r\n]+
    |\((?:[^()\\]|\\.)*(?:\)|\Z)
    |;[ \t\r\n]*(?P<name>[^\s=;()"]{1,100})[ \t]*=[ \t\r\n]*
        (?:"(?P<quoted>(?:[^"\\]|\\.)*)(?:"|\\?\Z)|(?P<plain>[^\s;"]*))
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_VALUE = re.compile(r"[^\s;()\"]*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SECTION = re.compile(r"(.+?)(?:\*(\d{1,3}))?(\*)?")
_MAX_PARAMETERS = 100
_MAX_LENGTH = 8192  # characters


def parameterised(text: str) -> tuple[str, dict[str, str]]:
    """The value in lower case, and its parameters by lower-case name (the first one counts)."""
    text = text[:_MAX_LENGTH].strip()
    first = _VALUE.match(text)
    assert first is not None  # the pattern matches nothing, too
    raw: dict[str, str] = {}
    for match in _TOKEN.finditer(text, first.end()):
        if match["name"] is None:
            continue
        quoted, plain = match["quoted"], match["plain"]
        value = _ESCAPED.sub(r"\1", quoted) if quoted is not None else plain
        raw.setdefault(match["name"].lower(), value)
        if len(raw) >= _MAX_PARAMETERS:
            break
    if not any("*" in name for name in raw):
        return first.group().lower(), raw
    return first.group().lower(), _joined(raw)


def _joined(raw: dict[str, str]) -> dict[str, str]:
    """Parameters that RFC 2231 cut into sections or gave a charset, as one value each."""
    plain = {name: value for name, value in raw.items() if "*" not in name}
    sections: dict[str, list[tuple[int, bool, str]]] = {}
    for name, value in raw.items():
        match = _SECTION.fullmatch(name)
        if "*" in name and match:
            number = int(match[2] or 0)
            sections.setdefault(match[1], []).append((number, match[3] is not None, value))
    for name, parts in sections.items():
        charset, octets = "", b""
        for index, (_, is_encoded, part) in enumerate(sorted(parts)):
            text = part
            if is_encoded and index == 0 and part.count("'") >= 2:
                charset, _, text = part.split("'", 2)
            raw_octets = text.encode("utf-8", "replace")
            octets += unquote_to_bytes(raw_octets) if is_encoded else raw_octets
        plain[name] = decode(octets, charset)  # what knows RFC 2231 prefers it (§4.1)
    return plain
