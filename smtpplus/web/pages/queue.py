"""The queue: what waits, until when, and what was said last."""

from __future__ import annotations

from urllib.parse import urlencode

from smtpplus.values.ids import parse_id, show_id
from smtpplus.web.context import Visit
from smtpplus.web.exchange import Response
from smtpplus.web.pages.messages import MOST_SEARCH
from smtpplus.web.pages.queue_changes import CHANGED
from smtpplus.web.rights import may_change
from smtpplus.web.shell import Shell

__all__ = ["QueuePage"]

_ROWS = 50


class QueuePage:
    """Waiting deliveries, next due first."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show(self, visit: Visit) -> Response:
        """One page of it."""
        history, query = self._shell.ports.history, visit.asked.query
        search = query.get("q", "").strip()[:MOST_SEARCH]
        after = parse_id(query.get("after", ""))
        rows = await history.queue(visit.scope, search, after, _ROWS + 1)
        sizes = await history.queue_size(visit.scope)
        more = ""
        if len(rows) > _ROWS:
            more = urlencode({"q": search, "after": show_id(rows[_ROWS - 1].delivery_id)})
        values = {
            "may_change": may_change(visit),
            "users": await self._shell.ports.accounts.users(visit.scope),
            "did": _did(query),
            "rows": rows[:_ROWS],
            "sizes": {state.value: number for state, number in sizes.items()},
            "total": sum(sizes.values()),
            "search": search,
            "is_first": after is None,
            "more": more,
        }
        return self._shell.show(visit, "queue", values)


def _did(query: dict[str, str]) -> str:
    """What was just done, in words; "" where nothing was."""
    for change, words in CHANGED.items():
        number = query.get("n", "")
        if query.get("did") == change and number.isascii() and number.isdecimal():
            return f"{int(number[:9]):,} {'delivery' if number == '1' else 'deliveries'} {words}."
    return ""
