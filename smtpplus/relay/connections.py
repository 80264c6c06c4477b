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
        self._idle: dict[str, list[tuple[ISmtpSession, float]]] = {}  # and until when
        self._cancel_timer: Callable[[], None] | None = None  # one for all that idle
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
            session, _ = stack.pop()
            if session.is_open:
                return session
        return None

    def keep(self, lane: str, session: ISmtpSession) -> None:
        """The transaction is over: keep the session for the next one, or end it."""
        if session.is_open and self._may_go_on(session):
            self._add(lane, session)

    async def keep_after_reset(self, lane: str, session: ISmtpSession) -> None:
        """The transaction was refused half-way: as `keep`, but RSET must be answered first."""
        if not session.is_open or not self._may_go_on(session):
            return
        try:
            reply = await session.reset()
        except SessionLostError:
            return
        if reply.is_positive:
            self._add(lane, session)
        else:
            self._spawn.spawn("relay.quit", session.quit())

    def close_all(self) -> None:
        """Say QUIT to every idle session."""
        idle, self._idle = self._idle, {}
        for stack in idle.values():
            for session, _ in stack:
                self._spawn.spawn("relay.quit", session.quit())
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None

    def _may_go_on(self, session: ISmtpSession) -> bool:
        """May it carry one more message? Else it is ended."""
        most = session.extensions.mail_limit
        if session.messages < (
            self._most_messages if most is None else min(most, self._most_messages)
        ):
            return True
        self._spawn.spawn("relay.quit", session.quit())
        return False

    def _add(self, lane: str, session: ISmtpSession) -> None:
        until = self._clock.monotonic() + self._idle_seconds
        stack = self._idle.get(lane)
        if stack is None:
            stack = self._idle[lane] = []
        stack.append((session, until))
        if self._cancel_timer is None:
            self._cancel_timer = self._clock.call_later(self._idle_seconds, self._expire)

    def _expire(self) -> None:
        """Say QUIT to those whose time is over; look again when that of the next one is."""
        self._cancel_timer = None
        now = self._clock.monotonic()
        for lane, stack in list(self._idle.items()):
            while stack and stack[0][1] <= now:  # the first one idles longest
                session, _ = stack.pop(0)
                self._spawn.spawn("relay.quit", session.quit())
            if not stack:
                del self._idle[lane]
        untils = [stack[0][1] for stack in self._idle.values()]
        if untils and self._cancel_timer is None:
            self._cancel_timer = self._clock.call_later(min(untils) - now, self._expire)
