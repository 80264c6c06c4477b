"""Submissions that are not to be accepted twice (`Accepted.once`).

Guarantees: of several submissions of one user and one name only one is accepted until its time is
over, whoever takes them, at the same moment, and after whatever crash: the name stands in the
transaction of the message. Runs in the writer's thread; may run twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import delete, exists

from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import StoreDialect
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import delivery, once
from smtpplus.values.message import Accepted, DeliveryState

__all__ = ["Once", "OnceRows", "forget_names", "once_of"]

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


class Once(NamedTuple):
    """The name that a submission is not to be accepted twice under, and until when."""

    user: int
    name: str
    until: float
    now: float


def once_of(accepted: Accepted) -> Once | None:
    """What is asked with `accepted`; None: nothing is."""
    if not accepted.once:
        return None
    about = accepted.message
    return Once(about.user_id, safe_text(accepted.once), accepted.once_until, about.received_at)


def forget_names(transaction: Transaction, users: Mapping[int, int]) -> None:
    """Who sends anew what was cancelled as a whole is no duplicate.

    Args:
        transaction: in which deliveries were cancelled.
        users: of their messages: whose each is.
    """
    if not users:
        return
    is_left = exists().where(
        delivery.c.message_id == once.c.message_id,
        delivery.c.state != DeliveryState.CANCELLED.value,
    )
    transaction.execute(
        delete(once).where(
            once.c.user_id.in_(set(users.values())), once.c.message_id.in_(users.keys()), ~is_left
        )
    )


class OnceRows:
    """Keeps the names."""

    def __init__(self, dialect: StoreDialect) -> None:
        self._mark = "?" if dialect.sql.paramstyle == "qmark" else "%s"
        locking = "" if dialect.single_service else _LOCKING
        self._forget = self._marked(_FORGET.format(locking=locking))
        self._who = self._marked(_WHO)

    def _marked(self, sql: str) -> str:
        return sql.replace("?", self._mark)

    def accepted_before(
        self, transaction: Transaction, asked: Mapping[int, Once]
    ) -> dict[int, int]:
        """Those of `asked`, by their messages' ids, that were: as which message.

        The names of the others are kept.
        """
        chosen: dict[tuple[int, str], int] = {}
        for message_id, one in asked.items():
            chosen.setdefault(one[:2], message_id)
        in_order = sorted(chosen)
        values: list[Any] = []
        for key in in_order:
            message_id = chosen[key]
            values += (*key, message_id, asked[message_id].until)
        now = max(one.now for one in asked.values())
        keeping = "".join((_KEEP, ", ".join([_ROW] * len(in_order)), _UNLESS))
        taken = transaction.rows(self._marked(keeping), [*values, now])
        fresh = {chosen[user, name] for user, name in taken}
        before: dict[int, int] = {}
        for message_id, one in asked.items():
            if message_id not in fresh:
                ((before[message_id],),) = transaction.rows(self._who, one[:2])
        transaction.rows(self._forget, [now])
        return before
