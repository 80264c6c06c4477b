"""D5, D6, D7, D15: the disk fails, is full, or has lost what was written.

A service must never say 250 to what it cannot keep, must go on by itself when the disk does, and
must come up on a store that lost a page, with all that can still be read.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.endurance.arrivals import Arrivals
from tests.endurance.ground import Ground
from tests.endurance.house import House, needs_strace
from tests.endurance.ledger import STORE, read_ledger
from tests.endurance.load import SENDER, Load, Mail, conversation
from tests.live.peers import wait_for
from tests.live.recorder import Arrived
from tests.live.zygote import Zygote, zygote

__all__ = ["Failures", "fail_calls", "full_disk", "full_of_itself", "lost_page", "too_little"]

_PAGE = 4096


@dataclass
class Failures:
    """What failing calls did; `wrong` must stay empty."""

    runs: int = 0
    hit: int = 0  # of those, the service felt it
    accepted: int = 0
    refused: int = 0
    codes: set[str] = field(default_factory=set)
    longest_pause: float = 0.0  # between a refusal and the next message taken
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.runs} failing calls ({self.hit} felt by clients), {self.accepted} messages got "
            f"250, {self.refused} refused with {sorted(self.codes)}, longest pause "
            f"{self.longest_pause:.1f} s; wrong: {self.wrong or 'nothing'}"
        )


def fail_calls(
    ground: Ground,
    plan: list[tuple[str, str, str]],
    allowed: set[str],
    *,
    messages: int = 60,
    processes: int = 1,
) -> Failures:
    """Let calls fail: `plan` has the calls, the error and when; `allowed` replies to clients.

    Each time: clients send until all is taken; the service is killed; what got 250 is in the
    store; after a start all is delivered.
    """
    needs_strace()
    found = Failures()
    for number, (calls, error, when) in enumerate(plan):
        name = f"f{number}"
        inner = Ground(ground.test, ground.folder(name))
        arrivals = Arrivals(ground.test)
        house = _house(inner, arrivals.port, processes, zygote=zygote())
        found.runs += 1
        where = f"{calls} {error} {when}"
        if not house.start_traced(f"trace={calls}", f"inject={calls}:error={error}:when={when}"):
            if "does not start" not in house.log() and "\nsmtpplus: The " not in f"\n{house.log()}":
                found.wrong.append(f"{where}: ended while starting without a word")
            found.hit += 1
            continue
        mails = [
            Mail(f"{name}-{n}", octets=140_000 if n % 12 == 5 else 1_500) for n in range(messages)
        ]
        load = Load(house.submission, mails, threads=6, patient=True).start()
        load.wait(90)
        if house.has_ended():
            found.wrong.append(f"{where}: the service ended")
        house.kill()
        _weigh(found, load, allowed, where)
        ledger = read_ledger(house.queue)
        found.wrong += [f"{where}: {fault}" for fault in ledger.faults]
        lost = [one for one in load.accepted.values() if one.addresses[0] not in ledger.states]
        found.wrong += [f"{where}: {one.name} got 250 and is lost" for one in lost]
        assert house.start_quickly()
        wait_for("delivery", lambda: house.waiting() == 0, 60)  # noqa: B023
        house.kill()
        for mail in load.accepted.values():
            found.wrong += [f"{where}: {fault}" for fault in arrivals.faults_of(mail)]
        found.wrong += [f"{where}: {line}" for line in house.tracebacks()]
    return found


def _weigh(found: Failures, load: Load, allowed: set[str], where: str) -> None:
    found.accepted += len(load.accepted)
    found.refused += len(load.refused)
    found.codes |= load.codes()
    if load.codes() - allowed:
        found.wrong.append(f"{where}: replies {load.codes()}")
    if load.refused_at:
        found.hit += 1
        later = [at for at in load.taken_at if at > load.refused_at[-1]]
        if later:
            found.longest_pause = max(found.longest_pause, min(later) - load.refused_at[0])


def _mounted(ground: Ground, mebibytes: int) -> Path:
    """The installation's folder, on a file system of its own."""
    disk = ground.folder("service")
    _mount(ground, disk, mebibytes)
    return disk


def _mount(ground: Ground, disk: Path, mebibytes: int) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise SkipTest("a small file system can be mounted only by root")
    ground.test.addCleanup(subprocess.run, ["umount", "-l", str(disk)], check=False)


def _house(ground: Ground, port: int, processes: int, **more: Any) -> House:
    """A service of so many processes."""
    deliver = "sandbox" if processes == 1 else "internet"  # a sandbox has one process
    return House(ground, port, server__processes=str(processes), relay__deliver=deliver, **more)


def full_disk(ground: Ground, mebibytes: int = 4, *, processes: int = 1) -> list[str]:
    """Fill the disk, deliver from it, make room; what happened, a line each.

    Raises AssertionError where a promise of D6 or D7 is broken.
    """
    disk = _mounted(ground, mebibytes)
    gate = threading.Event()
    ground.test.addCleanup(gate.set)

    def hold(_: Arrived) -> None:
        gate.wait(60)

    arrivals = Arrivals(ground.test, slow=hold)
    house = _house(ground, arrivals.port, processes, submission__max_message_bytes="65536")
    house.start()
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(disk_octets(disk) // 2))  # somebody else's
    mails = [Mail(f"full-{n}", octets=9_000, is_dense=True) for n in range(3_000)]
    load = Load(house.submission, mails, threads=4)
    load.patient = True
    load.start()
    wait_for("a refusal", lambda: len(load.refused) >= 8, 60)
    _fill(disk / "more")
    wait_for("more refusals", lambda: len(load.refused) >= 30, 60)
    load.stop()
    load.wait()
    told = [f"{len(load.accepted)} messages fitted into {mebibytes} MiB, then {load.codes()}"]
    assert load.codes() == {"452 4.3.1"}, load.codes()
    assert not house.has_ended(), house.log()[-3000:]
    gate.set()
    wanted = {address for mail in load.accepted.values() for address in mail.addresses}
    wait_for("what was queued to be delivered", lambda: wanted <= set(arrivals.times), 60)
    told.append(f"all {len(wanted)} were delivered while the disk was full")
    assert not house.has_ended()
    begun = time.monotonic()
    ballast.unlink()  # what is left is still full of what somebody else wrote
    after = Load(house.submission, [Mail("room-0")], threads=1, patient=True).start().wait(60)
    seconds = time.monotonic() - begun
    told.append(f"intake resumed {seconds:.1f} s after there was room")
    assert seconds <= 10.0, told[-1]
    wait_for("an empty queue", lambda: house.waiting() == 0, 60)
    house.kill()
    ledger = read_ledger(house.queue)
    assert not ledger.faults, ledger.faults
    for mail in [*load.accepted.values(), *after.accepted.values()]:
        assert not arrivals.faults_of(mail), arrivals.faults_of(mail)
    assert max(arrivals.times.values()) == 1, arrivals.times.most_common(3)
    assert not house.tracebacks(), house.tracebacks()
    return told


def too_little(ground: Ground) -> str:
    """Leave less than one and a half messages of room on the disk of the queue directory (D7).

    That is a file system of its own; the one of ``data_dir`` around it has room.
    """
    arrivals = Arrivals(ground.test)
    house = House(ground, arrivals.port, submission__max_message_bytes="12582912")
    aside = ground.folder("aside")
    shutil.copytree(house.queue, aside / "queue")
    _mount(ground, house.queue, 40)
    shutil.copytree(aside / "queue", house.queue, dirs_exist_ok=True)
    house.start()

    def mail() -> str:
        talk = conversation(house.submission)
        talk.socket.sendall(f"MAIL FROM:<{SENDER}>\r\n".encode())
        said = talk.replies(1)[0]
        talk.socket.close()
        return said

    assert mail().startswith("250"), mail()
    ballast = house.queue / "ballast"
    ballast.write_bytes(bytes(disk_octets(house.queue) - (16 << 20)))
    wait_for("a refusal of MAIL", lambda: mail().startswith("452 4.3.1"), 5)
    ballast.unlink()
    wait_for("MAIL to be taken", lambda: mail().startswith("250"), 5)
    house.stop()
    return "MAIL is refused with 452 4.3.1 below 18 MiB, and taken again when there is room"


def full_of_itself(ground: Ground, mebibytes: int, *, processes: int = 1) -> list[str]:
    """Fill the disk with nothing but our own queue, deliver it, and take mail again.

    The disk is smaller than the write-ahead log may become, so that it is filled by that first.
    Raises AssertionError where a promise of D6 is broken.
    """
    disk = _mounted(ground, mebibytes)
    gate = threading.Event()
    ground.test.addCleanup(gate.set)

    def hold(_: Arrived) -> None:
        gate.wait(60)

    arrivals = Arrivals(ground.test, slow=hold)
    house = _house(ground, arrivals.port, processes, submission__max_message_bytes="65536")
    house.start()
    mails = [Mail(f"log-{n}", octets=9_000, is_dense=True) for n in range(6_000)]
    load = Load(house.submission, mails, threads=4, patient=True).start()
    wait_for("a refusal", lambda: len(load.refused) >= 30, 60)
    load.stop()
    load.wait()
    assert load.codes() == {"452 4.3.1"}, load.codes()
    left = disk_octets(disk)
    told = [
        f"{len(load.accepted)} messages fitted into {mebibytes} MiB, {left >> 10} KiB were left"
    ]
    assert len(load.accepted) > mebibytes * 20, told
    gate.set()
    begun = time.monotonic()
    wait_for("an empty queue", lambda: house.waiting() == 0, 60)
    told.append(f"all were delivered within {time.monotonic() - begun:.1f} s")
    begun = time.monotonic()
    again = [Mail(f"room-{n}", octets=9_000, is_dense=True) for n in range(len(load.accepted) // 2)]
    after = Load(house.submission, again, threads=4, patient=True).start().wait(60)
    told.append(
        f"intake resumed {after.taken_at[0] - begun:.1f} s after, half as many once more within "
        f"{time.monotonic() - begun:.1f} s"
    )
    wait_for("an empty queue", lambda: house.waiting() == 0, 60)
    house.kill()
    ledger = read_ledger(house.queue)
    assert not ledger.faults, ledger.faults
    for mail in [*load.accepted.values(), *after.accepted.values()]:
        assert not arrivals.faults_of(mail), arrivals.faults_of(mail)
    assert max(arrivals.times.values()) == 1, arrivals.times.most_common(3)
    assert not house.tracebacks(), house.tracebacks()
    return told


def disk_octets(folder: Path) -> int:
    """Free octets."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for octets in (65_536, _PAGE, 1):
            try:
                while file.write(bytes(octets)) == octets:
                    pass
            except OSError:
                continue


def lost_page(ground: Ground, zygote: Zygote, seed: int, where: str) -> tuple[str, list[str]]:
    """Zero 4 KiB at a random place of ``wal``, ``file`` or ``store``, and start.

    Returns what happened, and what is wrong about it.
    """
    dice = random.Random(seed)
    arrivals = Arrivals(ground.test)
    gate = {"open": False}

    def hold(_: object) -> None:
        if not gate["open"]:
            raise ConnectionAbortedError

    arrivals.before_reply = hold
    house = House(ground, arrivals.port, zygote=zygote)
    house.start()
    mails = [Mail(f"p{n}", octets=200_000 if n % 10 == 3 else 4_000) for n in range(60)]
    load = Load(house.submission, mails, threads=4).start().wait()
    house.kill()
    files = {
        "wal": [house.queue / f"{STORE}-wal"],
        "file": sorted(house.queue.glob("?/?/*.eml")),
        "store": [house.queue / STORE],
    }
    chosen = dice.choice(files[where])
    at = dice.randrange(max(chosen.stat().st_size // _PAGE, 1)) * _PAGE
    with chosen.open("r+b") as file:
        file.seek(at)
        file.write(bytes(_PAGE))
    gate["open"] = True
    wrong: list[str] = []
    if not house.start_quickly():
        # Where the tables' own definitions were lost, nothing can be read at all.
        last = house.log().strip().splitlines()[-1]
        is_told = where == "store" and "The store is damaged" in last
        return f"{where} at {at}: {last}", [] if is_told else ["it does not start"]
    deadline = time.monotonic() + 15
    seen = -1
    while time.monotonic() < deadline and len(arrivals) != seen:
        seen = len(arrivals)
        time.sleep(1.5)  # until nothing more arrives
    whole = sum(not arrivals.faults_of(mail) for mail in load.accepted.values())
    altered = [
        fault
        for mail in load.accepted.values()
        for fault in arrivals.faults_of(mail)
        if "another body" in fault
    ]
    waiting = house.waiting() if where != "store" else -1
    if house.has_ended():
        wrong.append("the service ended")
    else:
        house.kill()
    wrong += altered
    words = ("corrupt", "damaged", "missing")
    reported = [line for line in house.log().splitlines() if any(word in line for word in words)]
    if whole < len(load.accepted) and not reported:
        wrong.append("the log does not say so")
    if where == "file" and (
        whole < len(load.accepted) - 1 or waiting != len(load.accepted) - whole
    ):
        wrong.append("more than the one content is not sent, or it is not held")
    wrong += house.tracebacks()
    told = (
        f"{where} at {at}: {whole} of {len(load.accepted)} arrived whole, {len(altered)} altered, "
        f"{waiting} wait, {len(reported)} lines of log say so"
    )
    return told, wrong
