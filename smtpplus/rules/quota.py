"""How many messages an SMTP user may submit: per clock hour and per day, both UTC.

A place is reserved at MAIL and becomes a message, or is given back. Reserved places count in
whatever hour it is, so the limit holds exactly however many transactions run at once, also over
the turn of an hour (A6).

Guarantees: pure, time is an argument (Unix seconds); never more than the limit is accepted in a
window. Raises nothing. Does not read the store: whoever makes a `UserQuota` gives it the counts
so far, again and again where several processes accept mail.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from smtpplus.values.reply import Reply

__all__ = ["DAY_SECONDS", "HOUR_SECONDS", "OverQuota", "UserQuota", "window_start"]

HOUR_SECONDS = 3600
DAY_SECONDS = 86_400


def window_start(at: float, seconds: int) -> float:
    """The start of the hour or day (UTC) that holds `at`."""
    return at - at % seconds


@dataclass(frozen=True, slots=True)
class OverQuota:
    """A limit is reached; it clears at `clears_at` (Unix seconds)."""

    limit: int
    seconds: int
    clears_at: float

    def reply(self, username: str) -> Reply:
        """What the client is told: to come back, and when."""
        period = "hour" if self.seconds == HOUR_SECONDS else "day"
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(self.clears_at))
        return Reply.of(
            451,
            "4.7.1",
            f"User {username} has reached its limit of {self.limit} messages per {period};"
            f" it clears at {when} UTC, please try again then",
        )


@dataclass(slots=True)
class _Window:
    """Messages accepted in the current stretch of `seconds`."""

    seconds: int
    start: float
    used: int

    def roll(self, now: float) -> None:
        start = window_start(now, self.seconds)
        if start > self.start:  # a clock that goes back does not open a window again
            self.start, self.used = start, 0


class UserQuota:
    """The count of one SMTP user."""

    __slots__ = ("_day", "_hour", "_reserved")

    def __init__(self, now: float, *, used_hour: int, used_day: int) -> None:
        self._hour = _Window(HOUR_SECONDS, window_start(now, HOUR_SECONDS), used_hour)
        self._day = _Window(DAY_SECONDS, window_start(now, DAY_SECONDS), used_day)
        self._reserved = 0

    def reserve(
        self, now: float, limit_hour: int | None, limit_day: int | None
    ) -> OverQuota | None:
        """Take one place under the limits as they are now (None: no limit), or say why not."""
        for window, limit in ((self._day, limit_day), (self._hour, limit_hour)):
            window.roll(now)
            if limit is not None and window.used + self._reserved >= limit:
                return OverQuota(limit, window.seconds, window.start + window.seconds)
        self._reserved += 1
        return None

    def learn(self, now: float, *, used_hour: int, used_day: int) -> None:
        """So many were accepted by all processes, in the windows that hold `now`."""
        for window, used in ((self._hour, used_hour), (self._day, used_day)):
            window.roll(now)
            if window_start(now, window.seconds) == window.start:
                window.used = max(window.used, used)

    def give_back(self) -> None:
        """The transaction was not accepted."""
        self._reserved -= 1

    def accepted(self, received_at: float) -> None:
        """The place became a message, received at `received_at`."""
        self._reserved -= 1
        for window in (self._hour, self._day):
            window.roll(received_at)
            if received_at >= window.start:
                window.used += 1

    @property
    def is_idle(self) -> bool:
        """Is no place reserved?"""
        return self._reserved == 0
