"""When a message may leave, when it is given up, and what goes before what (P10, P13).

Pure: the time is an argument. Times are Unix seconds, spans seconds. Raises `RefusedError` with
the reply for the end of the content, where what was asked for cannot be done. Several wishes
about the time of sending do not contradict each other: the latest holds.
"""

from __future__ import annotations

from smtpplus.values.envelope import ByMode, Envelope
from smtpplus.values.errors import RefusedError
from smtpplus.values.message import Message
from smtpplus.values.options import Options
from smtpplus.values.reply import Reply

__all__ = [
    "LONGEST_HOLD_SECONDS",
    "MOST_URGENT",
    "URGENT",
    "deliver_by_at",
    "due_at",
    "expires_at",
    "is_urgent",
    "level",
    "priority",
    "returns_at_expiry",
]

LONGEST_HOLD_SECONDS = 366 * 86_400.0
MOST_URGENT = 1  # starts at once, also where a destination is busy
URGENT = 2  # and what is more urgent still: room in memory is kept for it
_LEAST_URGENT = 5
# RFC 6710 leaves the number of levels to the server; the three of its MIXER profile (-4, 0, 4)
# keep apart.
_LEVELS = ((6, 1), (2, 2), (-1, 3), (-5, 4))


def due_at(
    envelope: Envelope,
    options: Options,
    recall: float,
    now: float,
    *,
    own: float | None = None,
) -> float:
    """When a delivery may leave, `now` at the earliest: a time in the past means at once.

    Args:
        envelope: HOLDFOR and HOLDUNTIL.
        options: the message's time of sending.
        recall: how long its sender may take each message back.
        now: the time of the accept.
        own: the recipient's own time of sending, which stands instead of the message's.

    Raises:
        RefusedError: it is further ahead than anything is held.
    """
    send_at = options.send_at if own is None else own
    due = max(
        now + recall,
        send_at or 0.0,
        now + (envelope.hold_for or 0),
        envelope.hold_until or 0.0,
    )
    if due > now + LONGEST_HOLD_SECONDS:
        days = int(LONGEST_HOLD_SECONDS // 86_400)
        raise RefusedError(
            Reply.of(550, "5.6.0", f"The time of sending is more than {days} days ahead")
        )
    return due


def expires_at(
    envelope: Envelope, options: Options, due: float, now: float, lifetime: float
) -> float:
    """When the deliveries of a message are given up.

    Args:
        envelope: BY= with mode R bounds it.
        options: so do `expires_at`, and `expires_after` the time of sending.
        due: when the last of its deliveries may leave.
        now: the time of the accept.
        lifetime: how long the installation tries, from the time of sending.

    Raises:
        RefusedError: it would be given up before it may leave.
    """
    ends = [due + lifetime]
    if options.expires_at:
        ends.append(options.expires_at)
    if options.expires_after:
        ends.append(due + options.expires_after)
    by = envelope.deliver_by
    if by is not None and by.mode is ByMode.RETURN:
        ends.append(now + by.seconds)
    end = min(ends)
    if end <= due:
        raise RefusedError(
            Reply.of(550, "5.6.0", "The message would expire before the time it may be sent at")
        )
    return end


def priority(envelope: Envelope, options: Options, otherwise: int) -> int:
    """1 (first) to 5: the message's own word, then MT-PRIORITY of MAIL, then its SMTP user's."""
    if options.priority is not None:
        return min(max(options.priority, MOST_URGENT), _LEAST_URGENT)
    if envelope.mt_priority is not None:
        return level(envelope.mt_priority)
    return otherwise


def level(mt_priority: int) -> int:
    """MT-PRIORITY, -9 to 9, as one of our five: from 6 on 1, from 2 on 2, -1 to 1 are 3."""
    return next((ours for least, ours in _LEVELS if mt_priority >= least), _LEAST_URGENT)


def is_urgent(message: Message) -> bool:
    """Is room kept for its like?"""
    return message.priority <= URGENT


def deliver_by_at(message: Message) -> float | None:
    """When it is late by the words of BY=; None: nothing was said."""
    by = message.envelope.deliver_by
    return None if by is None else message.received_at + by.seconds


def returns_at_expiry(message: Message) -> bool:
    """Was it asked (BY= with mode R) that nothing is delivered once it has expired?"""
    by = message.envelope.deliver_by
    return by is not None and by.mode is ByMode.RETURN
