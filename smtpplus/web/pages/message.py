"""One message: its facts, its way, and for every recipient what became of it, and why.

Guarantees: a message of another account is not found (404), not forbidden; of many recipients so
many are shown at a time that a page is made at once. Raises `PageError`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from smtpplus.ports import AttemptRow, DeliveryRow
from smtpplus.rules.effective import settle
from smtpplus.rules.explained import as_of, explained
from smtpplus.values.ids import parse_id, show_id
from smtpplus.values.message import Event, Message
from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError, Response
from smtpplus.web.fate import fate
from smtpplus.web.rights import may_change
from smtpplus.web.shell import Shell
from smtpplus.web.steps import Answers, answers, steps
from smtpplus.web.words import moment

__all__ = ["MessagePage", "RecipientView"]

_ROWS = 100  # recipients
_MOST_ATTEMPTS = 500
_MOST_EVENTS = 300
_NOTHING = Answers()
_OPEN_UP_TO = 3  # recipients whose last attempt is unfolded at once


@dataclass(frozen=True, slots=True)
class RecipientView:
    """A recipient: state, reason in words, attempts (newest first), what was done with the mail.

    `left_alone` says what of the list's wishes could not be done to the last copy, and why.
    """

    row: DeliveryRow
    why: str
    attempts: Sequence[AttemptRow]
    did: Answers
    left_alone: Sequence[str]


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
        number = sum(row.states.values())
        after = parse_id(visit.asked.query.get("after", ""))
        found = await history.deliveries(row.message.id, after, _ROWS + 1)
        deliveries = found[:_ROWS]
        of = None if number <= _ROWS else [one.id for one in deliveries]
        attempts = await history.attempts(row.message.id, _MOST_ATTEMPTS, of)
        events = await history.events(row.message.id, _MOST_EVENTS, of)
        recipients = _recipients(deliveries, attempts, events)
        values = {
            "may_change": may_change(visit),
            "waiting": sum(n for state, n in row.states.items() if not state.is_final),
            "number": number,
            "is_first": after is None,
            "further": show_id(deliveries[-1].id) if len(found) > _ROWS else "",
            "row": row,
            "message": row.message,
            "recipients": recipients,
            "steps": steps(events, {one.id: one.address for one in deliveries}),
            "is_settled": all(state.is_final for state in row.states),
            "open_up_to": _OPEN_UP_TO if number <= _OPEN_UP_TO else 0,
            "too_many_attempts": len(attempts) == _MOST_ATTEMPTS,
            "too_many_events": len(events) == _MOST_EVENTS,
            **await self._held_for_it(row.message),
            "unknown": row.message.options.unknown,
        }
        return self._shell.show(visit, "message", values)

    async def _held_for_it(self, message: Message) -> dict[str, Any]:
        """What holds for the message, who said so and of when; none for a report of our own."""
        accounts = self._shell.ports.accounts
        user = await accounts.user_by_id(message.user_id)
        mail_list = await accounts.list_by_id(message.list_id)
        if user is None or mail_list is None:
            return {"held_for_it": ()}
        return {
            "held_for_it": explained(settle(message.options, user, mail_list), moment),
            "as_of": as_of(user, mail_list, message.received_at, moment),
        }


def _recipients(
    deliveries: Sequence[DeliveryRow], attempts: Sequence[AttemptRow], events: Sequence[Event]
) -> list[RecipientView]:
    by_delivery: dict[int, list[AttemptRow]] = defaultdict(list)
    for attempt in attempts:
        by_delivery[attempt.delivery_id].append(attempt)
    did = answers(events)
    return [
        RecipientView(
            row=row,
            why=fate(row),
            attempts=by_delivery[row.id][::-1],
            did=did.get(row.id, _NOTHING),
            left_alone=by_delivery[row.id][-1].attempt.notes if by_delivery[row.id] else (),
        )
        for row in deliveries
    ]
