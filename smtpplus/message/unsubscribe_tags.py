"""The tags that stand for the unsubscribe link, of all services that people come from.

| written | from |
|---|---|
| ``[unsubscribe]`` | MailUp, ours |
| ``<%unsubscribe%>``, ``<%unsubscribe_url%>``, ``<%asm_group_unsubscribe_raw_url%>``, ``{{unsubscribe}}`` | SendGrid |
| ``*|UNSUB|*``, ``*|UNSUB:https://…|*`` | Mandrill, Mailchimp |
| ``%unsubscribe_url%``, ``%tag_unsubscribe_url%``, ``%mailing_list_unsubscribe_url%`` | Mailgun |
| ``{{{ pm:unsubscribe }}}`` | Postmark |
| ``{{amazonSESUnsubscribeUrl}}`` | Amazon SES |

Editors take a tag in a link for an address: ``http://`` before it and percent forms of its marks
belong to it. In an attribute and in plain text a tag becomes the address; in HTML text
``[unsubscribe]`` becomes a link that can be read, the others the address. ``<% words %>`` in the
text of SendGrid's subscriptiontrack becomes a link that reads so. Also says which links are
unsubscribe links of the sender's own. Pure; linear time.
"""

from __future__ import annotations

import html
import re

from smtpplus.message.copy_plan import CopyUrl
from smtpplus.message.edits import UrlFill

__all__ = [
    "LINK_TAG",
    "PATTERN",
    "is_unsubscribe_target",
    "is_unsubscribe_text",
    "subscription_html",
    "subscription_text",
    "tag_start",
    "url_fill",
]

LINK_TAG = "[unsubscribe]"
_BAR = r"(?:\||%7C)"
_SQUARE = "unsubscribe(?:_url|_link)?"
_ANGLE = "(?:asm_group_)?unsubscribe(?:_raw)?(?:_url)?"
_CURLY = "(?:pm(?::|%3A)unsubscribe(?:_url)?|amazonSESUnsubscribeUrl|unsubscribe(?:_url)?)"
_MAILGUN = "(?:tag_|mailing_list_)?unsubscribe_url"
PATTERN = (
    rf"(?i:\[{_SQUARE}\]"
    rf"|(?:<|&lt;)%\s*{_ANGLE}\s*%(?:>|&gt;)"
    rf"|%(?:{_MAILGUN}%|25{_MAILGUN}%25|5B{_SQUARE}%5D|3C%25(?:%20)*{_ANGLE}(?:%20)*%25%3E"
    rf"|7B%7B(?:%7B)?(?:%20)*{_CURLY}(?:%20)*(?:%7D)?%7D%7D)"
    rf"|\*{_BAR}UNSUB(?::[^|*\s<>\"']{{1,500}})?{_BAR}\*"
    rf"|\{{\{{\{{?\s*{_CURLY}\s*\}}?\}}\}})"
)
_SCHEME = re.compile(r"https?://\Z", re.IGNORECASE)
_WORDS = re.compile(r"(?:<|&lt;)%\s*(.*?)\s*%(?:>|&gt;)", re.DOTALL)
# What the words have in common, and the words: most texts hold nothing of the former.
_IN_TARGETS = {
    "scri": (
        "unsubscri",
        "desinscri",
        "d%c3%a9sinscri",
        "disiscri",
        "cancellaiscri",
        "cancella-iscri",
        "cancelar-suscri",
    ),
    "opt": ("optout", "opt-out", "opt_out"),
    "abmelde": ("abmelde",),
    "abbestell": ("abbestell",),
    "baja": ("darse-de-baja", "dardebaja"),
    "afmeld": ("afmeld",),
    "avregistr": ("avregistr",),
    "preferences": ("email-preferences", "emailpreferences"),
}
_IN_WORDS = {
    "scri": (
        "unsubscribe",
        "sinscrire",  # se désinscrire, in whatever charset
        "disiscri",
        "cancella l'iscrizione",
        "cancelar suscrip",
        "cancelar la suscrip",
        "cancelar inscri",
    ),
    "opt": ("opt out", "opt-out"),
    "abmelden": ("abmelden",),
    "abbestellen": ("abbestellen",),
    "austragen": ("austragen",),
    "sabonner": ("sabonner",),
    "baja": ("darse de baja",),
    "uitschrijven": ("uitschrijven",),
    "afmeld": ("afmeld",),
    "avregistrera": ("avregistrera",),
    "wypisz": ("wypisz",),
}


def is_unsubscribe_target(target: str) -> bool:
    """Does a link lead to some unsubscribe page of the sender's?"""
    return _holds(target[:2048].lower(), _IN_TARGETS)


def is_unsubscribe_text(text: str) -> bool:
    """Do the words of a link say that it unsubscribes?"""
    return _holds(text.lower(), _IN_WORDS)


def _holds(text: str, words: dict[str, tuple[str, ...]]) -> bool:
    for part in words:  # noqa: PLC0206, SIM110 - twice and three times as quick as what they want
        if part in text and any(word in text for word in words[part]):
            return True
    return False


def tag_start(text: str, start: int) -> int:
    """Where the tag at `start` begins with the scheme that an editor put before it."""
    scheme = _SCHEME.search(text, max(start - len("https://"), 0), start)
    return start if scheme is None else scheme.start()


def url_fill(url: CopyUrl) -> UrlFill:
    """The address as text."""
    return UrlFill(url)


def subscription_html(block: str) -> str:
    """The HTML of SendGrid's subscriptiontrack with our tag in its link; one is added if none is."""
    made = _WORDS.sub(lambda found: f'<a href="{LINK_TAG}">{found[1] or "Unsubscribe"}</a>', block)
    return made if re.search(PATTERN, made) else f"{block} {LINK_TAG}"


def subscription_text(block: str) -> str:
    """The same for its plain text: the address follows the words."""
    made = _WORDS.sub(lambda found: f"{html.unescape(found[1])} {LINK_TAG}".strip(), block)
    return made if re.search(PATTERN, made) else f"{block} {LINK_TAG}"
