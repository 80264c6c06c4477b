"""``queue hold``, ``release``, ``cancel``, ``flush``: commands of `smtpplus.cli.queue`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from smtpplus.cli.addresses import mail_domain
from smtpplus.cli.context import Command, Context, pass_context
from smtpplus.installation import Installation, run
from smtpplus.values.errors import NotFoundError, UsageError
from smtpplus.values.ids import parse_id
from smtpplus.values.queue import QueueChange, Selection

__all__ = ["change_commands"]

_HELP = {
    QueueChange.HOLD: "Hold what waits: it is not tried until it is released.",
    QueueChange.RELEASE: "Release what is held: it is due now, or at its time of sending.",
    QueueChange.CANCEL: "Cancel what waits, for good; nobody is told.",
    QueueChange.FLUSH: "Make what waits for its next try due now, but for what is scheduled.",
}
_DONE = {
    QueueChange.HOLD: "Held {n}.",
    QueueChange.RELEASE: "Released {n}.",
    QueueChange.CANCEL: "Cancelled {n}.",
    QueueChange.FLUSH: "{n} due now.",
}
_BY = "command line"


def change_commands() -> list[click.Command]:
    """One command for each change."""
    return [_command(change) for change in QueueChange]


def _command(change: QueueChange) -> click.Command:
    @pass_context
    def call(
        context: Context,
        identifiers: tuple[str, ...],
        domain: str,
        user: str,
        everything: bool,
        scheduled: bool,
        yes: bool,
    ) -> None:
        now = time.time()
        with context.installation() as opened:
            which = _selection(opened, identifiers, domain, user, everything)
            if scheduled:
                which = _with_scheduled(which)
            if change is QueueChange.CANCEL and not which.ids and not yes:
                _confirm(context, run(opened.queue.would_change(change, which, now)))
            _check_waits(opened, which, identifiers, now)
            changed = run(opened.queue.change(change, which, now, _BY))
            if change is QueueChange.FLUSH and which.ids and not scheduled:
                _tell_of_scheduled(context, run(_still_scheduled(opened, which, now)))
        context.show(
            {"change": change.value, "deliveries": changed},
            _DONE[change].format(n=_counted(changed)),
        )

    callback: Callable[..., Any] = call
    parameters: list[click.Parameter] = [
        click.Argument(["identifiers"], nargs=-1, metavar="[ID]..."),
        click.Option(["--domain"], default="", help="All to this recipient domain."),
        click.Option(["--user"], default="", help="All of this SMTP user."),
        click.Option(["--all", "everything"], is_flag=True, help="Everything that waits."),
    ]
    scheduled = click.Option(
        ["--scheduled"],
        is_flag=True,
        help="Of the IDs, also what is scheduled or may still be taken back: it is sent at once.",
    )
    scheduled.hidden = change is not QueueChange.FLUSH
    yes = click.Option(["--yes"], is_flag=True, help="Do not ask.")
    yes.hidden = change is not QueueChange.CANCEL
    return Command(
        change.value,
        callback=callback,
        params=[*parameters, scheduled, yes],
        help=f"{_HELP[change]} ID is a delivery's or a message's.",
    )


def _selection(
    opened: Installation, identifiers: tuple[str, ...], domain: str, user: str, everything: bool
) -> Selection:
    if not (identifiers or domain or user or everything):
        raise UsageError("Name ids of deliveries or messages, --domain, --user or --all.")
    if everything and (identifiers or domain or user):
        raise UsageError("--all stands alone.")
    user_id = None
    if user:
        found = run(opened.accounts.user_by_name(user))
        if found is None:
            raise NotFoundError(f"There is no SMTP user {user}.")
        user_id = found.id
    return Selection(
        ids=tuple(_id(text) for text in identifiers),
        domain=mail_domain(domain) if domain else "",
        user_id=user_id,
        everything=everything,
    )


def _check_waits(
    opened: Installation, which: Selection, identifiers: tuple[str, ...], now: float
) -> None:
    """What is held already may be held again; an id under which nothing waits is a mistake."""
    if which.ids and not run(opened.queue.would_change(QueueChange.CANCEL, which, now)):
        raise NotFoundError(
            f"Nothing waits under {', '.join(identifiers)}; see `smtpplus queue list`, or "
            "`smtpplus message show ID` for what became of it."
        )


def _with_scheduled(which: Selection) -> Selection:
    if not which.ids:
        raise UsageError("--scheduled goes with the ids of deliveries or messages.")
    return replace(which, scheduled=True)


async def _still_scheduled(opened: Installation, which: Selection, now: float) -> int:
    """What of `which` could be flushed still."""
    return await opened.queue.would_change(QueueChange.FLUSH, replace(which, scheduled=True), now)


def _tell_of_scheduled(context: Context, number: int) -> None:
    if number:
        context.note(
            f"{_counted(number)} scheduled, or to be taken back still: --scheduled sends it now."
        )


def _counted(number: int) -> str:
    return f"{number} {'delivery' if number == 1 else 'deliveries'}"


def _id(text: str) -> int:
    found = parse_id(text)
    if found is None:
        raise NotFoundError(f"{text} is no id: those have 13 letters and digits.")
    return found


def _confirm(context: Context, count: int) -> None:
    if context.as_json and count:
        raise UsageError(f"This would cancel {count} deliveries: say --yes.")
    if not count:
        return
    click.confirm(f"Cancel {count} deliveries for good?", abort=True, err=True)
