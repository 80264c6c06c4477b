"""What a message asks for: everything its control headers may say, in one value.

Guarantees: frozen; None (or empty) means that the message did not say it, so that the SMTP user
and then the list answer (`smtpplus.rules.effective`). Texts that may land in a header are on one
line. The values are of plain types: they become JSON, and from JSON themselves again, without
code of their own. Does not decide anything and reads no header.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from smtpplus.values.address import Address

__all__ = ["NOTHING_SAID", "MergeSyntax", "Options", "RecipientOptions", "Utm"]


class MergeSyntax(enum.StrEnum):
    """How a message writes the place of a merge field called ``name``."""

    BRACKETS = "brackets"  # [name]
    DASHES = "dashes"  # the field's name as it is, marks and all: -name-, %name%, :name
    MANDRILL = "mandrill"  # *|NAME|*
    PERCENT = "percent"  # %recipient.name%


@dataclass(frozen=True, slots=True)
class Utm:
    """Parameters for a message's links; an empty one is not added.

    `domains`: only links to these hosts get them; empty means all links. A `Utm` with nothing
    in it says: none for this message.
    """

    source: str = ""
    medium: str = ""
    term: str = ""
    content: str = ""
    campaign: str = ""
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecipientOptions:
    """What is said of one recipient. `send_at` is Unix seconds; None: with the message."""

    address: Address
    name: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    send_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one message asks for. Times are Unix seconds, and may be past (then: at once).

    `recipients` are instead of the envelope's where `replaces_envelope`; otherwise they are
    facts about recipients that the envelope names, found by `Address.key`. The same address
    may stand in it twice, with different fields: two mails. `extra_recipients` join the
    envelope. `expires_after` is seconds after the time of sending.

    `footer_html` or `footer_text` means these texts instead of the list's, also where that has
    none, unless `footer` is False.
    `unescaped` names the merge fields whose values are HTML or URLs already (``*``: all).
    `open_tag` and `unsubscribe_tag` are texts in the body that the pixel and the unsubscribe
    address replace. `own_to`: each recipient sees itself alone in To. `drop`: accepted and
    counted, not delivered. `unknown` names headers and keys that were ignored.
    """

    campaign_code: str | None = None
    campaign_name: str | None = None
    tags: tuple[str, ...] = ()
    header: bool | None = None
    footer: bool | None = None
    footer_html: str | None = None
    footer_text: str | None = None
    track_opens: bool | None = None
    track_clicks_html: bool | None = None
    track_clicks_text: bool | None = None
    open_tag: str | None = None
    unsubscribe: bool | None = None
    unsubscribe_html: str | None = None
    unsubscribe_text: str | None = None
    unsubscribe_tag: str | None = None
    own_to: bool | None = None
    priority: int | None = None
    send_at: float | None = None
    expires_at: float | None = None
    expires_after: float | None = None
    recipients: tuple[RecipientOptions, ...] = ()
    replaces_envelope: bool = False
    extra_recipients: tuple[RecipientOptions, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    merge: tuple[MergeSyntax, ...] = ()
    skip_merge: bool | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    utm: Utm | None = None
    require_tls: bool | None = None
    bypass_suppression: bool | None = None
    drop: bool | None = None
    idempotency_key: str | None = None
    pool: str | None = None
    unescaped: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def said(self) -> dict[str, Any]:
        """The fields that say something, by name: what is worth keeping."""
        return {
            name: value
            for name in _NAMES
            if (value := getattr(self, name)) != getattr(NOTHING_SAID, name)
        }

    def by_key(self) -> dict[str, RecipientOptions]:
        """`recipients` by `Address.key`; of an address that stands there twice, the first."""
        found: dict[str, RecipientOptions] = {}
        for recipient in self.recipients:
            found.setdefault(recipient.address.key, recipient)
        return found


NOTHING_SAID = Options()
_NAMES = tuple(one.name for one in fields(Options))
