"""Spans of time that charts and tables are about, cut into slots.

Guarantees: pure; the last slot holds `now`; times are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["SPANS", "Span", "span_of", "times"]

_HOUR, _DAY = 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time, cut into `slots` of `step` seconds."""

    key: str
    label: str
    step: float
    slots: int

    @property
    def slot_label(self) -> str:
        """One slot in a word."""
        return _SLOTS[self.step]

    def since(self, now: float) -> float:
        """The start of the first slot; the last one holds `now`."""
        return now // self.step * self.step - (self.slots - 1) * self.step

    def bounds(self, now: float) -> tuple[float, float]:
        """From the start of the first slot to the end of the last."""
        since = self.since(now)
        return since, since + self.slots * self.step


_SLOTS = {_HOUR: "hour", 6 * _HOUR: "six hours", _DAY: "day", 7 * _DAY: "week"}
SPANS = (
    Span("24h", "24 hours", _HOUR, 24),
    Span("7d", "7 days", 6 * _HOUR, 28),
    Span("30d", "30 days", _DAY, 30),
    Span("90d", "90 days", _DAY, 90),
    Span("1y", "a year", 7 * _DAY, 53),
)


def span_of(wanted: str, usual: str, spans: tuple[Span, ...] = SPANS) -> Span:
    """The span of this key, or the usual one."""
    by_key = {one.key: one for one in spans}
    return by_key.get(wanted) or by_key[usual]


def times(span: Span, since: float) -> tuple[list[str], list[str]]:
    """Titles of the slots in full, and labels for the axis."""
    titles, labels = [], []
    for slot in range(span.slots):
        start = datetime.fromtimestamp(since + slot * span.step, UTC)
        end = datetime.fromtimestamp(since + (slot + 1) * span.step, UTC)
        day = f"{start.day} {start:%b}"
        if span.step >= 2 * _DAY:
            titles.append(f"from {day} {start:%Y}")
            labels.append(day)
        elif span.step >= _DAY:
            titles.append(day)
            labels.append(day)
        elif span.step > _HOUR:
            titles.append(f"{day}, {start:%H:%M} to {end:%H:%M}")
            labels.append("" if start.hour else day)
        else:
            titles.append(f"{day}, {start:%H:%M} to {end:%H:%M}")
            labels.append(f"{start:%H:%M}" if start.hour % 2 == 0 else "")
    return titles, labels
