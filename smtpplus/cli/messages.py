"""``message``: show."""

from __future__ import annotations

from typing import Any

import click

from smtpplus.cli.context import Context, Group, moment, pass_context
from smtpplus.installation import Installation, run
from smtpplus.ports import AttemptRow, DeliveryRow, MessageRow
from smtpplus.rules.effective import settle
from smtpplus.rules.explained import as_of, explained
from smtpplus.values.errors import NotFoundError
from smtpplus.values.ids import parse_id, show_id
from smtpplus.values.message import Event, Message

__all__ = ["message_command", "story"]

_MOST = 1000


@click.group("message", cls=Group)
def message_command() -> None:
    """Messages and what became of them."""


@message_command.command("show")
@click.argument("identifier", metavar="ID")
@click.option("--transcripts", is_flag=True, help="Print what was said in each attempt.")
@pass_context
def show(context: Context, identifier: str, transcripts: bool) -> None:
    """A message: what it asked for and who decided, its recipients, each attempt, each event."""
    wanted = parse_id(identifier)
    if wanted is None:
        raise NotFoundError(f"{identifier} is no message id: those have 13 letters and digits.")
    with context.installation() as opened:
        found = story(opened, wanted)
    if context.as_json:
        context.show(found)
        return
    context.show(found["message"])
    for title in ("options", "deliveries", "attempts", "events"):
        click.echo(f"\n{title.capitalize()}")
        context.show_rows(_COLUMNS[title], [_readable(row) for row in found[title]])
        if title == "options" and found["options_as_of"]:
            click.echo(found["options_as_of"])
    if transcripts:
        for attempt in found["attempts"]:
            context.show({}, f"\n{attempt['at']} {attempt['host']}\n{attempt['transcript']}")


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    """With the times in an event's detail as people read them."""
    detail = row.get("detail")
    if not isinstance(detail, dict):
        return row
    times = {name: moment(one) for name, one in detail.items() if name.endswith("_at")}
    return {**row, "detail": {**detail, **times}}


_COLUMNS = {
    "options": ("option", "value", "decided_by"),
    "deliveries": ("recipient", "state", "attempts", "due", "settled", "reply"),
    "attempts": (
        "at",
        "recipient",
        "result",
        "stage",
        "host",
        "ip",
        "tls",
        "took_ms",
        "reply",
        "left_alone",
    ),
    "events": ("at", "event", "recipient", "detail"),
}


def story(opened: Installation, message_id: int) -> dict[str, Any]:
    """All that is known of a message, for JSON.

    Raises:
        NotFoundError: there is no such message.
    """
    history = opened.history
    row = run(history.message(None, message_id))
    if row is None:
        raise NotFoundError(f"There is no message {show_id(message_id)}.")
    deliveries = run(history.deliveries(message_id))
    names = {delivery.id: delivery.address for delivery in deliveries}
    return {
        "message": _message(row),
        **_options(opened, row.message),
        "deliveries": [_delivery(one) for one in deliveries],
        "attempts": [_attempt(one, names) for one in run(history.attempts(message_id, _MOST))],
        "events": [_event(one, names) for one in run(history.events(message_id, _MOST))],
    }


def _message(row: MessageRow) -> dict[str, Any]:
    message = row.message
    return {
        "id": show_id(message.id),
        "user": row.username,
        "list": row.list_name,
        "received": moment(message.received_at),
        "expires": moment(message.expires_at),
        "sender": str(message.envelope.sender) if message.envelope.sender else "<>",
        "from": message.header_from,
        "subject": message.subject,
        "campaign": message.campaign_name or message.campaign,
        "priority": message.priority,
        "message_id": message.message_id,
        "octets": message.octets,
        "client_ip": message.client_ip,
        "hello": message.hello,
        "tls": message.tls,
        "auth": message.mechanism,
        "states": {state.value: count for state, count in row.states.items()},
    }


def _options(opened: Installation, message: Message) -> dict[str, Any]:
    """What holds for it, and of when that is; none for a report of our own."""
    user = run(opened.accounts.user_by_id(message.user_id))
    mail_list = run(opened.accounts.list_by_id(message.list_id))
    if user is None or mail_list is None:
        return {"options": [], "options_as_of": None}
    found = explained(settle(message.options, user, mail_list), lambda at: moment(at) or "")
    rows = [{"option": one.key, "value": one.text, "decided_by": one.level.value} for one in found]
    ignored = [{"option": name, "value": "not known here"} for name in message.options.unknown]
    rows += [{**one, "decided_by": "message"} for one in ignored]
    about = as_of(user, mail_list, message.received_at, lambda at: moment(at) or "")
    return {"options": rows, "options_as_of": about}


def _delivery(row: DeliveryRow) -> dict[str, Any]:
    outcome = row.last_outcome
    return {
        "id": show_id(row.id),
        "recipient": row.address,
        "state": row.state.value,
        "attempts": row.attempts,
        "due": moment(row.due_at),
        "settled": moment(row.settled_at),
        "reply": row.withheld or (outcome and str(outcome.reply or outcome.text)) or None,
        "status": None if outcome is None else str(outcome.status),
        "provider": row.provider,
    }


def _attempt(row: AttemptRow, names: dict[int, str]) -> dict[str, Any]:
    attempt, outcome = row.attempt, row.outcome
    return {
        "at": moment(attempt.started_at),
        "recipient": names.get(row.delivery_id),
        "result": outcome.result.value,
        "stage": outcome.stage.value,
        "status": str(outcome.status),
        "reply": str(outcome.reply or outcome.text),
        "host": attempt.host,
        "ip": attempt.ip,
        "port": attempt.port,
        "tls": f"{attempt.tls.version} {attempt.tls.cipher}" if attempt.tls else None,
        "signed_by": attempt.signed_by,
        "took_ms": attempt.took_ms,
        "left_alone": attempt.notes,
        "transcript": attempt.transcript,
    }


def _event(event: Event, names: dict[int, str]) -> dict[str, Any]:
    about = event.delivery_id
    return {
        "at": moment(event.at),
        "event": event.type.value,
        "recipient": names.get(about) if about is not None else None,
        "detail": event.detail,
    }
