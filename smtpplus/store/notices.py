"""A session of PostgreSQL that hears what others changed, and is this node's alone.

Guarantees: while it is open no other process can be the same node (an advisory lock, which ends
with the session, however the process ends); a session that is lost is opened again, and then
everything may have changed. Blocks: it lives in a thread of its own.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Collection
from typing import Any

import psycopg

from smtpplus.store.postgresql import CHANNEL
from smtpplus.store.topics import TOPICS
from smtpplus.values.errors import ConflictError, SmtpplusError

__all__ = ["Notices"]

_LOCK_CLASS = 0x736D7470
_PATIENCE_SECONDS = 3.0  # for the session of a process that has just ended
_AGAIN_SECONDS = 0.2
_REOPEN_SECONDS = 0.5
_WAIT_SECONDS = 10.0
_NONE: Collection[str] = frozenset()


class Notices:
    """The session of node `number`, called `name`."""

    def __init__(
        self, open_session: Callable[[], psycopg.Connection[Any]], number: int, name: str
    ) -> None:
        self._open_session = open_session
        self._number = number
        self._name = name
        self._session: psycopg.Connection[Any] | None = None
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def open(self) -> None:
        """Take the node's place, and listen.

        Raises:
            ConflictError: another process has it.
        """
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self._session = self._begin()
            except ConflictError:
                if time.monotonic() >= until:
                    raise
                time.sleep(_AGAIN_SECONDS)
            else:
                return

    def wait(self) -> Collection[str]:
        """What was noticed, within `_WAIT_SECONDS`; everything, after the session was lost."""
        if self._session is None:
            return self._reopen()
        try:
            watched = [self._session.fileno(), self._reader]
            ready, _, _ = select.select(watched, [], [], _WAIT_SECONDS)
            if self._reader in ready:
                return _NONE
            if not ready:
                self._session.execute("SELECT 1")  # is it alive?
            return {notice.payload for notice in self._session.notifies(timeout=0)}
        except (psycopg.Error, OSError):
            self._drop()
            return _NONE

    def interrupt(self) -> None:
        """See `Watched.interrupt`."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"x")

    def close(self) -> None:
        """Give the place up."""
        self._drop()
        os.close(self._reader)
        os.close(self._writer)

    def _reopen(self) -> Collection[str]:
        try:
            self._session = self._begin()
        except (psycopg.Error, SmtpplusError):
            select.select([self._reader], [], [], _REOPEN_SECONDS)
            return _NONE
        return TOPICS

    def _begin(self) -> psycopg.Connection[Any]:
        session = self._open_session()
        try:
            taken = session.execute(
                "SELECT pg_try_advisory_lock(%s, %s)", (_LOCK_CLASS, self._number)
            ).fetchone()
            self._check(taken)
            session.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            session.close()
            raise
        return session

    def _check(self, taken: tuple[Any, ...] | None) -> None:
        if taken is None or not taken[0]:
            raise ConflictError(
                f"Another smtpplus service runs as {self._name} on this store. Stop it first, "
                "or give each process a server.node of its own."
            )

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                session.close()
