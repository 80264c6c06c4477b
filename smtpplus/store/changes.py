"""Notices what other processes commit, so that it holds here within two seconds.

Two ways with one face, for what a transaction said it changed (`Transaction.tell`). In a file of
SQLite ``data_version``, asked on the writer's own connection, changes with every commit of
another process and with none of ours; then the counts of topics.py say what it was. PostgreSQL
tells by NOTIFY, of our own changes, too; a poll stands behind it, should a notice ever be lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from smtpplus.ports import IClock
from smtpplus.store.topics import TOPICS, told_between
from smtpplus.store.transactions import ThreadedTransactions, Transactions, Watched
from smtpplus.values.errors import StoreCorruptError

__all__ = ["Changes", "FileChanges", "NotedChanges"]

_LOOK_SECONDS = 1.0
_POLL_SECONDS = 30.0


class Changes(Protocol):
    """Calls who subscribed when another process committed something."""

    def subscribe(self, call: Callable[[], None], topic: str | None = None) -> Callable[[], None]:
        """Call `call` in the reactor at each change, of `topic` or any; the answer ends it."""

    async def start(self) -> None:
        """Begin to look."""

    def stop(self) -> None:
        """Look no longer."""


class _Subscribers:
    def __init__(self) -> None:
        self._calls: list[tuple[Callable[[], None], str | None]] = []

    def subscribe(self, call: Callable[[], None], topic: str | None = None) -> Callable[[], None]:
        """See `Changes.subscribe`."""
        entry = (call, topic)
        self._calls.append(entry)
        return lambda: self._calls.remove(entry)

    def tell(self, topics: Collection[str]) -> None:
        """Call who wants to know of `topics`."""
        for call, topic in list(self._calls):
            if topics and (topic is None or topic in topics):
                call()


class _Seen(NamedTuple):
    version: int
    counts: int


class FileChanges(_Subscribers):
    """By looking once a second."""

    def __init__(self, transactions: Transactions, clock: IClock) -> None:
        super().__init__()
        self._transactions = transactions
        self._clock = clock
        self._seen = _Seen(0, 0)
        self._cancel: Callable[[], None] | None = None

    async def start(self) -> None:
        """Look once a second from now on."""
        with contextlib.suppress(StoreCorruptError):  # it is in the log; reading goes on
            self._seen = await self._transactions.outside(_look)
        self._later()

    def stop(self) -> None:
        """Look no longer."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def poll(self) -> Deferred[None]:
        """Look now."""
        return self._transactions.outside(_look).addCallback(self._compare)

    def _compare(self, found: _Seen) -> None:
        before, self._seen = self._seen, found
        if found.version != before.version:
            self.tell(told_between(before.counts, found.counts))

    def _later(self) -> None:
        def look() -> None:
            self._later()
            # A store that cannot be asked now is asked again in a second.
            self.poll().addErrback(lambda _: None)

        self._cancel = self._clock.call_later(_LOOK_SECONDS, look)


def _look(connection: Connection) -> _Seen:
    asked = ("data_version", "user_version")
    return _Seen(*(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0 for name in asked))


class NotedChanges(_Subscribers):
    """By being told."""

    def __init__(self, transactions: ThreadedTransactions, clock: IClock, watched: Watched) -> None:
        super().__init__()
        self._transactions = transactions
        self._clock = clock
        self._watched = watched
        self._cancel: Callable[[], None] | None = None

    async def start(self) -> None:
        """Listen; raises what keeps `watched` from opening."""
        await self._transactions.watch(self._watched, self.tell)
        self._later()

    def stop(self) -> None:
        """Poll no longer; the thread ends with the transactions."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def _later(self) -> None:
        def poll() -> None:
            self._later()
            self.tell(TOPICS)

        self._cancel = self._clock.call_later(_POLL_SECONDS, poll)
