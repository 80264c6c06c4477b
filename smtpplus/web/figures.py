"""Sums of counters as a row of a table or of a CSV file.

Guarantees: pure; every metric that is missing is 0. Opens and clicks are those of persons; what
machines did stands beside (W4, W5). A cell of the CSV never begins a formula.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["UNKNOWN", "Figures", "figures_by", "table_csv"]

# What is counted before a group is known. The provider is, when its servers are asked.
UNKNOWN: Mapping[str, frozenset[str]] = {"provider": frozenset({"messages", "accepted"})}
# In full width, too, as some spreadsheets read them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True, slots=True)
class Figures:
    """One row: a group and its sums. Ratios are the template's work."""

    name: str
    sums: Mapping[str, int]

    def _sum(self, metric: str) -> int:
        return self.sums.get(metric, 0)

    @property
    def messages(self) -> int:
        """Submissions."""
        return self._sum("messages")

    @property
    def accepted(self) -> int:
        """Recipients."""
        return self._sum("accepted")

    @property
    def delivered(self) -> int:
        """Of these."""
        return self._sum("delivered")

    @property
    def bounced(self) -> int:
        """Refused for good, or given up."""
        return self._sum("bounced") + self._sum("expired")

    @property
    def deferred(self) -> int:
        """Attempts that are repeated."""
        return self._sum("deferred")

    @property
    def cancelled(self) -> int:
        """Suppressed ones among them."""
        return self._sum("cancelled")

    @property
    def suppressed(self) -> int:
        """Not mailed."""
        return self._sum("suppressed")

    @property
    def ended(self) -> int:
        """Deliveries that were tried to the end."""
        return self.delivered + self.bounced

    @property
    def readers(self) -> int | None:
        """Deliveries that a person opened; None: in privacy mode that is not known."""
        readers = self._sum("opened once")
        return None if not readers and self._sum("anonymous opens") else readers

    @property
    def opens(self) -> int:
        """By persons, each time."""
        return self._sum("opened")

    @property
    def clickers(self) -> int:
        """Deliveries in which a person clicked."""
        return self._sum("clicked once")

    @property
    def clicks(self) -> int:
        """By persons, each time."""
        return self._sum("clicked")

    @property
    def machine_opens(self) -> int:
        """By everything else."""
        return self._others("opened")

    @property
    def machine_clicks(self) -> int:
        """By everything else."""
        return self._others("clicked")

    @property
    def unsubscribed(self) -> int:
        """Recipients who left."""
        return self._sum("unsubscribed")

    @property
    def by_class(self) -> list[tuple[str, int, int]]:
        """Opens and clicks of machines by their class, most first."""
        classes = {
            metric.partition(" ")[2]
            for metric in self.sums
            if metric.startswith(("opened ", "clicked ")) and not metric.endswith(" once")
        }
        found = [
            (one.replace("_", " "), self._sum(f"opened {one}"), self._sum(f"clicked {one}"))
            for one in classes
        ]
        return sorted(found, key=lambda one: (-one[1] - one[2], one[0]))

    def _others(self, kind: str) -> int:
        return sum(
            n
            for metric, n in self.sums.items()
            if metric.startswith(f"{kind} ") and metric != f"{kind} once"
        )


_COLUMNS: tuple[tuple[str, str], ...] = (
    ("messages", "messages"),
    ("accepted", "accepted"),
    ("delivered", "delivered"),
    ("bounced", "bounced"),
    ("deferred", "deferred"),
    ("suppressed", "suppressed"),
    ("cancelled", "cancelled"),
    ("readers", "opened by persons (mails)"),
    ("opens", "opens by persons"),
    ("machine_opens", "opens by machines"),
    ("clickers", "clicked by persons (mails)"),
    ("clicks", "clicks by persons"),
    ("machine_clicks", "clicks by machines"),
    ("unsubscribed", "unsubscribed"),
)


def figures_by(by: str, found: Iterable[tuple[str, Mapping[str, int]]]) -> list[Figures]:
    """Rows of the sums of groups, without what is not known of any of them."""
    unknown = UNKNOWN.get(by)
    if unknown is None:
        return [Figures(name, sums) for name, sums in found]
    known = [
        (name, {one: n for one, n in sums.items() if one not in unknown}) for name, sums in found
    ]
    return [Figures(name, sums) for name, sums in known if sums]


def table_csv(by: str, rows: Sequence[Figures]) -> bytes:
    """The table for a spreadsheet."""  # RFC 4180 §2
    unknown = UNKNOWN.get(by, frozenset())
    columns = [one for one in _COLUMNS if one[0] not in unknown]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([by, *(label for _, label in columns)])
    for row in rows:
        writer.writerow([_cell(row.name), *(getattr(row, name) for name, _ in columns)])
    return out.getvalue().encode("utf-8", "replace")


def _cell(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
