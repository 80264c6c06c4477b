"""``stats``."""

from __future__ import annotations

import time

import click

from smtpplus.cli.context import Context, command, pass_context
from smtpplus.installation import run

__all__ = ["stats_command"]

_METRICS = ("messages", "accepted", "delivered", "deferred", "bounced", "expired", "cancelled")
_DAY = 86_400.0


@command("stats")
@click.option("--by", type=click.Choice(["user", "list", "day"]), default="day", show_default=True)
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 3660))
@pass_context
def stats_command(context: Context, by: str, days: int) -> None:
    """How much was accepted, delivered, deferred, bounced in the last days (UTC).

    Messages are submissions; the other columns count recipients, `deferred` each attempt.
    """
    now = time.time()
    since = (now // _DAY - (days - 1)) * _DAY
    with context.installation() as opened:
        found = run(opened.history.totals(None, since, now + 1, by))
    rows = [
        {by: name, **{metric: sums.get(metric, 0) for metric in _METRICS}} for name, sums in found
    ]
    context.show_rows((by, *_METRICS), rows)
