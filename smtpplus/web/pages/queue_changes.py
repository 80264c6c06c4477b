"""Hold, release, cancel and flush from the pages.

Guarantees: owners change what waits of their account, operators of all; analysts nothing. What
is not one recipient's, and every cancelling, is asked about first, with the number it concerns.
Raises `PageError`.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from smtpplus.values.address import to_ascii
from smtpplus.values.ids import parse_id, show_id
from smtpplus.values.queue import QueueChange, Selection
from smtpplus.web.context import Visit
from smtpplus.web.exchange import PageError, Response
from smtpplus.web.rights import check_may_change
from smtpplus.web.shell import Shell

__all__ = ["CHANGED", "QueueChangePages"]

CHANGED = {
    QueueChange.HOLD: "held",
    QueueChange.RELEASE: "released",
    QueueChange.CANCEL: "cancelled",
    QueueChange.FLUSH: "due now",
}
_ASKED = {
    QueueChange.HOLD: ("Hold", "They stay in the queue and are not tried until they are released."),
    QueueChange.RELEASE: ("Release", "They are tried at once; what is scheduled, at its time."),
    QueueChange.CANCEL: (
        "Cancel",
        "They are given up for good and nobody is told. An attempt that is under way goes on.",
    ),
    QueueChange.FLUSH: (
        "Try",
        "They are due at once instead of at their next try. What is scheduled waits for its time.",
    ),
}
_NOW = "They are scheduled, or may still be taken back: this sends them at once all the same."
_FIELDS = ("id", "domain", "user", "message", "scheduled")
_MOST_DOMAIN = 255


class QueueChangePages:
    """The question, and the deed."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def ask(self, visit: Visit) -> Response:
        """How many it would be, and a button."""
        fields = {**visit.asked.query}
        change, which = await self._wanted(visit, fields)
        verb, meaning = _ASKED[change]
        if which.scheduled:
            meaning = _NOW
        values = {
            "change": change.value,
            "verb": verb,
            "meaning": meaning,
            "number": await self._shell.ports.queue.would_change(change, which, visit.now),
            "whose": _whose(fields),
            "fields": {name: fields.get(name, "") for name in _FIELDS if fields.get(name)},
            "back": _back(fields, None, 0),
        }
        return self._shell.show(visit, "queue_change", values)

    async def do(self, visit: Visit) -> Response:
        """Do it, and go back to where it was asked for."""
        fields = visit.asked.form
        change, which = await self._wanted(visit, fields)
        ports = self._shell.ports
        changed = await ports.queue.change(change, which, visit.now, visit.who.email)
        ports.queue_changed()
        return self._shell.go(_back(fields, change, changed))

    async def _wanted(self, visit: Visit, fields: dict[str, str]) -> tuple[QueueChange, Selection]:
        scope = visit.scope
        check_may_change(visit, "the queue")
        change = next((one for one in QueueChange if one.value == fields.get("change")), None)
        if change is None:
            raise PageError(HTTPStatus.BAD_REQUEST, "Choose what to do with the deliveries.")
        given = fields.get("id", "")
        identifier = parse_id(given)
        if given and identifier is None:
            raise PageError(HTTPStatus.NOT_FOUND, "There is no such message.")
        user = fields.get("user", "")
        user_id = await self._user_id(scope, user) if user else None
        domain = to_ascii(fields.get("domain", "").strip().rstrip(".")[:_MOST_DOMAIN])
        return change, Selection(
            ids=() if identifier is None else (identifier,),
            domain=domain,
            user_id=user_id,
            account_id=scope,
            everything=not (given or domain or user),
            scheduled=bool(given and fields.get("scheduled")),
        )

    async def _user_id(self, scope: int | None, username: str) -> int:
        for user in await self._shell.ports.accounts.users(scope):
            if user.username == username:
                return user.id
        raise PageError(HTTPStatus.NOT_FOUND, "There is no such SMTP user.")


def _whose(fields: dict[str, str]) -> str:
    """Which deliveries, in words."""
    parts = []
    if domain := fields.get("domain", "").strip():
        parts.append(f"to {domain[:_MOST_DOMAIN]}")
    if user := fields.get("user", ""):
        parts.append(f"of SMTP user {user}")
    if fields.get("id"):
        parts.append("of this message")
    return " ".join(parts) or "in the whole queue"


def _back(fields: dict[str, str], change: QueueChange | None, changed: int) -> str:
    message = parse_id(fields.get("message", ""))
    if message is not None:
        return f"/messages/{show_id(message)}"
    return "/queue" if change is None else f"/queue?{urlencode({'did': change, 'n': changed})}"
