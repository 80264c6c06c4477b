"""Open sessions between two deliveries (O9, YH1).

Guarantees: a session is given to one delivery at a time, carries at most `most_messages`
transactions (or what the remote's LIMITS says, RFC 9422), and is closed after `idle_seconds`
without use. Whether it still lives shows only when it is used: a session taken from here that
turns out dead says nothing about its host.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from smtpplus.ports import IClock, ISmtpSession, ISpawn, SessionLostError

__all__ = ["Connections"]


class Connections:
    """Idle sessions by lane; the one used last goes first."""

    def __init__(
        self, *, clock: IClock, spawn: ISpawn, most_messages: int, idle_seconds: float
    ) -> None:
        self._clock = clock
        self._spawn = spawn
        self._most_messages = most_messages
        self._idle_seconds = idle_seconds
        self._idle: dict[str, list[tuple[ISmtpSession, Callable[[], None]]]] = {}
        self._opened: weakref.WeakSet[ISmtpSession] = weakref.WeakSet()

    def reconfigure(self, most_messages: int) -> None:
        """End what idles: it was opened by other rules."""
        self._most_messages = most_messages
        self.close_all()

    def opened(self, session: ISmtpSession) -> None:
        """There is a new session; whoever opened it uses it."""
        self._opened.add(session)

    def withdraw(self) -> None:
        """Abort every transaction under way whose final dot was not sent."""
        idle = {id(session) for stack in self._idle.values() for session, _ in stack}
        for session in list(self._opened):
            if session.is_open and id(session) not in idle:
                session.withdraw()

    def take(self, lane: str) -> ISmtpSession | None:
        """An idle session of this lane, or None."""
        stack = self._idle.get(lane)
        while stack:
            session, cancel = stack.pop()
            cancel()
            if not stack:
                del self._idle[lane]
            if session.is_open:
                return session
        return None

    async def keep(self, lane: str, session: ISmtpSession, *, reset: bool) -> None:
        """The transaction is over: keep the session for the next one, or end it.

        `reset`: the transaction was refused half-way; RSET must be answered first.
        """
        if not session.is_open:
            return
        most = min(self._most_messages, session.extensions.mail_limit or self._most_messages)
        if session.messages >= most:
            self._spawn.spawn("relay.quit", session.quit())
            return
        if reset:
            try:
                reply = await session.reset()
            except SessionLostError:
                return
            if not reply.is_positive:
                self._spawn.spawn("relay.quit", session.quit())
                return
        cancel = self._clock.call_later(self._idle_seconds, lambda: self._expire(lane, session))
        self._idle.setdefault(lane, []).append((session, cancel))

    def close_all(self) -> None:
        """Say QUIT to every idle session."""
        for stack in list(self._idle.values()):
            for session, cancel in stack:
                cancel()
                self._spawn.spawn("relay.quit", session.quit())
        self._idle.clear()

    def _expire(self, lane: str, session: ISmtpSession) -> None:
        stack = self._idle.get(lane, [])
        stack[:] = [pair for pair in stack if pair[0] is not session]
        if not stack:
            self._idle.pop(lane, None)
        self._spawn.spawn("relay.quit", session.quit())
