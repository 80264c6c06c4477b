"""MailUp's keys of X-SMTPAPI (SMTP+): Pascal case, null and the empty text mean "as the list"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from smtpplus.message.controls.convert import (
    a_bool,
    a_list,
    a_name,
    a_number,
    a_text,
    an_object,
    field_value,
)
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.times import a_time
from smtpplus.values.options import MergeSyntax

__all__ = ["KEYS", "read"]

_MAX_FIELDS = 1_000


def read(header: str, found: Mapping[str, Any], draft: Draft) -> None:
    """Take in the keys of `KEYS`; `found` holds no other ones, whatever their case."""
    for key, value in found.items():
        KEYS[key.lower()](f"{header} {key}", value, draft)


def _campaign_code(where: str, value: Any, draft: Draft) -> None:
    draft.say("campaign_code", a_text(where, value, 100))


def _campaign_name(where: str, value: Any, draft: Draft) -> None:
    draft.say("campaign_name", a_text(where, value))


def _flag(*names: str) -> Callable[[str, Any, Draft], None]:
    def take(where: str, value: Any, draft: Draft) -> None:
        said = a_bool(where, value)
        for name in names:
            draft.say(name, said)

    return take


def _priority(where: str, value: Any, draft: Draft) -> None:
    draft.say("priority", a_number(where, value, 1, 5))


def _schedule(where: str, value: Any, draft: Draft) -> None:
    draft.say("send_at", a_time(where, value))


def _dynamic_fields(where: str, value: Any, draft: Draft) -> None:
    fields: dict[str, str] = {}
    for number, one in enumerate(a_list(where, value, _MAX_FIELDS), 1):
        place = f"{where} {number}"
        pair = {key.upper(): part for key, part in an_object(place, one).items()}
        fields.setdefault(a_name(f"{place} N", pair.get("N")), field_value(place, pair.get("V")))
        for key in pair.keys() - {"N", "V"}:
            draft.ignore(f"{where} {key}")
    if fields:
        draft.merge_fields(where, MergeSyntax.BRACKETS, fields)


def _ignored(where: str, value: Any, draft: Draft) -> None:
    if value is not None:
        draft.ignore(where)


KEYS: dict[str, Callable[[str, Any, Draft], None]] = {
    "campaignname": _campaign_name,
    "campaigncode": _campaign_code,
    "header": _flag("header"),
    "footer": _flag("footer"),
    "clicktracking": _flag("track_clicks_html", "track_clicks_text"),
    "viewtracking": _flag("track_opens"),
    "priority": _priority,
    "schedule": _schedule,
    "dynamicfields": _dynamic_fields,
    "skipdynamicfields": _flag("skip_merge"),
    "campaignreport": _ignored,  # its meaning is not documented
}
