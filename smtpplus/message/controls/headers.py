"""The way of reading that all dialects of one-header-per-option share: a table of readers.

A reader takes the field, with its name for errors, and the draft. The functions here make the
usual ones. Raises what the readers raise: `ControlsError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from smtpplus.message.controls.convert import (
    a_bool,
    a_long_text,
    a_mapping,
    a_name,
    a_text,
    comma_list,
)
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.json_text import json_object
from smtpplus.message.controls.times import a_time
from smtpplus.message.headers import HeaderField

__all__ = [
    "Reader",
    "a_flag",
    "a_json_mapping",
    "a_moment",
    "a_tag",
    "a_word",
    "described",
    "read_headers",
    "tags",
]

Reader = Callable[[HeaderField, Draft], None]


def read_headers(
    fields: Iterable[HeaderField], draft: Draft, readers: Mapping[str, Reader]
) -> None:
    """Each field by the reader of its lower-case name; one without a reader is ignored."""
    for field in fields:
        reader = readers.get(field.lower)
        if reader is None:
            draft.ignore(field.name)
        else:
            reader(field, draft)


def a_flag(*names: str) -> Reader:
    """True or false, for these options."""

    def read(field: HeaderField, draft: Draft) -> None:
        value = a_bool(field.name, field.text)
        for name in names:
            draft.say(name, value)

    return read


def a_word(name: str, most: int = 200) -> Reader:
    """A text on one line."""

    def read(field: HeaderField, draft: Draft) -> None:
        draft.say(name, a_text(field.name, field.text, most))

    return read


def a_moment(name: str, *, utc: bool = False) -> Reader:
    """A time."""

    def read(field: HeaderField, draft: Draft) -> None:
        draft.say(name, a_time(field.name, field.text, utc=utc))

    return read


def tags(field: HeaderField, draft: Draft) -> None:
    """Tags between commas."""
    draft.tag(field.name, comma_list(field.name, field.text))


def a_tag(field: HeaderField, draft: Draft) -> None:
    """One tag, commas and all."""
    tag = a_text(field.name, field.text)
    draft.tag(field.name, () if tag is None else (tag,))


def a_json_mapping(field: HeaderField, draft: Draft) -> None:
    """Metadata as a JSON object."""
    draft.describe(field.name, a_mapping(field.name, json_object(field)))


def described(prefix: str, field: HeaderField, draft: Draft) -> None:
    """Metadata whose name is the rest of the header's, in lower case: clients change its case."""
    name = a_name(field.name, field.lower.removeprefix(prefix))
    draft.describe(field.name, {name: a_long_text(field.name, field.text, 10_000) or ""})
