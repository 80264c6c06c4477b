"""Starts services without waiting for Python's imports: a process that has them, and forks.

``python -m tests.endurance.zygote`` reads a JSON object a line (argv, log, and whether to wait for a
tracer) and answers with the process id of the new service. What is run is `twistd` itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.endurance.ground import Ground

__all__ = ["Child", "Zygote"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Child:
    """A service; `Zygote.start` makes it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Wait for its end, at most `seconds`."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def send(self, number: signal.Signals) -> None:
        """Send a signal; harmless where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self._descriptor)


class Zygote:
    """The forking process, from outside."""

    def __init__(self, ground: Ground) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.endurance.zygote"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ground.test.addCleanup(self._stop)

    def start(self, argv: list[str], log: Path, *, stopped: bool = False) -> Child:
        """Run ``argv`` (a twistd command line); `stopped`: it waits for a tracer first."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"argv": argv, "log": str(log), "stopped": stopped}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Child(int(self._process.stdout.readline()))

    def _stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def _orders() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _await_tracer() -> None:
    status = Path("/proc/self/status")
    while "TracerPid:\t0\n" in status.read_text():
        time.sleep(0.005)


def _main() -> None:
    import twisted.scripts.twistd as program

    import smtpplus.tap  # noqa: F401 - what takes long, before the fork

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for order in _orders():
        child = os.fork()
        if child:
            print(child, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with us
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for descriptor, number in ((null, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, number)
        if order["stopped"]:
            _await_tracer()
        sys.argv = order["argv"]
        program.run()
        return


if __name__ == "__main__":
    _main()
