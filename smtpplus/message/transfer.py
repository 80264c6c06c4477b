"""A content made fit for a next hop without 8BITMIME: 7-bit, no line over 998 octets.

Guarantees: only the spans that must change are replaced; a content that is fit already comes
back as the same object; what comes back is fit and means the same. Raises `NotConvertibleError`
where that cannot be had: the caller returns the message (5.6.3, or 5.6.7 for an address).
To be done before signing (RFC 6376 §5.3). Line ends must be CRLF.
RFC 6152 §3, RFC 2045 §6, RFC 2047, RFC 2231.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from smtpplus.message.encoded_fields import NotConvertibleError, seven_bit_field
from smtpplus.message.facts import ContentFacts
from smtpplus.message.headers import head_length, parse_head
from smtpplus.message.structure import Part, Structure, scan
from smtpplus.message.transfer_encoding import (
    from_base64,
    from_quoted_printable,
    to_base64,
    to_quoted_printable,
)

__all__ = ["NotConvertibleError", "to_seven_bit"]

# With the misspellings that are met in the wild.
_PLAIN_ENCODINGS = frozenset({"7bit", "8bit", "binary", "7bits", "8bits", "7-bit", "8-bit", "none"})
_OPAQUE = frozenset({"multipart/signed", "multipart/encrypted"})  # RFC 1847 §2.1, §2.2
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_ENCODING_FIELD = b"Content-Transfer-Encoding: %s\r\n"


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    octets: bytes


def to_seven_bit(content: bytes) -> bytes:
    """The content, or the same content re-encoded where it must be.

    Raises:
        NotConvertibleError: a signed or encrypted part, an unknown encoding, a structure beyond
            the limits of `scan`, or an address that needs SMTPUTF8.
    """
    if _is_fit(content):
        return content
    structure = scan(content)
    if not structure.complete:
        raise NotConvertibleError("The message's structure is too large to be re-encoded.")
    edits: list[_Edit] = []
    for index, part in enumerate(structure.parts):
        body = _body_edit(content, part)
        if _is_sealed(structure, part):
            if body or not _is_fit(content[part.header_start : part.body_start]):
                raise NotConvertibleError(
                    "A signed or encrypted part holds 8-bit text or lines over 998 octets; "
                    "re-encoding would break it."
                )
            continue
        encoding, edit = body or ("", None)
        edits += [edit] if edit else []
        is_message = index == 0 or structure.parts[part.parent].type in _MESSAGES
        edits += _head_edits(content, part, encoding, is_message=is_message)
    result = _spliced(content, _with_gaps(content, structure, edits))
    if head_length(content) is None:  # a header without body: its end is said
        result += b"\r\n" if result.endswith(b"\r\n") else b"\r\n\r\n"
    if not _is_fit(result):
        raise NotConvertibleError("A line of the message cannot be made shorter than 998 octets.")
    return result


def _is_fit(octets: bytes) -> bool:
    if not octets.isascii():
        return False
    facts = ContentFacts()
    facts.update(octets)
    return not facts.long_lines


def _is_sealed(structure: Structure, part: Part) -> bool:
    """Does it stand, at any depth, inside a part whose octets are signed or encrypted?"""
    while part.parent >= 0:
        part = structure.parts[part.parent]
        if part.type in _OPAQUE:
            return True
    return False


def _body_edit(content: bytes, part: Part) -> tuple[str, _Edit] | None:
    """The new encoding of a part that is not fit, and its body in it."""
    if part.has_children:
        return None
    body = content[part.body_start : part.body_end]
    if _is_fit(body):
        return None
    if part.is_multipart:
        raise NotConvertibleError("A multipart without its parts is not fit for this server.")
    if part.encoding in _PLAIN_ENCODINGS:
        octets, encoding = body, "quoted-printable" if _is_textual(part) else "base64"
    elif part.encoding == "base64":
        octets, encoding = from_base64(body), part.encoding
    elif part.encoding == "quoted-printable":
        octets, encoding = from_quoted_printable(body), part.encoding
    else:
        raise NotConvertibleError(
            f"A part in the unknown encoding {part.encoding!r} is not fit for this server."
        )
    if encoding == "quoted-printable":
        made = to_quoted_printable(octets)
    else:
        made = to_base64(octets) + (b"\r\n" if part.body_end == len(content) else b"")
    return encoding, _Edit(part.body_start, part.body_end, made)


def _is_textual(part: Part) -> bool:
    wide = part.charset.startswith(("utf-16", "utf-32", "ucs"))  # no octet is a line end there
    return not wide and (part.is_text or part.type.startswith("message/"))


def _head_edits(content: bytes, part: Part, encoding: str, *, is_message: bool) -> list[_Edit]:
    """Edits of a part's header: its encoding said truly, its text in ASCII."""
    head = content[part.header_start : part.body_start]
    unfit = part.encoding in _PLAIN_ENCODINGS and part.encoding != "7bit"
    said = encoding or ("7bit" if unfit else "")
    if head.isascii() and not said and _is_fit(head):
        return []
    edits, names = [], set()
    for field in parse_head(head):
        first = field.lower not in names
        names.add(field.lower)
        old = head[field.start : field.end]
        if field.lower == "content-transfer-encoding" and said:
            new = _ENCODING_FIELD % said.encode() if first else b""
        elif _is_fit(old):
            continue
        else:
            new = seven_bit_field(field)
        edits.append(_Edit(part.header_start + field.start, part.header_start + field.end, new))
    missing = _missing_fields(content, part, names, encoding, is_message=is_message)
    if missing:
        empty = head_length(head)
        at = part.header_start + (_before_empty_line(head) if empty is not None else len(head))
        edits.append(_Edit(at, at, missing))
    return edits


def _before_empty_line(head: bytes) -> int:
    fields = parse_head(head)
    return fields[-1].end if fields else 0


def _missing_fields(
    content: bytes, part: Part, names: set[str], encoding: str, *, is_message: bool
) -> bytes:
    """Fields that must be there for the new encoding to be understood."""
    if not encoding or encoding == part.encoding:
        return b""
    added = b""
    if is_message and "mime-version" not in names:
        added += b"MIME-Version: 1.0\r\n"
    if "content-type" not in names and part.type == "text/plain":
        try:
            content[part.body_start : part.body_end].decode("utf-8")
        except UnicodeDecodeError:
            added += b"Content-Type: text/plain; charset=unknown-8bit\r\n"  # RFC 1428 §3
        else:
            added += b"Content-Type: text/plain; charset=utf-8\r\n"
    if "content-transfer-encoding" not in names:
        added += _ENCODING_FIELD % encoding.encode()
    return added


def _with_gaps(content: bytes, structure: Structure, edits: list[_Edit]) -> list[_Edit]:
    """Add edits for what is neither header nor body of a leaf: text before and after parts.

    Nobody is shown it; its octets above 127 become question marks.
    """
    known = sorted(
        span
        for part in structure.parts
        for span in (
            (part.header_start, part.body_start),
            (part.body_start, part.body_start if part.has_children else part.body_end),
        )
    )
    position = 0
    gaps = []
    for start, end in [*known, (len(content), len(content))]:
        if start > position:
            gaps.append((position, start))
        position = max(position, end)
    for start, end in gaps:
        gap = content[start:end]
        if not gap.isascii():
            edits.append(_Edit(start, end, re.sub(rb"[\x80-\xff]", b"?", gap)))
    return edits


def _spliced(content: bytes, edits: list[_Edit]) -> bytes:
    pieces, position = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        pieces += [content[position : edit.start], edit.octets]
        position = edit.end
    pieces.append(content[position:])
    return b"".join(pieces)
