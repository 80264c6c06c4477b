"""Times, sizes and counts in words, as the pages show them.

Guarantees: pure; every filter takes any number (also negative, NaN-free) and gives short text.
Times are UTC and say so. Does not escape: the templates do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from smtpplus.values.ids import show_id

__all__ = [
    "FILTERS",
    "ago",
    "clock_time",
    "count",
    "due",
    "iso",
    "moment",
    "percent",
    "size",
    "took",
]

_LAST_MOMENT = 253_402_300_799.0  # 9999-12-31: what datetime can hold


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(min(max(at, 0.0), _LAST_MOMENT), UTC)


def iso(at: float) -> str:
    """``2026-11-23T14:05:33Z``, for machines."""
    return _utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(at: float) -> str:
    """``23 Nov 2026, 14:05:33 UTC``."""
    when = _utc(at)
    return f"{when.day} {when:%b %Y, %H:%M:%S} UTC"


def clock_time(at: float) -> str:
    """``14:05:33``, where the day stands beside it."""
    return _utc(at).strftime("%H:%M:%S")


def day(at: float) -> str:
    """``23 Nov 2026``."""
    when = _utc(at)
    return f"{when.day} {when:%b %Y}"


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{int(seconds / 3600)} h"
    return f"{int(seconds / 86400)} days"


def ago(at: float, now: float) -> str:
    """``just now``, ``12 min ago``, ``3 days ago``, ``in 5 min``; after a month the date."""
    past = now - at
    if past < -1:
        return f"in {_span(-past)}"
    if past < 5:
        return "just now"
    if past < 31 * 86400:
        return f"{_span(past)} ago"
    return day(at)


def due(at: float, now: float) -> str:
    """``now``, or ``in 12 min``."""
    return f"in {_span(at - now)}" if at - now >= 1 else "now"


def count(number: int | None) -> str:
    """``12,345``; an en dash where it is not known."""
    return "\N{EN DASH}" if number is None else f"{number:,}"


def size(octets: int) -> str:
    """``512 B``, ``12.3 KiB``, ``4.0 MiB``."""
    if octets < 1024:
        return f"{octets} B"
    amount = float(octets)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1024 or unit == "GiB":
            return f"{amount:,.1f} {unit}"
    raise AssertionError("unreachable")


def took(milliseconds: int) -> str:
    """``38 ms``, ``2.4 s``, ``3 min``."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else _span(seconds)


def percent(part: int | None, whole: int) -> str:
    """``99.2 %``; an en dash where there is no whole, or no part is known.

    100 % and 0 % only where it is so.
    """
    if part is None or whole <= 0:
        return "\N{EN DASH}"
    if part >= whole or part <= 0:
        return "100 %" if part > 0 else "0 %"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f} %"


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "clock_time": clock_time,
    "count": count,
    "day": day,
    "due": due,
    "iso": iso,
    "moment": moment,
    "percent": percent,
    "show_id": show_id,
    "size": size,
    "took": took,
}
