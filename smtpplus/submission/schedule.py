"""When a message is sent, and when it is given up.

Guarantees: pure. A time in the past means now (P10); nothing is sent before the SMTP user's
recall window is over; a time further ahead than `MOST_AHEAD_SECONDS`, and an end before the
beginning, raise `RefusedError` with what to do. Does not wait: the queue does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply

__all__ = ["MOST_AHEAD_SECONDS", "Schedule", "schedule"]

MOST_AHEAD_SECONDS = 30 * 86_400.0


_NOBODYS: Mapping[int, float] = {}


class Schedule(NamedTuple):
    """Unix seconds. `own` are the times of recipients that differ from `due_at`, by place."""

    due_at: float
    expires_at: float
    own: Mapping[int, float] = _NOBODYS


def schedule(
    now: float,
    *,
    send_at: float = 0.0,
    recall: float = 0.0,
    each_send_at: Iterable[float | None] = (),
    expires_at: float = 0.0,
    expires_after: float = 0.0,
    lifetime: float,
) -> Schedule:
    """The times of a message that came at `now`; 0 and None: nothing was asked for.

    Args:
        now: Unix seconds.
        send_at: for all recipients.
        recall: seconds in which the message can be taken back.
        each_send_at: of the recipients, in their order.
        expires_at: given up then.
        expires_after: given up so many seconds after the time of sending.
        lifetime: seconds after which any mail is given up.

    Raises:
        RefusedError: too far ahead, or given up before it is sent.
    """
    earliest = now + recall
    due_at = max(_checked(send_at, now), earliest)
    own = {
        place: at
        for place, asked in enumerate(each_send_at)
        if asked is not None and (at := max(_checked(asked, now), earliest)) != due_at
    }
    last = max(due_at, *own.values()) if own else due_at
    end = last + (min(expires_after, lifetime) if expires_after > 0.0 else lifetime)
    if expires_at:
        if expires_at <= last:
            text = (
                f"The message expires at {_shown(expires_at)}, before it is sent: give a later time"
            )
            raise RefusedError(Reply.of(550, "5.6.0", text))
        end = min(end, expires_at)
    return Schedule(due_at, end, own)


def _checked(at: float, now: float) -> float:
    if at - now > MOST_AHEAD_SECONDS:
        days = int(MOST_AHEAD_SECONDS // 86_400)
        text = (
            f"The time of sending, {_shown(at)}, is more than {days} days ahead:"
            " submit the message later"
        )
        raise RefusedError(Reply.of(550, "5.6.0", text))
    return at


def _shown(at: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
    except (OverflowError, ValueError, OSError):
        return f"{at:.0f}"
