"""O5, O8, C5, D10, D18: dead destinations, the schedule, a locked store, a lost reply, expiry."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.endurance.arrivals import Arrivals
from tests.endurance.ground import Ground
from tests.endurance.house import House
from tests.endurance.ledger import STORE, read_ledger
from tests.endurance.load import Load, Mail
from tests.live.peers import free_port, wait_for
from tests.live.recorder import Arrived
from tests.live.zygote import Zygote

__all__ = ["Beside", "dead_destination", "locked_store", "lost_reply", "schedule"]


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield server.getsockname()[1]


@dataclass(frozen=True)
class Beside:
    """Seconds from 250 to arrival, of mail to hosts that are well, p95."""

    before_dead: float
    beside_dead: float
    before_silent: float
    beside_silent: float

    def __str__(self) -> str:
        return (
            f"p95 from 250 to arrival: {self.before_dead * 1000:.1f} ms alone, "
            f"{self.beside_dead * 1000:.1f} ms beside a host that refuses; "
            f"{self.before_silent * 1000:.1f} ms alone, {self.beside_silent * 1000:.1f} ms beside "
            "one that never speaks"
        )


def dead_destination(ground: Ground, zygote: Zygote, waiting: int, probes: int) -> Beside:
    """O5: `waiting` deliveries to a dead host, and `probes` messages to another, one at a time.

    Each kind of dead host has a service of its own, measured before and beside it.
    """
    arrivals = Arrivals(ground.test)
    found = []
    with silent_port() as silent:
        for domain, port in (("dead.example.net", free_port()), ("silent.example.net", silent)):
            name = domain.partition(".")[0]
            house = House(
                Ground(ground.test, ground.folder(name)),
                arrivals.port,
                zygote=zygote,
                routes={domain: port},
                relay__retry='["5s", "5s", "1h"]',
            )
            house.start()
            found.append(_p95(house, arrivals, f"before-{name}", probes))
            _pile_up(house, domain, waiting)
            found.append(_p95(house, arrivals, name, probes))
            house.kill()
    return Beside(*found)


def _pile_up(house: House, domain: str, number: int) -> None:
    mails = [Mail(f"{domain[:4]}-{n}", 50, domains=(domain,)) for n in range(number // 50)]
    load = Load(house.submission, mails, threads=4).start().wait(300)
    assert not load.refused, load.refused[:3]


def _p95(house: House, arrivals: Arrivals, name: str, probes: int) -> float:
    """Of messages sent one after the other."""
    taken: dict[str, float] = {}

    def note(mail: Mail) -> None:
        taken[mail.addresses[0]] = time.monotonic()
        wait_for("arrival", lambda: mail.addresses[0] in arrivals.times, 60)

    mails = [Mail(f"{name}-probe-{n}") for n in range(probes)]
    load = Load(house.submission, mails, threads=1, on_accepted=note)
    load.start().wait(300)
    seconds = [arrivals.at[address] - at for address, at in taken.items()]
    assert len(seconds) == probes, load.refused[:3]
    return statistics.quantiles([max(one, 0.0) for one in seconds], n=20)[-1]


def locked_store(ground: Ground, zygote: Zygote, seconds: float) -> str:
    """C5: another process holds the store's write lock for so long."""
    arrivals = Arrivals(ground.test)
    house = House(ground, arrivals.port, zygote=zygote)
    house.start()
    mails = [Mail(f"lock-{n}") for n in range(4_000)]
    load = Load(house.submission, mails, threads=6, patient=True).start()
    wait_for("some mail", lambda: len(load.accepted) > 50)
    with contextlib.closing(sqlite3.connect(house.queue / STORE, timeout=30)) as database:
        database.isolation_level = None
        database.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        database.execute("ROLLBACK")
        begun = time.monotonic()
    before = len(load.accepted)
    wait_for("mail again", lambda: len(load.accepted) > before + 20, 20)
    resumed = time.monotonic() - begun
    load.stop()
    load.wait()
    assert load.codes() == {"451 4.3.0"}, load.codes()
    wait_for("an empty queue", lambda: house.waiting() == 0, 90)
    house.kill()
    ledger = read_ledger(house.queue)
    assert not ledger.faults, ledger.faults
    for mail in load.accepted.values():
        assert not arrivals.faults_of(mail), arrivals.faults_of(mail)
    twice = sum(arrivals.times.values()) - len(arrivals.times)
    assert twice == 0, twice
    assert not house.tracebacks(), house.tracebacks()
    return (
        f"locked {seconds:.0f} s: {len(load.refused)} times 451 4.3.0, mail again {resumed:.1f} s "
        f"after, {len(load.accepted)} got 250 and arrived once"
    )


def lost_reply(ground: Ground, zygote: Zygote) -> str:
    """D10: the remote takes the message and is gone before it says so."""
    first: dict[str, str] = {}
    lock = threading.Lock()

    def drop_the_first(arrived: Arrived) -> None:
        found = re.search(rb"(?mi)^Message-ID: (\S+)", arrived.content)
        assert found is not None
        with lock:
            is_new = arrived.to not in first
            first.setdefault(arrived.to, found[1].decode())
        if is_new:
            raise ConnectionAbortedError

    arrivals = Arrivals(ground.test, slow=drop_the_first)
    house = House(ground, arrivals.port, zygote=zygote)
    house.start()
    mails = [Mail(f"dot-{n}") for n in range(10)]
    load = Load(house.submission, mails, threads=2).start().wait()
    wait_for("the second try", lambda: len(arrivals) == 10, 20)
    wait_for("an empty queue", lambda: house.waiting() == 0)
    for address, message_id in first.items():
        assert arrivals.message_ids[address] == {message_id.encode()}, address
        assert arrivals.times[address] == 1, address
    texts = set()
    with contextlib.closing(sqlite3.connect(house.queue / STORE)) as database:
        rows = database.execute("SELECT attempts FROM delivery").fetchall()
        details = database.execute("SELECT detail FROM event WHERE type = 'deferred'").fetchall()
        assert [row[0] for row in rows] == [2] * 10, rows
        assert len(details) == 10, len(details)
        texts = {json.loads(row[0]).get("text", row[0]) if row[0] else "" for row in details}
    house.kill()
    return f"{len(load.accepted)} retried once, Message-ID unchanged; told as: {sorted(texts)[:2]}"


def schedule(ground: Ground, zygote: Zygote, deliveries: int, steps: int) -> list[str]:
    """O8: when deferred deliveries are due again, as the store keeps it; also across kill -9."""

    def defer(_: Arrived) -> None:
        raise ConnectionAbortedError

    wanted = (60, 300, 900, 1800, 3600, 7200, 14400, 14400)[:steps]
    arrivals = Arrivals(ground.test, slow=defer)
    retry = '["1m", "5m", "15m", "30m", "1h", "2h", "4h"]'
    house = House(ground, arrivals.port, zygote=zygote, relay__retry=retry)
    house.start()
    mails = [Mail(f"due-{n}") for n in range(deliveries)]
    Load(house.submission, mails, threads=4).start().wait()
    told = []
    for number, seconds in enumerate(wanted, 1):
        wait_for("the attempts", lambda: _waits(house, number)[1] == deliveries, 60)  # noqa: B023
        waits, _ = _waits(house, number)
        assert min(waits) >= seconds * 0.95, (number, min(waits), seconds)
        assert max(waits) <= seconds * 1.05, (number, max(waits), seconds)
        assert max(waits) - min(waits) > seconds * 0.02, "there is no jitter"
        told.append(f"{seconds} s: {min(waits):.1f} to {max(waits):.1f} s")
        if number == 3:
            house.kill()
            house.start()
            time.sleep(0.5)
            assert sorted(_waits(house, number)[0]) == sorted(waits), "a restart changed it"
        house.cli("queue", "flush", "--all")
    house.kill()
    return told


def _waits(house: House, attempts: int) -> tuple[list[float], int]:
    """How long those with so many attempts wait after the last; how many they are."""
    query = (
        "SELECT d.due_at - max(e.at) FROM delivery d JOIN event e ON e.delivery_id = d.id"
        " AND e.type = 'deferred' WHERE d.attempts = ? AND d.lease_node IS NULL GROUP BY d.id"
    )
    with contextlib.closing(sqlite3.connect(house.queue / STORE, timeout=30)) as database:
        waits = [float(row[0]) for row in database.execute(query, (attempts,))]
    return waits, len(waits)
