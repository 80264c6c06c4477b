"""The URLs that come back to us: pixel, tracked link, unsubscribe page.

``<base>/t/o/<token>.gif``, ``<base>/t/c/<token>/<target>``, ``<base>/u/<token>``. A tracked link
carries its target in base64url; its token is bound to the target, so that a redirect needs no
database and goes nowhere that was not signed here (W2). What does not change from
recipient to recipient is made once: `LinkTarget.of`.

Guarantees: a target is absolute http or https, visible ASCII, with a host, at most
`MAX_TARGET` octets, so it cannot break out of a Location header; one text for one target and
one token: other base64 of the same octets is refused, and so is upper case. Raises what
`Tokens.read` raises, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from smtpplus.message.token import Purpose, Token, TokenError, TokenFacts, TokenFault, Tokens
from smtpplus.values.address import to_ascii

__all__ = [
    "HONEYPOT_LINK",
    "MAX_TARGET",
    "Click",
    "LinkTarget",
    "click_url",
    "host_of",
    "open_url",
    "read_click",
    "read_open",
    "read_unsubscribe",
    "unsubscribe_url",
]

HONEYPOT_LINK = 0xFFFF  # the number of a link that no person sees: who follows it is a machine
MAX_TARGET = 4_096  # octets; a signed download link has up to some 2,500

_IGNORED = re.compile(r"[\t\r\n]")  # browsers drop them inside a URL (WHATWG URL, 4.4)
_ENDS = "".join(map(chr, range(0x21)))
_AUTHORITY = re.compile(r"(https?)://([^/?#\\]+)(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(
    r"(?:[A-Za-z0-9._~!$&'()*+,;=:%\-]*@)?"
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._\-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
)
_SAFE = re.compile(rf"https?://{_HOST.pattern}(?:[/?#][!-~]*)?", re.IGNORECASE)
# What `_clean` leaves as it is and `_SAFE` takes, as links are mostly written; and its host.
_CLEAN = re.compile(
    r"https?://([a-z0-9](?:[a-z0-9.\-]*[a-z0-9])?)(?::[0-9]{1,5})?(?:[/?#][!#-;=?-~]*)?"
)
_OF_HOST = re.compile(r"https?://(?>(?:[^/?#\\@]*+@)?)(\[[^\]/?#]*+\]|[^/?#:\\]*+)", re.IGNORECASE)
_URL_LETTERS = bytes.maketrans(b"+/", b"-_")
_KEEP = "".join(letter for letter in map(chr, range(0x21, 0x7F)) if letter not in '"<>')


class LinkTarget(NamedTuple):
    """Where a link leads, as it is signed and as it stands in our URL; and the host, lower case."""

    url: str
    segment: str
    signed: bytes
    host: str = ""

    @classmethod
    def of(cls, href: str) -> LinkTarget | None:
        """The target of an ``href`` whose HTML entities are decoded; None: leave the link alone.

        Blanks around it and line ends in it go, as a browser would have it; blanks and letters
        beyond ASCII inside are percent-encoded, a host's letters become A-labels.
        """
        plain = _CLEAN.fullmatch(href)
        url = href if plain else _clean(href)
        if url is None or len(url) > MAX_TARGET or not (plain or _SAFE.fullmatch(url)):
            return None
        octets = url.encode("ascii")
        host = plain[1] if plain else host_of(url)
        return cls(url, _segment(octets), octets, host)


@dataclass(frozen=True, slots=True)
class Click:
    """A verified click: who, which link, and where to."""

    token: Token
    target: str


def open_url(base: str, tokens: Tokens, facts: TokenFacts, now: float) -> str:
    """The pixel's URL; `base` is ``https://host`` without a final slash."""
    return f"{base}/t/o/{tokens.make(Purpose.OPEN, facts, now)}.gif"


def click_url(
    base: str,
    tokens: Tokens,
    facts: TokenFacts,
    now: float,
    target: LinkTarget,
    link: int,
    links: int = 0,
) -> str:
    """A link's tracked form; `link` is its number in the message, which has `links` in all."""
    token = tokens.make(Purpose.CLICK, facts, now, link=link, links=links, bound=target.signed)
    return f"{base}/t/c/{token}/{target.segment}"


def unsubscribe_url(base: str, tokens: Tokens, facts: TokenFacts, now: float) -> str:
    """The unsubscribe page's URL, for List-Unsubscribe and for links in the body."""
    return f"{base}/u/{tokens.make(Purpose.UNSUBSCRIBE, facts, now)}"


def read_open(tokens: Tokens, name: str, now: float) -> Token:
    """The token of ``/t/o/<name>``.

    Raises:
        TokenError: not ours, or too old.
    """
    token, dot, suffix = name.partition(".")
    if not dot or suffix.lower() != "gif":
        raise TokenError(TokenFault.MALFORMED)
    return _read(tokens, Purpose.OPEN, token, now)


def read_click(tokens: Tokens, token: str, segment: str, now: float) -> Click:
    """The click of ``/t/c/<token>/<segment>``.

    Raises:
        TokenError: the token is not ours or too old, or the target is not the one it was made for.
    """
    target = _read_target(segment)
    if target is None:
        raise TokenError(TokenFault.MALFORMED)
    return Click(_read(tokens, Purpose.CLICK, token, now, target.encode("ascii")), target)


def read_unsubscribe(tokens: Tokens, token: str, now: float) -> Token:
    """The token of ``/u/<token>``.

    Raises:
        TokenError: not ours, or too old.
    """
    return _read(tokens, Purpose.UNSUBSCRIBE, token, now)


def _read(tokens: Tokens, purpose: Purpose, text: str, now: float, bound: bytes = b"") -> Token:
    """What a token in a URL names; upper case is forgiven in addresses alone (W2, W3)."""
    if text != text.lower():
        raise TokenError(TokenFault.MALFORMED)
    return tokens.read(purpose, text, now, bound=bound)


def _clean(href: str) -> str | None:
    match = _AUTHORITY.fullmatch(_IGNORED.sub("", href.strip(_ENDS)))
    if match is None:
        return None
    scheme, authority, rest = match.groups()
    user, at, host = authority.rpartition("@")
    return f"{scheme}://{user}{at}{to_ascii(host)}{quote(rest, safe=_KEEP, errors='replace')}"


def host_of(url: str) -> str:
    """The host of an absolute URL in lower case, "" where there is none."""
    found = _OF_HOST.match(url)
    return found[1].lower() if found else ""


def _segment(octets: bytes) -> str:
    """Base64url without padding (RFC 4648 §5)."""
    return binascii.b2a_base64(octets, newline=False).translate(_URL_LETTERS, b"=").decode("ascii")


def _read_target(segment: str) -> str | None:
    if len(segment) > MAX_TARGET * 4 // 3 + 4 or not segment.isascii():
        return None
    try:
        octets = base64.b64decode(segment + "=" * (-len(segment) % 4), b"-_", validate=True)
        url = octets.decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return url if _segment(octets) == segment and _SAFE.fullmatch(url) else None
