"""``queue hold``, ``release``, ``cancel``, ``flush``: commands of `smtpplus.cli.queue`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import click

from smtpplus.cli.addresses import mail_domain
from smtpplus.cli.context import Command, Context, pass_context
from smtpplus.cli.queue_ids import identifier, named
from smtpplus.installation import Installation, run
from smtpplus.values.errors import ConflictError, NotFoundError, UsageError
from smtpplus.values.ids import show_id
from smtpplus.values.message import DeliveryState
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
_CANCELLED = DeliveryState.CANCELLED


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
            for one in which.ids:
                named(opened, one)  # or it is refused
            if change is not QueueChange.CANCEL:
                _check_waits(opened, which, identifiers, now)
            changed = run(opened.queue.change(change, which, now, _BY))
            late = _too_late(opened, which) if change is QueueChange.CANCEL else _Late((), ())
            if change is QueueChange.FLUSH and which.ids and not scheduled:
                _tell_of_scheduled(context, run(_still_scheduled(opened, which, now)))
        context.show(
            {"change": change.value, "deliveries": changed},
            _DONE[change].format(n=_counted(changed)),
        )
        for text in late.in_part:
            context.note(text)
        if late.wholly:
            raise ConflictError(" ".join(late.wholly))

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
        ids=tuple(identifier(text) for text in identifiers),
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


class _Late(NamedTuple):
    """What came too late to be cancelled, in sentences: some deliveries of an id, or all."""

    in_part: Sequence[str]
    wholly: Sequence[str]


def _too_late(opened: Installation, which: Selection) -> _Late:
    """What of `which` had come to another end before it was cancelled."""
    in_part: list[str] = []
    wholly: list[str] = []
    for one in which.ids:
        rows = named(opened, one)
        ended = [row for row in rows if row.state.is_final and row.state is not _CANCELLED]
        if ended:
            states = Counter(row.state for row in ended)
            how = ", ".join(f"{state.value} ({_counted(n)})" for state, n in states.items())
            text = f"It is too late to cancel {show_id(one)}: already {how}."
            (wholly if len(ended) == len(rows) else in_part).append(text)
    return _Late(in_part, wholly)


def _confirm(context: Context, count: int) -> None:
    if context.as_json and count:
        raise UsageError(f"This would cancel {count} deliveries: say --yes.")
    if not count:
        return
    click.confirm(f"Cancel {count} deliveries for good?", abort=True, err=True)
