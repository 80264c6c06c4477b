"""What a process tells Prometheus: `Metrics` gathers, ``/metrics`` shows."""

from smtpplus.metrics.counted_queue import CountedQueue
from smtpplus.metrics.gather import Metrics, Sources

__all__ = ["CountedQueue", "Metrics", "Sources"]
