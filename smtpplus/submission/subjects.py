"""Learns what subjects have in common, for lists that count their messages by it.

Guarantees: nothing is read or learnt while a message is accepted; which lists had messages is
noted, and looked at a minute later, a few at a time; without such lists nothing runs. Where the store cannot be asked now, the list
is asked about again. What is learnt holds for messages that come after it, in every process.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from smtpplus.ports import IAccounts, IClock, ISpawn
from smtpplus.values.errors import STORE_ERRORS

__all__ = ["LOOK_SECONDS", "SubjectLearning"]

LOOK_SECONDS = 60.0
_MOST_LISTS = 20  # in one look


class SubjectLearning:
    """Asks `IAccounts.learn` between messages."""

    def __init__(
        self, accounts: IAccounts, clock: IClock, spawn: ISpawn, log: Logger | None = None
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._spawn = spawn
        self._log = log or Logger()
        self._noted: dict[int, float] = {}  # lists, and from when on to ask about them
        self._cancel: Callable[[], None] | None = None  # the next look, where there is one
        self._is_stopped = False

    def note(self, list_id: int) -> None:
        """A message of this list was counted by its subject."""
        self._noted.setdefault(list_id, 0.0)
        self._look_later()

    def stop(self) -> None:
        """Look no longer."""
        self._is_stopped = True
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    async def learn(self) -> None:
        """Learn now of the lists that it is time for."""
        now = self._clock.now()
        due = sorted((at, list_id) for list_id, at in self._noted.items() if at <= now)
        for _, list_id in due[:_MOST_LISTS]:
            del self._noted[list_id]
            await self._learn(list_id, now)

    def _look_later(self) -> None:
        """In a minute, where a list is noted and no look is set."""

        def look() -> None:
            self._spawn.spawn("learn subjects", self._look())

        if self._cancel is None and self._noted and not self._is_stopped:
            self._cancel = self._clock.call_later(LOOK_SECONDS, look)

    async def _look(self) -> None:
        try:
            await self.learn()
        finally:
            self._cancel = None
            self._look_later()

    async def _learn(self, list_id: int, now: float) -> None:
        try:
            found = await self._accounts.learn(list_id, now)
        except STORE_ERRORS as error:
            self._noted[list_id] = now
            self._log.warn("subjects could not be learnt from: {error}", error=str(error))
            return
        if found.at != now:  # it was not long ago: what came since is learnt from later
            self._noted[list_id] = now + LOOK_SECONDS
