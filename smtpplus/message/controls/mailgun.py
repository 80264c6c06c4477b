"""Mailgun's X-Mailgun-* headers."""

from __future__ import annotations

from collections.abc import Iterable

from smtpplus.message.controls.convert import MAX_RECIPIENTS, a_bool, a_mailbox, a_mapping
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.error import ControlsError
from smtpplus.message.controls.headers import (
    Reader,
    a_flag,
    a_json_mapping,
    a_moment,
    a_tag,
    a_word,
    read_headers,
)
from smtpplus.message.controls.json_text import json_object
from smtpplus.message.controls.times import a_span
from smtpplus.message.headers import HeaderField
from smtpplus.values.options import MergeSyntax

__all__ = ["read"]

_TRACK = "x-mailgun-track"


def read(fields: Iterable[HeaderField], draft: Draft) -> None:
    """Take in all X-Mailgun-* headers; the general one for tracking after the special ones."""
    read_headers(sorted(fields, key=lambda field: field.lower == _TRACK), draft, _READERS)


def _track_clicks(field: HeaderField, draft: Draft) -> None:
    html_only = field.text.strip().lower() == "htmlonly"
    clicks = html_only or a_bool(field.name, field.text)
    draft.say("track_clicks_html", clicks)
    draft.say("track_clicks_text", False if html_only else clicks)


def _recipient_variables(field: HeaderField, draft: Draft) -> None:
    """Each recipient gets a mail of its own, says Mailgun of messages with this header."""
    found = json_object(field)
    if len(found) > MAX_RECIPIENTS:
        raise ControlsError(field.name, f"expected at most {MAX_RECIPIENTS:,} recipients")
    for text, variables in found.items():
        _, address = a_mailbox(field.name, text)
        draft.merge_fields_of(field.name, address, a_mapping(f"{field.name} {text}", variables))
    draft.merge_by(MergeSyntax.PERCENT)
    draft.say("own_to", True)


def _deliver_within(field: HeaderField, draft: Draft) -> None:
    draft.say("expires_after", a_span(field.name, field.text))


_READERS: dict[str, Reader] = {
    "x-mailgun-tag": a_tag,
    "x-mailgun-deliver-by": a_moment("send_at"),
    "x-mailgun-deliver-within": _deliver_within,
    "x-mailgun-drop-message": a_flag("drop"),
    "x-mailgun-track": a_flag("track_opens", "track_clicks_html", "track_clicks_text"),
    "x-mailgun-track-clicks": _track_clicks,
    "x-mailgun-track-opens": a_flag("track_opens"),
    "x-mailgun-require-tls": a_flag("require_tls"),
    "x-mailgun-sending-ip-pool": a_word("pool"),
    "x-mailgun-recipient-variables": _recipient_variables,
    "x-mailgun-variables": a_json_mapping,
}
