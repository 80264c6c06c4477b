"""Postmark's X-PM-* headers."""

from __future__ import annotations

from collections.abc import Iterable

from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.error import ControlsError, shown
from smtpplus.message.controls.headers import Reader, a_flag, a_tag, described, read_headers
from smtpplus.message.headers import HeaderField

__all__ = ["read"]

_METADATA = "x-pm-metadata-"
_LINKS = {
    "none": (False, False),
    "htmlandtext": (True, True),
    "htmlonly": (True, False),
    "textonly": (False, True),
}


def read(fields: Iterable[HeaderField], draft: Draft) -> None:
    """Take in all X-PM-* headers."""
    others = []
    for field in fields:
        if field.lower.startswith(_METADATA):
            described(_METADATA, field, draft)
        else:
            others.append(field)
    read_headers(others, draft, _READERS)


def _track_links(field: HeaderField, draft: Draft) -> None:
    word = field.text.strip()
    if not word:
        return
    parts = _LINKS.get(word.lower())
    if parts is None:
        raise ControlsError(
            field.name, f"expected None, HtmlAndText, HtmlOnly or TextOnly, got {shown(word)}"
        )
    draft.say("track_clicks_html", parts[0])
    draft.say("track_clicks_text", parts[1])


_READERS: dict[str, Reader] = {
    "x-pm-tag": a_tag,
    "x-pm-trackopens": a_flag("track_opens"),
    "x-pm-tracklinks": _track_links,
    "x-pm-keepid": a_flag(),  # it is kept anyway
}
