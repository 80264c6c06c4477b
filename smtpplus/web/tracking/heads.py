"""The head of a simple request, read in one go.

Twisted's parser takes some 200 µs for a head such as browsers send; most requests for a pixel or a
link are simple enough to need none of what it can do. What is simple: one whole GET of HTTP/1.1
without a body, that keeps the connection, every octet of it as RFC 9112 would have it. Guarantees:
pure; anything else is None and for Twisted's parser, which has the last word on what is a request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Head", "read_head"]

_MOST_OCTETS = 8_192
_MOST_FIELDS = 64
# RFC 9112 §3 and §5, without folded lines.
_SIMPLE = re.compile(
    rb"GET (/[!-~]*) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)+)\r\n"
)
# What decides where a request ends, or asks for more than an answer.
_NOT_SIMPLE = frozenset(
    {b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer"}
)
_KEPT = frozenset({b"", b"keep-alive"})


@dataclass(slots=True)
class Head:
    """What of a request's head matters here.

    `fields` has names in lower case; of a field that stands there several times it has the last
    value, but for X-Forwarded-For, whose values are one list (RFC 9110 §5.3).
    """

    target: bytes
    fields: dict[bytes, bytes]

    def text(self, name: bytes) -> str:
        """A field's value; "" where it is not there."""
        return self.fields.get(name, b"").decode("utf-8", "replace")


def read_head(octets: bytes) -> Head | None:
    """The head that `octets` are, whole and with nothing behind it; None where it is not simple."""
    if len(octets) > _MOST_OCTETS:
        return None
    match = _SIMPLE.fullmatch(octets)
    if match is None:
        return None
    lines = match[2].split(b"\r\n")
    if len(lines) > _MOST_FIELDS:
        return None
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.lower()
        value = value.strip(b" \t")
        if name == b"x-forwarded-for" and name in fields:
            value = fields[name] + b"," + value
        fields[name] = value
    if not _NOT_SIMPLE.isdisjoint(fields):
        return None
    if fields.get(b"connection", b"").lower() not in _KEPT:
        return None
    return Head(match[1], fields)
