"""D4: no 250 before its sync, read from the system calls of the running service.

For each message that was answered 250: the first write to the write-ahead log that holds its
Message-ID must be followed by a sync of the log that began after that write and succeeded before
the reply was sent. For a message in a file: its part was synced after its last write, then renamed,
then the folder synced, all before the reply. Catches ``synchronous=NORMAL`` and a reply that
overtakes its group's commit. With several processes, one writes and syncs, others reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.endurance.arrivals import Arrivals
from tests.endurance.ground import Ground
from tests.endurance.house import House, needs_strace
from tests.endurance.load import Load, Mail

__all__ = ["Lint", "lint", "lint_run"]

_CALL = re.compile(r"(\d+) +(\w+)\((.*)", re.DOTALL)
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_NAME = re.compile(r"<([a-z0-9-]+)@example\.com>")
_QUEUED = re.compile(r'"250 2\.0\.0 queued as (\w+)')
_PATH = re.compile(r"\d+<([^>]*)>")
_FILE = re.compile(r"/(\w+)\.(?:part|eml)$")
_OF_STRACE = "trace=pwrite64,write,fsync,fdatasync,rename,sendto"


@dataclass
class _Kept:
    """When something was written, and when it was safe: numbers of lines of the trace."""

    written: int = 0
    safe: int | None = None


@dataclass
class Lint:
    """What a trace says."""

    accepts: int = 0
    in_files: int = 0
    syncs: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        wrong = self.wrong[:5] or "none"
        return (
            f"{self.accepts} accepts ({self.in_files} in files), {self.syncs} syncs of the log; "
            f"250 before its sync: {wrong}"
        )


@dataclass
class _Trace:
    """The state of the disk as the trace goes on."""

    names: dict[str, str]  # queue id → name of the message
    found: Lint = field(default_factory=Lint)
    in_log: dict[str, _Kept] = field(default_factory=dict)
    files: dict[str, _Kept] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    unsynced: list[_Kept] = field(default_factory=list)

    def begun(self, number: int, call: str, rest: str) -> None:
        """A call that begins here."""
        if call == "sendto":
            for queue_id in _QUEUED.findall(rest):
                self._replied(number, queue_id)
        elif call == "pwrite64" and "-wal>" in rest[:400]:
            for name in set(_NAME.findall(rest)):
                if name not in self.in_log:
                    self.in_log[name] = kept = _Kept(number)
                    self.unsynced.append(kept)
        elif call == "write" and (file := _file_of(rest)):
            self.stages[file] = "written"

    def ended(self, began: int, number: int, call: str, rest: str) -> None:
        """A call that succeeded here."""
        if call in {"fsync", "fdatasync"} and "-wal>" in rest:
            self.found.syncs += 1
            for kept in self.unsynced:
                if kept.written < began:
                    kept.safe = number
            self.unsynced = [kept for kept in self.unsynced if kept.safe is None]
        elif call == "fsync" and (file := _file_of(rest)):
            self.stages[file] = "synced"
        elif call == "rename" and (found := re.search(r"/(\w+)\.part", rest)):
            if self.stages.get(found[1]) == "synced":
                self.stages[found[1]] = "renamed"
                self.files[found[1]] = _Kept(number)
        elif call == "fsync" and (path := _PATH.search(rest)):
            for kept in self.files.values():
                if kept.safe is None and kept.written < began and "/queue/" in path[1]:
                    kept.safe = number

    def _replied(self, number: int, queue_id: str) -> None:
        self.found.accepts += 1
        name = self.names.get(queue_id)
        kept = self.in_log.get(name or "")
        if kept is None or kept.safe is None or kept.safe > number:
            self.found.wrong.append(f"{queue_id} ({name}): {kept}, 250 at {number}")
        if name is not None and name.startswith("file"):
            self.found.in_files += 1
            file = self.files.get(queue_id)
            if file is None or file.safe is None or file.safe > number:
                self.found.wrong.append(f"{queue_id}'s file: {file}, 250 at {number}")


def lint(trace: Path, names: dict[str, str]) -> Lint:
    """Read a trace; `names` are the messages by what the 250 called them."""
    state = _Trace(names)
    open_calls: dict[str, tuple[int, str, str]] = {}
    for number, thread, call, rest, phase in _calls(trace):
        if phase == "resumed":
            began, call, rest = open_calls.pop(thread, (number, call, ""))  # noqa: PLW2901
            state.ended(began, number, call, rest)
            continue
        state.begun(number, call, rest)
        if phase == "unfinished":
            open_calls[thread] = (number, call, rest)
        elif phase == "whole":
            state.ended(number, number, call, rest)
    return state.found


def _calls(trace: Path) -> Iterator[tuple[int, str, str, str, str]]:
    """Number of the line, thread, call, arguments; whole, unfinished, resumed or failed."""
    with trace.open(errors="replace") as lines:
        for number, line in enumerate(lines):
            text = line.rstrip("\n")
            if found := _RESUMED.match(text):
                phase = "failed" if ") = -1" in text else "resumed"
                yield number, found[1], found[2], "", phase
            elif found := _CALL.match(text):
                phase = "whole"
                if text.endswith(_UNFINISHED):
                    phase = "unfinished"
                elif ") = -1" in text:
                    phase = "failed"
                yield number, found[1], found[2], found[3], phase


def _file_of(rest: str) -> str | None:
    path = _PATH.match(rest)
    found = _FILE.search(path[1]) if path else None
    return found[1] if found else None


def lint_run(ground: Ground, messages: int, processes: int = 1) -> Lint:
    """Submit `messages` to a service of so many processes under strace, and read what it saw."""
    needs_strace()
    arrivals = Arrivals(ground.test)
    house = House(ground, arrivals.port, server__processes=str(processes))
    trace = ground.directory / "trace"
    house.prefix = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-y", "-s", "4200"]
    house.prefix += ["-o", str(trace), "-e", _OF_STRACE, "-e", "signal=none"]
    house.start()
    mails = [
        Mail(f"file-{n}", octets=140_000) if n % 25 == 7 else Mail(f"row-{n}")
        for n in range(messages)
    ]
    load = Load(house.submission, mails, threads=16).start().wait(60 + messages)
    assert len(load.accepted) == messages, (len(load.accepted), load.codes())
    house.kill()
    found = lint(trace, load.queue_ids)
    trace.unlink()
    return found
