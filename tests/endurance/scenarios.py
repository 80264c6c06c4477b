"""The scenarios by name, each in a short and a long form; what ``python -m tests.endurance`` runs.

A scenario raises AssertionError where a promise is broken, and else returns what it measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.endurance import clocks, disks, kills, limits, neighbours, soak, syncs
from tests.endurance.ground import Ground
from tests.live.zygote import zygote

__all__ = ["SCENARIOS", "Scenario"]

_FULL = {"451 4.3.0", "452 4.3.1"}
_HOUR, _DAY = 3_600, 86_400
# One of each kind of call, while starting, at work and amid files.
_SHORT_KILLS = [
    ("fsync,fdatasync", 3),
    ("fsync,fdatasync", 14),
    ("fsync,fdatasync", 25),
    ("pwrite64", 12),
    ("pwrite64", 90),
    ("pwrite64", 200),
    (kills.CALLS[2], 1),
    (kills.CALLS[2], 3),
    ("sendto,write", 45),
    ("sendto,write", 120),
]
_SHORT_FAILURES = [
    ("fdatasync", "EIO", "14"),
    ("pwrite64", "ENOSPC", "80..120"),
]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`short` takes seconds, `long` minutes."""

    promises: str
    short: Callable[[Ground], object]
    long: Callable[[Ground], object]


def _judged(toll: kills.Toll) -> kills.Toll:
    assert not toll.wrong, str(toll)
    return toll


def _failing(
    ground: Ground, plan: list[tuple[str, str, str]], processes: int = 1
) -> disks.Failures:
    found = disks.fail_calls(ground, plan, _FULL, processes=processes)
    assert not found.wrong, str(found)
    assert found.hit, str(found)
    return found


def _long_failures() -> list[tuple[str, str, str]]:
    syncs_failing = [("fdatasync", "EIO", str(n)) for n in range(1, 40)]
    files = [(call, error, str(n)) for call in ("fsync", "rename") for error in ("EIO", "ENOSPC")
             for n in (1, 2, 3)]  # fmt: skip
    writes = [("pwrite64", error, str(n)) for error in ("EIO", "ENOSPC") for n in range(10, 200, 5)]
    return [*syncs_failing, *files, *writes, *[("pread64", "EIO", str(n)) for n in (20, 30, 60)]]


def _lint(ground: Ground, messages: int, processes: int = 1) -> syncs.Lint:
    found = syncs.lint_run(ground, messages, processes)
    assert not found.wrong, str(found)
    assert found.accepts == messages, str(found)
    return found


def _pages(ground: Ground, seeds: int) -> list[str]:
    told = []
    for seed in range(seeds):
        where = ("wal", "file", "store")[seed % 3]
        inner = Ground(ground.test, ground.folder(f"page-{seed}"))
        line, wrong = disks.lost_page(inner, zygote(), seed, where)
        told.append(line)
        assert not wrong, (line, wrong)
    return told


def _soak(ground: Ground, messages: int, most_kib: float) -> soak.Soak:
    found = soak.soak(ground, zygote(), messages)
    assert found.slope_kib <= most_kib, str(found)
    assert max(found.descriptors) - min(found.descriptors) <= 60, str(found)
    return found


def _beside(ground: Ground, waiting: int, probes: int) -> neighbours.Beside:
    found = neighbours.dead_destination(ground, zygote(), waiting, probes)
    # Loose: the ratio is measured by benchmarks; here nobody may be kept out.
    assert found.beside_dead <= max(5 * found.before_dead, 1.0), str(found)
    assert found.beside_silent <= max(5 * found.before_silent, 1.0), str(found)
    return found


SCENARIOS = {
    "kills": Scenario(
        "D1 D2 D9 D16",
        lambda g: _judged(kills.kill_at_calls(g, _SHORT_KILLS)),
        lambda g: _judged(kills.kill_at_calls(g, None)),
    ),
    "random-kills": Scenario(
        "D2 D3 D16",
        lambda g: _judged(kills.kill_at_random(g, 3, 3, messages=300)),
        lambda g: _judged(kills.kill_at_random(g, 600, 3)),
    ),
    "process-kills": Scenario(
        "D1 D2 D3 D16, of several processes",
        lambda g: _judged(kills.kill_processes(g, 3, 5, messages=200)),
        lambda g: _judged(kills.kill_processes(g, 200, 5)),
    ),
    "long-queue-kills": Scenario(
        "D3 D16",
        lambda g: _judged(kills.kill_amid_a_long_queue(g, 1_500, 2, messages=200)),
        lambda g: _judged(kills.kill_amid_a_long_queue(g, 100_000, 30, most_seconds=5.0)),
    ),
    "long-queue": Scenario(
        "D11",
        # Short, it says what it measured; a rate on a busy machine is no promise.
        lambda g: limits.long_queue(g, 2_000, 200, most_mib=300, least=0.2),
        lambda g: limits.long_queue(g, 200_000, 5_000, most_mib=300, least=0.8),
    ),
    "syncs": Scenario("D4", lambda g: _lint(g, 150), lambda g: _lint(g, 10_000)),
    "syncs-of-several": Scenario(
        "D4, of several processes", lambda g: _lint(g, 150, 2), lambda g: _lint(g, 10_000, 2)
    ),
    "failing-disk": Scenario(
        "D5 D6",
        lambda g: _failing(g, _SHORT_FAILURES),
        lambda g: _failing(g, _long_failures()),
    ),
    "failing-disk-of-several": Scenario(
        "D5 D6, of several processes",
        lambda g: _failing(g, _SHORT_FAILURES, 2),
        lambda g: _failing(g, _long_failures(), 2),
    ),
    "full-disk": Scenario("D6 D7", disks.full_disk, lambda g: disks.full_disk(g, 16)),
    "full-disk-of-several": Scenario(
        "D6 D7, of several processes",
        lambda g: disks.full_disk(g, 6, processes=2),
        lambda g: disks.full_disk(g, 16, processes=3),
    ),
    "too-little-room": Scenario("D7", disks.too_little, disks.too_little),
    "full-of-itself": Scenario(
        "D6", lambda g: disks.full_of_itself(g, 8), lambda g: disks.full_of_itself(g, 40)
    ),
    "full-of-itself-of-several": Scenario(
        "D6, of several processes",
        lambda g: disks.full_of_itself(g, 8, processes=2),
        lambda g: disks.full_of_itself(g, 40, processes=3),
    ),
    "descriptors": Scenario("D8", limits.few_descriptors, limits.few_descriptors),
    "lost-reply": Scenario(
        "D10",
        lambda g: neighbours.lost_reply(g, zygote()),
        lambda g: neighbours.lost_reply(g, zygote()),
    ),
    "lost-page": Scenario("D15", lambda g: _pages(g, 3), lambda g: _pages(g, 40)),
    "expiry": Scenario("D18", clocks.expiry, clocks.expiry),
    "idle": Scenario(
        "R1",
        lambda g: limits.idle_connections(g, zygote(), 500, 50),
        lambda g: limits.idle_connections(g, zygote(), 5_000, 1_000),
    ),
    "slow-clients": Scenario(
        "R3",
        lambda g: limits.slow_clients(g, zygote(), 40, most_seconds=5),
        lambda g: limits.slow_clients(g, zygote(), 500, most_seconds=400),
    ),
    "half-open": Scenario(
        "T5",
        lambda g: limits.half_open(g, zygote(), 100),
        lambda g: limits.half_open(g, zygote(), 500),
    ),
    "large": Scenario(
        "R5",
        lambda g: limits.large_messages(g, zygote(), 5, 10),
        lambda g: limits.large_messages(g, zygote(), 20, 50),
    ),
    "soak": Scenario(
        "R11 C6",
        lambda g: _soak(g, 1_000, 100_000),  # too short for a slope
        lambda g: _soak(g, 200_000, 1_024),
    ),
    "dead-destination": Scenario(
        "O5", lambda g: _beside(g, 300, 40), lambda g: _beside(g, 12_000, 100)
    ),
    "schedule": Scenario(
        "O8",
        lambda g: neighbours.schedule(g, zygote(), 20, 3),
        lambda g: neighbours.schedule(g, zygote(), 200, 8),
    ),
    "clock": Scenario(
        "C1",
        lambda g: clocks.jumps(g, (_HOUR, -_HOUR), messages=2_000, seconds=1),
        lambda g: clocks.jumps(
            g, (_HOUR, -_HOUR, 40 * _DAY, -40 * _DAY), messages=40_000, seconds=15
        ),
    ),
    "locked-store": Scenario(
        "C5",
        lambda g: neighbours.locked_store(g, zygote(), 12),
        lambda g: neighbours.locked_store(g, zygote(), 30),
    ),
}
