"""D1, D2, D3, D9, D16: the service is killed at chosen system calls, or at any moment.

A life: the service is started and given a batch of messages until a kill ends it. After each life
the store is read as the kill left it. What is demanded:

* every message that got 250 is in the store, or was delivered (D1);
* a recipient gets a message once, and once more for each kill that came between the remote's 250
  and our commit: those are counted exactly, from what the remote took and the store does not
  know of (D2);
* counters, events and states agree, after every kill (D16);
* in the end everything has arrived, and every body is what was submitted (D3).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.endurance.arrivals import Arrivals
from tests.endurance.ground import Ground
from tests.endurance.house import House, needs_strace
from tests.endurance.ledger import Ledger, read_ledger
from tests.endurance.load import Load, Mail
from tests.endurance.stock import stock, stocked
from tests.live.peers import children_of, wait_for
from tests.live.zygote import Zygote, zygote

__all__ = [
    "CALLS",
    "Siege",
    "Toll",
    "kill_amid_a_long_queue",
    "kill_at_calls",
    "kill_at_random",
    "kill_processes",
]

# What is killed at, each with its own count: syncs, writes of database and files, names given and
# taken, replies and messages going out.
CALLS = ("fsync,fdatasync", "pwrite64", "rename,renameat,renameat2,unlink", "sendto,write")
_LIVES_IN_ONE = 20  # then a fresh installation, so that a store stays small
_CONCURRENCY = 10  # relay.concurrency: deliveries at a time to one destination
_SIBLING, _WRITER = "smtpplus.tap", "smtpplus.writer"
_DOMAINS = ("example.net", "other.example.net")
_LATER, _LATER_SECONDS = "later.example.net", 86_400.0
# D2: deliveries under way at once, and those whose outcome is on its way to the disk.
_WINDOW = len(_DOMAINS) * _CONCURRENCY + 32


@dataclass
class Toll:
    """What the kills cost; `wrong` must stay empty."""

    kills: int = 0
    at_start: int = 0  # of the kills, before the service was ready
    submitted: int = 0
    accepted: int = 0  # messages that got 250
    deliveries: int = 0  # recipients of those
    arrived: int = 0
    again: int = 0  # arrivals beyond the first
    widest: int = 0  # most deliveries that one kill found between the remote's 250 and our commit
    seconds: float = 0.0
    slowest_start: float = 0.0
    wrong: list[str] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.at_start} while starting), {self.accepted} messages to "
            f"{self.deliveries} recipients got 250, {self.arrived} arrived, {self.again} twice "
            f"(at most {self.widest} in flight at one kill), slowest start "
            f"{self.slowest_start:.1f} s, {self.seconds:.0f} s; wrong: {self.wrong or 'nothing'}"
        )


class Siege:
    """One installation, killed again and again."""

    def __init__(
        self, ground: Ground, zygote: Zygote, toll: Toll, name: str, processes: int = 1
    ) -> None:
        inner = Ground(ground.test, ground.folder(name))
        self._toll = toll
        self._name = name
        self.arrivals = Arrivals(ground.test, slow=lambda _: time.sleep(0.002))
        routes = dict.fromkeys((*_DOMAINS, _LATER), self.arrivals.port)
        deliver = "sandbox" if processes == 1 else "internet"  # a sandbox has one process
        self.house = House(
            inner,
            zygote=zygote,
            routes=routes,
            server__processes=str(processes),
            relay__deliver=deliver,
        )
        self._processes = processes
        self._accepted: dict[str, Mail] = {}
        self._before: dict[str, int] = {}  # how often each had arrived at the kill before
        self._sent: dict[str, Mail] = {}
        self._allowed: Counter[str] = Counter()
        self._life = 0
        self._stocked = 0
        self._unread = 0  # arrivals that may come again for a kill that could not be looked into

    def stock(self, number: int) -> None:
        """Let so many messages wait from the beginning, until `drain`."""
        stock(self.house, number, _LATER, _LATER_SECONDS)
        self._stocked = number

    def drain(self) -> None:
        """Deliver those too, and look at each."""
        assert self.house.start_quickly()
        self.house.cli("queue", "flush", "--domain", _LATER)
        seconds = 60 + self._stocked / 50
        wait_for("the long queue to be delivered", lambda: self.house.waiting() == 0, seconds)
        self.house.settle_down()
        for mail in stocked(self._stocked, _LATER):
            self._toll.wrong += self.arrivals.faults_of(mail)
            if self.arrivals.times[mail.addresses[0]] > 1:
                self._toll.wrong.append(f"{mail.name} arrived more than once")
        self._take_stock()

    def batch(self, number: int) -> list[Mail]:
        """Messages for one life: many recipients in part, some in files, some to a thousand."""
        self._life += 1
        mails = []
        for index in range(number):
            name = f"{self._name}-{self._life}-{index}"
            recipients = 7 if index % 10 == 3 else 1
            octets = 150_000 if index % 20 == 7 else 2_000
            mails.append(Mail(name, recipients, octets, _DOMAINS))
        if self._life % 10 == 5:
            mails.insert(
                number * 2 // 3, Mail(f"{self._name}-{self._life}-many", 200, 600, _DOMAINS)
            )
        return mails

    def live(self, mails: list[Mail], *injections: str, seconds: float | None = None) -> bool:
        """One life; False where it went through to its end without a kill."""
        begun = time.monotonic()
        started = self.house.start_traced(*injections) if injections else self.house.start_quickly()
        if not started:
            self._toll.at_start += 1
        else:
            if seconds is not None:
                self._toll.slowest_start = max(self._toll.slowest_start, time.monotonic() - begun)
            self._load(mails, seconds)
        killed = not started or seconds is not None or self.house.has_ended()
        if not killed:
            killed = self._drained_or_dead()
        if not killed:
            self.house.settle_down()
        elif started and seconds is None:
            self.house.kill()  # it is dead: this forgets it
        self._toll.kills += killed
        self._take_stock()
        return killed

    def live_on(self, mails: list[Mail], dice: random.Random, module: str) -> None:
        """One life in which a process that runs `module` is killed; the service goes on."""
        assert self.house.start_quickly(), self.house.log()[-3000:]
        self._sent |= {mail.name: mail for mail in mails}
        load = Load(self.house.submission, mails, threads=40).start()
        time.sleep(dice.uniform(0.1, 1.5))
        os.kill(dice.choice(children_of(self.house.pid, module)), signal.SIGKILL)
        # What it had sent and not written down may come once more; nobody can read that exactly
        # while the others go on. The writer has sent nothing.
        self._unread += 0 if module == _WRITER else _WINDOW
        load.wait(60)
        self._accepted |= load.accepted
        self._toll.kills += 1
        wait_for("its deliveries", lambda: self.house.waiting() == 0, 60)
        self.house.settle_down()
        self._take_stock()

    def finish(self) -> None:
        """Let everything be delivered, and look at all of it."""
        assert self.house.start_quickly(), self.house.log()[-3000:]
        try:
            wait_for("an empty queue", lambda: self.house.waiting() == self._stocked, 120)
        except AssertionError as error:
            self._toll.wrong.append(str(error))
        self.house.settle_down()
        ledger = self._take_stock()
        toll, times = self._toll, self.arrivals.times
        for mail in self._accepted.values():
            toll.wrong += self.arrivals.faults_of(mail)
        for address, number in times.items():
            if number > 1 + self._allowed[address]:
                self._unread -= number - 1 - self._allowed[address]
                if self._unread < 0:
                    toll.wrong.append(f"{address} arrived {number} times")
            if ledger.states.get(address) != "delivered":
                toll.wrong.append(f"{address} arrived, the store says {ledger.states.get(address)}")
        toll.wrong += self.arrivals.faults + self.house.tracebacks()
        toll.submitted += len(self._sent)
        toll.accepted += len(self._accepted)
        toll.deliveries += sum(mail.recipients for mail in self._accepted.values())
        toll.arrived += len(times)
        toll.again += sum(times.values()) - len(times)

    def _load(self, mails: list[Mail], seconds: float | None) -> None:
        threads = 8 if seconds is None else 40
        self._sent |= {mail.name: mail for mail in mails}
        load = Load(self.house.submission, mails, threads=threads).start()
        if seconds is not None:
            time.sleep(seconds)
            self.house.kill()
        else:
            while load.is_running and not self.house.has_ended(0.05):
                pass
        load.wait(60)
        self._accepted |= load.accepted
        if load.refused:
            self._toll.wrong.append(f"refused: {load.codes()}")

    def _drained_or_dead(self) -> bool:
        """Wait for the deliveries; True where a kill came before they were done."""
        deadline = time.monotonic() + 60
        while not self.house.has_ended(0.05):
            if self.house.waiting() == self._stocked:
                return self.house.has_ended(0.2)
            if time.monotonic() > deadline:
                self._toll.wrong.append("not delivered within 60 s")
                return False
        return True

    def _take_stock(self) -> Ledger:
        """Read what is left, before anybody mends it."""
        # The remote end reads what was sent before the kill.
        wait_for("the remote's sessions to end", lambda: self.arrivals.sessions == 0)
        ledger = read_ledger(self.house.queue)
        toll = self._toll
        where = f"{self._name} life {self._life}"
        toll.wrong += [f"{where}: {fault}" for fault in ledger.faults]
        for mail in self._accepted.values():
            for address in mail.addresses:
                if address not in ledger.states:
                    toll.wrong.append(f"{where}: {address} got 250 and is lost")
        # What arrived before an earlier kill and waits to be sent again is not this kill's.
        times = dict(self.arrivals.times)
        open_ones = [
            address
            for address, arrived in times.items()
            if ledger.states.get(address) != "delivered" and arrived > self._before.get(address, 0)
        ]
        self._before = times
        toll.widest = max(toll.widest, len(open_ones))
        if len(open_ones) > _WINDOW * self._processes:
            toll.wrong.append(f"{where}: {len(open_ones)} deliveries had no commit yet")
        self._allowed.update(open_ones)
        return ledger


def kill_processes(ground: Ground, kills: int, seed: int, *, messages: int = 1_000) -> Toll:
    """A service of three processes: a sibling, the first with all others, or the writer is killed."""
    dice, toll, begun = random.Random(seed), Toll(), time.monotonic()
    siege: Siege | None = None
    for life in range(kills):
        siege = siege or Siege(ground, zygote(), toll, f"p{life}", processes=3)
        if life % 3 == 1:
            siege.live(siege.batch(messages), seconds=dice.uniform(0.0, 1.5))
        else:
            siege.live_on(siege.batch(messages), dice, _WRITER if life % 3 else _SIBLING)
        if life % _LIVES_IN_ONE == _LIVES_IN_ONE - 1:
            siege.finish()
            siege = None
            print(f"{time.monotonic() - begun:.0f} s: {toll}", flush=True)
        if toll.wrong:
            break
    if siege is not None:
        siege.finish()
    toll.seconds = time.monotonic() - begun
    return toll


def kill_amid_a_long_queue(
    ground: Ground, waiting: int, kills: int, *, messages: int = 2_000, most_seconds: float = 60.0
) -> Toll:
    """Kill at random moments while so many wait for later; then deliver those too (D3).

    A start may take `most_seconds`.
    """
    dice, toll, begun = random.Random(waiting), Toll(), time.monotonic()
    siege = Siege(ground, zygote(), toll, "q")
    siege.stock(waiting)
    for _ in range(kills):
        siege.live(siege.batch(messages), seconds=dice.uniform(0.5, 2.0))
        if toll.wrong:
            break
    siege.finish()
    if toll.slowest_start > most_seconds:
        toll.wrong.append(f"a start took {toll.slowest_start:.1f} s")
    siege.drain()
    toll.seconds = time.monotonic() - begun
    return toll


def kill_at_calls(
    ground: Ground,
    plan: list[tuple[str, int]] | None,
    *,
    messages: int = 200,
    lives: int = 10_000,
    first: int = 1,
) -> Toll:
    """Kill at the n-th of these calls; without a `plan` at `first` and all that follow.

    A kind of call is done with when a run goes through without a kill.
    """
    needs_strace()
    toll, begun = Toll(), time.monotonic()
    left = iter(plan) if plan is not None else None
    number = dict.fromkeys(CALLS, first - 1)
    unfinished = list(CALLS)
    siege: Siege | None = None
    life = 0
    while life < lives and (left is not None or unfinished):
        if left is not None:
            chosen = next(left, None)
            if chosen is None:
                break
            calls, at = chosen
        else:
            calls = unfinished[life % len(unfinished)]
            number[calls] += 1
            at = number[calls]
        if siege is None:
            siege = Siege(ground, zygote(), toll, f"c{life}")
        injection = f"inject={calls}:signal=SIGKILL:when={at}"
        killed = siege.live(siege.batch(messages), f"trace={calls}", injection)
        toll.reached[calls] = max(toll.reached.get(calls, 0), at if killed else 0)
        if not killed and left is None and life > 2 * len(CALLS):
            unfinished.remove(calls)
        life += 1
        if life % _LIVES_IN_ONE == 0:
            siege.finish()
            siege = None
            print(f"{time.monotonic() - begun:.0f} s {toll.reached}: {toll}", flush=True)
        if toll.wrong:
            break
    if siege is not None:
        siege.finish()
    toll.seconds = time.monotonic() - begun
    return toll


def kill_at_random(ground: Ground, kills: int, seed: int, *, messages: int = 2_000) -> Toll:
    """Kill at random moments under 40 clients."""
    dice, toll, begun = random.Random(seed), Toll(), time.monotonic()
    siege: Siege | None = None
    for life in range(kills):
        siege = siege or Siege(ground, zygote(), toll, f"r{life}")
        siege.live(siege.batch(messages), seconds=dice.uniform(0.0, 1.5))
        if life % _LIVES_IN_ONE == _LIVES_IN_ONE - 1:
            siege.finish()
            siege = None
            print(f"{time.monotonic() - begun:.0f} s: {toll}", flush=True)
        if toll.wrong:
            break
    if siege is not None:
        siege.finish()
    toll.seconds = time.monotonic() - begun
    return toll
