"""Submissions that are not to be accepted twice (`Accepted.once`).

Guarantees: of several submissions of one user and one name only one is accepted until its time is
over, whoever takes them, at the same moment, and after whatever crash: the name stands in the
transaction of the message. Runs in the writer's thread; may run twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import StoreDialect
from smtpplus.store.rows import safe_text
from smtpplus.values.errors import DuplicateMessageError
from smtpplus.values.message import Accepted

__all__ = ["AskedOnce", "OnceRows", "plain"]

# Names whose time is over go with each transaction that brings new ones.
_FORGET = (
    "DELETE FROM once WHERE (user_id, name) IN"
    " (SELECT user_id, name FROM once WHERE until <= ? ORDER BY until LIMIT 64{locking})"
    " RETURNING user_id"
)
_LOCKING = " FOR UPDATE SKIP LOCKED"
_WHO = "SELECT message_id FROM once WHERE user_id = ? AND name = ?"
_KEEP = "INSERT INTO once (user_id, name, message_id, until) VALUES "
_ROW = "(?, ?, ?, ?)"
_UNLESS = (
    " ON CONFLICT (user_id, name) DO UPDATE"
    " SET message_id = excluded.message_id, until = excluded.until"
    " WHERE once.until <= ? RETURNING user_id, name"
)


@dataclass(slots=True)
class AskedOnce:
    """A message that may have been accepted before, and what came of it."""

    accepted: Accepted
    before: int | None = field(default=None)  # the message that it was accepted as

    @property
    def key(self) -> tuple[int, str]:
        """User and name."""
        return (self.accepted.message.user_id, safe_text(self.accepted.once))

    def check(self) -> None:
        """Raise DuplicateMessageError where it was."""
        if self.before is not None:
            raise DuplicateMessageError(self.before)


def plain(item: Accepted | AskedOnce) -> Accepted:
    """The message itself."""
    return item.accepted if isinstance(item, AskedOnce) else item


class OnceRows:
    """Keeps the names."""

    def __init__(self, dialect: StoreDialect) -> None:
        self._mark = "?" if dialect.sql.paramstyle == "qmark" else "%s"
        locking = "" if dialect.single_service else _LOCKING
        self._forget = self._marked(_FORGET.format(locking=locking))
        self._who = self._marked(_WHO)

    def _marked(self, sql: str) -> str:
        return sql.replace("?", self._mark)

    def first(self, transaction: Transaction, asked: Sequence[AskedOnce]) -> list[Accepted]:
        """Those of `asked` that were not accepted before; the others are told (`before`)."""
        now = max(one.accepted.message.received_at for one in asked)
        chosen: dict[tuple[int, str], AskedOnce] = {}
        for one in asked:
            one.before = None
            chosen.setdefault(one.key, one)
        in_order = sorted(chosen)
        values = [
            value
            for key in in_order
            for value in (*key, chosen[key].accepted.message.id, chosen[key].accepted.once_until)
        ]
        keeping = "".join((_KEEP, ", ".join([_ROW] * len(in_order)), _UNLESS))
        taken = transaction.rows(self._marked(keeping), [*values, now])
        fresh = {(user, name): chosen[user, name].accepted for user, name in taken}
        for one in asked:
            accepted = fresh.get(one.key)
            if accepted is None:
                ((one.before,),) = transaction.rows(self._who, one.key)
            elif accepted is not one.accepted:
                one.before = accepted.message.id
        transaction.rows(self._forget, [now])
        return list(fresh.values())
