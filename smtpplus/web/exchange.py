"""A request as the views see it, and what they answer.

Guarantees: an `Asked` is decoded, bounded and holds what may be trusted only (the client's
address and scheme already respect the trusted proxies). `PageError` becomes a page with its
status; its text is fit to be shown. Does not know Twisted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

__all__ = [
    "PAGE_CSP",
    "Asked",
    "PageError",
    "Response",
    "parse_form",
    "parse_multipart",
    "redirect",
]

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_MOST_FIELDS = 50
_BOUNDARY = re.compile(
    r';\s*boundary=(?:"([ -!#-\[\]-~]{1,70})"|([!#-+\--9A-Z^-~]{1,70}))', re.IGNORECASE
)
_FIELD_NAME = re.compile(rb';\s*name=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)


class PageError(Exception):
    """Answer with a page of this status; the text tells the person what to do."""

    def __init__(
        self, status: HTTPStatus, text: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. Of a field given twice the last counts."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    cookies: dict[str, str]
    client_ip: str
    host: str = ""  # as the browser called us; "" only with HTTP/1.0
    is_live: bool = False  # the page's script asks for the live part alone
    is_form: bool = False
    fetch_site: str = ""
    etag: str = ""
    authorization: str = ""
    agent: str = ""
    languages: str = ""  # Accept-Language
    by_stranger: bool = False  # sent on by a proxy that is not trusted: whose it is is unknown


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. `headers` come beside the security headers, which `csp` completes."""

    body: bytes = b""
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    csp: str = PAGE_CSP
    cookies: tuple[str, ...] = field(default=())
    cache: str = "no-store"

    @property
    def may_be_framed(self) -> bool:
        """By our own pages; nobody else's may frame anything."""
        return "frame-ancestors 'self'" in self.csp


def redirect(location: str, *cookies: str) -> Response:
    """See Other, to a path of ours."""
    return Response(status=HTTPStatus.SEE_OTHER, headers=(("Location", location),), cookies=cookies)


def parse_form(octets: bytes) -> dict[str, str]:
    """URL-encoded fields.

    Raises:
        PageError: 400, where they are not UTF-8 or too many.
    """
    try:
        pairs = parse_qsl(
            octets.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:
        raise PageError(
            HTTPStatus.BAD_REQUEST, "The address or the form is not readable."
        ) from error
    return dict(pairs)


def parse_multipart(octets: bytes, content_type: str) -> dict[str, str]:
    """Fields of multipart/form-data (RFC 7578); what is no text field is left out.

    Raises:
        PageError: 400, where there is no boundary, or too many parts.
    """
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise PageError(HTTPStatus.BAD_REQUEST, "The form is not readable: it has no boundary.")
    delimiter = b"\r\n--" + (match[1] or match[2]).encode("ascii")
    parts = (b"\r\n" + octets).split(delimiter, _MOST_FIELDS + 2)
    if len(parts) > _MOST_FIELDS + 2:
        raise PageError(HTTPStatus.BAD_REQUEST, "The form is not readable: it has too many parts.")
    fields = {}
    for part in parts[1:]:
        head, blank, body = part.partition(b"\r\n\r\n")
        name = _FIELD_NAME.search(head)
        if not part.startswith(b"--") and blank and name is not None:
            text = (name[1] or name[2]).decode("utf-8", "replace")
            fields[text] = body.decode("utf-8", "replace")
    return fields
