"""``queue``: list, show, hold, release, cancel, flush."""

from __future__ import annotations

import time
from typing import Any

import click

from smtpplus.cli.context import Context, Group, moment, pass_context
from smtpplus.cli.queue_changes import change_commands
from smtpplus.cli.queue_ids import identifier as parsed
from smtpplus.cli.queue_ids import named
from smtpplus.installation import run
from smtpplus.ports import QueueRow
from smtpplus.values.errors import NotFoundError
from smtpplus.values.ids import show_id

__all__ = ["queue_command"]

_PAGE = 2000


@click.group("queue", cls=Group, invoke_without_command=True)
@click.pass_context
def queue_command(ctx: click.Context) -> None:
    """Deliveries that wait. Without a command: how many."""
    if ctx.invoked_subcommand is None:
        context: Context = ctx.find_root().obj
        with context.installation() as opened:
            sizes = run(opened.history.queue_size(None))
        context.show({state.value: count for state, count in sizes.items()})


@queue_command.command("list")
@click.option("--search", default="", help="Words of recipient, sender or subject; a domain.")
@click.option("--most", default=100, show_default=True, type=click.IntRange(1, 100_000))
@pass_context
def list_waiting(context: Context, search: str, most: int) -> None:
    """Waiting deliveries, next due first."""
    with context.installation() as opened:
        found = run(opened.history.queue(None, search, None, most))
    now = time.time()
    context.show_rows(
        ("delivery", "message", "recipient", "state", "scheduled", "attempts", "due", "last_reply"),
        [_row(row, now) for row in found],
    )


@queue_command.command("show")
@click.argument("identifier", metavar="ID")
@pass_context
def show(context: Context, identifier: str) -> None:
    """What still waits of a message, or a delivery that waits, by its id."""
    wanted = parsed(identifier)
    with context.installation() as opened:
        of_message = show_id(named(opened, wanted)[0].message_id)
        rows = run(opened.history.queue(None, of_message, None, _PAGE))
    found = [row for row in rows if wanted in {row.delivery_id, row.message_id}]
    if not found:
        raise NotFoundError(
            f"Nothing of {identifier} waits; see `smtpplus message show {of_message}`."
        )
    now = time.time()
    if context.as_json:
        context.show_rows((), [_row(row, now) for row in found])
        return
    for row in found:
        context.show(_row(row, now))
        click.echo()


for _change in change_commands():
    queue_command.add_command(_change)


def _row(row: QueueRow, now: float) -> dict[str, Any]:
    return {
        "delivery": show_id(row.delivery_id),
        "message": show_id(row.message_id),
        "recipient": row.address,
        "sender": row.sender,
        "subject": row.subject,
        "state": row.state.value,
        "scheduled": row.is_scheduled(now),
        "attempts": row.attempts,
        "queued": moment(row.queued_at),
        "due": moment(row.due_at),
        "in_delivery": row.leased,
        "last_reply": row.last_reply,
    }
