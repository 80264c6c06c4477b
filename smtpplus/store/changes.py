"""Notices what other processes commit, so that it holds here within two seconds.

SQLite's ``data_version``, asked on the writer's own connection, changes with every commit of
another process and with none of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from smtpplus.ports import IClock
from smtpplus.store.transactions import Transactions

__all__ = ["Changes"]

_EVERY_SECONDS = 1.0


class Changes:
    """Calls who subscribed when another process committed something."""

    def __init__(self, transactions: Transactions, clock: IClock) -> None:
        self._transactions = transactions
        self._clock = clock
        self._version: Any = None
        self._calls: list[Callable[[], None]] = []
        self._cancel: Callable[[], None] | None = None

    def subscribe(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` in the reactor at each change; the answer ends it."""
        self._calls.append(call)
        return lambda: self._calls.remove(call)

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
            for call in list(self._calls):
                call()

    def _later(self) -> None:
        def look() -> None:
            self._later()
            # A store that cannot be asked now is asked again in a second.
            self.poll().addErrback(lambda _: None)

        self._cancel = self._clock.call_later(_EVERY_SECONDS, look)


def _data_version(connection: Connection) -> Any:
    return connection.exec_driver_sql("PRAGMA data_version").scalar()
