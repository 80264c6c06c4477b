"""What tells a reply's quotation or a signature in HTML: the marks of the mail programs.

Pure; linear time. Knows elements by name, class, id, type and style; where they stand, and where
they end, is for `html_spans`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

__all__ = ["Quotation", "draws_outlooks_rule", "may_quote", "quotation_of"]

_QUOTE_CLASSES = frozenset(
    {
        "gmail_quote",
        "gmail_quote_container",
        "gmail_extra",
        "yahoo_quoted",
        "moz-cite-prefix",
        "protonmail_quote",
        "zmail_extra",
        "tutanota_quote",
    }
)
_QUOTE_IDS = frozenset(
    {
        "divrplyfwdmsg",
        "appendonsend",
        "mail-editor-reference-message-container",
        "olk_src_body_section",
        "reply-intro",
        "replybody",
    }
)
_SIGNATURE_CLASSES = frozenset(
    {"gmail_signature", "gmail_signature_prefix", "moz-signature", "protonmail_signature_block"}
)
_SIGNATURE_IDS = frozenset({"signature", "ms-outlook-mobile-signature", "applemailsignature"})
# Outlook's line above the header of what is answered; everything after it is the quotation.
# As Word writes it, and as browsers' engines write the same.
_OUTLOOK_RULE = re.compile(
    r"border-top:\s*(?:solid\s*#(?:e1e1e1|b5c4df)\s*1\.0pt"
    r"|1pt\s+solid\s+(?:#(?:e1e1e1|b5c4df)|rgb\((?:225, ?225, ?225|181, ?196, ?223)\)))",
    re.IGNORECASE,
)
_OUTLOOK_COLOUR = re.compile(  # in what is lower case
    rb"border-top:\s*(?:solid\s*|1pt\s+solid\s+)(?:#(?:e1e1e1|b5c4df)|rgb\((?:225|181))"
)
# What all those names have in common: a text without any of it holds no quotation.
_SOME_QUOTE = (
    b"quote",  # blockquote, too
    b"mail_extra",
    b"moz-cite-prefix",
    b"signature",
    b"rplyfwdmsg",
    b"appendonsend",
    b"mail-editor-reference-message-container",
    b"olk_src_body_section",
    b"reply-intro",
    b"replybody",
)
_QUOTED_BY_NAME = (b"mail_quote", b"yahoo_quoted", b"tutanota_quote")
_MAX_CLASSES = 2_000  # characters of an attribute that are looked at for names


class Quotation(enum.Enum):
    """What an element begins. RUNS_ON: everything after it is quoted, wherever it ends."""

    NONE = "none"
    QUOTED = "quoted"
    RUNS_ON = "runs on"
    SIGNATURE = "signature"


def quotation_of(name: str, attributes: Mapping[str, str]) -> Quotation:
    """What the element `name` (lower case) with these attributes begins."""
    classes = set(attributes.get("class", "")[:_MAX_CLASSES].lower().split())
    identity = attributes.get("id", "")[:100].lower().removeprefix("x_")
    if classes & _SIGNATURE_CLASSES or identity in _SIGNATURE_IDS:
        return Quotation.SIGNATURE
    if classes & _QUOTE_CLASSES:
        return Quotation.RUNS_ON if "moz-cite-prefix" in classes else Quotation.QUOTED
    style = attributes.get("style", "")[:_MAX_CLASSES]
    if identity in _QUOTE_IDS or _OUTLOOK_RULE.search(style):
        return Quotation.RUNS_ON
    if name == "blockquote" and attributes.get("type", "").lower() == "cite":
        return Quotation.QUOTED
    return Quotation.NONE


def draws_outlooks_rule(lower: bytes) -> bool:
    """May Outlook's line stand somewhere in a text, given in lower case?"""
    return b"border-top:" in lower and _OUTLOOK_COLOUR.search(lower) is not None


def may_quote(lower: bytes) -> bool:
    """Is there any name that a quotation or a signature is known by?"""
    for word in _SOME_QUOTE:  # noqa: SIM110 - a generator costs three times as much
        if word in lower and (word != b"quote" or _means_quote(lower)):
            return True
    return False


def _means_quote(lower: bytes) -> bool:
    """Does a word that others use as well stand for a quotation?"""
    if any(name in lower for name in _QUOTED_BY_NAME):
        return True
    return b"<blockquote" in lower and b"cite" in lower
