"""Our own controls: ``X-SMTPPlus-<Option>``, one header per option, or all of them in JSON.

``X-SMTPPlus-Options`` holds an object whose keys are the options' names as in
`smtpplus.values.options.Options`; a header's name is the same with hyphens
(``X-SMTPPlus-Send-At`` is ``send_at``), its value what the key's would be, as text. Lists are
written with commas, objects in JSON. Where both are there, the header stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from smtpplus.message.controls.convert import (
    MAX_RECIPIENTS,
    a_bool,
    a_list,
    a_long_text,
    a_mailbox,
    a_mapping,
    a_number,
    a_text,
    an_object,
    comma_list,
)
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.error import ControlsError, shown
from smtpplus.message.controls.headers import described
from smtpplus.message.controls.json_text import json_object, json_value
from smtpplus.message.controls.times import a_span, a_time
from smtpplus.message.headers import HeaderField
from smtpplus.values.options import MergeSyntax, RecipientOptions, Utm

__all__ = ["read"]

_PREFIX = "x-smtpplus-"
_METADATA = "x-smtpplus-metadata-"
_OPTIONS = "options"
_IDEMPOTENCY = "x-idempotency-key"
_CLICKS = {"html": (True, False), "text": (False, True)}

_Take = Callable[[str, Any, Draft], None]


def read(fields: Iterable[HeaderField], draft: Draft) -> None:
    """Take in all X-SMTPPlus-* headers and X-Idempotency-Key."""
    objects = []
    for field in fields:
        name = field.lower.removeprefix(_PREFIX).replace("-", "_")
        if field.lower == _IDEMPOTENCY:
            _TAKE["idempotency_key"](field.name, field.text, draft)
        elif name == _OPTIONS:
            objects.append(field)
        elif field.lower.startswith(_METADATA):
            described(_METADATA, field, draft)
        elif name in _TAKE:
            is_list = name in _LISTS and field.text.lstrip().startswith("[")
            value = json_value(field) if is_list or name in _IN_JSON else field.text
            _TAKE[name](field.name, value, draft)
        else:
            draft.ignore(field.name)
    for field in objects:
        _read_object(field.name, json_object(field), draft)


def _read_object(header: str, found: dict[str, Any], draft: Draft) -> None:
    for name, value in found.items():
        if name in _TAKE:
            _TAKE[name](f"{header} {name}", value, draft)
        else:
            draft.ignore(f"{header} {name}")


def _said(name: str, convert: Callable[[str, Any], Any]) -> _Take:
    def take(where: str, value: Any, draft: Draft) -> None:
        draft.say(name, convert(where, value))

    return take


def _text(most: int) -> Callable[[str, Any], Any]:
    return lambda where, value: a_text(where, value, most)


def _span(where: str, value: Any) -> float | None:
    if value is None or isinstance(value, str):
        return a_span(where, value or "")
    number = a_number(where, value, 0, 10**8)
    return None if number is None else float(number)


def _tags(where: str, value: Any, draft: Draft) -> None:
    draft.tag(where, comma_list(where, value))


def _unescaped(where: str, value: Any, draft: Draft) -> None:
    draft.unescape(comma_list(where, value))


def _track_clicks(where: str, value: Any, draft: Draft) -> None:
    """Both parts, or ``html`` or ``text`` alone."""
    word = value.strip().lower() if isinstance(value, str) else ""
    html, text = _CLICKS.get(word) or (a_bool(where, value),) * 2
    draft.say("track_clicks_html", html)
    draft.say("track_clicks_text", text)


def _fields(where: str, value: Any, draft: Draft) -> None:
    """Written as ``[name]``, unless the message says otherwise by ``merge``."""
    fields = a_mapping(where, value)
    if fields:
        draft.merge_fields(where, MergeSyntax.BRACKETS, fields)


def _merge(where: str, value: Any, draft: Draft) -> None:
    for word in comma_list(where, value):
        try:
            draft.merge_by(MergeSyntax(word.lower()))
        except ValueError as error:
            names = ", ".join(MergeSyntax)
            raise ControlsError(where, f"expected some of {names}, got {shown(word)}") from error


def _metadata(where: str, value: Any, draft: Draft) -> None:
    draft.describe(where, a_mapping(where, value))


def _recipients(where: str, value: Any, draft: Draft) -> None:
    """Instead of the envelope's: ``[{"address", "name", "fields", "send_at"}]``."""
    found = a_list(where, value, MAX_RECIPIENTS)
    if not found:
        return
    made = []
    for number, one in enumerate(found, 1):
        place = f"{where} {number}"
        entry = {"address": one} if isinstance(one, str) else an_object(place, one)
        name, address = a_mailbox(f"{place} address", entry.get("address"))
        fields = a_mapping(f"{place} fields", entry.get("fields"))
        draft.weigh_fields(where, fields)
        made.append(
            RecipientOptions(
                address,
                a_text(f"{place} name", entry.get("name")) or name,
                fields,
                a_time(f"{place} send_at", entry.get("send_at")),
            )
        )
        for key in entry:
            if key not in {"address", "name", "fields", "send_at"}:
                draft.ignore(f"{where} {key}")
    if any(one.fields for one in made):
        draft.merge_by(MergeSyntax.BRACKETS)
    draft.replace_envelope(made)


def _utm(where: str, value: Any, draft: Draft) -> None:
    found = an_object(where, value)
    names = ("source", "medium", "term", "content", "campaign")
    values = {name: a_text(f"{where} {name}", found.get(name)) or "" for name in names}
    domains = tuple(map(str.lower, comma_list(f"{where} domains", found.get("domains"))))
    draft.say("utm", Utm(**values, domains=domains))
    for key in found:
        if key not in {*names, "domains"}:
            draft.ignore(f"{where} {key}")


_FLAGS = (
    "header",
    "footer",
    "track_opens",
    "track_clicks_html",
    "track_clicks_text",
    "unsubscribe",
    "own_to",
    "skip_merge",
    "require_tls",
    "bypass_suppression",
    "drop",
)
_LONG_TEXTS = ("footer_html", "footer_text", "unsubscribe_html", "unsubscribe_text")
_TAKE: dict[str, _Take] = {
    **{name: _said(name, a_bool) for name in _FLAGS},
    **{name: _said(name, a_long_text) for name in _LONG_TEXTS},
    "campaign": _said("campaign_code", _text(100)),
    "campaign_code": _said("campaign_code", _text(100)),
    "campaign_name": _said("campaign_name", _text(200)),
    "tag": _tags,
    "tags": _tags,
    "track_clicks": _track_clicks,
    "open_tag": _said("open_tag", _text(200)),
    "unsubscribe_tag": _said("unsubscribe_tag", _text(200)),
    "priority": _said("priority", lambda where, value: a_number(where, value, 1, 5)),
    "send_at": _said("send_at", a_time),
    "expires_at": _said("expires_at", a_time),
    "expires_after": _said("expires_after", _span),
    "fields": _fields,
    "merge": _merge,
    "unescaped": _unescaped,
    "metadata": _metadata,
    "recipients": _recipients,
    "utm": _utm,
    "pool": _said("pool", _text(200)),
    "idempotency_key": _said("idempotency_key", _text(200)),
}
_LISTS = frozenset({"tag", "tags", "merge", "unescaped"})  # between commas, or in JSON
_IN_JSON = frozenset({"fields", "metadata", "recipients", "utm"})
