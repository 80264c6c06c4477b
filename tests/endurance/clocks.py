"""C1, D18: the wall clock jumps, in the running service; and lifetimes end.

The clock is libfaketime's, which reads a file; what measures time (the monotonic clock) is left
alone, as a step of the real clock leaves it.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.endurance.arrivals import Arrivals
from tests.endurance.ground import Ground
from tests.endurance.house import House
from tests.endurance.ledger import STORE, read_ledger
from tests.endurance.load import Load, Mail
from tests.live.peers import wait_for
from tests.live.recorder import Arrived

__all__ = ["FakeClock", "expiry", "jumps"]

_DAY = 86_400


class FakeClock:
    """A file that tells a service what time it is."""

    def __init__(self, directory: Path) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            raise SkipTest("needs libfaketime (Debian package libfaketime)")
        self._file = directory / "clock"
        self.set(0)
        self.prefix = [
            "env",
            f"LD_PRELOAD={found[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        ]

    def set(self, seconds: int) -> None:
        """So many seconds ahead of what it is."""
        self._file.with_suffix(".new").write_text(f"{seconds:+d}")
        self._file.with_suffix(".new").rename(self._file)


def jumps(ground: Ground, steps: tuple[int, ...], *, messages: int, seconds: float) -> str:
    """Step the clock under load; `seconds` of load after each step."""
    clock = FakeClock(ground.directory)
    refusing: dict[str, int] = {}

    def defer_some(arrived: Arrived) -> None:
        """Each tenth is deferred at its first try."""
        number = int(arrived.to.split(".")[0].rpartition("-")[2])
        if number % 10 == 0 and refusing.setdefault(arrived.to, 0) < 1:
            refusing[arrived.to] += 1
            raise ConnectionAbortedError

    arrivals = Arrivals(ground.test, slow=defer_some)
    house = House(ground, arrivals.port)
    house.prefix = clock.prefix
    house.start()
    mails = [Mail(f"clock-{n}") for n in range(messages)]
    load = Load(house.submission, mails, threads=4)
    load.on_accepted = lambda _: time.sleep(0.01)
    load.start()
    for step in (0, *steps):
        clock.set(step)
        time.sleep(seconds)
        assert load.is_running, "too few messages for so long a time"
    clock.set(0)
    load.stop()
    load.wait()
    assert not load.refused, load.refused[:3]
    house.cli("queue", "flush", "--all")  # what was deferred 40 days from now
    wait_for("an empty queue", lambda: house.waiting() == 0, 90)
    house.kill()
    ledger = read_ledger(house.queue)
    assert not ledger.faults, ledger.faults
    for mail in load.accepted.values():
        assert not arrivals.faults_of(mail), arrivals.faults_of(mail)
    twice = sum(arrivals.times.values()) - len(arrivals.times)
    assert twice == 0, twice
    assert set(ledger.states.values()) == {"delivered"}, set(ledger.states.values())
    with closing(sqlite3.connect(house.queue / STORE)) as database:
        (ids, distinct) = database.execute(
            "SELECT count(*), count(DISTINCT id) FROM message"
        ).fetchone()
        attempts = database.execute("SELECT sum(attempts) FROM delivery").fetchone()[0]
    assert ids == distinct
    assert attempts <= len(arrivals.times) + len(refusing), "a storm of attempts"
    assert not house.tracebacks(), house.tracebacks()
    return (
        f"{len(load.accepted)} messages over steps {steps}: all delivered once, 0 expired, "
        f"{attempts} attempts, {len(refusing)} of them deferred"
    )


def expiry(ground: Ground) -> str:
    """D18: a message older than its lifetime leaves the queue with one report."""
    clock = FakeClock(ground.directory)
    reports: list[bytes] = []

    def judge(arrived: Arrived) -> None:
        if arrived.to.endswith("@example.net"):
            raise ConnectionAbortedError
        reports.append(arrived.content)

    arrivals = Arrivals(ground.test, slow=judge)
    house = House(
        ground, arrivals.port, routes={"example.com": arrivals.port}, relay__retry='["1h"]'
    )
    house.prefix = clock.prefix
    house.start()
    mail = Mail("old")
    Load(house.submission, [mail], threads=1).start().wait()
    wait_for("the first attempts", lambda: _attempts(house) >= 1)
    house.settle_down()
    clock.set(4 * _DAY)
    house.start()
    wait_for("a notice of the delay", lambda: len(reports) == 1, 30)
    wait_for("the notice to be settled", lambda: house.waiting() == 1)
    assert b"Action: delayed" in reports[0], reports[0]
    house.settle_down()
    clock.set(5 * _DAY + 600)
    house.start()
    wait_for("the report", lambda: len(reports) == 2, 30)
    wait_for("an empty queue", lambda: house.waiting() == 0)
    time.sleep(1)
    assert len(reports) == 2, len(reports)
    assert reports[1].count(b"Action: failed") == 1, reports[1]
    house.settle_down()
    house.start()
    time.sleep(1)
    assert len(reports) == 2, "a restart reports again"
    house.kill()
    ledger = read_ledger(house.queue)
    assert not ledger.faults, ledger.faults
    return "a message expired after 5 days: one report of the delay, one of the failure"


def _attempts(house: House) -> int:
    with closing(sqlite3.connect(house.queue / STORE, timeout=30)) as database:
        return int(database.execute("SELECT sum(attempts) FROM delivery").fetchone()[0] or 0)
