"""A 20 MiB attachment through the relay: how long it takes, and how much memory."""

from __future__ import annotations

import base64
import os
import socket
import time

from benchmarks.database import Database
from benchmarks.latency import TimedSink
from benchmarks.ours import SIGNED, UNSIGNED, Smtpplus
from benchmarks.peers import Postfix
from benchmarks.plan import Plan
from benchmarks.programs import MissingError, Program, Programs, wait_for
from benchmarks.results import Report

__all__ = ["large"]

_ATTACHMENT = 20 * 1024 * 1024


def large(plan: Plan, programs: Programs, report: Report) -> None:
    """Seconds until the 250 and until it is whole at the remote; peak above the idle process."""
    ours, theirs = TimedSink(programs, "sink-ours"), TimedSink(programs, "sink-postfix")
    server = Smtpplus(programs, to=ours.port).start()
    postfix = None
    try:
        postfix = Postfix(programs, "postfix", to=theirs.port, signed=True)
    except MissingError as missing:
        report.skip("large", f"Postfix + OpenDKIM: {missing}")
    there = None
    if plan.with_postgresql:
        try:
            there = Smtpplus(programs, "smtpplus-postgresql", ours.port, Database(programs)).start()
            _send(there.port, UNSIGNED, b"Subject: number 1\r\n\r\nwarm\r\n", ours)
        except MissingError as missing:
            report.skip("large", f"smtpplus, PostgreSQL: {missing}")
    mail = _mail()
    for sender in (SIGNED, UNSIGNED):
        _send(server.port, sender, b"Subject: number 1\r\n\r\nwarm\r\n", ours)
    for _ in range(plan.rounds):
        _one(report, "smtpplus, DKIM", server.port, SIGNED, mail, ours, server.running)
        if postfix is not None:
            _one(report, "Postfix + OpenDKIM", postfix.port, SIGNED, mail, theirs, None)
        _one(report, "smtpplus", server.port, UNSIGNED, mail, ours, server.running)
        if there is not None:
            name = "smtpplus, PostgreSQL"
            _one(report, name, there.port, UNSIGNED, mail, ours, there.running)


def _one(
    report: Report,
    name: str,
    port: int,
    sender: str,
    mail: bytes,
    sink: TimedSink,
    watched: Program | None,
) -> None:
    before = 0
    if watched is not None:
        watched.forget_peak()
        before = watched.memory_kib()
    taken, whole = _send(port, sender, mail, sink)
    for case, seconds in (("taken in", taken), ("at the remote", whole)):
        row = report.row("large", f"20 MiB: {case}", name, "s", base="Postfix + OpenDKIM")
        row.samples.append(seconds)
    if watched is not None:
        grown = (watched.memory_kib(peak=True) - before) / 1024
        report.row("large", "20 MiB: memory above idle", name, "MiB").samples.append(grown)


def _send(port: int, sender: str, mail: bytes, sink: TimedSink) -> tuple[float, float]:
    """Seconds from DATA to the 250, and to the final dot at the remote."""
    sink.clear()
    with socket.create_connection(("127.0.0.1", port), 60) as peer:
        replies = peer.makefile("rb")
        _ask(peer, replies, b"", b"220")
        _ask(peer, replies, b"EHLO load.example\r\n", b"250")
        _ask(peer, replies, f"MAIL FROM:<{sender}>\r\n".encode(), b"250")
        _ask(peer, replies, b"RCPT TO:<b@example.net>\r\n", b"250")
        _ask(peer, replies, b"DATA\r\n", b"354")
        begin = time.monotonic()
        head = f"From: <{sender}>\r\nTo: <b@example.net>\r\n".encode()
        _ask(peer, replies, head + mail + b".\r\n", b"250")
        taken = time.monotonic() - begin
        wait_for("the attachment at the sink", lambda: sink.count() >= 1, 120)
        return taken, sink.moments()[0] - begin


def _ask(peer: socket.socket, replies: object, octets: bytes, code: bytes) -> None:
    peer.sendall(octets)
    while (line := replies.readline())[3:4] == b"-":  # type: ignore[attr-defined]
        pass
    if not line.startswith(code):
        raise RuntimeError(f"{code.decode()} was expected, {line!r} came")


def _mail() -> bytes:
    """Random octets in base64, as a mail client sends them, without From and To."""
    encoded = base64.encodebytes(os.urandom(_ATTACHMENT)).replace(b"\n", b"\r\n")
    return (
        b"Subject: number 0\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="edge"\r\n\r\n'
        b"--edge\r\nContent-Type: text/plain\r\n\r\nSee the attachment.\r\n"
        b"--edge\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded + b"--edge--\r\n"
    )
