"""SQL of what is learnt from a list's subjects: functions that run inside a transaction, or a read.

It stands in the list's own row, so that whoever has the list has its patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select, update

from smtpplus.rules.subject_learning import grown
from smtpplus.store.commits import Transaction
from smtpplus.store.rows import json_text
from smtpplus.store.schema import mail_list, message
from smtpplus.values.learnt_pattern import LearntPattern

__all__ = ["forget_examples", "keep", "learnt", "patterns_from", "subjects"]

_decode = msgspec.json.Decoder(list[tuple[str, str, int, int, str]]).decode


def learnt(connection: Connection, list_id: int) -> tuple[float | None, tuple[LearntPattern, ...]]:
    """When it was learnt from last (None: never), and what is known."""
    found = connection.execute(_own(list_id)).one_or_none()
    return (None, ()) if found is None else _from(found)


def subjects(connection: Connection, list_id: int, most: int) -> dict[str, int]:
    """How often each subject of a list stands in its account's newest `most` messages."""
    account_id = select(mail_list.c.account_id).where(mail_list.c.id == list_id)
    # The account's newest by its index, whatever list they are of: bounded work.
    newest = (
        select(message.c.list_id, message.c.subject)
        .where(message.c.account_id == account_id.scalar_subquery())
        .order_by(message.c.id.desc())
        .limit(most)
        .subquery()
    )
    query = (
        select(newest.c.subject, func.count())
        .where(newest.c.list_id == list_id)
        .group_by(newest.c.subject)
    )
    return {subject: int(n) for subject, n in connection.execute(query)}


def keep(
    transaction: Transaction, list_id: int, found: Sequence[LearntPattern], now: float
) -> tuple[bool, tuple[LearntPattern, ...]]:
    """Add what was learnt now: do messages count otherwise from now on, and what is known."""
    row = transaction.execute(_own(list_id).with_for_update()).one_or_none()
    if row is None:
        return False, ()
    known = _from(row)[1]
    kept = grown(known, found)
    values = {"learnt_at": now, "learnt": _text(kept) if kept else None}
    transaction.execute(update(mail_list).where(mail_list.c.id == list_id).values(**values))
    return [one.words for one in kept] != [one.words for one in known], kept


def forget_examples(transaction: Transaction, account_id: int) -> bool:
    """Leave no subject in what is told of an account's lists; was there something to leave out?"""
    query = select(mail_list.c.id, mail_list.c.learnt).where(
        mail_list.c.account_id == account_id, mail_list.c.learnt.is_not(None)
    )
    rows = transaction.execute(query.with_for_update()).all()
    for row in rows:
        changing = update(mail_list).where(mail_list.c.id == row.id)
        plain = grown(patterns_from(row.learnt), ())
        transaction.execute(changing.values(learnt=_text(plain)))
    return bool(rows)


def patterns_from(text: str | None) -> tuple[LearntPattern, ...]:
    """What a list's row says; None: nothing."""
    if text is None:
        return ()
    return tuple(
        LearntPattern(tuple(key.split()), shown, subjects, messages, hint)
        for key, shown, subjects, messages, hint in _decode(text)
    )


def _own(list_id: int) -> Any:
    return select(mail_list.c.learnt_at, mail_list.c.learnt).where(mail_list.c.id == list_id)


def _from(row: Row[Any]) -> tuple[float | None, tuple[LearntPattern, ...]]:
    return row.learnt_at, patterns_from(row.learnt)


def _text(kept: Sequence[LearntPattern]) -> str:
    return json_text([(one.key, one.text, one.subjects, one.messages, one.hint) for one in kept])
