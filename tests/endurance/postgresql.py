"""Processes over one PostgreSQL, of which one after the other is killed, or frozen, all the time.

Nothing is lost; nothing is sent twice but what was on its way when its relay was stopped: the
remote had taken it less than `window_seconds` before, and the outcome was not committed. Tells
of each harm what the process had in hand, and who took it over, when.
"""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass, field
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.endurance.fleet import Clients, Fleet, TakeOver
from tests.folders import folder_of
from tests.live.peers import wait_for
from tests.postgresql import cluster

__all__ = ["LONG", "AllRolesKilled", "Harmed", "RelaysFrozen", "RelaysKilled"]

_DRAIN_SECONDS = 120.0
_READ_LATE_SECONDS = 0.5  # what was sent before a kill lies with the kernel until it is read


@dataclass
class _Harm:
    """What was done to whom, and what came of it."""

    at: float  # Unix seconds
    name: str
    node: int
    in_hand: int
    back_at: float  # monotonic
    healed_at: float | None = None  # Unix seconds
    taken: list[TakeOver] = field(default_factory=list)

    def line(self, began: float) -> str:
        """One line of the report."""
        taken = [
            f"{one.by} took {one.deliveries} over after {one.at - self.at:.1f} s"
            for one in self.taken
        ]
        away = "" if self.healed_at is None else f", back after {self.healed_at - self.at:.1f} s"
        told = "; ".join(taken) or "nothing was left to take over"
        return f"{self.at - began:7.1f} s  {self.name} with {self.in_hand} in hand{away}: {told}"


class Harmed:
    """The run; mixed into a test case. Numbers are those of the long form."""

    roles: ClassVar[dict[str, tuple[str, ...]]]
    messages = 20_000
    per_second = 100.0  # so that there are many harms
    every_seconds = 10.0
    away_seconds = (0.0, 15.0)  # longer than a lease, at times
    lease = "8s"
    window_seconds = 3.0
    clients = 8
    least = 3
    sink_delay_seconds = 0  # before each content

    def harm(self, fleet: Fleet, name: str) -> None:
        """kill -9."""
        fleet.kill(name)

    def heal(self, fleet: Fleet, name: str) -> None:
        """Start it again."""
        fleet.launch(name, *self.roles[name])

    def play(self, test: SynchronousTestCase) -> None:
        """Set up, harm while mail flows, wait for the end, judge."""
        directory = folder_of(test)
        directory.mkdir(parents=True)
        fleet = Fleet(test, cluster(), directory, self.lease, self.sink_delay_seconds)
        for name, roles in self.roles.items():
            fleet.start(name, *roles)
        clients = Clients(fleet.ports, self.messages, self.clients, per_second=self.per_second)
        began = time.time()
        clients.start()
        harms = self._harm(fleet, clients)
        clients.join()
        wait_for("all deliveries are over", lambda: not fleet.waiting(), _DRAIN_SECONDS)
        self._report(fleet, harms, began)
        self._judge(test, fleet, clients, harms, time.time() - began)

    def _harm(self, fleet: Fleet, clients: Clients) -> list[_Harm]:
        """One after the other, exactly every `every_seconds`; all live at the end."""
        dice = random.Random(20)
        victims = [name for name, roles in self.roles.items() if "relay" in roles]
        harms: list[_Harm] = []
        away: dict[str, _Harm] = {}
        began = time.monotonic()
        for count, name in zip(itertools.count(1), itertools.cycle(victims), strict=False):
            if count > self.least and not clients.are_busy:
                break
            while time.monotonic() < began + count * self.every_seconds:
                self._heal(fleet, away, time.monotonic())
                time.sleep(0.02)  # others work meanwhile
            if name in away:
                self._heal(fleet, away, float("inf"))
            back_at = time.monotonic() + dice.uniform(*self.away_seconds)
            node, in_hand = fleet.in_hand(name)
            harm = _Harm(time.time(), name, node, in_hand, back_at)
            self.harm(fleet, name)
            harms.append(harm)
            away[name] = harm
        self._heal(fleet, away, float("inf"))
        return harms

    def _heal(self, fleet: Fleet, away: dict[str, _Harm], until: float) -> None:
        for name, harm in list(away.items()):
            if harm.back_at <= until:
                self.heal(fleet, name)
                harm.healed_at = time.time()
                del away[name]

    def _report(self, fleet: Fleet, harms: list[_Harm], began: float) -> None:
        """Each take-over belongs to the last harm before it to that node."""
        for one in fleet.take_overs():
            before = [harm for harm in harms if harm.node in one.nodes and harm.at <= one.at]
            if before and one.deliveries:
                before[-1].taken.append(one)
        print()
        for harm in harms:
            print(harm.line(began))

    def _judge(
        self,
        test: SynchronousTestCase,
        fleet: Fleet,
        clients: Clients,
        harms: list[_Harm],
        seconds: float,
    ) -> None:
        arrivals = fleet.arrivals()
        lost = clients.accepted - set(arrivals)
        # A client that never heard what became of its message sent it again.
        twice = {
            number: times
            for number, times in arrivals.items()
            if len(times) > 1 + clients.unheard[number]
        }
        outside = {
            number: times
            for number, times in twice.items()
            if not all(self._was_under_way(moment, harms) for moment in times[:-1])
        }
        counters, events = fleet.counts()
        print(
            f"{len(clients.accepted)} messages accepted in {seconds:.0f} s, "
            f"{len(harms)} harms, {len(lost)} lost, {len(twice) - len(outside)} sent twice in the "
            f"window, {len(outside)} outside; counters {counters}"
        )
        test.assertEqual(len(clients.accepted), self.messages)
        test.assertEqual(lost, set())
        test.assertEqual(outside, {})
        test.assertEqual(counters, events)
        test.assertEqual(fleet.faults(), [])
        test.assertGreaterEqual(counters["accepted"], self.messages)
        test.assertLessEqual(counters["accepted"], self.messages + clients.unheard.total())
        test.assertEqual(counters["delivered"], counters["accepted"])
        test.assertNotIn("Traceback", fleet.logs())

    def _was_under_way(self, moment: float, harms: list[_Harm]) -> bool:
        """Was a relay stopped right after this moment, or just before the sink had read it all?"""
        return any(-_READ_LATE_SECONDS <= harm.at - moment <= self.window_seconds for harm in harms)


class RelaysKilled(Harmed, SynchronousTestCase):
    """Two relays, a submission."""

    roles: ClassVar = {
        "relay-1": ("relay",),
        "relay-2": ("relay",),
        "submission": ("submission",),
    }

    def test_relays_killed_lose_nothing_and_send_nothing_twice(self) -> None:
        self.play(self)


class AllRolesKilled(Harmed, SynchronousTestCase):
    """Two processes that do everything: also what was just accepted is leased to the killed one."""

    roles: ClassVar = {
        "all-1": ("submission", "relay"),
        "all-2": ("submission", "relay"),
    }

    def test_processes_with_all_roles_killed_lose_nothing(self) -> None:
        self.play(self)


class RelaysFrozen(Harmed, SynchronousTestCase):
    """Frozen for longer than a lease; what wakes up finds its deliveries with another.

    The remote takes its time in the middle of each transaction, so that many are in one.
    """

    roles: ClassVar = RelaysKilled.roles
    messages = 4_000
    per_second = 50.0
    sink_delay_seconds = 1
    away_seconds = (9.0, 14.0)

    def harm(self, fleet: Fleet, name: str) -> None:
        """SIGSTOP."""
        fleet.freeze(name)

    def heal(self, fleet: Fleet, name: str) -> None:
        """SIGCONT."""
        fleet.thaw(name)

    def test_relays_that_wake_up_after_their_lease_send_nothing_twice(self) -> None:
        self.play(self)


LONG = (RelaysKilled, AllRolesKilled, RelaysFrozen)
