"""The Feedback-ID field: what Gmail groups complaints by.

``campaign:list:account:SenderId``, the last part constant for the whole installation. No part
is one of a recipient or a message, and no two parts are alike. (Google, Feedback Loop,
support.google.com/a/answer/6254652.)

Guarantees: the value is one to three parts without blanks and a SenderId of 5 to 15 letters and
digits, between colons, whatever the arguments hold (FI1); equal arguments, equal value, so all
recipients of a campaign share it (FI2). Pure.
Does not remove what the sender wrote: `REPLACED` names the fields to cut.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["REPLACED", "feedback_id", "feedback_id_field", "sender_id"]

REPLACED = frozenset({"feedback-id"})  # exactly one goes out, ours (FI1)

_SIMPLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,31}")
_SENDER = re.compile(r"[A-Za-z0-9]{5,15}")
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
_DIGEST = 10  # hexadecimal digits
_MAX_OWN = 60


def sender_id(domain: str) -> str:
    """The SenderId of an installation: its domain's letters and digits, 5 to 15 of them."""
    letters = _NOT_LETTERS.sub("", domain.lower())
    if len(letters) > 15:
        return letters[:9] + _digest(domain)[:6]
    return letters if len(letters) >= 5 else letters + _digest(domain)[: 10 - len(letters)]


def feedback_id(*, campaign: str, list_id: int, account_id: int, sender: str, own: str = "") -> str:
    """The value.

    Args:
        campaign: the key of the campaign; what is not a short plain word is shown as a digest.
        list_id: the list.
        account_id: the account.
        sender: from `sender_id`.
        own: the list's setting ``feedback_id``: one part stands for the list, two for list and
            account, three for all but the SenderId, a fourth for the SenderId where it can be one.
    """
    parts = [f"c-{_word(campaign)}", f"l{list_id}", f"a{account_id}"]
    given = [part for part in own[:_MAX_OWN].split(":") if part and not _has_blank(part)]
    if len(given) == 1:
        parts[1] = given[0]
    elif len(given) == 2:
        parts[1:] = given
    elif len(given) >= 3:
        parts = given[:3]
        if len(given) > 3 and _SENDER.fullmatch(given[3]):
            sender = given[3]
    if not _SENDER.fullmatch(sender):
        sender = sender_id(sender)
    return ":".join((*_distinct(parts, sender), sender))


def feedback_id_field(value: str) -> bytes:
    """The field, with CRLF; `value` from `feedback_id`."""
    return f"Feedback-ID: {value}\r\n".encode("ascii")


def _word(campaign: str) -> str:
    return campaign if _SIMPLE.fullmatch(campaign) else _digest(campaign)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_DIGEST]


def _has_blank(part: str) -> bool:
    return not (part.isascii() and part.isprintable()) or " " in part


def _distinct(parts: list[str], sender: str) -> list[str]:
    """`parts` without those that were there before: Google wants each identifier once."""
    seen = {sender}
    kept = []
    for part in parts:
        if part not in seen:
            seen.add(part)
            kept.append(part)
    return kept or ["mail" if sender != "mail" else "m"]
