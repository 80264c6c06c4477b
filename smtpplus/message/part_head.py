"""A part's header told that its body is in another charset or transfer encoding (RFC 2045 §5, §6).

Guarantees: only Content-Type and Content-Transfer-Encoding change, and what is made says what
was asked for when it is read again; lines end in CRLF. Raises `NotFittingError` where that
cannot be had (a Content-Type that cannot be read).
"""

from __future__ import annotations

import re

from smtpplus.message.edits import NotFittingError
from smtpplus.message.headers import head_length, parse_head
from smtpplus.message.structure import scan

__all__ = ["retold_head"]

_LINE = 78
_CHARSET = re.compile(
    rb";[ \t\r\n]*charset\*?(?:0\*?)?[ \t]*=[ \t\r\n]*(?:\"(?:[^\"\\]|\\.)*\"|[^\s;\"]*)",
    re.IGNORECASE,
)


def retold_head(head: bytes, *, charset: str, encoding: str, is_message: bool) -> bytes:
    """The header, with its empty line, naming `charset` and `encoding`.

    Args:
        head: the header as it is.
        charset: "" leaves it as it is.
        encoding: "" leaves it as it is.
        is_message: is it the header of a message, which must say MIME-Version?

    Raises:
        NotFittingError: it cannot be said.
    """
    made, position, names = [], 0, set()
    for field in parse_head(head):
        old = head[field.start : field.end]
        made.append(head[position : field.start])
        position = field.end
        first = field.lower not in names
        names.add(field.lower)
        if field.lower == "content-transfer-encoding" and encoding:
            old = _encoding_field(encoding) if first else b""
        elif field.lower == "content-type" and charset and first:
            old = _with_charset(old, charset)
        made.append(old)
    rest = head[position:]
    added = b"\r\n" if position and not head[:position].endswith((b"\n", b"\r")) else b""
    if is_message and "mime-version" not in names:
        added += b"MIME-Version: 1.0\r\n"
    if charset and "content-type" not in names:
        added += f"Content-Type: text/plain; charset={charset}\r\n".encode()
    if encoding and "content-transfer-encoding" not in names:
        added += _encoding_field(encoding)
    result = b"".join([*made, added, rest if head_length(head) is not None else b"\r\n"])
    said = scan(result).parts[0]
    if (charset and said.charset != charset) or (encoding and said.encoding != encoding):
        raise NotFittingError("the part's header cannot be told of another charset or encoding")
    return result


def _encoding_field(encoding: str) -> bytes:
    return f"Content-Transfer-Encoding: {encoding}\r\n".encode()


def _with_charset(field: bytes, charset: str) -> bytes:
    parameter = f"; charset={charset}".encode()
    made, count = _CHARSET.subn(parameter, field, count=1)
    if count:
        return made
    bare = field.rstrip(b"\r\n").rstrip(b"; \t")
    if len(bare) - bare.rfind(b"\n") + len(parameter) > _LINE:
        parameter = parameter.replace(b"; ", b";\r\n ")
    return bare + parameter + b"\r\n"
