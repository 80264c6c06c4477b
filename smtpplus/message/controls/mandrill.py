"""Mandrill's X-MC-* headers (Mailchimp Transactional)."""

from __future__ import annotations

from collections.abc import Iterable

from smtpplus.message.controls.convert import a_bool, a_mailbox, a_mapping, a_text, comma_list
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.error import ControlsError, shown
from smtpplus.message.controls.headers import (
    Reader,
    a_moment,
    a_word,
    read_headers,
    tags,
)
from smtpplus.message.controls.json_text import json_object
from smtpplus.message.headers import HeaderField
from smtpplus.values.options import MergeSyntax, Utm

__all__ = ["read"]

_TRACK = {
    "opens": (),
    "clicks": ("html", "text"),
    "clicks_all": ("html", "text"),
    "clicks_htmlonly": ("html",),
    "clicks_textonly": ("text",),
}
_NOTHING = frozenset({"none", "false", "off", "no", "0"})
_RECIPIENT = "_rcpt"


def read(fields: Iterable[HeaderField], draft: Draft) -> None:
    """Take in all X-MC-* headers."""
    found = tuple(fields)
    read_headers(found, draft, _READERS)
    _analytics(found, draft)


def _track(field: HeaderField, draft: Draft) -> None:
    """A list of what is tracked: what it does not name is off."""
    words = {word.lower() for word in comma_list(field.name, field.text)}
    if not words:
        return
    if wrong := sorted(words - _TRACK.keys() - _NOTHING):
        raise ControlsError(
            field.name, f"expected some of {', '.join(_TRACK)}, got {shown(wrong[0])}"
        )
    parts = {part for word in words for part in _TRACK.get(word, ())}
    draft.say("track_opens", "opens" in words)
    draft.say("track_clicks_html", "html" in parts)
    draft.say("track_clicks_text", "text" in parts)


def _merge_vars(field: HeaderField, draft: Draft) -> None:
    found = json_object(field)
    named = found.pop(_RECIPIENT, None)
    fields = a_mapping(field.name, found)
    if named is None:
        draft.merge_fields(field.name, MergeSyntax.MANDRILL, fields)
        return
    draft.merge_by(MergeSyntax.MANDRILL)
    _, address = a_mailbox(f"{field.name} {_RECIPIENT}", named)
    draft.merge_fields_of(field.name, address, fields)


def _metadata(field: HeaderField, draft: Draft) -> None:
    """Of the message; what concerns one recipient alone is ignored."""
    found = json_object(field)
    if found.get(_RECIPIENT) is None:
        draft.describe(field.name, a_mapping(field.name, found))
    else:
        draft.ignore(f"{field.name} {_RECIPIENT}")


def _merge_language(field: HeaderField, draft: Draft) -> None:
    language = (a_text(field.name, field.text) or "").lower()
    if language == "mailchimp":
        draft.merge_by(MergeSyntax.MANDRILL)
    elif language:
        draft.ignore(field.name)


def _preserve_recipients(field: HeaderField, draft: Draft) -> None:
    preserve = a_bool(field.name, field.text)
    draft.say("own_to", None if preserve is None else not preserve)


def _important(field: HeaderField, draft: Draft) -> None:
    if a_bool(field.name, field.text):
        draft.say("priority", 2)


def _bcc(field: HeaderField, draft: Draft) -> None:
    text = field.text.strip()
    if text:
        draft.add_recipient(field.name, *a_mailbox(field.name, text))


def _analytics(fields: tuple[HeaderField, ...], draft: Draft) -> None:
    """Two headers make one value; the campaign alone switches nothing on."""
    domains: dict[str, None] = {}
    campaign = ""
    for field in fields:
        if field.lower == "x-mc-googleanalytics":
            domains.update(dict.fromkeys(map(str.lower, comma_list(field.name, field.text))))
        elif field.lower == "x-mc-googleanalyticscampaign":
            campaign = campaign or a_text(field.name, field.text) or ""
    if domains:
        draft.say("utm", Utm(medium="email", campaign=campaign, domains=tuple(domains)))


def _elsewhere(field: HeaderField, draft: Draft) -> None:
    """`_analytics` reads it."""


_READERS: dict[str, Reader] = {
    "x-mc-tags": tags,
    "x-mc-track": _track,
    "x-mc-mergevars": _merge_vars,
    "x-mc-mergelanguage": _merge_language,
    "x-mc-googleanalytics": _elsewhere,
    "x-mc-googleanalyticscampaign": _elsewhere,
    "x-mc-metadata": _metadata,
    "x-mc-preserverecipients": _preserve_recipients,
    "x-mc-bccaddress": _bcc,
    "x-mc-important": _important,
    "x-mc-ippool": a_word("pool"),
    "x-mc-sendat": a_moment("send_at", utc=True),
}
