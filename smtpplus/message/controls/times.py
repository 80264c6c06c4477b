"""Moments as the dialects write them.

Guarantees: never a guess: a time without an offset is taken only where the dialect says that
it is UTC. Raises `ControlsError`. Reads no clock: a moment in the past is a moment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from smtpplus.message.controls.error import ControlsError, shown
from smtpplus.message.timestamp import parse_date

__all__ = ["a_span", "a_time"]

_LAST = 4_102_444_800.0  # 2100-01-01T00:00:00Z; what is larger is most likely milliseconds
_NUMBER = re.compile(r"(?!\d{8}\Z)\d{1,12}(?:\.\d{1,9})?", re.ASCII)  # not a day, 20261110
_NO_SIGN = re.compile(r"(?<=\d) (?=\d{4}\Z)")  # "12:00:00 0000", as one vendor prints it
_SPAN = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?", re.ASCII)
_MAX_LENGTH = 64
_FORMS = (
    "a time such as 2026-11-10T08:00:00+01:00, Tue, 10 Nov 2026 08:00:00 +0100 or 1794294000"
    " (Unix seconds)"
)
_UTC_FORMS = "a time in UTC such as 2026-11-10 08:00:00, or one with its offset"


def a_time(where: str, value: Any, *, utc: bool = False) -> float | None:
    """Unix seconds, or None where `value` is null or empty.

    Args:
        where: header and key, for the error.
        value: a number or a text.
        utc: a time without an offset is UTC.
    """
    if value is None or value == "":
        return None
    moment = None
    if isinstance(value, str):
        moment = _read(value.strip(), utc=utc)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        moment = value
    if moment is None or not 0 <= moment < _LAST:
        expected = _UTC_FORMS if utc else _FORMS
        raise ControlsError(where, f"expected {expected}, got {shown(value)}")
    return float(moment)


def _read(text: str, *, utc: bool) -> float | None:
    if not text.isascii() or len(text) > _MAX_LENGTH:
        return None
    if _NUMBER.fullmatch(text):
        return float(text)
    moment = parse_date(_NO_SIGN.sub(" +", text))
    if moment is not None:
        return moment
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is None:
            return read.replace(tzinfo=UTC).timestamp() if utc else None
        return read.timestamp()
    except (ValueError, OverflowError):
        return None


def a_span(where: str, value: str) -> float | None:
    """Seconds, from ``1h30m``, ``30m`` or ``24h``; None where it is empty."""
    text = value.strip()
    if not text:
        return None
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ControlsError(where, f"expected a span such as 1h30m, got {shown(value)}")
    hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)
