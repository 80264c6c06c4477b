"""One message: its facts, its way, and for every recipient what became of it, and why.

Guarantees: a message of another account is not found (404), not forbidden. Raises `PageError`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from smtpplus.ports import AttemptRow, DeliveryRow
from smtpplus.values.ids import parse_id
from smtpplus.values.message import DeliveryState, Event, EventType
from smtpplus.values.outcome import Result
from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError, Response
from smtpplus.web.explain import explain
from smtpplus.web.pages.queue_changes import may_change
from smtpplus.web.shell import Shell

__all__ = ["MessagePage", "RecipientView", "Step"]

_MOST_ATTEMPTS = 500
_MOST_EVENTS = 300
_OPEN_UP_TO = 3  # recipients whose last attempt is unfolded at once

_STEPS = {
    EventType.ACCEPTED: "Accepted",
    EventType.DELIVERED: "Delivered",
    EventType.DEFERRED: "Deferred",
    EventType.BOUNCED: "Bounced",
    EventType.EXPIRED: "Given up",
    EventType.CANCELLED: "Cancelled",
    EventType.HELD: "Held back",
    EventType.RELEASED: "Released",
    EventType.REPORTED: "Reported to the sender",
}


@dataclass(frozen=True, slots=True)
class RecipientView:
    """A recipient: state, reason in words, attempts (newest first)."""

    row: DeliveryRow
    why: str
    attempts: Sequence[AttemptRow]


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the timeline."""

    at: float
    key: str
    label: str
    address: str
    note: str


class MessagePage:
    """The page of a message."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show(self, visit: Visit) -> Response:
        """The page, or 404."""
        history = self._shell.ports.history
        identifier = parse_id(visit.parameters["id"])
        row = None
        if identifier is not None:
            row = await history.message(visit.scope, identifier)
        if row is None:
            raise PageError(
                HTTPStatus.NOT_FOUND,
                "There is no such message. It may have been removed when its time was over.",
            )
        deliveries = await history.deliveries(row.message.id)
        attempts = await history.attempts(row.message.id, _MOST_ATTEMPTS)
        events = await history.events(row.message.id, _MOST_EVENTS)
        recipients = _recipients(deliveries, attempts)
        values = {
            "may_change": may_change(visit),
            "waiting": sum(not delivery.state.is_final for delivery in deliveries),
            "row": row,
            "message": row.message,
            "recipients": recipients,
            "steps": _steps(events, deliveries),
            "is_settled": all(delivery.state.is_final for delivery in deliveries),
            "open_up_to": _OPEN_UP_TO if len(recipients) <= _OPEN_UP_TO else 0,
            "too_many_attempts": len(attempts) == _MOST_ATTEMPTS,
        }
        return self._shell.show(visit, "message", values)


def _recipients(
    deliveries: Sequence[DeliveryRow], attempts: Sequence[AttemptRow]
) -> list[RecipientView]:
    by_delivery: dict[int, list[AttemptRow]] = defaultdict(list)
    for attempt in attempts:
        by_delivery[attempt.delivery_id].append(attempt)
    return [RecipientView(row, _why(row), by_delivery[row.id][::-1]) for row in deliveries]


def _why(row: DeliveryRow) -> str:
    if row.state is DeliveryState.CANCELLED:
        if row.last_outcome is not None and row.last_outcome.result is Result.DELIVERED:
            return "Cancelled while it was being sent, and the mail server took it all the same."
        return "Cancelled before it was delivered."
    if row.last_outcome is None:
        return "Held back." if row.state is DeliveryState.HELD else "Waits for its first attempt."
    sentence = explain(row.last_outcome, row.address)
    if row.state is DeliveryState.HELD:
        return f"Held back. The last attempt: {sentence}"
    if row.state is DeliveryState.EXPIRED:
        return f"Given up: it could not be delivered in time. The last attempt: {sentence}"
    return sentence


def _steps(events: Sequence[Event], deliveries: Sequence[DeliveryRow]) -> list[Step]:
    addresses = {delivery.id: delivery.address for delivery in deliveries}
    return [
        Step(
            at=event.at,
            key=event.type.value,
            label=_STEPS[event.type],
            address=addresses.get(event.delivery_id or 0, ""),
            note=str(event.detail.get("status") or event.detail.get("by") or ""),
        )
        for event in events
    ]
