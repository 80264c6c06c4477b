"""What the envelope says of time, and what goes before what (P10, P13).

Pure: the time is an argument. Times are Unix seconds, spans seconds. Raises nothing. What the
message itself says of time is settled where it is taken (`smtpplus.submission.schedule`).
"""

from __future__ import annotations

from smtpplus.values.envelope import ByMode, Envelope
from smtpplus.values.message import Message
from smtpplus.values.options import Options

__all__ = [
    "CLAIM_BY_AGE",
    "LEAST_URGENT",
    "MOST_URGENT",
    "URGENT",
    "became_late",
    "deliver_by_at",
    "ends_at",
    "held_until",
    "is_urgent",
    "level",
    "priority",
    "returns_at_expiry",
]

MOST_URGENT = 1  # starts at once, also where a destination is busy
URGENT = 2  # and what is more urgent still: room in memory is kept for it
LEAST_URGENT = 5
CLAIM_BY_AGE = 8  # so many claims, one of them without regard to priority
# RFC 6710 leaves the number of levels to the server; the three of its MIXER profile (-4, 0, 4)
# keep apart.
_LEVELS = ((6, 1), (2, 2), (-1, 3), (-5, 4))


def held_until(envelope: Envelope, now: float) -> float:
    """Until when HOLDFOR= or HOLDUNTIL= hold it that came at `now`; `now`, or before: not at all."""
    if envelope.hold_for is not None:
        return now + envelope.hold_for
    return envelope.hold_until or now


def ends_at(envelope: Envelope, now: float) -> float:
    """When BY= with mode R gives up what came at `now`; 0: it does not say."""
    by = envelope.deliver_by
    return now + by.seconds if by is not None and by.mode is ByMode.RETURN else 0.0


def priority(envelope: Envelope, options: Options, otherwise: int) -> int:
    """1 (first) to 5: the message's own word, then MT-PRIORITY of MAIL, then its SMTP user's."""
    if options.priority is not None:
        return min(max(options.priority, MOST_URGENT), LEAST_URGENT)
    if envelope.mt_priority is not None:
        return level(envelope.mt_priority)
    return otherwise


def level(mt_priority: int) -> int:
    """MT-PRIORITY, -9 to 9, as one of our five: from 6 on 1, from 2 on 2, -1 to 1 are 3."""
    return next((ours for least, ours in _LEVELS if mt_priority >= least), LEAST_URGENT)


def is_urgent(message: Message) -> bool:
    """Is room kept for its like?"""
    return message.priority <= URGENT


def deliver_by_at(message: Message) -> float | None:
    """When it is late by the words of BY=; None: nothing was said."""
    by = message.envelope.deliver_by
    return None if by is None else message.received_at + by.seconds


def became_late(message: Message, at: float) -> bool:
    """Is what BY= with mode N wanted told to be told `at` this time (RFC 2852 §4)?

    Not of what was late when it came: whoever sent it then has told of it.
    """
    by = message.envelope.deliver_by
    if by is None or by.mode is not ByMode.NOTIFY or by.seconds <= 0:
        return False
    return at > message.received_at + by.seconds


def returns_at_expiry(message: Message) -> bool:
    """Was it asked (BY= with mode R) that nothing is delivered once it has expired?"""
    by = message.envelope.deliver_by
    return by is not None and by.mode is ByMode.RETURN
