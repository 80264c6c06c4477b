"""Gathers what the parts of a process know of themselves, when it is asked for.

Guarantees: being asked costs three short reads of the store and no more; a store that is away is
told by ``smtpplus_store_up 0``, and so is one that does not take what it is given. Labels are
bounded: of the lanes only the fullest have their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from smtpplus import __version__
from smtpplus.metrics.counted_queue import QueueCounts
from smtpplus.metrics.processes import with_processes
from smtpplus.metrics.stored_count import StoredCount
from smtpplus.net.listeners import Listeners
from smtpplus.ports import IClock, IHistory, IQueue
from smtpplus.values.errors import SmtpplusError
from smtpplus.values.message import EventType

__all__ = ["Metrics", "Sources"]

_MOST_LANES = 50
# Younger than that, seconds.
_AGES = {"1m": 60.0, "15m": 900.0, "4h": 14_400.0, "1d": 86_400.0}
_COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_DELAY_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


@dataclass(slots=True)
class Sources:
    """What there is to ask; the assembly fills it in as the parts come up."""

    store: Mapping[str, str] = field(default_factory=dict)
    history: IHistory | None = None
    queue: IQueue | None = None
    trouble: Callable[[], str] = str  # why the store did not do its work a moment ago
    writer_trouble: Callable[[], str] | None = None  # likewise, of the process that writes for all
    unwritten: Callable[[], int] = int
    lanes: Callable[[], Mapping[str, tuple[int, int, int]]] = dict
    lanes_down: Callable[[], int] = int
    listeners: list[Listeners] = field(default_factory=list)
    workers: dict[str, Callable[[], int]] = field(default_factory=dict)
    background: Callable[[], Mapping[str, int]] = dict
    worst_delay: Callable[[], float] = float
    responses: Callable[[], Mapping[str, int]] = dict
    returns: Callable[[], Mapping[str, int]] = dict
    processes: Callable[[], int] | None = None  # at work; where there may be several
    others: Callable[[], Awaitable[Sequence[bytes]]] | None = None  # pages of other processes


class Metrics:
    """The process's metrics. `sources` are asked, the rest is observed."""

    def __init__(self, clock: IClock) -> None:
        self._clock = clock
        self._registry = CollectorRegistry()
        self.sources = Sources()
        self.counts = QueueCounts(self._registry, clock.monotonic)
        self._commits = self._histogram(
            "commit_seconds", "A write transaction with its sync to the disk.", _COMMIT_BUCKETS
        )
        self._syncs = self._histogram(
            "sync_seconds", "Of it, the COMMIT: the log's write and its sync.", _COMMIT_BUCKETS
        )
        self._groups = self._histogram(
            "commit_requests", "Requests that shared a transaction.", _GROUP_BUCKETS
        )
        self._delays = self._histogram(
            "reactor_delay_seconds", "How late a timer of the reactor was.", _DELAY_BUCKETS
        )
        self._stored: list[Metric] = []
        self._cancelled = StoredCount(EventType.CANCELLED.value)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(_Asked(self._families))

    def commit(self, requests: int, seconds: float, sync_seconds: float) -> None:
        """A transaction ended; may be called in any thread."""
        if sync_seconds:
            self._syncs.observe(sync_seconds)
        self._groups.observe(requests)
        self._commits.observe(seconds)

    def delay(self, seconds: float) -> None:
        """A timer was so late."""
        self._delays.observe(seconds)

    async def begin(self) -> None:
        """From now on what the store counts is counted here: to be called at the start."""
        await self._ask_store()

    async def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        self._stored = await self._ask_store()
        others = await self.sources.others() if self.sources.others is not None else ()
        return with_processes(generate_latest(self._registry), others)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"smtpplus_{name}", text, buckets=buckets, registry=self._registry)

    async def _ask_store(self) -> list[Metric]:
        history, queue = self.sources.history, self.sources.queue
        if history is None or queue is None:
            return [self._up(0)]
        try:
            now = self._clock.now()
            ages = await history.queue_ages(tuple(_AGES.values()), now)
            due = await queue.next_due(now, ())
            cancelled = await self._cancelled.value(history, now)
        except SmtpplusError:
            return [self._up(0)]
        waiting = _gauge("queue", "Deliveries that wait.", "state")
        by_age = _Gauge(
            "smtpplus_queue_age",
            "Of them, by the time since they were accepted.",
            labels=["state", "age"],
        )
        for state, numbers in ages.items():
            waiting.add(sum(numbers), state.value)
            for age, number in zip((*_AGES, "older"), numbers, strict=True):
                by_age.add_metric([state.value, age], float(number))
        oldest = _gauge("queue_oldest_due_seconds", "How long the oldest unclaimed one is due.")
        oldest.add(0.0 if due is None else max(now - due, 0.0))
        counted = CounterMetricFamily(
            "smtpplus_cancelled", "Deliveries cancelled: by people, or as suppressed.", cancelled
        )
        up = self._up(not self.sources.trouble())
        return [up, waiting, by_age, oldest, counted]

    def _up(self, value: float) -> Metric:
        up = _gauge("store_up", "Does the store answer, and take what it is given?").add(value)
        if self.sources.writer_trouble is not None:
            is_well = not self.sources.writer_trouble()
            up.add_sample("smtpplus_store_up", {"process": "writer"}, float(is_well))
        return up

    def _families(self) -> Iterable[Metric]:
        sources = self.sources
        yield InfoMetricFamily("smtpplus", "This software.", {"version": __version__})
        yield InfoMetricFamily("smtpplus_store", "How the store writes.", dict(sources.store))
        yield from self._stored
        yield from _lanes(sources)
        if sources.processes is not None:
            yield _gauge("processes", "Processes of the service at work.").add(sources.processes())
        yield _gauge("accepts_unwritten", "Messages that wait for their commit.").add(
            sources.unwritten()
        )
        yield _gauge("reactor_delay_worst_seconds", "The latest timer of the last minute.").add(
            sources.worst_delay()
        )
        connections = _gauge("connections", "Inbound SMTP connections.", "listener")
        stressed = _gauge("stress", "Is the listener short of connections?", "listener")
        for listeners in sources.listeners:
            for listener, number in listeners.connections.items():
                connections.add(number, listener)
            for listener, is_stressed in listeners.stress.items():
                stressed.add(is_stressed, listener)
        yield connections
        yield stressed
        workers = _gauge("workers_unfinished", "Work that waits or runs in threads.", "pool")
        for pool, unfinished in sources.workers.items():
            workers.add(unfinished(), pool)
        yield workers
        responses = _gauge("responses", "Opens and clicks: written, lost, waiting.", "state")
        for state, number in sources.responses().items():
            responses.add(number, state)
        yield responses
        returns = CounterMetricFamily(
            "smtpplus_returns", "Mail to the bounce domain by what became of it.", labels=["kind"]
        )
        for kind, number in sources.returns().items():
            returns.add_metric([kind], number)
        yield returns
        background = _gauge("background", "Background work by name.", "name")
        for name, number in sources.background().items():
            background.add(number, name)
        yield background


class _Asked(Collector):
    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()


class _Gauge(GaugeMetricFamily):
    """A family with one label, or none."""

    def add(self, value: float, label: str | None = None) -> _Gauge:
        self.add_metric([] if label is None else [label], float(value))
        return self


def _gauge(name: str, text: str, label: str | None = None) -> _Gauge:
    return _Gauge(f"smtpplus_{name}", text, labels=[label] if label else [])


def _lanes(sources: Sources) -> Iterable[Metric]:
    lanes = sources.lanes()
    yield _gauge("lanes", "Destinations with something to do.").add(len(lanes))
    yield _gauge("lanes_down", "Destinations without a host to speak to.").add(sources.lanes_down())
    fullest = sorted(lanes.items(), key=lambda item: sum(item[1][:2]), reverse=True)
    families = (
        _gauge("lane_waiting", "Deliveries in memory that wait.", "lane"),
        _gauge("lane_under_way", "Attempts under way.", "lane"),
        _gauge("lane_limit", "Attempts that may be under way: one where it is down.", "lane"),
    )
    shown: dict[str, tuple[int, ...]] = dict(fullest[:_MOST_LANES])
    if rest := fullest[_MOST_LANES:]:
        shown[""] = tuple(map(sum, zip(*(numbers for _, numbers in rest), strict=True)))
    for key, numbers in shown.items():
        for family, number in zip(families, numbers, strict=True):
            family.add(number, key)
    yield from families
