"""Notices what other processes commit, so that it holds here within two seconds.

Two ways with one face. SQLite's ``data_version``, asked on the writer's own connection, changes
with every commit of another process and with none of ours. PostgreSQL tells by NOTIFY what a
transaction said it changed (`Transaction.tell`), our own included; a poll stands behind it,
should a notice ever be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from smtpplus.ports import IClock
from smtpplus.store.transactions import ThreadedTransactions, Transactions, Watched

__all__ = [
    "ACCOUNTS",
    "DUE",
    "QUEUE",
    "SUPPRESSIONS",
    "TOPICS",
    "Changes",
    "FileChanges",
    "NotedChanges",
]

ACCOUNTS = "accounts"  # who may send what
DUE = "due"  # there is something to be claimed
QUEUE = "queue"  # deliveries were held, released, cancelled or flushed
SUPPRESSIONS = "suppressions"  # somebody is not to be mailed any more
TOPICS = frozenset({ACCOUNTS, DUE, QUEUE, SUPPRESSIONS})

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
            if topic is None or topic in topics:
                call()


class FileChanges(_Subscribers):
    """By looking once a second."""

    def __init__(self, transactions: Transactions, clock: IClock) -> None:
        super().__init__()
        self._transactions = transactions
        self._clock = clock
        self._version: Any = None
        self._cancel: Callable[[], None] | None = None

    async def start(self) -> None:
        """Look once a second from now on."""
        self._version = await self._transactions.outside(_data_version)
        self._later()

    def stop(self) -> None:
        """Look no longer."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def poll(self) -> Deferred[None]:
        """Look now."""
        return self._transactions.outside(_data_version).addCallback(self._compare)

    def _compare(self, version: Any) -> None:
        if version != self._version:
            self._version = version
            self.tell(TOPICS)

    def _later(self) -> None:
        def look() -> None:
            self._later()
            # A store that cannot be asked now is asked again in a second.
            self.poll().addErrback(lambda _: None)

        self._cancel = self._clock.call_later(_LOOK_SECONDS, look)


def _data_version(connection: Connection) -> Any:
    return connection.exec_driver_sql("PRAGMA data_version").scalar()


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
