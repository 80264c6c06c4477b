"""SendGrid's ``to``, ``sub``, ``section`` and ``send_each_at``: what belongs to each recipient.

The value at one place of a list belongs to the recipient at the same place of ``to``, or of the
RCPT commands where there is no ``to``: one that was refused, or repeats another, has its place.
A list may be shorter: the recipients behind its end have no value; a text that stands in no list
is everybody's. Each of ``to`` gets a mail of its own with itself alone in To.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from smtpplus.message.controls.convert import (
    MAX_RECIPIENTS,
    a_list,
    a_mailbox,
    a_name,
    an_object,
    field_value,
    field_values,
)
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.error import ControlsError
from smtpplus.message.controls.sections import Sections
from smtpplus.message.controls.times import a_time
from smtpplus.values.address import Address
from smtpplus.values.options import MergeSyntax, RecipientOptions

__all__ = ["read_recipients"]

_MAX_TAGS = 200
_MAX_SECTIONS = 100
_MAX_KEPT = 16 * 1024 * 1024  # characters of tags: each recipient's are kept with the delivery
_MARKS = 8  # characters around a tag and its value there

_Columns = dict[str, list[str]]


def read_recipients(header: str, found: Mapping[str, Any], draft: Draft) -> None:
    """Take in these four keys."""
    sections = _texts(f"{header} section", found.get("section"))
    times = [
        a_time(f"{header} send_each_at {number}", value)
        for number, value in enumerate(
            a_list(f"{header} send_each_at", found.get("send_each_at"), MAX_RECIPIENTS), 1
        )
    ]
    mailboxes = [
        a_mailbox(f"{header} to {number}", value)
        for number, value in enumerate(_to(f"{header} to", found.get("to")), 1)
    ]
    count = len(mailboxes) or len(draft.envelope)
    columns = _columns(f"{header} sub", found.get("sub"), count)
    if columns:
        draft.merge_by(MergeSyntax.DASHES)
    if mailboxes:
        rows = _rows(header, columns, sections, len(mailboxes), draft)
        draft.replace_envelope(_recipients(mailboxes, rows, times))
        draft.say("own_to", True)
        return
    if times:
        draft.ignore(f"{header} send_each_at")  # SendGrid asks for `to`
    _for_envelope(header, columns, sections, draft)


def _to(where: str, value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else a_list(where, value, MAX_RECIPIENTS)


def _columns(where: str, value: Any, count: int) -> _Columns:
    columns: _Columns = {}
    for name, values in an_object(where, value).items():
        place = f"{where} {name}"
        given = values if isinstance(values, list) else [values] * count
        columns[a_name(place, name)] = field_values(place, a_list(place, given, MAX_RECIPIENTS))
    if len(columns) > _MAX_TAGS:
        raise ControlsError(where, f"expected at most {_MAX_TAGS} tags, got {len(columns):,}")
    return columns


def _texts(where: str, value: Any) -> dict[str, str]:
    texts = {
        a_name(where, name): field_value(f"{where} {name}", one)
        for name, one in an_object(where, value).items()
    }
    if len(texts) > _MAX_SECTIONS:
        raise ControlsError(where, f"expected at most {_MAX_SECTIONS} sections, got {len(texts):,}")
    return texts


def _rows(
    header: str, columns: _Columns, sections: Mapping[str, str], count: int, draft: Draft
) -> list[dict[str, str]]:
    """The fields of each recipient, sections resolved."""
    if not columns:
        return [{} for _ in range(count)]
    draft.weigh(f"{header} sub", sum(sum(map(len, values)) for values in columns.values()))
    tags = tuple(columns)
    kept = sum((len(tag) + _MARKS) * min(len(columns[tag]), count) for tag in tags)
    if kept > _MAX_KEPT:
        text = f"{len(tags)} tags for {count:,} recipients are too many: send to fewer at once"
        raise ControlsError(f"{header} sub", text)
    if all(len(values) >= count for values in columns.values()):
        rows = [
            dict(zip(tags, row, strict=True))
            for row in zip(*(values[:count] for values in columns.values()), strict=True)
        ]
    else:
        rows = [
            {tag: values[place] for tag, values in columns.items() if place < len(values)}
            for place in range(count)
        ]
    if sections:
        _resolve(header, columns, rows, Sections(sections, tags), draft)
    return rows


def _resolve(
    header: str,
    columns: _Columns,
    rows: list[dict[str, str]],
    sections: Sections,
    draft: Draft,
) -> None:
    """Put the sections in; a tag in a section's text stands for the row's value as it was given.

    A tag that a section with markup stands for goes into HTML as it is: values are escaped here.
    """
    where = f"{header} section"
    changes: list[tuple[dict[str, str], str, str]] = []
    in_html: list[str] = []
    for tag, values in columns.items():
        is_named, is_html = sections.stand_in(values)
        if is_html:
            in_html.append(tag)
        for row in rows if is_named else ():
            if tag in row:
                text = sections.resolve(tag, row, draft.as_html if is_html else _as_given)
                draft.weigh(where, len(text))
                changes.append((row, tag, text))
    draft.unescape(in_html)
    for row, tag, text in changes:
        row[tag] = text


def _as_given(_: str, value: str) -> str:
    return value


def _recipients(
    mailboxes: Sequence[tuple[str, Address]],
    rows: Sequence[Mapping[str, str]],
    times: Sequence[float | None],
) -> list[RecipientOptions]:
    return [
        RecipientOptions(address, name, fields, send_at)
        for (name, address), fields, send_at in zip(
            mailboxes, rows, chain(times, repeat(None)), strict=False
        )
    ]


def _for_envelope(
    header: str, columns: _Columns, sections: Mapping[str, str], draft: Draft
) -> None:
    """Without ``to`` the places are the envelope's."""
    if not columns:
        return
    count = len(draft.envelope)
    if count == 1 and not draft.replaces_envelope:
        (fields,) = _rows(header, columns, sections, 1, draft)
        draft.merge_fields(f"{header} sub", MergeSyntax.DASHES, fields)
        return
    if not count:
        draft.ignore(f"{header} sub")  # nobody is given what may be somebody else's
        return
    rows = _rows(header, columns, sections, count, draft)
    for address, fields in zip(draft.envelope, rows, strict=True):
        if address is not None:
            draft.merge_fields_of(f"{header} sub", address, fields)
