"""Points in time as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from smtpplus.values.duration import Duration
from smtpplus.values.errors import UsageError

__all__ = ["parse_time"]


def parse_time(text: str, now: float, *, ahead: bool) -> float:
    """A point in time, Unix seconds: an ISO date or time (UTC), or a duration from `now`.

    Raises:
        UsageError: it is none of these.
    """
    word = text.strip()
    try:
        if re.match(r"\d{4}-", word):
            made = datetime.fromisoformat(word)
            return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()
        span = Duration.parse(word).seconds
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is no time: expected a date such as 2027-01-31, a time such as "
            "2027-01-31T12:00, or a duration such as 30d."
        ) from error
    return now + span if ahead else now - span
