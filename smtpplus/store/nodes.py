"""Nodes: the number that makes a process's ids its own.

A service has a number below 256, by its name and for good; the command line draws one of the
others for its short life. Ids begin after the newest in the store, whatever the clock says.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, insert, select, update
from sqlalchemy.exc import DatabaseError

from smtpplus.store.commits import Transaction
from smtpplus.store.dialects import StoreDialect
from smtpplus.store.schema import (
    attempt,
    delivery,
    event,
    message,
    node,
    recipient,
    sandbox_mail,
    suppression,
)
from smtpplus.values.errors import UsageError
from smtpplus.values.ids import IdSource, id_milliseconds

__all__ = ["Node", "enrolled", "passing_number", "register", "started"]

_NUMBERED = (message, delivery, event, attempt, recipient, suppression, sandbox_mail)
_SERVICES = 256
_NUMBERS = 1_024
_FORGOTTEN_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Node:
    """A process's number, and two sources of ids: one per thread that makes them."""

    number: int
    ids: IdSource  # messages and deliveries, in the reactor's thread
    fact_ids: IdSource  # attempts and events, in the writer's

    @classmethod
    def after(cls, number: int, connection: Connection) -> Node:
        """A node whose ids come after all that the store holds, as far as it can be read."""
        newest = max(_newest(connection, table) for table in _NUMBERED)
        sources = IdSource(number), IdSource(number)
        if newest:
            for source in sources:
                source.next(id_milliseconds(newest) / 1000 + 0.001)
        return cls(number, *sources)


def _newest(connection: Connection, table: Table) -> int:
    try:
        return connection.scalar(select(func.max(table.c.id))) or 0
    except DatabaseError as error:
        if not isinstance(error.orig, sqlite3.DatabaseError):
            raise
        connection.rollback()  # a page was lost: the clock and the other tables have to do
        return 0


def passing_number() -> int:
    """A number for a process that does not stay."""
    return _SERVICES + secrets.randbelow(_NUMBERS - _SERVICES)


def enrolled(connection: Connection, dialect: StoreDialect, name: str, now: float) -> Node:
    """The service named `name`; in a transaction of its own."""
    dialect.begin(connection)
    dialect.set_up(connection)
    number = register(Transaction(connection), name, now)
    connection.commit()
    return Node.after(number, connection)


def register(transaction: Transaction, name: str, now: float) -> int:
    """The number of the service named `name`, a new one where it is not known."""
    known = transaction.execute(select(node.c.number).where(node.c.name == name)).scalar()
    if known is not None:
        return int(known)
    newest = transaction.execute(select(func.max(node.c.number))).scalar()
    number = 0 if newest is None else int(newest) + 1
    if number >= _SERVICES:
        return _inherit(transaction, name, now)
    row = {
        "number": number,
        "name": name,
        "process": os.getpid(),
        "started_at": now,
        "seen_at": now,
    }
    transaction.execute(insert(node), row)
    return number


def _inherit(transaction: Transaction, name: str, now: float) -> int:
    """The number of a node that has not been seen for long: its ids are older than ours."""
    gone = select(node.c.number).where(node.c.seen_at < now - _FORGOTTEN_SECONDS)
    number = transaction.execute(gone.order_by(node.c.seen_at).limit(1)).scalar()
    if number is None:
        raise UsageError(
            f"The store knows {_SERVICES} nodes that were there within the last 30 days; "
            "no other can join. Give a process the same server.node each time."
        )
    transaction.execute(update(node).where(node.c.number == number).values(name=name, seen_at=now))
    return int(number)


def started(transaction: Transaction, number: int, now: float) -> None:
    """Write down that this process is the node now."""
    values = {"process": os.getpid(), "started_at": now, "seen_at": now}
    transaction.execute(update(node).where(node.c.number == number).values(**values))
