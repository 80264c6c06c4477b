"""Programs that run beside the benchmark: found, started, measured, ended by their process id.

Guarantees: what was started is ended when its `Programs` is closed, whatever happened. A program
that is missing raises `MissingError` with the name of its Debian package. Processor time is that
of a process with all its children, the ended ones included; its grain is 10 ms.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Self

__all__ = [
    "MissingError",
    "Program",
    "Programs",
    "answers",
    "free_port",
    "needs",
    "open_way_to",
    "wait_for",
]

_TICK = os.sysconf("SC_CLK_TCK")
_WAIT_SECONDS = 60.0
_PACKAGES = {
    "smtp-source": "postfix",
    "smtp-sink": "postfix",
    "postfix": "postfix",
    "opendkim": "opendkim",
    "npm": "npm",
    "node": "nodejs",
}


class MissingError(Exception):
    """What this benchmark needs is not here; the text says what to install."""


def needs(program: str) -> str:
    """The program's path."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        package = _PACKAGES.get(program, program)
        raise MissingError(f"needs {program} (Debian package {package})")
    return path


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(what: str, condition: Callable[[], bool], seconds: float = _WAIT_SECONDS) -> None:
    """Return as soon as `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.01)


def answers(port: int) -> bool:
    """Does somebody greet at this port?"""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as peer:
        peer.settimeout(2)
        return peer.recv(3) == b"220"
    return False


def open_way_to(path: Path) -> None:
    """Let another user reach a folder of ours."""
    for parent in [path, *path.parents]:
        with contextlib.suppress(PermissionError):
            if parent.stat().st_uid == os.getuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o055)


class Program:
    """A running program. `log` takes what it prints."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def check(self) -> None:
        """Raise with the end of its log where it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended at once: {self.log.read_text(errors='replace')[-2000:]}")

    def cpu_seconds(self) -> float:
        """Of it and all it started."""
        return _cpu_seconds(self.pid)

    def memory_kib(self, *, peak: bool = False) -> int:
        """Resident now, or the most since `forget_peak`; without its children."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1])

    def forget_peak(self) -> None:
        """The peak is what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        """End it and what it started, also what made a session of its own (Postfix's master)."""
        if self._process.poll() is not None:
            return
        family = [_Known(pid) for pid in _family(self.pid)[0]]
        for one in family:
            one.end(signal.SIGTERM)
        deadline = time.monotonic() + 40
        while any(one.lives for one in family) and time.monotonic() < deadline:
            self._process.poll()  # what has ended is not waited for as a zombie
            time.sleep(0.01)
        for one in family:
            one.end(signal.SIGKILL)
        self._process.wait(10)


class _Known:
    """A process that was seen; its number given to another one is not it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._born = _born(pid)

    @property
    def lives(self) -> bool:
        return self._born is not None and _born(self._pid) == self._born

    def end(self, how: signal.Signals) -> None:
        if self.lives:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, how)


class Programs:
    """All that one benchmark runs, in `folder`; a context that ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stops = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._stops.close()

    def start(self, name: str, command: list[str]) -> Program:
        """Run `command`; its output goes to ``name.log``."""
        program = Program(command, self.folder / f"{name}.log")
        self._stops.callback(program.stop)
        return program

    def at_end(self, call: Callable[[], object]) -> None:
        """Do this when everything started later has ended."""
        self._stops.callback(call)


def mail_user() -> pwd.struct_passwd:
    """Postfix's user."""
    try:
        return pwd.getpwnam("postfix")
    except KeyError:
        raise MissingError("needs the user postfix (Debian package postfix)") from None


def _cpu_seconds(root: int) -> float:
    family, used = _family(root)
    return sum(used[pid] for pid in family) / _TICK


def _family(root: int) -> tuple[list[int], dict[int, int]]:
    """`root` and all that descend from it; what each used with its ended children, in ticks."""
    children: dict[int, list[int]] = defaultdict(list)
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
            used[int(entry.name)] = sum(int(one) for one in fields[11:15])
    family, waiting = [], [root] if root in used else []
    while waiting:
        family.append(waiting.pop())
        waiting += children.get(family[-1], [])
    return family, used


def _born(pid: int) -> bytes | None:
    """When a process started; None where there is none, or only its zombie."""
    fields = _stat(pid)
    return fields[19] if fields and fields[0] != b"Z" else None


def _stat(pid: int) -> list[bytes]:
    """From the state on, proc(5); nothing where there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return []
