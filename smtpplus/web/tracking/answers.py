"""The answers to opens and clicks, made once.

Guarantees: nothing here is kept by a cache, names this installation, or sets a cookie. A pixel
may stand in any page (Cross-Origin-Resource-Policy), a redirect has no body (nothing of a target
ever stands in HTML), and a target's site is not told where its visitor came from.
"""

from __future__ import annotations

import functools
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Final

__all__ = ["MISSING", "NOT_SO", "OPENED", "TOO_MANY", "Answer", "clicked"]

# One transparent pixel, GIF89a.
_GIF = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
_NOT_KEPT: Final = (
    (b"cache-control", b"no-store, max-age=0"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex, nofollow"),
)
_STYLE = (
    "html{color-scheme:light dark}body{font:1rem/1.6 system-ui,sans-serif;max-width:30rem;"
    "margin:20vh auto 0;padding:0 1.25rem}h1{font-size:1.3rem;line-height:1.3}"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case, values as on the wire), body."""

    status: HTTPStatus
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""

    def octets(self, date: bytes) -> bytes:
        """The answer to a GET of HTTP/1.1 as it goes out (RFC 9112 §4), made at `date`."""
        fields, location = self.headers, b""
        if fields[0][0] == b"location":
            location, fields = b"Location: %b\r\n" % fields[0][1], fields[1:]
        head = _head(self.status, fields, len(self.body))
        return b"%b%bDate: %b\r\n\r\n%b" % (head, location, date, self.body)


@functools.lru_cache(maxsize=16)
def _head(status: HTTPStatus, fields: tuple[tuple[bytes, bytes], ...], length: int) -> bytes:
    """What is the same in all answers of a kind."""
    lines = [b"%b: %b\r\n" % (name.title(), value) for name, value in fields]
    phrase = status.phrase.encode("ascii")
    return b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n" % (status, phrase, b"".join(lines), length)


OPENED: Final = Answer(HTTPStatus.OK, (
    (b"content-type", b"image/gif"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    *_NOT_KEPT,
), _GIF)  # fmt: skip


def clicked(target: str) -> Answer:
    """302 to a target that was signed; it is visible ASCII without a blank, quote or angle."""
    return Answer(HTTPStatus.FOUND, ((b"location", target.encode("ascii")), *_NOT_KEPT))


def _page(status: HTTPStatus, title: str, text: str, *more: tuple[bytes, bytes]) -> Answer:
    digest = b64encode(sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
    body = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1><p>{text}</p></body></html>\n"
    )
    return Answer(status, (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        *_NOT_KEPT,
        *more,
    ), body.encode())  # fmt: skip


MISSING: Final = _page(
    HTTPStatus.NOT_FOUND,
    "This link does not work",
    "It was cut short or altered on its way, or it is too old. Open it again from the mail, or "
    "ask who sent it.",
)
NOT_SO: Final = _page(
    HTTPStatus.METHOD_NOT_ALLOWED,
    "This cannot be asked in this way",
    "A link is followed, nothing else.",
    (b"allow", b"GET, HEAD"),
)
TOO_MANY: Final = _page(
    HTTPStatus.TOO_MANY_REQUESTS,
    "Too many requests",
    "Too many requests came from your network. Try again in a few seconds.",
    (b"retry-after", b"5"),
)
