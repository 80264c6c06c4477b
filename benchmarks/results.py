"""What was measured, its median and spread, the table and the JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

__all__ = ["Report", "Row"]


@dataclass(slots=True)
class Row:
    """One figure of one subject.

    `samples` are in `unit`; `server_us` and `load_us` processor microseconds per message, of the
    server with all its processes and of the load with its sink; `others` the share of the machine
    that neither of them used, but somebody else, in percent: a disturbed run. `base` is the subject of the same
    case that the ratio is taken to.
    """

    benchmark: str
    case: str
    subject: str
    unit: str
    samples: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    load_us: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    base: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.samples)

    def as_json(self) -> dict[str, Any]:
        """All of it, with the median."""
        return {
            "benchmark": self.benchmark,
            "case": self.case,
            "subject": self.subject,
            "unit": self.unit,
            "median": round(self.median, 3) if self.samples else None,
            "samples": [round(one, 3) for one in self.samples],
            "server_us_per_message": _middle(self.server_us),
            "load_us_per_message": _middle(self.load_us),
            "others_percent": [round(one, 1) for one in self.others],
            "base": self.base,
            "note": self.note,
        }


class Report:
    """Rows in the order in which they came."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def row(
        self, benchmark: str, case: str, subject: str, unit: str, *, base: str = "", note: str = ""
    ) -> Row:
        """A new row, or the one that is there."""
        for one in self.rows:
            if (one.benchmark, one.case, one.subject) == (benchmark, case, subject):
                return one
        made = Row(benchmark, case, subject, unit, base=base, note=note)
        self.rows.append(made)
        return made

    def skip(self, benchmark: str, why: str) -> None:
        """Nothing was measured, and why."""
        self.rows.append(Row(benchmark, "", "skipped", "", note=why))

    def ratio(self, row: Row) -> float | None:
        """To the base's median of the same benchmark and case."""
        for one in self.rows:
            same = (one.benchmark, one.case, one.subject) == (row.benchmark, row.case, row.base)
            if same and one.samples and one.median:
                return row.median / one.median
        return None

    def table(self) -> Table:
        """For the terminal."""
        table = Table(show_edge=False, pad_edge=False)
        for name, justify in (
            ("benchmark", "left"),
            ("case", "left"),
            ("subject", "left"),
            ("median", "right"),
            ("min to max", "right"),
            ("unit", "left"),
            ("ratio", "right"),
            ("server µs", "right"),
            ("load µs", "right"),
            ("others %", "right"),
            ("note", "left"),
        ):
            table.add_column(name, justify=justify, no_wrap=name != "note")  # type: ignore[arg-type]
        last = ""
        for row in self._in_order():
            if last and row.benchmark != last:
                table.add_section()
            last = row.benchmark
            table.add_row(*self._cells(row))
        return table

    def as_json(self) -> list[dict[str, Any]]:
        """All rows."""
        return [
            row.as_json() | {"ratio": round(ratio, 3) if (ratio := self.ratio(row)) else None}
            if row.samples
            else row.as_json()
            for row in self._in_order()
        ]

    def _in_order(self) -> list[Row]:
        """The subjects of a case stand together, cases in the order in which they came."""
        first: dict[tuple[str, str], int] = {}
        for number, row in enumerate(self.rows):
            first.setdefault((row.benchmark, row.case), number)
        return sorted(self.rows, key=lambda row: first[row.benchmark, row.case])

    def _cells(self, row: Row) -> list[str]:
        if not row.samples:
            return [row.benchmark, row.case, row.subject, "", "", "", "", "", "", "", row.note]
        ratio = self.ratio(row) if row.base else None
        spread = f"{_shown(min(row.samples))} to {_shown(max(row.samples))}"
        return [
            row.benchmark,
            row.case,
            row.subject,
            _shown(row.median),
            spread if len(row.samples) > 1 else "",
            row.unit,
            f"{ratio:.2f}" if ratio is not None else "",
            _shown(_middle(row.server_us)),
            _shown(_middle(row.load_us)),
            _shown(_middle(row.others)),
            row.note,
        ]


def _middle(samples: list[float]) -> float | None:
    return round(statistics.median(samples), 1) if samples else None


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
