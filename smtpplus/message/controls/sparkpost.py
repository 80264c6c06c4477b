"""SparkPost's X-MSYS-API header, one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from smtpplus.message.controls.convert import (
    a_bool,
    a_list,
    a_mailbox,
    a_mapping,
    a_text,
    an_object,
    comma_list,
)
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.json_text import json_object
from smtpplus.message.controls.times import a_time
from smtpplus.message.headers import HeaderField
from smtpplus.values.address import Address

__all__ = ["read"]

_COPIES = ("cc", "bcc", "archive")
_KEYS = frozenset({"campaign_id", "metadata", "tags", "options", *_COPIES})
_OPTIONS = frozenset(
    {
        "open_tracking",
        "click_tracking",
        "transactional",
        "sandbox",
        "skip_suppression",
        "ip_pool",
        "start_time",
    }
)
_MAX_COPIES = 100


def read(fields: Iterable[HeaderField], draft: Draft) -> None:
    """Take in all X-MSYS-API headers."""
    for field in fields:
        _read(field.name, json_object(field), draft)


def _read(header: str, found: Mapping[str, Any], draft: Draft) -> None:
    draft.say("campaign_code", a_text(f"{header} campaign_id", found.get("campaign_id"), 100))
    draft.describe(f"{header} metadata", a_mapping(f"{header} metadata", found.get("metadata")))
    tags = f"{header} tags"
    draft.tag(tags, comma_list(tags, a_list(tags, found.get("tags"), 100)))
    for key in _COPIES:
        where = f"{header} {key}"
        for number, one in enumerate(a_list(where, found.get(key), _MAX_COPIES), 1):
            draft.add_recipient(where, *_recipient(f"{where} {number}", one))
    _options(f"{header} options", an_object(f"{header} options", found.get("options")), draft)
    for key in found:
        if key not in _KEYS:
            draft.ignore(f"{header} {key}")


def _recipient(where: str, value: Any) -> tuple[str, Address]:
    found = an_object(where, value)
    name, address = a_mailbox(f"{where} email", found.get("email"))
    return a_text(f"{where} name", found.get("name")) or name, address


def _options(where: str, found: Mapping[str, Any], draft: Draft) -> None:
    def flag(key: str) -> bool | None:
        return a_bool(f"{where}.{key}", found.get(key))

    clicks = flag("click_tracking")
    draft.say("track_opens", flag("open_tracking"))
    draft.say("track_clicks_html", clicks)
    draft.say("track_clicks_text", clicks)
    if flag("transactional"):
        draft.say("unsubscribe", False)
    draft.say("drop", flag("sandbox"))
    draft.say("bypass_suppression", flag("skip_suppression"))
    draft.say("pool", a_text(f"{where}.ip_pool", found.get("ip_pool")))
    start = found.get("start_time")
    if start != "now":
        draft.say("send_at", a_time(f"{where}.start_time", start))
    for key in found:
        if key not in _OPTIONS:
            draft.ignore(f"{where}.{key}")
