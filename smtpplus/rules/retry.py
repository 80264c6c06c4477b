"""When a deferred delivery is tried again, and when it is given up (QU1, D18, O8).

Guarantees: intervals never shrink and carry jitter; nothing is tried after `expires_at` but
once at that very moment. Pure: time and chance are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

from smtpplus.values.duration import Duration

__all__ = ["RetrySchedule"]

_JITTER = 0.04  # either way: enough to spread a burst, within 5 % of what is configured


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Intervals between attempts; the last one repeats (RFC 5321 §4.5.4.1).

    The first are short: transactional mail is worth an early second try, and greylisting
    opens after a minute or five.
    """

    intervals: tuple[Duration, ...]

    def next_due(
        self, *, attempts: int, now: float, expires_at: float, chance: float
    ) -> float | None:
        """When to try again after `attempts` attempts, or None: it has expired.

        Args:
            attempts: how many there were, this one included (1 or more).
            now: Unix seconds.
            expires_at: Unix seconds; the last try falls on it.
            chance: a random number from 0 to 1.
        """
        if now >= expires_at:
            return None
        interval = self.intervals[min(attempts, len(self.intervals)) - 1].seconds
        jittered = interval * (1 - _JITTER + 2 * _JITTER * chance)
        return min(now + jittered, expires_at)
