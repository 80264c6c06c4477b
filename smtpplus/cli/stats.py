"""``stats``."""

from __future__ import annotations

import time

import click

from smtpplus.cli.context import Context, command, pass_context
from smtpplus.cli.recipients import find_account
from smtpplus.cli.times import parse_time
from smtpplus.installation import run
from smtpplus.values.errors import UsageError
from smtpplus.web.figures import UNKNOWN, Figures, figures_by

__all__ = ["stats_command"]

_DAY = 86_400.0
_GROUPS = ("campaign", "user", "list", "provider", "day")
_COLUMNS = {
    "messages": "messages",
    "accepted": "accepted",
    "delivered": "delivered",
    "deferred": "deferred",
    "bounced": "bounced",
    "expired": "expired",
    "cancelled": "cancelled",
    "suppressed": "suppressed",
    "opened": "readers",
    "opens": "opens",
    "machine_opens": "machine_opens",
    "clicked": "clickers",
    "clicks": "clicks",
    "machine_clicks": "machine_clicks",
    "unsubscribed": "unsubscribed",
}
_SHOWN = (
    "accepted",
    "delivered",
    "deferred",
    "bounced",
    "cancelled",
    "opened",
    "clicked",
    "unsubscribed",
)


@command("stats")
@click.option("--by", type=click.Choice(_GROUPS), default="day", show_default=True)
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 3660))
@click.option("--since", default="", metavar="TIME", help="A date, or a duration such as 90d.")
@click.option("--until", default="", metavar="TIME", help="A date or time; now if not said.")
@click.option("--account", default="", help="Of this account alone.")
@pass_context
def stats_command(
    context: Context, by: str, days: int, since: str, until: str, account: str
) -> None:
    """How much was accepted, delivered, bounced, opened in the last days (UTC).

    Messages are submissions; the other columns count recipients, `deferred` each attempt.
    `opened` and `clicked` are mails in which a person did, each once; `opens` and `clicks` count
    every time, those of machines apart (all columns are in --json). `opened` is not known of
    lists in privacy mode. Times are whole hours. A provider is known when its servers are asked:
    by provider there is nothing of what was accepted.
    """
    now = time.time()
    start = parse_time(since, now, ahead=False) if since else (now // _DAY - (days - 1)) * _DAY
    end = parse_time(until, now, ahead=False) if until else now + 1
    if end <= start:
        raise UsageError("--until comes before --since.")
    with context.installation() as opened:
        scope = find_account(opened, account)
        found = run(opened.history.totals(scope, start, end, by))
    rows = [
        {by: one.name, **{column: _count(by, one, column) for column in _COLUMNS}}
        for one in figures_by(by, found)
    ]
    unknown = UNKNOWN.get(by, frozenset())
    context.show_rows((by, *(one for one in _SHOWN if one not in unknown)), rows)


def _count(by: str, figures: Figures, column: str) -> int | None:
    if column in UNKNOWN.get(by, ()):
        return None
    if column in {"bounced", "expired"}:  # here apart, on the pages one number
        return figures.sums.get(column, 0)
    found: int | None = getattr(figures, _COLUMNS[column])
    return found
