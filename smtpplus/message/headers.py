"""The head of a message as spans of octets: fields, their text, encoded words.

Guarantees: linear time, never raises, whatever the octets are. CRLF, LF and CR are read as
line ends alike: what is taken as one line here can be read as two by nobody. Fields are spans,
so whoever changes a message replaces octets and never writes a head anew.
Does not judge: `smtpplus.message.submitted` does. Addresses: `smtpplus.message.mailboxes`.
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from smtpplus.message.charset import decode, harmless
from smtpplus.message.transfer_encoding import from_base64

__all__ = [
    "BOM",
    "MAX_FIELDS",
    "MAX_HEAD_OCTETS",
    "MAX_NAME_OCTETS",
    "HeaderField",
    "cut_spans",
    "decode_words",
    "head_length",
    "parse_head",
]

MAX_HEAD_OCTETS = 128 * 1024  # fits the intake's memory buffer; Postfix takes 100 KiB
MAX_FIELDS = 10_000  # Gmail takes 5,000; more than this only costs time
MAX_NAME_OCTETS = 256  # the longest in use have some 60; a line could not be folded before it
BOM = b"\xef\xbb\xbf"

_REST = rb"([^\r\n]*(?:(?:\r\n|\n|\r)[ \t][^\r\n]*)*)(?:\r\n|\n|\r|\Z)"
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:" + _REST)  # RFC 5322 §2.2, §4.5 (blank before colon)
_NO_FIELD = re.compile(rb"()" + _REST)
_FOLD = re.compile(rb"(?:\r\n|\n|\r)(?=[ \t])")
_WORD = re.compile(r"=\?([!->@-~]{1,75})\?([bBqQ])\?([^?\r\n]*)\?=")  # RFC 2047 §2
_MAX_DECODED = 64 * 1024  # characters of a value that are looked at for encoded words


class HeaderField(NamedTuple):
    """One field: its name as written and where it stands in the head.

    `end` is after the line end of its last line. `value` is what follows the colon, still
    folded, without the last line end. A line that is no field has the name ``""``.
    """

    name: str
    start: int
    end: int
    value: bytes

    @property
    def lower(self) -> str:
        """The name for comparison."""
        return self.name.lower()

    @property
    def unfolded(self) -> str:
        """The value as one line of text, UTF-8 where it is, else CP1252; encoded words stay."""
        value = self.value
        if b"\n" in value or b"\r" in value:
            value = _FOLD.sub(b"", value)
        return decode(value.strip(b" \t\r\n"))

    @property
    def text(self) -> str:
        """The value decoded for people (`decode_words`)."""
        return decode_words(self.unfolded)


def head_length(content: bytes) -> int | None:
    """Where the body begins: after the first empty line, which belongs to the head.

    None: no empty line in what is given (all of it is head, if nothing follows).
    """
    first = content[:2]
    if first[:1] == b"\n":
        return 1
    if first[:1] == b"\r" and len(first) == 2:
        return 2 if first == b"\r\n" else 1
    # An empty line is LF LF, LF CR (LF), or CR CR (LF).
    end = content.find(b"\n\r")
    for pair in (b"\n\n", b"\r\r"):
        found = content.find(pair, 0, len(content) if end < 0 else end + 1)
        end = found if found >= 0 else end
    if end < 0:
        return None
    if content[end + 1] == 10:
        return end + 2
    if end + 2 == len(content):
        return None  # CR: its LF may follow
    return end + 3 if content[end + 2] == 10 else end + 2


def parse_head(head: bytes, most: int | None = None) -> tuple[HeaderField, ...]:
    """The fields of `head`, in order, up to its empty line. A byte order mark is skipped.

    Args:
        head: octets from the first field on; what follows the empty line is not looked at.
        most: stop after so many fields.
    """
    fields: list[HeaderField] = []
    position, length = len(BOM) if head.startswith(BOM) else 0, len(head)
    while position < length and (most is None or len(fields) < most):
        match = _FIELD.match(head, position)
        if match is None:
            if head[position] in b"\r\n":
                break
            match = _NO_FIELD.match(head, position)
            assert match is not None  # the pattern matches anything
        name, value = match.groups()
        end = match.end()
        fields.append(HeaderField(name.decode("ascii"), position, end, value))
        position = end
    return tuple(fields)


def cut_spans(octets: bytes, spans: tuple[tuple[int, int], ...]) -> bytes:
    """`octets` without `spans`, which are in order and do not overlap."""
    if not spans:
        return octets
    kept, position = [], 0
    for start, end in spans:
        kept.append(octets[position:start])
        position = end
    kept.append(octets[position:])
    return b"".join(kept)


def decode_words(value: str) -> str:
    """`value` with its encoded words decoded (RFC 2047), safe to show on one line.

    Words of one charset that follow each other are decoded together: senders cut characters
    in two.
    """
    if "=?" not in value:
        return harmless(value)
    value = value[:_MAX_DECODED]
    pieces: list[str] = []
    run, run_charset, position = b"", "", 0
    for match in _WORD.finditer(value):
        between = value[position : match.start()]
        charset = match[1].partition("*")[0].lower()  # RFC 2231 §5: a language may follow
        if between.strip() or charset != run_charset:
            pieces.append(decode(run, run_charset))
            run = b""
            if between.strip() or not position:
                pieces.append(between)
        run, run_charset = run + _word_octets(match[2], match[3]), charset
        position = match.end()
    pieces += [decode(run, run_charset), value[position:]]
    return harmless("".join(pieces))


def _word_octets(encoding: str, text: str) -> bytes:
    octets = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(octets, header=True)
    return from_base64(octets)
