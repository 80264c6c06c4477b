"""Counts of the reactor's thread, as plain numbers that a scrape reads.

prometheus_client takes a lock for each number it adds to, and a histogram has three of them.
Guarantees: what a scrape shows is what prometheus_client would show. Only for counts that one
thread makes. Raises nothing.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

__all__ = ["Count", "Spread"]


class Count(Collector):
    """A counter: `value` is what was counted."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._text = text
        self._since = time.time()
        self.value = 0
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """For a scrape."""
        yield CounterMetricFamily(self._name, self._text, self.value, created=self._since)


class Spread(Collector):
    """A histogram with the upper `bounds` of its buckets, in order."""

    def __init__(
        self, name: str, text: str, bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._text = text
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """One more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterable[Metric]:
        """For a scrape."""
        buckets, below = [], 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            below += count
            buckets.append((str(bound), float(below)))
        yield HistogramMetricFamily(self._name, self._text, buckets, self._sum)
