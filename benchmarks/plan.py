"""How much is measured: the quick form for every day, the full form for what is published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FULL", "QUICK", "Plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The size of every benchmark.

    `seconds` is about how long one run of a rate takes; `sizes` are octets of a message's body.
    """

    rounds: int
    tries: int  # of a run, until nobody else disturbs it
    seconds: float
    sizes: tuple[int, ...]
    probes: int  # messages of a latency
    half_load_seconds: float
    with_haraka: bool  # it takes long
    with_postgresql: bool  # smtpplus on it, beside smtpplus on SQLite
    idle_plain: int  # connections
    idle_tls: int
    queued: int  # messages in the queue when it starts
    stage_messages: int
    events: int  # of the past that pages are read over
    past: Path | None = None  # where it is kept for the next time; None: it is not


QUICK = Plan(
    rounds=3,
    tries=1,
    seconds=1.2,
    sizes=(10240,),
    probes=40,
    half_load_seconds=1.5,
    idle_plain=1000,
    idle_tls=200,
    queued=10_000,
    stage_messages=300,
    events=200_000,
    with_haraka=False,
    with_postgresql=False,
)
FULL = Plan(
    rounds=5,
    tries=4,
    seconds=6.0,
    sizes=(10240, 102400),
    probes=400,
    half_load_seconds=8.0,
    idle_plain=5000,
    idle_tls=1000,
    queued=200_000,
    stage_messages=2000,
    events=10_000_000,
    with_haraka=True,
    with_postgresql=True,
)
