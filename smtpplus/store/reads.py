"""Reads on a connection of their own, beside the writer.

Guarantees: each read sees one moment and writes nothing; a connection that was lost, or opened
before the writer had to reopen, is replaced; damage that is met is told to who writes. Belongs to
one thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from sqlalchemy import Connection

from smtpplus.store.commits import Committer
from smtpplus.store.dialects import StoreDialect
from smtpplus.values.errors import StoreCorruptError, StoreUnavailableError

__all__ = ["OpenReader", "Reads"]

T = TypeVar("T")

OpenReader: TypeAlias = Callable[[], Connection]


class Reads:
    """One reader: its connection, reopened when the writer had to reopen."""

    def __init__(self, open_reader: OpenReader, committer: Committer) -> None:
        self._open = open_reader
        self._committer = committer
        self._connection: Connection | None = None
        self._generation = -1

    def run(self, work: Callable[[Connection], T], dialect: StoreDialect) -> T:
        """`work`'s result. Raises errors of ours, or what `work` raised."""
        generation = self._committer.generation
        if generation != self._generation:
            self.close()
            self._generation = generation
        if self._connection is not None and not dialect.is_open(self._connection):
            self.close()
        was_open = self._connection is not None
        try:
            return self._run(work, dialect)
        except StoreCorruptError as error:
            self._committer.damage.has_met(error)
            raise
        except StoreUnavailableError:
            if not was_open or self._connection is not None:
                raise
        return self._run(work, dialect)  # it had died unnoticed: a new one tells more

    def _run(self, work: Callable[[Connection], T], dialect: StoreDialect) -> T:
        try:
            if self._connection is None:
                self._connection = self._open()
            dialect.begin_read(self._connection)
            try:
                return work(self._connection)
            finally:
                self._connection.rollback()
        except Exception as error:
            ours = dialect.ours(error)
            if ours is error:
                raise
            self.close()
            raise ours from error

    def close(self) -> None:
        """Close the connection; the next read opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # a lost one may refuse even this
                connection.close()
