"""What a page shows of a message: decoded header, text, HTML, a table of attachments.

Guarantees: never raises, bounded output whatever the content is; unpacks no archive. Header
values and file names are safe to show on one line. The HTML is what the message holds: it is
for a sandboxed frame only, the caller sees to that.
"""

from __future__ import annotations

from dataclasses import dataclass

from smtpplus.message.charset import decode, harmless
from smtpplus.message.headers import MAX_HEAD_OCTETS, decode_words, head_length, parse_head
from smtpplus.message.structure import Part, scan
from smtpplus.message.transfer_encoding import from_base64, from_quoted_printable

__all__ = ["MAX_TEXT_OCTETS", "Attachment", "Preview", "decoded_body", "preview"]

MAX_TEXT_OCTETS = 512 * 1024  # of one part, decoded
_MAX_FIELDS = 300
_MAX_FIELD = 4_000  # characters
_MAX_ATTACHMENTS = 200


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not shown as text: file name ("" where it has none), type, decoded octets."""

    filename: str
    type: str
    octets: int


@dataclass(frozen=True, slots=True)
class Preview:
    r"""Line ends in `text` and `html` are ``\n``. None: the message has no such part."""

    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    headers: tuple[tuple[str, str], ...]
    complete: bool


def preview(content: bytes) -> Preview:
    """Read a message for a page."""
    structure = scan(content)
    text: str | None = None
    html: str | None = None
    attachments: list[Attachment] = []
    for part in structure.leaves:
        is_shown = part.disposition != "attachment" and not part.filename
        if is_shown and part.type == "text/plain" and text is None:
            text = _text(content, part)
        elif is_shown and part.type == "text/html" and html is None:
            html = _text(content, part)
        elif len(attachments) < _MAX_ATTACHMENTS and not part.is_multipart:
            attachments.append(Attachment(part.filename, part.type, _octets(content, part)))
    return Preview(text, html, tuple(attachments), _headers(content), structure.complete)


def _headers(content: bytes) -> tuple[tuple[str, str], ...]:
    length = head_length(content)
    fields = parse_head(content[: MAX_HEAD_OCTETS if length is None else length], _MAX_FIELDS)
    return tuple(
        (field.name[:100], decode_words(field.unfolded[: 2 * _MAX_FIELD])[:_MAX_FIELD])
        for field in fields
        if field.name
    )


def decoded_body(content: bytes, part: Part, most: int) -> bytes:
    """The part's octets with its transfer encoding undone, about `most` at most."""
    # Never copy a large part to look at its beginning.
    needed = most * {"base64": 2, "quoted-printable": 3}.get(part.encoding, 1) + 100
    body = content[part.body_start : min(part.body_end, part.body_start + needed)]
    if part.encoding == "base64":
        body = from_base64(body)
    elif part.encoding == "quoted-printable":
        body = from_quoted_printable(body)
    return body[:most]


def _text(content: bytes, part: Part) -> str:
    return harmless(decode(decoded_body(content, part, MAX_TEXT_OCTETS), part.charset), lines=True)


def _octets(content: bytes, part: Part) -> int:
    """How large it is when decoded, without decoding it: nearly exact for base64."""
    size = part.body_end - part.body_start
    if part.encoding != "base64":
        return size
    start, end = part.body_start, part.body_end
    breaks = content.count(b"\n", start, end) + content.count(b"\r", start, end)
    padding = content.count(b"=", max(start, end - 6), end)
    return max((size - breaks) * 3 // 4 - padding, 0)
