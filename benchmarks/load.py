"""Postfix's load generator and sink, with what they cost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import (
    Program,
    Programs,
    answers,
    free_port,
    mail_user,
    needs,
    wait_for,
)
from benchmarks.smtp_load import LENGTH

__all__ = ["SESSIONS", "Burst", "OwnLoad", "Sink", "burst"]

SESSIONS = 20
_COUNT = re.compile(rb"mesg=(\d+)")


@dataclass(frozen=True, slots=True)
class Burst:
    """What one run of smtp-source took."""

    seconds: float
    cpu_seconds: float


def burst(
    port: int,
    messages: int,
    *,
    octets: int,
    sender: str,
    recipient: str = "b@example.net",
    sessions: int = SESSIONS,
    file: Path | None = None,
) -> Burst:
    """Send `messages` over `sessions` kept connections, as fast as they are taken.

    They have `octets` that say nothing, or what is in `file`, whose line ends are LF.
    """
    content = ("-l", str(octets)) if file is None else ("-F", str(file))
    command = [
        *(needs("smtp-source"), "-d", "-s", str(min(sessions, messages)), "-m", str(messages)),
        *(*content, "-f", sender, "-t", recipient, f"127.0.0.1:{port}"),
    ]
    begin = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"smtp-source: {said.decode(errors='replace')}")
    return Burst(time.monotonic() - begin, used.ru_utime + used.ru_stime)


class OwnLoad:
    """Mails that smtp-source cannot send: each its own. Made ready first, then sent.

    `mails` have line ends CRLF.
    """

    def __init__(
        self, folder: Path, port: int, mails: Iterable[bytes], sender: str, recipient: str
    ) -> None:
        file = folder / "mails"
        with file.open("wb") as out:
            for mail in mails:
                said = mail.replace(b"\r\n.", b"\r\n..") + b".\r\n"
                out.write(LENGTH.pack(len(said)) + said)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.smtp_load", str(port), str(file)),
                *(str(SESSIONS), sender, recipient),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def send(self) -> Burst:
        """All of them, over `SESSIONS` kept connections."""
        process, begin = self._process, time.monotonic()
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
        told = process.stdout.read() + process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (process.stdout, process.stderr):
            stream.close()
        if process.returncode:
            raise RuntimeError(f"the load: {told.decode(errors='replace')}")
        return Burst(time.monotonic() - begin, used.ru_utime + used.ru_stime)


class Sink:
    """smtp-sink: takes everything, keeps nothing, counts."""

    def __init__(self, programs: Programs, name: str = "sink") -> None:
        program = needs("smtp-sink")
        self.port = free_port()
        user = ["-u", mail_user().pw_name] if os.getuid() == 0 else []
        self._log: Path = programs.folder / f"{name}.log"
        self.program: Program = programs.start(
            name, [program, *user, "-c", f"127.0.0.1:{self.port}", "1000"]
        )
        wait_for("smtp-sink", lambda: answers(self.port))

    def count(self) -> int:
        """Messages so far."""
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - 200))
            found = _COUNT.findall(file.read())
        return int(found[-1]) if found else 0
