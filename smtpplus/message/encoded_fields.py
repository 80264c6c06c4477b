"""One header field made 7-bit and folded (RFC 2047, RFC 2231, RFC 5322 §2.2.3).

Guarantees: the answer is exactly one field, ASCII, no line over 998 octets, with the same
meaning for a reader that knows MIME. Text is read as UTF-8 where it is, else as CP1252.
Raises `NotConvertibleError` where a local part is not ASCII or a line cannot be folded.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

from smtpplus.message.charset import harmless
from smtpplus.message.facts import MAX_LINE_OCTETS
from smtpplus.message.headers import HeaderField, decode_words
from smtpplus.values.address import to_ascii

__all__ = ["NotConvertibleError", "encoded_words", "seven_bit_field"]

_ADDRESS_FIELDS = frozenset(
    {
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "resent-from",
        "resent-sender",
        "resent-to",
        "resent-cc",
        "disposition-notification-to",
        "return-receipt-to",
        "errors-to",
    }
)
_PARAMETER_FIELDS = frozenset({"content-type", "content-disposition"})
_WORD_OCTETS = 45  # UTF-8 octets of an encoded word: 60 in base64, 72 with its frame
_PIECE = re.compile(
    r"""(?P<quoted>"(?:[^"\\]|\\.)*")
    |(?P<angle><[^<>"]*>)
    |(?P<comment>\((?:[^()\\]|\\.)*\))
    |(?P<blank>\s+)
    |(?P<special>[,;:()<>"\\])
    |(?P<atom>[^\s"<>(),;:\\]+)""",
    re.VERBOSE | re.DOTALL,
)
_PARAMETER = re.compile(r";\s*([!#$&+\-.^_`|~0-9A-Za-z]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^\s;\"]+)")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_FOLD_AT = 76


class NotConvertibleError(ValueError):
    """The message cannot be made 7-bit without breaking it; the text says which part of it."""


def seven_bit_field(field: HeaderField) -> bytes:
    """The field, with its CRLF."""
    text, name = field.unfolded, field.lower
    if not name:
        raise NotConvertibleError("A line of the header is no field and is not ASCII or too long.")
    if text.isascii():
        made = text
    elif name in _ADDRESS_FIELDS:
        made = _addresses(text)
    elif name in _PARAMETER_FIELDS:
        made = _parameters(text)
    else:
        made = _unstructured(text)
    return _folded(f"{field.name}: {made}").encode("ascii") + b"\r\n"


def encoded_words(text: str) -> str:
    """`text` as encoded words of UTF-8, a blank between them (RFC 2047 §2)."""
    words, run, size = [], "", 0
    for character in text:
        octets = len(character.encode("utf-8", "replace"))
        if size + octets > _WORD_OCTETS:
            words.append(run)
            run, size = "", 0
        run, size = run + character, size + octets
    words.append(run)
    return " ".join(
        f"=?utf-8?b?{base64.b64encode(word.encode('utf-8', 'replace')).decode('ascii')}?="
        for word in words
    )


def _unstructured(text: str) -> str:
    """Only the stretch of words that needs it is encoded; the rest stays readable."""
    if "=?" in text:  # the blank between two encoded words would be lost
        return encoded_words(decode_words(text))
    words = text.split(" ")
    needy = [index for index, word in enumerate(words) if not word.isascii()]
    first, last = needy[0], needy[-1] + 1
    middle = encoded_words(" ".join(words[first:last]))
    return " ".join([*words[:first], middle, *words[last:]])


def _addresses(text: str) -> str:
    """An address list: names and comments encoded, domains in A-labels."""
    made: list[str] = []
    phrase: list[str] = []  # the pieces of a display name, which is encoded as a whole
    position = 0
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:  # a quote or bracket that is not closed
            raise NotConvertibleError("An address field cannot be read and is not ASCII.")
        kind, piece, position = match.lastgroup or "", match.group(), match.end()
        if kind in {"quoted", "blank"} or (kind == "atom" and "@" not in piece):
            phrase.append(piece)
            continue
        made += [_phrase(phrase), _address_piece(kind, piece)]
        phrase = []
    return "".join([*made, _phrase(phrase)]).strip()


def _phrase(pieces: list[str]) -> str:
    written = "".join(pieces)
    if written.isascii():
        return written
    plain = [_unquoted(piece) if piece.startswith('"') else piece for piece in pieces]
    return f" {encoded_words(decode_words(''.join(plain)).strip())} "


def _unquoted(quoted: str) -> str:
    return _ESCAPED.sub(r"\1", quoted[1:-1])


def _address_piece(kind: str, piece: str) -> str:
    if piece.isascii():
        return piece
    if kind == "angle":
        return f"<{_ascii_address(piece[1:-1])}>"
    if kind == "comment":
        return f"({encoded_words(decode_words(_unquoted(piece)))})"
    return _ascii_address(piece)


def _ascii_address(address: str) -> str:
    local, _, domain = address.strip().rpartition("@")
    made = f"{local}@{to_ascii(domain)}"
    if not made.isascii():
        raise NotConvertibleError(f"The address {harmless(address)!r} needs SMTPUTF8.")
    return made


def _parameters(text: str) -> str:
    """A value with parameters: those that need it by RFC 2231, in UTF-8."""
    first = text.partition(";")[0].strip()
    made = [first.encode("ascii", "replace").decode("ascii")]
    for name, raw in _PARAMETER.findall(text):
        value = _unquoted(raw) if raw.startswith('"') else raw
        if value.isascii():
            made.append(f"{name}={raw}")
        else:
            quoted = quote(value.encode("utf-8", "replace"), safe="")
            made.append(f"{name.rstrip('*')}*=utf-8''{quoted}")
    return "; ".join(made)


def _folded(line: str) -> str:
    """Folded at blanks before column 76 where there are any."""
    lines, current = [], ""
    for index, word in enumerate(line.split(" ")):
        if index > 1 and len(current) + 1 + len(word) > _FOLD_AT and current.strip() and word:
            lines.append(current)
            current = f" {word}"
        else:
            current = f"{current} {word}" if index else word
    lines.append(current)
    if any(len(line) > MAX_LINE_OCTETS for line in lines):
        raise NotConvertibleError("A header field holds a word longer than 998 octets.")
    return "\r\n".join(lines)
