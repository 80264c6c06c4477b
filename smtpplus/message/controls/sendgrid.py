"""SendGrid's keys of X-SMTPAPI: recipients with substitutions, categories, filters, schedule.

Names in ``filters`` and their settings are in lower case. What SendGrid keeps on its side
(templates, unsubscribe groups) is ignored and named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from smtpplus.message.controls.convert import (
    a_bool,
    a_long_text,
    a_mapping,
    a_number,
    a_text,
    an_object,
    comma_list,
)
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.error import ControlsError
from smtpplus.message.controls.times import a_time
from smtpplus.values.options import Utm

__all__ = ["KEYS", "read"]

KEYS = frozenset(
    {
        "to",
        "sub",
        "section",
        "category",
        "unique_args",
        "filters",
        "send_at",
        "send_each_at",
        "asm_group_id",
        "asm_groups_to_display",
        "ip_pool",
        "batch_id",
    }
)

_TEXTS = ("text/html", "text/plain")
_UTM = ("source", "medium", "term", "content", "campaign")


def read(header: str, found: Mapping[str, Any], draft: Draft) -> None:
    """Take in the keys of `KEYS` but for the recipients'; `found` holds no other ones."""
    if found.get("send_at") is not None and found.get("send_each_at") is not None:
        raise ControlsError(
            f"{header} send_each_at", "expected it without send_at, or send_at alone"
        )
    draft.say("send_at", a_time(f"{header} send_at", found.get("send_at")))
    draft.say("pool", a_text(f"{header} ip_pool", found.get("ip_pool")))
    category = found.get("category")
    if category is not None:
        given = category if isinstance(category, list) else [category]
        draft.tag(f"{header} category", comma_list(f"{header} category", given))
    draft.describe(
        f"{header} unique_args", a_mapping(f"{header} unique_args", found.get("unique_args"))
    )
    _filters(f"{header} filters", found.get("filters"), draft)
    if a_number(f"{header} asm_group_id", found.get("asm_group_id"), 0, 2**63) is not None:
        draft.say("unsubscribe", True)  # the group is the list
    for key in ("asm_groups_to_display", "batch_id"):
        if found.get(key) is not None:
            draft.ignore(f"{header} {key}")


def _filters(where: str, value: Any, draft: Draft) -> None:
    for name, one in an_object(where, value).items():
        place = f"{where}.{name}"
        if name not in _FILTERS:
            draft.ignore(place)
            continue
        found = an_object(place, one)
        settings = an_object(f"{place}.settings", found.get("settings"))
        read_filter, known = _FILTERS[name]
        read_filter(f"{place}.settings", settings, draft)
        for key in found.keys() - {"settings"}:
            draft.ignore(f"{place}.{key}")
        for key in settings.keys() - known:
            draft.ignore(f"{place}.settings.{key}")


def _click_track(where: str, settings: Mapping[str, Any], draft: Draft) -> None:
    enabled = a_bool(f"{where}.enable", settings.get("enable"))
    in_text = a_bool(f"{where}.enable_text", settings.get("enable_text"))
    draft.say("track_clicks_html", enabled)
    draft.say("track_clicks_text", False if enabled is False else in_text)


def _open_track(where: str, settings: Mapping[str, Any], draft: Draft) -> None:
    enabled = a_bool(f"{where}.enable", settings.get("enable"))
    tag = a_text(f"{where}.replace", settings.get("replace"))
    draft.say("track_opens", enabled)
    if enabled is not False:
        draft.say("open_tag", tag)


def _footer(where: str, settings: Mapping[str, Any], draft: Draft) -> None:
    enabled = a_bool(f"{where}.enable", settings.get("enable"))
    html = a_long_text(f"{where}.text/html", settings.get("text/html"))
    text = a_long_text(f"{where}.text/plain", settings.get("text/plain"))
    draft.say("footer", enabled)
    if enabled:
        draft.say("footer_html", html)
        draft.say("footer_text", text)


def _subscription_track(where: str, settings: Mapping[str, Any], draft: Draft) -> None:
    enabled = a_bool(f"{where}.enable", settings.get("enable"))
    html = a_long_text(f"{where}.text/html", settings.get("text/html"))
    text = a_long_text(f"{where}.text/plain", settings.get("text/plain"))
    tag = a_text(f"{where}.replace", settings.get("replace"))
    draft.say("unsubscribe", enabled)
    if enabled is False:
        return
    draft.say("unsubscribe_tag", tag)
    if tag is None:  # the tag overrides the texts
        draft.say("unsubscribe_html", html)
        draft.say("unsubscribe_text", text)


def _analytics(where: str, settings: Mapping[str, Any], draft: Draft) -> None:
    enabled = a_bool(f"{where}.enable", settings.get("enable"))
    values = {
        name: a_text(f"{where}.utm_{name}", settings.get(f"utm_{name}")) or "" for name in _UTM
    }
    if enabled is not None:
        draft.say("utm", Utm(**values, domains=()) if enabled else Utm())


def _bypass(where: str, settings: Mapping[str, Any], draft: Draft) -> None:
    draft.say("bypass_suppression", a_bool(f"{where}.enable", settings.get("enable")))


# By name, with the settings that are known.
_FILTERS: dict[str, tuple[Callable[[str, Mapping[str, Any], Draft], None], frozenset[str]]] = {
    "clicktrack": (_click_track, frozenset({"enable", "enable_text"})),
    "opentrack": (_open_track, frozenset({"enable", "replace"})),
    "footer": (_footer, frozenset({"enable", *_TEXTS})),
    "subscriptiontrack": (_subscription_track, frozenset({"enable", "replace", *_TEXTS})),
    "ganalytics": (_analytics, frozenset({"enable", *(f"utm_{name}" for name in _UTM)})),
    "bypass_list_management": (_bypass, frozenset({"enable"})),
}
