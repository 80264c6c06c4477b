"""HTML pages wrapped in real MIME, in many charsets, encodings and nestings; and undone again."""

from __future__ import annotations

import base64
import binascii
import hashlib
import quopri
import re
import struct
import zlib
from dataclasses import dataclass

from smtpplus.message.headers import head_length
from smtpplus.message.structure import Part, Structure, scan

__all__ = ["CHARSETS", "ENCODINGS", "PNG", "Wrapped", "decoded", "encoded", "split", "wrap"]

# Label and Python's codec; what a charset lacks is written as a character reference.
CHARSETS = {
    "utf-8": "utf-8",
    "iso-8859-1": "latin-1",
    "windows-1252": "cp1252",
    "iso-8859-15": "iso8859-15",
    "windows-1251": "cp1251",
    "iso-2022-jp": "iso2022_jp",
    "shift_jis": "cp932",
    "gb18030": "gb18030",
    "gb2312": "gb2312",
    "big5": "big5",
    "euc-jp": "euc_jp",
    "euc-kr": "euc_kr",
    "us-ascii": "ascii",
}
ENCODINGS = ("quoted-printable", "base64", "7bit", "8bit")
_PLAIN = frozenset({"7bit", "8bit", "binary"})


def _chunk(kind: bytes, octets: bytes) -> bytes:
    check = zlib.crc32(kind + octets)
    return struct.pack(">I", len(octets)) + kind + octets + struct.pack(">I", check)


PNG = (  # 32 by 32, colours that do not compress
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0))
    + _chunk(
        b"IDAT",
        zlib.compress(
            b"".join(b"\0" + hashlib.shake_128(bytes([row])).digest(96) for row in range(32))
        ),
    )
    + _chunk(b"IEND", b"")
)
PICTURE = base64.encodebytes(PNG).replace(b"\n", b"\r\n")
CALENDAR = b"BEGIN:VCALENDAR\r\nDESCRIPTION:https://calendar.example/ [first]\r\nEND:VCALENDAR\r\n"


@dataclass(frozen=True)
class Wrapped:
    content: bytes
    structure: Structure

    @property
    def head(self) -> bytes:
        return split(self.content)[0]

    @property
    def body(self) -> bytes:
        return split(self.content)[1]


def split(content: bytes) -> tuple[bytes, bytes]:
    length = head_length(content)
    size = len(content) if length is None else length
    return content[:size], content[size:]


def encoded(octets: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return base64.encodebytes(octets).replace(b"\n", b"\r\n")
    if encoding == "quoted-printable":
        unix = octets.replace(b"\r\n", b"\n")
        return quopri.encodestring(unix).replace(b"\n", b"\r\n")
    return octets


def decoded(content: bytes, part: Part) -> bytes:
    """By the standard library: nothing of ours decodes here."""
    body = content[part.body_start : part.body_end]
    if part.encoding == "base64":
        return base64.b64decode(body)
    if part.encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    return body


def wrap(
    page: str,
    *,
    charset: str = "utf-8",
    encoding: str = "quoted-printable",
    text: str = "",
    nested: bool = False,
    head: bytes = b"",
) -> Wrapped:
    """A message with `page` as HTML (and `text` as its alternative), line ends CRLF."""
    page = re.sub(r"\r\n|\r|\n", "\r\n", page)
    codec = CHARSETS[charset]
    octets = page.encode(codec, "xmlcharrefreplace")
    if encoding == "7bit" and charset != "iso-2022-jp":
        octets = page.encode("ascii", "xmlcharrefreplace")
    html = _leaf(b"text/html", charset, encoding, encoded(octets, encoding))
    top = head or (
        b"From: Shop <shop@example.com>\r\nTo: Anna <anna@example.net>\r\nSubject: Your order\r\n"
    )
    top += b"MIME-Version: 1.0\r\n"
    plain = b""
    if text or nested:
        text = re.sub(r"\r\n|\r|\n", "\r\n", text or "Hello\n")
        plain = _leaf(
            b"text/plain", charset, encoding, encoded(text.encode(codec, "replace"), encoding)
        )
    if nested:
        alternative = _multipart(b"alternative", b"in=_1", plain, html, _calendar())
        related = _multipart(b"related", b"rel", alternative, _picture())
        content = top + _multipart(b"mixed", b"out", related, _pdf(), _attached_text())
    elif plain:
        content = top + _multipart(b"alternative", b"alt", plain, html)
    else:
        content = top + html
    return Wrapped(content, scan(content))


def _leaf(kind: bytes, charset: str, encoding: str, body: bytes) -> bytes:
    return b"Content-Type: %s; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s" % (
        kind,
        charset.encode(),
        encoding.encode(),
        body,
    )


def _multipart(kind: bytes, boundary: bytes, *parts: bytes) -> bytes:
    made = b'Content-Type: multipart/%s; boundary="%s"\r\n\r\nPreamble [first]\r\n' % (
        kind,
        boundary,
    )
    for part in parts:
        made += b"--%s\r\n%s\r\n" % (boundary, part)
    return made + b"--%s--\r\nEpilogue https://epilogue.example/\r\n" % boundary


def _picture() -> bytes:
    return (
        b"Content-Type: image/png; name=x.png\r\nContent-ID: <x>\r\n"
        b"Content-Disposition: inline; filename=x.png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + PICTURE
    )


def _pdf() -> bytes:
    return (
        b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + PICTURE
    )


def _calendar() -> bytes:
    return b"Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\n" + CALENDAR


def _attached_text() -> bytes:
    return (
        b"Content-Type: text/plain; charset=utf-8; name=terms.txt\r\n"
        b"Content-Disposition: attachment; filename=terms.txt\r\n\r\n"
        b"Dear [first], https://terms.example/\r\n"
    )
