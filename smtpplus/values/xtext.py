"""xtext: the form in which ENVID and ORCPT carry text (RFC 3461 §4).

Guarantees: `from_xtext` never raises; what it returns may hold any character and is to be made
harmless before it is written anywhere.
"""

from __future__ import annotations

import re

__all__ = ["from_xtext", "is_xtext", "to_xtext"]

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_ESCAPE = re.compile(rb"\+([0-9A-Fa-f]{2})")


def is_xtext(text: str) -> bool:
    """Is `text` xtext?"""
    return _XTEXT.fullmatch(text) is not None


def from_xtext(text: str) -> str:
    """What `text` stands for; octets that are not UTF-8 become U+FFFD."""
    octets = text.encode("utf-8", "replace")
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), octets).decode("utf-8", "replace")


def to_xtext(text: str) -> str:
    """`text` as xtext."""
    return "".join(
        chr(octet) if 0x21 <= octet <= 0x7E and octet not in b"+=" else f"+{octet:02X}"
        for octet in text.encode("utf-8", "replace")
    )
