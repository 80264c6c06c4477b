"""The log's lines about mail: one per accepted message, one per outcome of a delivery.

They go past twisted.logger and its observers, which take ten times as long as the line itself.
Guarantees: the same shape as every other line; nothing where the level is above info; what
peers said is bounded and escaped (S17). Does not log what is refused: the conversation does.
Raises nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from twisted.logger import Logger

from smtpplus.log.events import LeastLevel
from smtpplus.log.lines import Moments, cut, line
from smtpplus.ports import ISpawn
from smtpplus.values.address import Address
from smtpplus.values.errors import SmtpplusError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Accepted, DeliveryState, Settlement
from smtpplus.values.outcome import Stage
from smtpplus.values.submission import SmtpUser

__all__ = ["MailLog", "UserNames"]

_SOURCE = "smtpplus.mail"
_EVENTS = {state: state.value if state.is_final else "deferred" for state in DeliveryState}
_STAGES = {stage: stage.value for stage in Stage}
_MOST_REPLY = 1_000  # characters
_MOST_NAMELESS = 1_000  # lines that wait for a name


class UserNames:
    """Names of SMTP users by id, for good: a user is not renamed.

    They are read together, when one is missed.
    """

    def __init__(self, read: Callable[[], Awaitable[Sequence[SmtpUser]]], spawn: ISpawn) -> None:
        self._read = read
        self._spawn = spawn
        self._names: dict[int, str] = {}
        self._waiting: list[Callable[[], None]] = []

    def __getitem__(self, user_id: int) -> str | None:
        """The name, "" where there is no such user; None: ask again by `when_read`."""
        return self._names.get(user_id)

    def when_read(self, user_id: int, call: Callable[[], None]) -> None:
        """Read the names, then call; at once where too much waits already."""
        if len(self._waiting) >= _MOST_NAMELESS:
            call()
            return
        self._waiting.append(call)
        if len(self._waiting) == 1:
            self._spawn.spawn("names of users", self._read_names(user_id))

    async def _read_names(self, missed: int) -> None:
        try:
            self._names.update((user.id, user.username) for user in await self._read())
            self._names.setdefault(missed, "")
        except SmtpplusError:
            pass  # the lines go without
        finally:
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()


class MailLog:
    """Writes to `put` what `least` lets pass."""

    _log = Logger()

    def __init__(self, put: Callable[[str], object], least: LeastLevel, names: UserNames) -> None:
        self._put = put
        self._least = least
        self._names = names
        self._moment = Moments()

    def accepted(self, accepted: Accepted) -> None:
        """A message was committed: somebody's, or a report of ours."""
        if self._least.passes_info:
            try:
                self._accepted(accepted)
            except Exception:  # noqa: BLE001 - the message is accepted all the same
                self._log.failure("A message's line of the log is missing")

    def settled(self, settlements: Iterable[Settlement]) -> None:
        """Outcomes were committed."""
        if self._least.passes_info:
            try:
                for settlement in settlements:
                    self._settled(settlement)
            except Exception:  # noqa: BLE001 - they are settled all the same
                self._log.failure("An outcome's line of the log is missing")

    def _accepted(self, accepted: Accepted) -> None:
        message = accepted.message
        count = len(accepted.deliveries)
        recipient = str(accepted.deliveries[0].recipient.address)
        others = f" and {count - 1} more" if count > 1 else ""
        sender = _sender(message.envelope.sender)
        fields: dict[str, Any] = {
            "time": self._moment(message.received_at),
            "level": "info",
            "source": _SOURCE,
            "text": f"accepted from {sender} for {recipient}{others}",
            "event": "accepted",
            "message_id": show_id(message.id),
            "user": "",
            "sender": sender,
            "recipient": recipient,
            "recipients": count,
            "octets": message.octets,
            "ip": message.client_ip,
            "tls": message.tls,
        }
        if accepted.reports_on is not None:
            fields["reports_on"] = show_id(accepted.reports_on)
        self._write(message.user_id, fields)

    def _settled(self, settlement: Settlement) -> None:
        delivery, outcome, attempt = settlement.delivery, settlement.outcome, settlement.attempt
        message = delivery.message
        event = _EVENTS[settlement.state]
        recipient = str(delivery.recipient.address)
        reply = cut(str(outcome.reply) if outcome.reply else outcome.text, _MOST_REPLY)
        fields: dict[str, Any] = {
            "time": self._moment(settlement.at),
            "level": "info",
            "source": _SOURCE,
            "text": f"{event} to {recipient}: {reply}",
            "event": event,
            "message_id": show_id(message.id),
            "user": "",
            "sender": _sender(message.envelope.sender),
            "recipient": recipient,
            "octets": message.octets,
            "stage": _STAGES[outcome.stage],
            "status": str(outcome.status),
            "reply": reply,
            "attempt": delivery.attempts + 1,
            "delay_seconds": round(settlement.at - message.received_at, 3),
        }
        if attempt is not None:
            tls = attempt.tls
            fields |= {
                "host": attempt.host,
                "ip": attempt.ip,
                "took_ms": attempt.took_ms,
                "tls": f"{tls.version} {tls.cipher}" if tls else "",
            }
        if settlement.due_at is not None:
            fields["next_at"] = self._moment(settlement.due_at)
        self._write(message.user_id, fields)

    def _write(self, user_id: int, fields: dict[str, Any]) -> None:
        name = self._names[user_id]
        if name is None:
            self._names.when_read(user_id, lambda: self._named(user_id, fields))
            return
        fields["user"] = name
        self._put(line(fields))

    def _named(self, user_id: int, fields: dict[str, Any]) -> None:
        fields["user"] = self._names[user_id] or ""
        self._put(line(fields))


def _sender(sender: Address | None) -> str:
    return "<>" if sender is None else str(sender)
