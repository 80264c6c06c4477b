"""A hit: one verified request for a pixel or a tracked link, as it waits to be classed and written.

Guarantees: frozen; every text is bounded and fit to be stored (no control character, no lone
surrogate), whatever the client sent.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from smtpplus.message.token import TokenFacts
from smtpplus.rules.open_networks import is_ipv4
from smtpplus.rules.opens import Access
from smtpplus.rules.throttle import address_group

__all__ = ["MOST_OCTETS", "PURPOSES", "Hit", "known_address", "neighbourhood", "plain_text"]

# Headers by which a client says itself that nobody looks.
PURPOSES = ("sec-purpose", "purpose", "x-purpose", "x-moz")
MOST_OCTETS = 1_600  # of a header's value that are looked at
_MOST_TEXT = 400
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """One request. `link` and `target` are of clicks; None and "" for the pixel.

    `links` is how many different links the message has, 0 where that is not known.
    `at` is Unix seconds, `address` "" where it is not known; `purposes` are those `PURPOSES`
    that the request had.
    """

    access: Access
    at: float
    facts: TokenFacts
    method: str
    address: str
    agent: str
    purposes: Mapping[str, str]
    link: int | None = None
    target: str = ""
    links: int = 0


@functools.lru_cache(maxsize=4_096)  # agents come again and again: one text of each
def plain_text(octets: bytes) -> str:
    """A header's value, of at most 400 characters."""
    text = octets[:MOST_OCTETS].decode("utf-8", "replace")[:_MOST_TEXT]
    return text if text.isprintable() else _UNFIT.sub(" ", text)


@functools.lru_cache(maxsize=4_096)
def known_address(text: str) -> str:
    """An IP address as it is written; "" where `text` is none (a proxy may pass on anything)."""
    if is_ipv4(text):
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def neighbourhood(address: str) -> str:
    """Whom an address belongs to, roughly: scanners ask from several of one network."""
    if ":" in address:
        return address_group(address)
    return address.rpartition(".")[0]
