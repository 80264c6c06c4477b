"""How many soft bounces make a suppression: counters of one address, as a pure step.

Ten deliveries in a row that failed softly, or more than thirty that found the mailbox full, with
none delivered in between. A mailbox that is full is counted apart: it is a person's, and will be
emptied. Blocks, rate limits and trouble of our own say nothing about the address and count nothing.

Guarantees: pure. Raises nothing. What counts is a delivery's end, not each attempt.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from smtpplus.rules.suppression import Reason, Scope, Suppression

__all__ = ["DeliveryEnd", "SoftCounts", "SoftLimits", "step"]

_DAY_SECONDS = 86_400.0


class DeliveryEnd(enum.Enum):
    """What the end of a delivery says about its address."""

    DELIVERED = "delivered"
    HARD = "hard"  # the address does not exist
    SOFT = "soft"  # it may, and this could not be delivered
    FULL = "full"  # mailbox over quota
    NEUTRAL = "neutral"  # blocked, rate-limited, our own trouble, cancelled


@dataclass(frozen=True, slots=True)
class SoftLimits:
    """When enough is enough, and for how long the suppression holds (0: until it is lifted)."""

    consecutive: int = 10
    full: int = 30
    soft_days: int = 90
    full_days: int = 30


@dataclass(frozen=True, slots=True)
class SoftCounts:
    """What is kept of an address: soft failures in a row, full mailboxes since a delivery."""

    consecutive: int = 0
    full: int = 0


def step(
    counts: SoftCounts,
    end: DeliveryEnd,
    now: float,
    *,
    detail: str = "",
    limits: SoftLimits | None = None,
) -> tuple[SoftCounts, Suppression | None]:
    """The counts after one more delivery, and the account-wide suppression it brings, if any.

    After a suppression the counts start again, so that an address whose suppression expired or
    was lifted is given the same patience as a new one.

    Args:
        counts: so far.
        end: how the delivery ended.
        now: Unix seconds.
        detail: what the remote said, kept with the suppression.
        limits: of the installation; None for the usual ones.
    """
    limits = limits or SoftLimits()
    if end is DeliveryEnd.NEUTRAL:
        return counts, None
    if end is DeliveryEnd.DELIVERED:
        return SoftCounts(), None
    if end is DeliveryEnd.HARD:
        return SoftCounts(), _suppression(Reason.HARD_BOUNCE, now, 0, detail)
    if end is DeliveryEnd.FULL:
        counts = SoftCounts(counts.consecutive, counts.full + 1)
        if counts.full <= limits.full:
            return counts, None
        said = f"mailbox full {counts.full} times: {detail}".rstrip(": ")
        return SoftCounts(), _suppression(Reason.REPEATED_SOFT_BOUNCE, now, limits.full_days, said)
    counts = SoftCounts(counts.consecutive + 1, counts.full)
    if counts.consecutive < limits.consecutive:
        return counts, None
    said = f"failed {counts.consecutive} times in a row: {detail}".rstrip(": ")
    return SoftCounts(), _suppression(Reason.REPEATED_SOFT_BOUNCE, now, limits.soft_days, said)


def _suppression(reason: Reason, now: float, days: int, detail: str) -> Suppression:
    expires_at = now + days * _DAY_SECONDS if days else None
    return Suppression(Scope.ACCOUNT, reason, now, expires_at=expires_at, detail=detail)
