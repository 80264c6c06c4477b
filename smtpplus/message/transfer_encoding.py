"""Base64 and quoted-printable, both ways (RFC 2045 §6.7, §6.8).

Guarantees: never raises, linear time. What is decoded is taken as far as it goes; what is
encoded has CRLF line ends and lines of at most 76 characters.
"""

from __future__ import annotations

import base64
import binascii
import re

__all__ = ["from_base64", "from_quoted_printable", "to_base64", "to_quoted_printable"]

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def from_base64(octets: bytes) -> bytes:
    """Foreign characters are skipped, padding is forgiven."""
    clean = _NOT_BASE64.sub(b"", octets)
    clean = clean[: len(clean) - (len(clean) % 4 == 1)]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def from_quoted_printable(octets: bytes) -> bytes:
    """What is no valid escape stays as it is."""
    return binascii.a2b_qp(octets)


def to_base64(octets: bytes) -> bytes:
    """Without a line end after the last line."""
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")[:-2]


def to_quoted_printable(octets: bytes) -> bytes:
    """CRLF stays a line end; a lone CR or LF is written in hex."""
    lines = octets.split(b"\r\n")
    return b"\r\n".join(
        binascii.b2a_qp(line, istext=False).replace(b"\n", b"\r\n") for line in lines
    )
