"""How many messages a second: durable accept with delivery held, and relay end to end."""

from __future__ import annotations

import functools
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from benchmarks.database import Database
from benchmarks.floors import Aiosmtpd, disk
from benchmarks.load import SESSIONS, Burst, OwnLoad, Sink, burst
from benchmarks.machine import busy_seconds
from benchmarks.mail import EVERYTHING, order_mail
from benchmarks.ours import SIGNED, UNSIGNED, Smtpplus
from benchmarks.peers import Haraka, Postfix
from benchmarks.plan import Plan
from benchmarks.programs import MissingError, Programs, wait_for
from benchmarks.results import Report

__all__ = ["accept", "everything", "relay"]

_WARM_UP = 200
_FEWEST = 200
_QUIET_PERCENT = 15.0
_PROCESSES = len(os.sched_getaffinity(0))  # as `init --production` sets it


class _Server(Protocol):
    port: int

    def cpu_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class _Subject:
    """Who is measured; with a sink the run ends when everything arrived there."""

    name: str
    server: _Server
    sender: str
    base: str
    sink: Sink | None = None
    file: Path | None = None  # what is sent, instead of octets that say nothing
    folder: Path | None = None  # set: each message is an order of its own


@dataclass(frozen=True, slots=True)
class _Run:
    """Messages per second; processor µs per message; percent of the machine used by others."""

    rate: float
    server_us: float
    load_us: float
    others: float


def accept(plan: Plan, programs: Programs, report: Report) -> None:
    """Durable accept, delivery held on both sides, kept connections, no TLS."""
    base = "Postfix, HOLD"
    subjects = [
        _Subject("smtpplus", Smtpplus(programs, processes=_PROCESSES).start(), SIGNED, base),
        _Subject("smtpplus, one process", Smtpplus(programs, "one").start(), SIGNED, base),
    ]
    made: dict[str, Callable[[], _Server]] = {
        "Postfix, HOLD": lambda: Postfix(programs, "postfix", to=None),
        "aiosmtpd, keeps nothing": lambda: Aiosmtpd(programs),
    }
    if plan.with_postgresql:
        made["smtpplus, PostgreSQL"] = lambda: _on_postgresql(programs, to=None)
    for name, make in made.items():
        _add(report, "accept", name, subjects, make, sender=SIGNED, base=base)
    for octets in plan.sizes:
        _measure("accept", plan, report, subjects, octets)
        _disk(plan, programs.folder, report, octets)


def relay(plan: Plan, programs: Programs, report: Report) -> None:
    """From the first MAIL to the last message at the sink, signed with RSA-2048 and not."""
    sink = Sink(programs)
    ours = Smtpplus(programs, to=sink.port, processes=_PROCESSES).start()
    one = Smtpplus(programs, "one", to=sink.port).start()
    signed = [
        _Subject("smtpplus, DKIM", ours, SIGNED, "Postfix + OpenDKIM", sink),
        _Subject("smtpplus, one process, DKIM", one, SIGNED, "Postfix + OpenDKIM", sink),
    ]
    plain = [
        _Subject("smtpplus", ours, UNSIGNED, "Postfix", sink),
        _Subject("smtpplus, one process", one, UNSIGNED, "Postfix", sink),
    ]
    peers = [
        ("Postfix + OpenDKIM", signed, _postfix(programs, "postfix-dkim", sink, dkim=True)),
        ("Postfix", plain, _postfix(programs, "postfix", sink, dkim=False)),
    ]
    if plan.with_postgresql:
        both = functools.cache(lambda: _on_postgresql(programs, to=sink.port))
        peers += [
            ("smtpplus, PostgreSQL, DKIM", signed, both),
            ("smtpplus, PostgreSQL", plain, both),
        ]
    if plan.with_haraka:
        peers += [
            ("Haraka, DKIM", signed, _haraka(programs, "haraka-dkim", sink, dkim=True)),
            ("Haraka", plain, _haraka(programs, "haraka", sink, dkim=False)),
        ]
    for name, made, make in peers:
        _add(
            report,
            "relay",
            name,
            made,
            make,
            sender=made[0].sender,
            base=made[0].base,
            sink=sink,
        )
    for octets in plan.sizes:
        _measure("relay", plan, report, [*signed, *plain], octets)


def everything(plan: Plan, programs: Programs, report: Report) -> None:
    """HTML and text with ten links: footer, pixel, tracked links, unsubscribe, return path, DKIM.

    The same order in each message, as of who writes the same to many; then each its own.
    """
    sink = Sink(programs)
    file = programs.folder / "order.eml"
    mail = order_mail(SIGNED, "b@example.net")
    file.write_bytes(mail.replace(b"\r\n", b"\n"))
    base = "Postfix + OpenDKIM"
    subjects = []
    for mark, processes in (("", _PROCESSES), (", one process", 1)):
        for what, wants in (("everything on", EVERYTHING), ("DKIM alone", None)):
            name = f"smtpplus{mark}, {what}"
            place = f"{what.partition(' ')[0]}-{processes}"
            made = Smtpplus(programs, place, sink.port, wants=wants, processes=processes)
            subjects.append(_Subject(name, made.start(), SIGNED, base, sink, file))
    try:
        peer = _postfix(programs, "postfix-dkim", sink, dkim=True)()
        subjects.append(_Subject(base, peer, SIGNED, base, sink, file))
    except MissingError as missing:
        report.skip("everything", f"{base}: {missing}")
    _measure("everything", plan, report, subjects, len(mail))
    apart = [
        replace(one, file=None, folder=programs.folder)
        for one in subjects
        if "DKIM alone" not in one.name
    ]
    _measure("everything", plan, report, apart, len(mail), ", each its own")


def _on_postgresql(programs: Programs, *, to: int | None) -> _Server:
    database = Database(programs)
    return Smtpplus(programs, "smtpplus-postgresql", to, database).start()


def _postfix(programs: Programs, name: str, sink: Sink, *, dkim: bool) -> Callable[[], _Server]:
    return lambda: Postfix(programs, name, to=sink.port, signed=dkim)


def _haraka(programs: Programs, name: str, sink: Sink, *, dkim: bool) -> Callable[[], _Server]:
    return lambda: Haraka(programs, name, to=sink.port, signed=dkim)


def _add(
    report: Report,
    benchmark: str,
    name: str,
    subjects: list[_Subject],
    make: Callable[[], _Server],
    *,
    sender: str,
    base: str,
    sink: Sink | None = None,
) -> None:
    try:
        subjects.append(_Subject(name, make(), sender, base, sink))
    except MissingError as missing:
        report.skip(benchmark, f"{name}: {missing}")


def _measure(
    benchmark: str,
    plan: Plan,
    report: Report,
    subjects: list[_Subject],
    octets: int,
    which: str = "",
) -> None:
    """Each in turn, and again: what disturbs the machine disturbs all alike."""
    counts = {one.name: _messages(one, plan, octets) for one in subjects}
    for _, subject in itertools.product(range(plan.rounds), subjects):
        run = _quietest(subject, counts[subject.name], octets, plan.tries)
        row = report.row(
            benchmark, f"{octets // 1024} KB{which}", subject.name, "messages/s", base=subject.base
        )
        row.samples.append(run.rate)
        row.server_us.append(run.server_us)
        row.load_us.append(run.load_us)
        row.others.append(run.others)
        row.note = f"{counts[subject.name]:,} messages, {SESSIONS} sessions"


def _quietest(subject: _Subject, messages: int, octets: int, tries: int) -> _Run:
    """A run that nobody disturbed; after `tries` the one that was disturbed least."""
    runs = []
    for _ in range(tries):
        runs.append(_run(subject, messages, octets))
        if runs[-1].others < _QUIET_PERCENT:
            break
    return min(runs, key=lambda run: run.others)


def _messages(subject: _Subject, plan: Plan, octets: int) -> int:
    """As many as take about the planned time; the first run warms up."""
    rate = _run(subject, _WARM_UP, octets).rate
    return max(_FEWEST, int(rate * plan.seconds) // 100 * 100)


def _run(subject: _Subject, messages: int, octets: int) -> _Run:
    server, sink = subject.server, subject.sink
    send = _load(subject, messages, octets)
    before = sink.count() if sink else 0
    sink_cpu = sink.program.cpu_seconds() if sink else 0.0
    server_cpu, busy, begin = server.cpu_seconds(), busy_seconds(), time.monotonic()
    sent = send()
    if sink is not None:
        wait_for(f"{subject.name}: all at the sink", lambda: sink.count() >= before + messages, 300)
    took, busy = time.monotonic() - begin, busy_seconds() - busy
    server_cpu = server.cpu_seconds() - server_cpu
    load_cpu = sent.cpu_seconds
    if sink is not None:
        load_cpu += sink.program.cpu_seconds() - sink_cpu
    cores = os.cpu_count() or 1
    return _Run(
        messages / took,
        server_cpu / messages * 1e6,
        load_cpu / messages * 1e6,
        max(0.0, busy - server_cpu - load_cpu) / took / cores * 100,
    )


_orders = itertools.count(10_000)  # never the same again


def _load(subject: _Subject, messages: int, octets: int) -> Callable[[], Burst]:
    """Sends them, when it is called."""
    port, sender = subject.server.port, subject.sender
    if subject.folder is None:
        return functools.partial(
            burst, port, messages, octets=octets, sender=sender, file=subject.file
        )
    to = "b@example.net"
    mails = (order_mail(sender, to, next(_orders)) for _ in range(messages))
    return OwnLoad(subject.folder, port, mails, sender, to).send


def _disk(plan: Plan, folder: Path, report: Report, octets: int) -> None:
    """A file for each message, written and synced, as many at a time as there are sessions."""
    scratch = folder / "disk"
    scratch.mkdir(exist_ok=True)
    for _, writers in itertools.product(range(plan.rounds), (1, SESSIONS)):
        rate, cpu = disk(scratch, octets=octets, writers=writers, seconds=plan.seconds / 3)
        row = report.row(
            "accept",
            f"{octets // 1024} KB",
            f"a file and fsync each, {writers} at a time",
            "messages/s",
            base="Postfix, HOLD",
        )
        row.samples.append(rate)
        row.server_us.append(cpu)
