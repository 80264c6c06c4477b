"""How long a message stays with us: from its final dot to its first octet at the remote."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.load import SESSIONS, burst
from benchmarks.ours import SIGNED, Smtpplus
from benchmarks.peers import Postfix
from benchmarks.plan import Plan
from benchmarks.programs import MissingError, Program, Programs, answers, free_port, wait_for
from benchmarks.results import Report

__all__ = ["TimedSink", "latency"]

_IDLE_RATE = 25.0
_OCTETS = 10240


class TimedSink:
    """A sink that notes the times of each message: number → (first octet, final dot)."""

    def __init__(self, programs: Programs, name: str) -> None:
        self.port = free_port()
        self._file = programs.folder / f"{name}.times"
        self._file.touch()
        self.program: Program = programs.start(
            name,
            [sys.executable, "-m", "benchmarks.timed", "sink", str(self.port), str(self._file)],
        )
        wait_for(name, lambda: answers(self.port))

    def count(self) -> int:
        """Messages since `clear`."""
        return self._file.read_bytes().count(b"\n")

    def moments(self) -> list[float]:
        """When each message was whole."""
        return [float(line.split()[2]) for line in self._file.read_text().splitlines()]

    def times(self) -> dict[int, tuple[float, float]]:
        """Of each message since `clear`."""
        return _times(self._file)

    def clear(self) -> None:
        """Forget what came."""
        self._file.write_bytes(b"")


class _Subject:
    def __init__(self, name: str, port: int, sink: TimedSink) -> None:
        self.name, self.port, self.sink = name, port, sink
        self.half = 100.0


def latency(plan: Plan, programs: Programs, report: Report) -> None:
    """Idle (a kept connection, a new one for each message), and at half of its own top rate."""
    ours = TimedSink(programs, "sink-ours")
    server = Smtpplus(programs, to=ours.port).start()
    subjects = [_Subject("smtpplus, DKIM", server.port, ours)]
    try:
        theirs = TimedSink(programs, "sink-postfix")
        postfix = Postfix(programs, "postfix", to=theirs.port, signed=True)
        subjects.append(_Subject("Postfix + OpenDKIM", postfix.port, theirs))
    except MissingError as missing:
        report.skip("latency", f"Postfix + OpenDKIM: {missing}")
    for subject in subjects:
        subject.half = _half_load(subject)
    for _ in range(plan.rounds):
        for subject in subjects:
            _case(report, programs, subject, "idle, one domain", _IDLE_RATE, plan.probes)
            _case(report, programs, subject, "idle, new domains", _IDLE_RATE, plan.probes)
            _case(
                *(report, programs, subject, "half load"),
                subject.half,
                int(subject.half * plan.half_load_seconds),
            )


def _half_load(subject: _Subject) -> float:
    """Half of what it relays a second to this sink; the first run warms up."""
    rates = []
    for messages in (200, 1000):
        subject.sink.clear()
        burst(subject.port, messages, octets=_OCTETS, sender=SIGNED)
        wait_for(subject.name, _arrived(subject.sink, messages), 120)
        moments = subject.sink.moments()
        rates.append(messages / (max(moments) - min(moments)))
    return rates[-1] / 2


def _case(
    report: Report, programs: Programs, subject: _Subject, case: str, rate: float, messages: int
) -> None:
    subject.sink.clear()
    load = programs.folder / "load.times"
    load.write_bytes(b"")
    domain = "n{}.example.net" if "new" in case else "example.net"
    sessions = SESSIONS if case == "half load" else 1
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.timed", "load", str(subject.port), str(load)),
            *(f"{rate:.3f}", str(messages), str(sessions), str(_OCTETS), SIGNED, domain),
        ],
        check=True,
    )
    wait_for(subject.name, _arrived(subject.sink, messages), 120)
    sent, came = _times(load), subject.sink.times()
    first = [(came[number][0] - dot) * 1000 for number, (dot, _) in sent.items()]
    whole = [(came[number][1] - dot) * 1000 for number, (dot, _) in sent.items()]
    reply = [(answered - dot) * 1000 for dot, answered in sent.values()]
    for what, values, points in (
        ("250", reply, (50,)),
        ("first octet", first, (50, 99)),
        ("content", whole, (50, 99)),
    ):
        for point in points:
            row = report.row(
                "latency",
                f"{case}: dot to {what}, p{point}",
                subject.name,
                "ms",
                base="Postfix + OpenDKIM",
                note=f"{messages} at {rate:.0f}/s",
            )
            row.samples.append(_percentile(values, point))


def _arrived(sink: TimedSink, messages: int) -> Callable[[], bool]:
    return lambda: sink.count() >= messages


def _percentile(values: list[float], point: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[point - 1]


def _times(file: Path) -> dict[int, tuple[float, float]]:
    found = {}
    for line in file.read_text().splitlines():
        number, first, last = line.split()
        found[int(number)] = (float(first), float(last))
    return found
