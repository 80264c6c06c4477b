"""Statistics: what was sent and what came of it, by campaign, SMTP user, list, provider or day.

Guarantees: charts, table and CSV come from the same counters; recipients are counted, not
messages. A provider's row has nothing of what was accepted: it is known when its servers are
asked. An unreadable filter is as good as none.
"""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred, gatherResults

from smtpplus.web.context import Visit
from smtpplus.web.exchange import Response
from smtpplus.web.figures import UNKNOWN, Figures, figures_by, table_csv
from smtpplus.web.mail_charts import mail_charts, response_charts
from smtpplus.web.shell import Shell
from smtpplus.web.spans import SPANS, span_of, times

__all__ = ["GROUPS", "StatisticsPages"]

_MOST_ROWS = 100
GROUPS = (
    ("campaign", "Campaigns"),
    ("user", "SMTP users"),
    ("list", "Lists"),
    ("provider", "Providers"),
    ("day", "Days"),
)


class StatisticsPages:
    """The page, and the same as a file."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show(self, visit: Visit) -> Response:
        """Charts and a table."""
        history, scope = self._shell.ports.history, visit.scope
        by, span = _group(visit), span_of(visit.asked.query.get("range", ""), "30d")
        since, until = span.bounds(visit.now)
        # Both at once: the store has several readers.
        both: tuple[Coroutine[Any, Any, Any], ...] = (
            history.counters(scope, since, until, span.step),
            self._rows(visit, by, since, until),
        )
        begun = [Deferred.fromCoroutine(one) for one in both]
        counters, rows = await gatherResults(begun, consumeErrors=True)
        titles, labels = times(span, since)
        total = Figures("All", {name: sum(values) for name, values in counters.items()})
        values = {
            "by": by,
            "unknown": UNKNOWN.get(by, ()),
            "groups": GROUPS,
            "span": span,
            "spans": SPANS,
            "rows": rows[:_MOST_ROWS],
            "left_out": max(len(rows) - _MOST_ROWS, 0),
            "total": total,
            "sent": mail_charts(counters, titles, labels),
            "answered": response_charts(counters, titles, labels),
            "query": urlencode({"by": by, "range": span.key}),
        }
        return self._shell.show(visit, "statistics", values)

    async def download(self, visit: Visit) -> Response:
        """All rows as CSV (RFC 4180)."""
        by, span = _group(visit), span_of(visit.asked.query.get("range", ""), "30d")
        since, until = span.bounds(visit.now)
        rows = await self._rows(visit, by, since, until)
        name = f"smtpplus-{by}-{_date(since)}-to-{_date(visit.now)}.csv"
        # Of a policy by subject there may be tens of thousands: not for the reactor's thread.
        table = await self._shell.ports.workers.run(table_csv, by, rows)
        return Response(
            table,
            content_type="text/csv; charset=utf-8; header=present",
            headers=(("Content-Disposition", f'attachment; filename="{name}"'),),
        )

    async def _rows(self, visit: Visit, by: str, since: float, until: float) -> list[Figures]:
        found = await self._shell.ports.history.totals(visit.scope, since, until, by)
        return figures_by(by, found)


def _group(visit: Visit) -> str:
    wanted = visit.asked.query.get("by")
    return wanted if wanted in dict(GROUPS) else GROUPS[0][0]


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
