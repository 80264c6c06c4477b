"""A message's events as lines of a timeline, and what its recipients did with it.

Guarantees: pure; every event gets a line, also one of a kind that this version does not know;
texts from outside are cut to a length and stay what they are (the templates escape them). Opens
and clicks of persons are told apart from those of machines (W4, W5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smtpplus.rules.opens import OpenClass
from smtpplus.values.message import Event, EventType

__all__ = ["Answers", "Step", "answers", "steps", "who"]

_MOST_TEXT = 300
_LABELS = {
    EventType.ACCEPTED: "Accepted",
    EventType.DELIVERED: "Delivered",
    EventType.DEFERRED: "Deferred",
    EventType.BOUNCED: "Bounced",
    EventType.EXPIRED: "Given up",
    EventType.CANCELLED: "Cancelled",
    EventType.HELD: "Held back",
    EventType.RELEASED: "Released",
    EventType.REPORTED: "Reported to the sender",
    EventType.SUPPRESSED: "Not sent: suppressed",
    EventType.OPENED: "Opened",
    EventType.CLICKED: "Clicked",
    EventType.UNSUBSCRIBED: "Unsubscribed",
    EventType.RESUBSCRIBED: "Subscribed again",
}
_WHO = {
    OpenClass.PERSON.value: "a person",
    OpenClass.PRIVACY_PROXY.value: "through a privacy proxy",
    OpenClass.PREFETCH.value: "fetched ahead by a mail program",
    OpenClass.SCANNER.value: "a scanner",
    OpenClass.UNKNOWN.value: "unknown",
}
_RESPONSES = frozenset(
    {EventType.OPENED, EventType.CLICKED, EventType.UNSUBSCRIBED, EventType.RESUBSCRIBED}
)


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the timeline. `about` is what a recipient did: a link, an agent, a reason."""

    at: float
    key: str
    label: str
    address: str
    note: str
    about: str = ""
    is_machine: bool = False


@dataclass(slots=True)
class Answers:
    """What one recipient did with the mail; Unix seconds, None: never."""

    opens: int = 0
    clicks: int = 0
    machines: int = 0
    opened_at: float | None = None
    clicked_at: float | None = None
    unsubscribed_at: float | None = None


def who(by: str) -> str:
    """The class of who opened or clicked, in words."""
    return _WHO.get(by.replace(" ", "_"), _short(by))


def steps(events: Iterable[Event], addresses: Mapping[int, str]) -> list[Step]:
    """The timeline; `addresses` are the recipients' by delivery."""
    in_order = sorted(events, key=lambda event: event.at)  # responses are written in groups
    return [_step(event, addresses.get(event.delivery_id or 0, "")) for event in in_order]


def answers(events: Iterable[Event]) -> dict[int, Answers]:
    """What recipients did, by delivery."""
    found: dict[int, Answers] = {}
    for event in events:
        if event.delivery_id is None or event.type not in _RESPONSES:
            continue
        one = found.setdefault(event.delivery_id, Answers())
        if event.type is EventType.UNSUBSCRIBED:
            one.unsubscribed_at = event.at
        elif event.type is EventType.RESUBSCRIBED:
            one.unsubscribed_at = None
        elif _is_machine(event.detail):
            one.machines += _times(event)
        elif event.type is EventType.OPENED:
            one.opens += _times(event)
            one.opened_at = event.at if one.opened_at is None else one.opened_at
        else:
            one.clicks += _times(event)
            one.clicked_at = event.at if one.clicked_at is None else one.clicked_at
    return found


def _step(event: Event, address: str) -> Step:
    kind, detail = event.type, event.detail
    is_response = kind in {EventType.OPENED, EventType.CLICKED}
    note = who(_text(detail, "by")) if is_response else _text(detail, "status", "by")
    number = _times(event)
    if is_response and number > 1:
        note = f"{note}, {number} times"
    return Step(
        at=event.at,
        key=kind.value,
        label=_LABELS.get(kind, kind.value.capitalize()),
        address=address,
        note=note,
        about=_about(kind, detail),
        is_machine=is_response and _is_machine(detail),
    )


def _about(kind: EventType, detail: Mapping[str, Any]) -> str:
    if kind is EventType.CLICKED:
        return _text(detail, "target")
    if kind is EventType.OPENED:
        return _text(detail, "agent")
    if kind is EventType.DELIVERED:
        return ""
    return _text(detail, "why", "reason", "withheld", "text")


def _is_machine(detail: Mapping[str, Any]) -> bool:
    return str(detail.get("by") or OpenClass.PERSON.value) != OpenClass.PERSON.value


def _times(event: Event) -> int:
    number = event.detail.get("n", 1)
    return number if isinstance(number, int) and number > 0 else 1


def _text(detail: Mapping[str, Any], *names: str) -> str:
    return _short(str(next((detail[name] for name in names if detail.get(name)), "")))


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
