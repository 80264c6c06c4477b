"""Dates of header fields (RFC 5322 §3.3, obsolete forms §4.3).

Guarantees: never raises on any text, linear time, no locale. Does not read a clock.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta, timezone

__all__ = ["is_valid_date", "parse_date", "write_date"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_ZONES = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_DATE = re.compile(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)\s?,\s?)?"
    r"(\d{1,2})\s(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\s(\d{2,4})\s"
    r"(\d{1,2})\s?:\s?(\d{2})(?:\s?:\s?(\d{2}))?\s([+-]\d{4}|[a-z]{1,5})",
    re.IGNORECASE | re.ASCII,
)
_COMMENT = re.compile(r"\([^()]*\)")
_MAX_LENGTH = 200


def parse_date(text: str) -> float | None:
    """The moment that `text` names, in Unix seconds, or None where it is no valid date."""
    return None if len(text) > _MAX_LENGTH else _parsed(text)


@functools.lru_cache(maxsize=64)  # many messages of one second are accepted in one second
def _parsed(text: str) -> float | None:
    if "(" in text:
        text = _COMMENT.sub(" ", text)
    match = _DATE.fullmatch(" ".join(text.split()))
    if match is None:
        return None
    day, month, year, hour, minute, second, zone = match.groups()
    full_year = int(year)
    if len(year) < 4:  # RFC 5322 §4.3
        full_year += 2000 if len(year) == 2 and full_year < 50 else 1900
    offset = _offset(zone.lower())
    if full_year < 1900 or offset is None or int(second or 0) > 60:
        return None
    try:
        moment = datetime(
            full_year,
            _MONTH_NUMBERS[month.lower()],
            int(day),
            int(hour),
            int(minute),
            min(int(second or 0), 59),  # a leap second is valid
            tzinfo=timezone(offset),
        )
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _offset(zone: str) -> timedelta | None:
    if zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[3:])
        if minutes > 59 or hours > 23:
            return None
        sign = -1 if zone[0] == "-" else 1
        return sign * timedelta(hours=hours, minutes=minutes)
    return timedelta(hours=_ZONES.get(zone, 0))  # RFC 5322 §4.3: an unknown zone is -0000


def is_valid_date(text: str) -> bool:
    """Is `text` a date as RFC 5322 writes it?"""
    return parse_date(text) is not None


def write_date(now: float) -> str:
    """``Tue, 10 Nov 2026 08:00:00 +0000``, from Unix seconds."""
    return _written(int(now))


@functools.lru_cache(maxsize=64)  # many messages are accepted in one second
def _written(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment:%d} {month} {moment:%Y %H:%M:%S} +0000"
