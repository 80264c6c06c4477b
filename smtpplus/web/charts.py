"""The overview's chart: numbers in, geometry out; the template only draws it.

Columns are stacked from zero, so a height is an amount; the line has the same scale. Guarantees:
pure; axis steps are 1, 2 or 5 times a power of ten; a count above zero is always visible (at
least one unit high); every number of the chart is also in a slot's title.
Raises ValueError where a series
has not one value per slot. Does not know what it counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Bar", "Chart", "Frame", "Series", "Slot", "Tick", "draw", "scale"]

_LEAST_HEIGHT = 1.0
_GAP_SHARE = 0.28  # of a slot's width


@dataclass(frozen=True, slots=True)
class Series:
    """One metric: `key` names its colour, `label` is for people, one value per slot."""

    key: str
    label: str
    values: tuple[int, ...]

    @property
    def total(self) -> int:
        """The sum over all slots."""
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Frame:
    """The room for a chart in SVG user units; `most_ticks` bounds the labels of the time axis."""

    width: int
    height: int
    left: int = 44
    right: int = 8
    top: int = 12
    bottom: int = 28
    most_ticks: int = 12


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a column."""

    key: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Slot:
    """The area of one time step, and what a pointer resting there reads."""

    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything the template draws."""

    frame: Frame
    columns: tuple[Series, ...]
    line: Series
    bars: tuple[Bar, ...]
    levels: tuple[float, ...]
    slots: tuple[Slot, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]

    @property
    def steps(self) -> str:
        """The line as an SVG path: level within a slot, for nothing is known in between."""
        moves = [
            f"{'V' if index else f'M{slot.x:g} '}{level:g}H{slot.x + slot.width:g}"
            for index, (slot, level) in enumerate(zip(self.slots, self.levels, strict=True))
        ]
        return "".join(moves)

    @property
    def base(self) -> float:
        """Where zero is."""
        return self.frame.height - self.frame.bottom


def scale(most: int) -> tuple[int, int]:
    """The top of an axis that holds `most`, and the step of its grid (3 to 6 lines)."""
    if most <= 4:
        return 4, 1
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if step * 5 >= most:
                return -(-most // step) * step, step
        power *= 10


def draw(
    columns: Sequence[Series],
    line: Series,
    titles: Sequence[str],
    labels: Sequence[str],
    frame: Frame,
) -> Chart:
    """Stack `columns`, lay `line` over them.

    `titles` name the slots in full, `labels` on the time axis, where "" gets no tick.
    """
    slots = len(titles)
    if any(len(series.values) != slots for series in (*columns, line)):
        raise ValueError("every series of a chart has one value per slot")
    stacks = [sum(values) for values in zip(*(series.values for series in columns), strict=True)]
    top, step = scale(max([*stacks, *line.values], default=0))
    base = frame.height - frame.bottom
    unit = (base - frame.top) / top
    width = (frame.width - frame.left - frame.right) / max(slots, 1)
    lefts = [round(frame.left + index * width, 2) for index in range(slots)]
    return Chart(
        frame=frame,
        columns=tuple(columns),
        line=line,
        bars=tuple(
            bar
            for index, left in enumerate(lefts)
            for bar in _stack(columns, index, left, width, base, unit)
        ),
        levels=tuple(round(base - value * unit, 2) for value in line.values),
        slots=tuple(
            Slot(left, round(width, 2), _title(columns, line, titles[index], index))
            for index, left in enumerate(lefts)
        ),
        x_ticks=_x_ticks(labels, lefts, width, frame.most_ticks),
        y_ticks=tuple(
            Tick(round(base - value * unit, 2), f"{value:,}") for value in range(0, top + 1, step)
        ),
    )


def _stack(
    columns: Sequence[Series], index: int, left: float, width: float, base: float, unit: float
) -> list[Bar]:
    bars = []
    floor = float(base)
    for series in columns:
        value = series.values[index]
        if value:
            height = max(value * unit, _LEAST_HEIGHT)
            floor -= height
            bars.append(
                Bar(
                    key=series.key,
                    x=round(left + width * _GAP_SHARE / 2, 2),
                    y=round(floor, 2),
                    width=round(width * (1 - _GAP_SHARE), 2),
                    height=round(height, 2),
                )
            )
    return bars


def _title(columns: Sequence[Series], line: Series, label: str, index: int) -> str:
    parts = ", ".join(
        f"{series.values[index]:,} {series.label.lower()}" for series in (line, *columns)
    )
    return f"{label}: {parts}"


def _x_ticks(
    labels: Sequence[str], lefts: Sequence[float], width: float, most: int
) -> tuple[Tick, ...]:
    shown = [index for index, label in enumerate(labels) if label]
    every = max(1, -(-len(shown) // most))
    return tuple(
        Tick(round(lefts[index] + width / 2, 2), labels[index]) for index in shown[::every]
    )
