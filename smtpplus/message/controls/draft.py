"""What the dialects of one message say, on its way to being one `Options`.

The rule for several dialects: they are asked in the order of their precedence, and whoever
says a thing first has said it. Tags, metadata, merge fields and recipients' fields are united;
of one name the first value stands. Guarantees: bounded, whatever the dialects bring; raises
`ControlsError` where a bound is reached.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from smtpplus.message.charset import harmless
from smtpplus.message.controls.convert import MAX_RECIPIENTS
from smtpplus.message.controls.error import ControlsError
from smtpplus.values.address import Address
from smtpplus.values.options import MergeSyntax, Options, RecipientOptions

__all__ = ["Draft"]

_MAX_TAGS = 50
_MAX_EXTRA = 100
_MAX_METADATA = 20_000  # characters, names and values
_MAX_FIELDS = 4 * 1024 * 1024  # characters of all merge fields of all recipients
_MAX_NAMES = 1_000  # of merge fields, all recipients' together: each new one is looked for anew
_MAX_UNKNOWN = 50
_MAX_UNKNOWN_NAME = 100


class Draft:
    """Collects. `envelope` holds the addresses of the RCPT commands, in their order.

    None stands for one that was refused, or repeats another.
    """

    __slots__ = (
        "_extra",
        "_fields",
        "_fields_size",
        "_merge",
        "_metadata",
        "_metadata_size",
        "_names",
        "_of_recipients",
        "_recipients",
        "_tags",
        "_unescaped",
        "_unknown",
        "_values",
        "envelope",
    )

    def __init__(self, envelope: Sequence[Address | None] = ()) -> None:
        self.envelope = envelope
        self._values: dict[str, Any] = {}
        self._tags: dict[str, None] = {}
        self._metadata: dict[str, str] = {}
        self._metadata_size = 0
        self._fields: dict[str, str] = {}
        self._fields_size = 0
        self._names: set[str] = set()
        self._of_recipients: dict[str, tuple[Address, dict[str, str]]] = {}
        self._recipients: tuple[RecipientOptions, ...] | None = None
        self._extra: dict[str, RecipientOptions] = {}
        self._merge: dict[MergeSyntax, None] = {}
        self._unescaped: dict[str, None] = {}
        self._unknown: dict[str, None] = {}

    def say(self, name: str, value: Any) -> None:
        """The field of `Options` is `value`, unless it is None or was said before."""
        if value is not None:
            self._values.setdefault(name, value)

    def tag(self, where: str, tags: Iterable[str]) -> None:
        """The message bears these tags too."""
        self._tags.update(dict.fromkeys(tags))
        if len(self._tags) > _MAX_TAGS:
            raise ControlsError(where, f"a message has at most {_MAX_TAGS} tags")

    def describe(self, where: str, metadata: Mapping[str, str]) -> None:
        """These facts come back in events."""
        for name, value in metadata.items():
            if name not in self._metadata:
                self._metadata[name] = value
                self._metadata_size += len(name) + len(value)
        if self._metadata_size > _MAX_METADATA:
            raise ControlsError(where, f"metadata has at most {_MAX_METADATA:,} characters")

    def merge_fields(self, where: str, syntax: MergeSyntax, fields: Mapping[str, str]) -> None:
        """Fields for every recipient."""
        self.merge_by(syntax)
        self.weigh_fields(where, fields)
        for name, value in fields.items():
            self._fields.setdefault(name, value)

    def merge_fields_of(self, where: str, address: Address, fields: Mapping[str, str]) -> None:
        """Fields for one recipient whom the envelope, or another dialect, names."""
        self.weigh_fields(where, fields)
        _, known = self._of_recipients.setdefault(address.key, (address, {}))
        for name, value in fields.items():
            known.setdefault(name, value)
        if len(self._of_recipients) > MAX_RECIPIENTS:
            raise ControlsError(where, f"a message has at most {MAX_RECIPIENTS:,} recipients")

    def merge_by(self, syntax: MergeSyntax) -> None:
        """Merge tags of this syntax are looked for."""
        self._merge[syntax] = None

    def unescape(self, names: Iterable[str]) -> None:
        """The values of these merge fields go in as they are."""
        self._unescaped.update(dict.fromkeys(names))

    def as_html(self, name: str, value: str) -> str:
        """The value of a merge field in HTML, as far as the message has said by now."""
        is_html = name in self._unescaped or "*" in self._unescaped
        return value if is_html else html.escape(value)

    def weigh(self, where: str, characters: int) -> None:
        """So many characters of merge fields more."""
        self._fields_size += characters
        if self._fields_size > _MAX_FIELDS:
            raise ControlsError(
                where, f"the merge fields of all recipients have at most {_MAX_FIELDS:,} characters"
            )

    def weigh_fields(self, where: str, fields: Mapping[str, str]) -> None:
        """These merge fields more."""
        self.weigh(where, sum(map(len, fields.values())))
        self._names.update(fields)
        if len(self._names) > _MAX_NAMES:
            text = f"a message has merge fields of at most {_MAX_NAMES:,} different names"
            raise ControlsError(where, text)

    def replace_envelope(self, recipients: Iterable[RecipientOptions]) -> None:
        """These are the recipients, not the envelope's; the first such list stands."""
        if self._recipients is None:
            self._recipients = tuple(recipients)

    @property
    def replaces_envelope(self) -> bool:
        """Has a dialect named the recipients?"""
        return self._recipients is not None

    def add_recipient(self, where: str, name: str, address: Address) -> None:
        """This one gets the message too."""
        self._extra.setdefault(address.key, RecipientOptions(address, name))
        if len(self._extra) > _MAX_EXTRA:
            raise ControlsError(where, f"expected at most {_MAX_EXTRA} further recipients")

    def ignore(self, name: str) -> None:
        """A header or key that changes nothing here."""
        if len(self._unknown) < _MAX_UNKNOWN:
            self._unknown[harmless(name)[:_MAX_UNKNOWN_NAME]] = None

    def options(self) -> Options:
        """What was collected."""
        return Options(
            **self._values,
            tags=tuple(self._tags),
            metadata=self._metadata,
            fields=self._fields,
            merge=tuple(self._merge),
            unescaped=tuple(self._unescaped),
            recipients=self._all_recipients(),
            replaces_envelope=self._recipients is not None,
            extra_recipients=tuple(self._extra.values()),
            unknown=tuple(self._unknown),
        )

    def _all_recipients(self) -> tuple[RecipientOptions, ...]:
        if self._recipients is None:
            return tuple(
                RecipientOptions(address, "", fields)
                for address, fields in self._of_recipients.values()
            )
        if not self._of_recipients:
            return self._recipients
        return tuple(self._with_fields(one) for one in self._recipients)

    def _with_fields(self, recipient: RecipientOptions) -> RecipientOptions:
        more = self._of_recipients.get(recipient.address.key)
        return (
            recipient
            if more is None
            else replace(recipient, fields={**more[1], **recipient.fields})
        )
