"""What holds for a message, in rows for people: each answer, and who gave it.

Guarantees: pure; every row's text is short and plain. Nothing is shown of what was not asked for
(an empty text, a switch that nobody touched is still shown: "off" is an answer). Texts that
strangers wrote stay what they are: pages escape them. Raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from smtpplus.rules.effective import Effective, Level
from smtpplus.values.options import Utm
from smtpplus.values.submission import MailList, SmtpUser

__all__ = ["Explained", "as_of", "explained"]

_MOST_TEXT = 200
_MOST_FIELDS = 20


@dataclass(frozen=True, slots=True)
class Explained:
    """One answer: `key` as programs know it, `label` for people, its `text`, who gave it."""

    key: str
    label: str
    text: str
    level: Level


def explained(effective: Effective, moment: Callable[[float], str]) -> list[Explained]:
    """The answers, in the order people ask; `moment` writes Unix seconds."""
    return list(_rows(effective, moment))


def as_of(
    user: SmtpUser, mail_list: MailList, accepted_at: float, moment: Callable[[float], str]
) -> str:
    """Of when the answers are, beside those for a message that was accepted at `accepted_at`.

    They are those of now. What was changed since may have been otherwise when the mail was made.
    """
    text = "As SMTP user and list are set now"
    for what, changed_at in (("SMTP user", user.changed_at), ("list", mail_list.changed_at)):
        if changed_at is not None and changed_at > accepted_at:
            text += f"; the {what} was changed since ({moment(changed_at)})"
    return f"{text}."


def _rows(effective: Effective, moment: Callable[[float], str]) -> Iterator[Explained]:
    for key, label in _LABELS.items():
        level = effective.why.get(key, Level.LIST if key == "stream" else Level.DEFAULT)
        text = _text(key, getattr(effective, key), moment)
        is_seldom = key in _SELDOM and level is Level.DEFAULT
        if text and not is_seldom and (key not in _OWN or level is Level.MESSAGE):
            yield Explained(key, label, text, level)


def _text(key: str, value: Any, moment: Callable[[float], str]) -> str:
    if key in _TIMES:
        return moment(value) if value else ""
    if key in _SPANS:
        return f"{value:g} s" if value else ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Utm):
        return _fields({name: getattr(value, name) for name in _UTM if getattr(value, name)})
    if isinstance(value, Mapping):
        return _fields(value)
    if isinstance(value, tuple | frozenset):
        return _short(", ".join(sorted(map(str, value))))
    return _short(str(value))


def _fields(values: Mapping[str, str]) -> str:
    shown = [f"{name}={value}" for name, value in list(values.items())[:_MOST_FIELDS]]
    more = len(values) - len(shown)
    return _short(", ".join(shown)) + (f" and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"


_UTM = ("source", "medium", "term", "content", "campaign", "domains")
_TIMES = frozenset({"send_at", "expires_at"})
_SPANS = frozenset({"expires_after", "duplicates", "recall"})
_LABELS = {
    "stream": "Stream",
    "campaign_code": "Campaign code",
    "campaign_name": "Campaign name",
    "aggregation": "Campaigns by",
    "tags": "Tags",
    "track_opens": "Opens are tracked",
    "track_clicks_html": "Clicks are tracked",
    "track_clicks_text": "Clicks in plain text",
    "honeypot": "A link that no person sees",
    "open_tag": "The pixel replaces",
    "utm": "UTM parameters",
    "header": "Header",
    "footer": "Footer",
    "footer_html": "Footer, HTML",
    "footer_text": "Footer, text",
    "unsubscribe": "List-Unsubscribe",
    "unsubscribe_html": "Unsubscribe link, HTML",
    "unsubscribe_text": "Unsubscribe link, text",
    "unsubscribe_tag": "The unsubscribe link replaces",
    "own_to": "Each recipient alone in To",
    "bcc_own_to": "Bcc recipients in To of their copies",
    "merge": "Merge tags",
    "fields": "Merge fields",
    "unescaped": "Put in as they are",
    "priority": "Priority",
    "send_at": "To be sent",
    "expires_at": "Given up",
    "expires_after": "Given up after",
    "recall": "Can be recalled for",
    "duplicates": "Duplicates are held off for",
    "idempotency_key": "Idempotency key",
    "require_tls": "TLS is required",
    "bypass_suppression": "Passes suppressions",
    "drop": "A test: not delivered",
    "pool": "Source pool",
    "feedback_id": "Feedback-ID",
    "suppressed_reply": "Suppressed recipients",
    "notices": "Bounces are told to",
    "metadata": "Metadata",
}
# Worth a row only where the message brings its own.
_OWN = frozenset({"footer_html", "footer_text"})
# Worth a row only where somebody said something.
_SELDOM = frozenset(
    {
        "own_to",
        "require_tls",
        "bypass_suppression",
        "drop",
        "track_clicks_text",
        "honeypot",
        "campaign_code",
        "merge",
        "unescaped",
        "suppressed_reply",
    }
)
