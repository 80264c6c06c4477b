"""A message and its deliveries, as they are queued; events as they are kept."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smtpplus.values.envelope import Envelope, EnvelopeRecipient
from smtpplus.values.made_quickly import made_quickly
from smtpplus.values.options import NOTHING_SAID, Options
from smtpplus.values.outcome import Attempt, Outcome

__all__ = [
    "Accepted",
    "Delivery",
    "DeliveryState",
    "Event",
    "EventType",
    "Message",
    "NewDelivery",
    "Settlement",
]


class DeliveryState(enum.StrEnum):
    """Every delivery ends in exactly one of the last four."""

    __hash__ = str.__hash__  # Enum's own is slow, and in Python

    QUEUED = "queued"
    HELD = "held"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Is this delivery over?"""
        return self not in _UNSETTLED


_UNSETTLED = (DeliveryState.QUEUED, DeliveryState.HELD)


class EventType(enum.StrEnum):
    """An immutable fact; later issues add more."""

    __hash__ = str.__hash__

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    HELD = "held"
    RELEASED = "released"
    REPORTED = "reported"  # a DSN was queued for the envelope sender
    SUPPRESSED = "suppressed"  # accepted and not mailed: a suppression holds
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"


@made_quickly
@dataclass(frozen=True, slots=True)
class Message:
    """One accepted submission. Its content is ``head + body`` as submitted.

    What is sent is ``prepend + head without cuts + body``: `prepend` is what we add (Received,
    Date, Message-ID), `cuts` are (start, end) octet spans of the head that are left out (Bcc).
    `head_octets` is where the body begins, the empty line belonging to the head.
    `campaign` is the key of the bucket it is counted in, `campaign_name` what people call it.
    `options` is what it asked for by its control headers; which of them hold is settled anew
    for each copy (`smtpplus.rules.effective`).
    `expires_at` is when its deliveries are given up, Unix seconds. `utf8_head`: the head holds
    octets that need SMTPUTF8; `long_lines`: a line has more than 998 octets. `crc32` is that of
    the content, so that one which a disk has changed is not sent (D15); None: it is not known.
    """

    id: int
    account_id: int
    list_id: int
    user_id: int
    received_at: float
    expires_at: float
    envelope: Envelope
    header_from: str
    from_domain: str
    subject: str
    message_id: str
    octets: int
    head_octets: int
    prepend: bytes
    cuts: tuple[tuple[int, int], ...] = ()
    eight_bit: bool = False
    long_lines: bool = False
    utf8_head: bool = False
    in_file: bool = False
    client_ip: str = ""
    hello: str = ""
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384", empty without TLS
    mechanism: str = ""  # AUTH mechanism, "network" where `networks` let it in, "" our own
    campaign: str = ""
    campaign_name: str = ""
    priority: int = 3
    options: Options = NOTHING_SAID
    crc32: int | None = None


@made_quickly
@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery at birth; `id` and `recipient` in the order of the RCPT commands.

    `name` and `fields` are what the message says of this recipient (To header, merge data).
    `due_at` later than the message's schedules this one: it is not leased at birth. `withheld`
    is why it is not mailed at all (a suppression, a test): it is born cancelled, with an event
    that says so, and before that one of type `withheld_as` where it is another.
    """

    id: int
    recipient: EnvelopeRecipient
    name: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    due_at: float | None = None
    withheld: str = ""
    withheld_as: EventType = EventType.SUPPRESSED


@made_quickly
@dataclass(frozen=True, slots=True)
class Accepted:
    """All that the accept transaction writes.

    `content` is None where the content stands in a synced file of the queue directory.
    With `leased` the new deliveries belong to this node at once; else they wait to be claimed.
    `due_at` later than `message.received_at` schedules them. `reports_on` is the message
    whose failure this one (a DSN) reports. `once` names the submission where another one of the
    same user and name, before `once_until`, is this one again: it is not accepted twice.
    """

    message: Message
    deliveries: tuple[NewDelivery, ...]
    content: bytes | None
    leased: bool
    due_at: float
    reports_on: int | None = None
    once: str = ""
    once_until: float = 0.0

    @property
    def at_once(self) -> tuple[NewDelivery, ...]:
        """Those that may leave now, neither scheduled nor withheld: they alone are leased."""
        if len(self.deliveries) == 1 and self.goes_now(self.deliveries[0]):  # the usual case
            return self.deliveries
        return tuple([new for new in self.deliveries if self.goes_now(new)])

    def goes_now(self, new: NewDelivery) -> bool:
        """May this one leave now?"""
        due_at = self.due_at if new.due_at is None else new.due_at
        return not new.withheld and due_at <= self.message.received_at


@made_quickly
@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one recipient, leased to this node to be attempted."""

    id: int
    message: Message
    recipient: EnvelopeRecipient
    attempts: int
    due_at: float
    delay_reported: bool = False
    name: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        """Where it goes, in lower-case A-labels."""
        return self.recipient.address.ascii_domain


@made_quickly
@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt changes: the delivery's new state, and what is kept of the attempt.

    `due_at` is set where `state` is queued (deferred). `delay_reported` marks that the delay
    DSN was queued. A settlement of an already final delivery changes nothing.
    """

    delivery: Delivery
    state: DeliveryState
    at: float
    outcome: Outcome
    attempt: Attempt | None
    due_at: float | None = None
    delay_reported: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An immutable fact with a time-ordered id; `detail` is small and JSON-able."""

    id: int
    type: EventType
    at: float
    account_id: int
    list_id: int
    user_id: int
    message_id: int
    delivery_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)
