"""One page of metrics for a service of several processes.

What each process counts has the label ``process``, so that a sum over it is the service's; what is
read from the store, which all share, is told once. A sample that has the label keeps it. Raises
nothing: a page of another process that cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

__all__ = ["with_processes"]

_SHARED = frozenset(
    {
        "smtpplus",
        "smtpplus_processes",
        "smtpplus_queue",
        "smtpplus_queue_age",
        "smtpplus_queue_oldest_due_seconds",
        "smtpplus_cancelled",
        "smtpplus_store",
    }
)
_LABEL = "process"


def with_processes(own: bytes, others: Sequence[bytes]) -> bytes:
    """The first process's page, and with it what the `others` count; alone as it is."""
    if not others:
        return own
    found: dict[str, Metric] = {}
    for number, page in enumerate((own, *others)):
        try:
            families = list(text_string_to_metric_families(page.decode()))
        except ValueError:
            continue
        for family in families:
            _add(found, family, number)
    return generate_latest(_Pages(found))


def _add(found: dict[str, Metric], family: Metric, number: int) -> None:
    is_shared = family.name in _SHARED
    if is_shared and number:
        return
    known = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
    for sample in family.samples:
        labels = sample.labels if is_shared else {_LABEL: str(number)} | sample.labels
        known.add_sample(sample.name, labels, sample.value)


class _Pages(Collector):
    def __init__(self, families: dict[str, Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return list(self._families.values())
