"""Charts of counters: what came of mail, and what people did with it.

Guarantees: pure; a metric that is missing counts as 0. Each chart comes twice: for wide screens,
and for phones, where the first's letters would be too small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smtpplus.values.message import EventType
from smtpplus.web.charts import Chart, Frame, Series, draw

__all__ = ["Charts", "machine_metrics", "mail_charts", "response_charts"]

Charts = tuple[tuple[str, Chart], ...]


def machine_metrics(counters: Mapping[str, object]) -> list[str]:
    """The metrics of what machines opened and clicked."""
    return [
        metric
        for metric in counters
        if metric.startswith(("opened ", "clicked ")) and not metric.endswith(" once")
    ]


def mail_charts(
    counters: Mapping[str, Sequence[int]], titles: Sequence[str], labels: Sequence[str]
) -> Charts:
    """What came of what was accepted."""
    slots = len(titles)
    accepted = _series(counters, slots, "accepted", "Accepted", EventType.ACCEPTED)
    columns = (
        _series(counters, slots, "delivered", "Delivered", EventType.DELIVERED),
        _series(counters, slots, "bounced", "Bounced", EventType.BOUNCED, EventType.EXPIRED),
    )
    return _both(columns, accepted, titles, labels)


def response_charts(
    counters: Mapping[str, Sequence[int]], titles: Sequence[str], labels: Sequence[str]
) -> Charts:
    """What persons did with it, and how much machines did."""
    slots = len(titles)
    columns = (
        _series(counters, slots, "opened", "Opens by persons", EventType.OPENED),
        _series(counters, slots, "clicked", "Clicks by persons", EventType.CLICKED),
    )
    machines = _series(counters, slots, "machines", "By machines", *machine_metrics(counters))
    return _both(columns, machines, titles, labels)


def _series(
    counters: Mapping[str, Sequence[int]], slots: int, key: str, label: str, *metrics: str
) -> Series:
    lists = [counters.get(metric) or [0] * slots for metric in metrics] or [[0] * slots]
    return Series(key, label, tuple(map(sum, zip(*lists, strict=True))))


def _both(
    columns: Sequence[Series], line: Series, titles: Sequence[str], labels: Sequence[str]
) -> Charts:
    return (
        ("wide", draw(columns, line, titles, labels, Frame(960, 240))),
        ("narrow", draw(columns, line, titles, labels, Frame(340, 210, left=34, most_ticks=4))),
    )
