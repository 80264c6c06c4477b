"""Runs our programs without waiting for Python's imports: a process that has them, and forks.

``python -m tests.live.zygote`` reads a JSON object a line: which program with which arguments, in
which folder, where its output goes, whether it waits for a tracer. It answers with the process id.
What is run is `twistd` and `smtpplus` themselves, each in a process of its own. One zygote serves
the whole run; it has no reactor and no threads, and its children end with it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["BIN", "Child", "Zygote", "zygote"]

BIN = Path(sys.executable).parent
_PROGRAMS = {str(BIN / "twistd"): "twistd", str(BIN / "smtpplus"): "smtpplus"}
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Child:
    """A process that the zygote has made; the methods are those of `subprocess.Popen`."""

    def __init__(self, parent: Zygote, pid: int) -> None:
        self._parent = parent
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor = os.pidfd_open(pid)

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Wait for its end, at most `seconds`."""
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._descriptor, select.POLLIN)
            if not waiting.poll(seconds * 1000):
                return False
            self.returncode = self._parent.status(self.pid)
            os.close(self._descriptor)
        return True

    def poll(self) -> int | None:
        """Its exit status where it has ended; negative: by which signal."""
        self.has_ended()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Its exit status; raises `subprocess.TimeoutExpired`."""
        if not self.has_ended(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; harmless where it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The forking process, from outside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.zygote"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def can_run(argv: list[str]) -> bool:
        """Is this the command line of one of our programs?"""
        return argv[0] in _PROGRAMS

    def start(
        self,
        argv: list[str],
        log: Path,
        *,
        errors: Path | None = None,
        where: Path | None = None,
        stopped: bool = False,
    ) -> Child:
        """Run `argv`; output is appended to `log`, errors go there or to `errors`.

        `stopped`: it waits for a tracer first.
        """
        for path in (log, errors or log):
            path.touch(0o600)  # whoever looks for it finds it
        order = {
            "argv": argv,
            "log": str(log.absolute()),
            "errors": str((errors or log).absolute()),
            "where": str((where or Path()).absolute()),
            "stopped": stopped,
        }
        return Child(self, self._ask(order))

    def status(self, pid: int) -> int:
        """The exit status of a child that has ended."""
        return self._ask({"reap": pid})

    def stop(self) -> None:
        """End it, and what it has made."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _ask(self, order: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


_running: list[Zygote] = []


def zygote() -> Zygote:
    """The one of this run, started when it is first asked for."""
    if not _running:
        _running.append(Zygote())
        atexit.register(_running[0].stop)
    return _running[0]


# ---------------------------------------------------------------- inside of it


def _orders() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _await_tracer() -> None:
    status = Path("/proc/self/status")
    while "TracerPid:\t0\n" in status.read_text():
        time.sleep(0.005)


def _become(order: dict[str, Any]) -> None:
    """In the child: be the program."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with us
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    log, errors = (os.open(order[name], flags, 0o600) for name in ("log", "errors"))
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((null, 0), (log, 1), (errors, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(order["where"])
    if order["stopped"]:
        _await_tracer()
    sys.argv = order["argv"]
    if _PROGRAMS[sys.argv[0]] == "twistd":
        from twisted.scripts.twistd import run

        run()
        sys.exit()
    from smtpplus.cli import main

    main()


def _import_what_takes_long() -> None:
    import twisted.scripts.twistd  # noqa: F401

    import smtpplus.cli
    import smtpplus.tap

    for module in pkgutil.iter_modules(smtpplus.cli.__path__):
        importlib.import_module(f"smtpplus.cli.{module.name}")
    assert "twisted.internet.reactor" not in sys.modules  # else all children shared its descriptors
    assert threading.active_count() == 1
    gc.freeze()


def _main() -> None:
    os.environ["NO_COLOR"] = "1"
    _import_what_takes_long()
    for order in _orders():
        if "reap" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["reap"], 0)[1]), flush=True)
            continue
        child = os.fork()
        if not child:
            _become(order)
        print(child, flush=True)


if __name__ == "__main__":
    _main()
