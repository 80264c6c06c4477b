"""Amazon SES's X-SES-* headers."""

from __future__ import annotations

from collections.abc import Iterable

from smtpplus.message.controls.convert import a_long_text, a_name, a_text, comma_list
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.error import ControlsError, shown
from smtpplus.message.controls.headers import Reader, read_headers
from smtpplus.message.headers import HeaderField

__all__ = ["read"]


def read(fields: Iterable[HeaderField], draft: Draft) -> None:
    """Take in all X-SES-* headers."""
    read_headers(fields, draft, _READERS)


def _message_tags(field: HeaderField, draft: Draft) -> None:
    """``name=value`` between commas; ``campaign`` is the campaign, as in Amazon's own example."""
    found: dict[str, str] = {}
    for pair in comma_list(field.name, field.text):
        name, mark, value = pair.partition("=")
        if not mark:
            raise ControlsError(field.name, f"expected name=value pairs, got {shown(pair)}")
        name = a_name(field.name, name)
        found.setdefault(name, a_long_text(field.name, value.strip(), 256) or "")
        if name.lower() == "campaign":
            draft.say("campaign_code", a_text(field.name, value, 100))
    draft.describe(field.name, found)


def _list_management(field: HeaderField, draft: Draft) -> None:
    if field.text.strip():
        draft.say("unsubscribe", True)  # the contact list is the list


_READERS: dict[str, Reader] = {
    "x-ses-message-tags": _message_tags,
    "x-ses-list-management-options": _list_management,
}
