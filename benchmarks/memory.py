"""Memory at rest: empty, with idle connections, with a full queue; and the start with that."""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
import time

from benchmarks.load import burst
from benchmarks.ours import UNSIGNED, Smtpplus
from benchmarks.plan import Plan
from benchmarks.programs import Programs
from benchmarks.results import Report

__all__ = ["memory", "start"]

_SETTLE_SECONDS = 0.7
_BUSY_SECONDS = 20.0
_PER_ADDRESS = 1000


def memory(plan: Plan, programs: Programs, report: Report) -> None:
    """Resident memory when empty, then with plain connections after EHLO, then with TLS too."""
    _allow_descriptors(plan.idle_plain + plan.idle_tls + 500)
    server = Smtpplus(programs, to=9)
    for _ in range(plan.rounds):
        server.start()
        with contextlib.ExitStack() as stack:
            _warm_up(server)
            time.sleep(_SETTLE_SECONDS)
            empty = server.running.memory_kib()
            for number in range(plan.idle_plain):
                stack.enter_context(_idle(server.port, number))
            time.sleep(_SETTLE_SECONDS)
            plain = server.running.memory_kib()
            for number in range(plan.idle_tls):
                stack.enter_context(_idle(server.port_tls, number, tls=True))
            time.sleep(_SETTLE_SECONDS)
            tls = server.running.memory_kib()
        server.stop()
        both = f"{plan.idle_plain:,} plain + {plan.idle_tls:,} TLS idle"
        for case, value, unit in (
            ("empty", empty / 1024, "MiB"),
            (f"each of {plan.idle_plain:,} plain", (plain - empty) / plan.idle_plain, "KiB"),
            (f"each of {plan.idle_tls:,} TLS", (tls - plain) / plan.idle_tls, "KiB"),
            (both, tls / 1024, "MiB"),
        ):
            report.row("memory", case, "smtpplus", unit).samples.append(value)


def start(plan: Plan, programs: Programs, report: Report) -> None:
    """Until ready: with an empty queue, with a full one whose destination refuses connections."""
    server = Smtpplus(programs)
    for _ in range(plan.rounds):
        server.start()
        report.row("start", "empty", "smtpplus", "s").samples.append(server.start_seconds)
        server.stop()
    server.start()
    burst(server.port, plan.queued, octets=1024, sender=UNSIGNED, sessions=50)
    server.stop()
    server.deliver_to(9)
    queued = f"{plan.queued:,} queued"
    for _ in range(plan.rounds):
        server.start()
        report.row("start", queued, "smtpplus", "s").samples.append(server.start_seconds)
        cpu = server.cpu_seconds()
        time.sleep(_BUSY_SECONDS if plan.queued > 50_000 else _SETTLE_SECONDS)
        cpu = server.cpu_seconds() - cpu
        resident = server.running.memory_kib(peak=True) / 1024
        row = report.row("start", f"{queued}, memory at most", "smtpplus", "MiB")
        row.samples.append(resident)
        row.note = f"the destination refuses; {cpu:.1f} s of processor after the start"
        server.stop()


def _warm_up(server: Smtpplus) -> None:
    """What is loaded at the first connection belongs to the empty process."""
    with _idle(server.port, 0), _idle(server.port_tls, 0, tls=True):
        pass


def _idle(port: int, number: int, *, tls: bool = False) -> socket.socket:
    """A connection that has said EHLO."""
    source = f"127.0.1.{1 + number // _PER_ADDRESS}"
    peer = socket.create_connection(("127.0.0.1", port), 30, source_address=(source, 0))
    if tls:
        peer = _CONTEXT.wrap_socket(peer)
    peer.recv(1024)
    peer.sendall(b"EHLO idle.example\r\n")
    peer.recv(1024)
    return peer


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


_CONTEXT = ssl.create_default_context()
_CONTEXT.check_hostname = False
_CONTEXT.verify_mode = ssl.CERT_NONE
