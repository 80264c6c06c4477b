"""A count that the store keeps, whoever does what is counted: the command line, another process.

Guarantees: each time it is asked, what was counted since the first time, by one read of the last
hours' counters. Raises what the store raises; nothing is lost then, the next one tells it.
"""

from __future__ import annotations

from smtpplus.ports import IHistory

__all__ = ["StoredCount"]

_HOUR = 3_600.0


class StoredCount:
    """The events of one `metric` (see `IHistory.counters`)."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._since: float | None = None  # what is older will not change any more
        self._before = 0  # of that, less what there was at the beginning

    async def value(self, history: IHistory, now: float) -> int:
        """How many since this was first asked."""
        since = now if self._since is None else self._since
        found = await history.counted(self._metric, since)
        if self._since is None:
            self._before = -sum(found.values())
        total = self._before + sum(found.values())
        self._since = max(since, now - _HOUR)  # an hour is written to until after its end
        whole = self._since // _HOUR * _HOUR
        self._before += sum(number for hour, number in found.items() if hour < whole)
        return total
