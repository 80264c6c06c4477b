"""Messages: newest first, searched and filtered, a page at a time.

Pages follow each other by the id of the last message (keyset), so that they stay quick at any
depth and nothing moves while mail comes in. What has to be looked for in one message after the
other is looked for in the newest thousands, and further back when asked to. An unreadable filter
is as good as none.
"""

from __future__ import annotations

from urllib.parse import urlencode

from smtpplus.values.ids import id_milliseconds, parse_id, show_id
from smtpplus.values.message import DeliveryState
from smtpplus.web.context import Visit
from smtpplus.web.exchange import Response
from smtpplus.web.shell import Shell

__all__ = ["MOST_SEARCH", "MessagesPage"]

MOST_SEARCH = 200
_ROWS = 50


class MessagesPage:
    """The list of messages."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show(self, visit: Visit) -> Response:
        """One page of it."""
        query, scope = visit.asked.query, visit.scope
        users = await self._shell.ports.accounts.users(scope)
        search = query.get("q", "").strip()[:MOST_SEARCH]
        user = next((user for user in users if user.username == query.get("user")), None)
        state = next((state for state in DeliveryState if state.value == query.get("state")), None)
        before = parse_id(query.get("before", ""))
        history, user_id = self._shell.ports.history, user.id if user else None
        down_to = await history.reach(scope, search, user_id, state, before)
        rows = await history.messages(scope, search, user_id, state, before, _ROWS + 1, down_to)
        chosen = {
            "q": search,
            "user": user.username if user else "",
            "state": state.value if state else "",
        }
        filters = urlencode({key: value for key, value in chosen.items() if value})
        values = {
            "rows": rows[:_ROWS],
            "users": users,
            "states": list(DeliveryState),
            "chosen": chosen,
            "filters": filters,
            "is_first": before is None,
            "older": _older(filters, rows[_ROWS - 1].message.id) if len(rows) > _ROWS else "",
            "further": _older(filters, down_to) if down_to and len(rows) <= _ROWS else "",
            "looked_to": None if down_to is None else id_milliseconds(down_to) / 1000,
        }
        return self._shell.show(visit, "messages", values)


def _older(filters: str, last: int) -> str:
    return f"{filters}&before={show_id(last)}" if filters else f"before={show_id(last)}"
