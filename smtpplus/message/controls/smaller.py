"""Dialects of few headers: Postal, Cuttlefish, SMTPeter, MailerQ, ZoneMTA, KumoMTA.

Two of their names are so common (X-AMP, X-Schedule) that they are only taken for controls
where the value is what these services know.
"""

from __future__ import annotations

from collections.abc import Iterable

from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.headers import (
    Reader,
    a_flag,
    a_moment,
    a_tag,
    a_word,
    described,
    read_headers,
    tags,
)
from smtpplus.message.controls.json_text import json_object
from smtpplus.message.controls.times import a_time
from smtpplus.message.headers import HeaderField

__all__ = [
    "is_schedule",
    "is_skip",
    "read_cuttlefish",
    "read_kumomta",
    "read_mailerq",
    "read_postal",
    "read_smtpeter",
    "read_zonemta",
]

_METADATA = "x-cuttlefish-metadata-"


def is_skip(field: HeaderField) -> bool:
    """Is it Postal's ``X-AMP: skip``?"""
    return field.value.strip().lower() == b"skip"


def is_schedule(field: HeaderField) -> bool:
    """Is it KumoMTA's ``X-Schedule: {…}``?"""
    return field.value.lstrip().startswith(b"{")


def read_postal(fields: Iterable[HeaderField], draft: Draft) -> None:
    """X-Postal-Tag; ``X-AMP: skip`` switches tracking off."""
    read_headers(fields, draft, {"x-postal-tag": a_tag, "x-amp": _skip})


def _skip(_: HeaderField, draft: Draft) -> None:
    for name in ("track_opens", "track_clicks_html", "track_clicks_text"):
        draft.say(name, value=False)


def read_cuttlefish(fields: Iterable[HeaderField], draft: Draft) -> None:
    """X-Cuttlefish-*."""
    others = []
    for field in fields:
        if field.lower.startswith(_METADATA):
            described(_METADATA, field, draft)
        else:
            others.append(field)
    read_headers(others, draft, {"x-cuttlefish-ignore-deny-list": a_flag("bypass_suppression")})


def read_smtpeter(fields: Iterable[HeaderField], draft: Draft) -> None:
    """x-smtpeter-*."""
    read_headers(fields, draft, _SMTPETER)


def read_mailerq(fields: Iterable[HeaderField], draft: Draft) -> None:
    """x-mq-*; its times are UTC."""
    read_headers(fields, draft, _MAILERQ)


def read_zonemta(fields: Iterable[HeaderField], draft: Draft) -> None:
    """X-Sending-Zone: a zone is a pool."""
    read_headers(fields, draft, {"x-sending-zone": a_word("pool")})


def read_kumomta(fields: Iterable[HeaderField], draft: Draft) -> None:
    """X-Schedule; hours of the week are not kept to."""
    for field in fields:
        found = json_object(field)
        draft.say("send_at", a_time(f"{field.name} first_attempt", found.get("first_attempt")))
        draft.say("expires_at", a_time(f"{field.name} expires", found.get("expires")))
        for key in found:
            if key not in {"first_attempt", "expires"}:
                draft.ignore(f"{field.name} {key}")


_SMTPETER: dict[str, Reader] = {
    "x-smtpeter-trackclicks": a_flag("track_clicks_html", "track_clicks_text"),
    "x-smtpeter-trackopens": a_flag("track_opens"),
    "x-smtpeter-tags": tags,
}
_MAILERQ: dict[str, Reader] = {
    "x-mq-tag": a_tag,
    "x-mq-pool": a_word("pool"),
    "x-mq-delayed": a_moment("send_at", utc=True),
    "x-mq-maxdelivertime": a_moment("expires_at", utc=True),
}
