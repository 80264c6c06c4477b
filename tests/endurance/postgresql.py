"""Two relays and a submission over one PostgreSQL, while relays are killed again and again.

Nothing is lost; nothing is sent twice but what was on its way when its relay was killed: the
remote had taken it less than `_WINDOW_SECONDS` before, and the outcome was not committed.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.endurance.fleet import Clients, Fleet
from tests.live.peers import wait_for
from tests.postgresql import cluster

__all__ = ["LONG", "RelaysKilled"]

_WINDOW_SECONDS = 3.0
_DRAIN_SECONDS = 120.0


class RelaysKilled(SynchronousTestCase):
    """The run; numbers are those of the long form."""

    messages = 20_000
    kill_every_seconds = 10.0
    away_seconds = (0.0, 15.0)  # how long a killed relay stays dead; longer than a lease, at times
    lease = "8s"
    clients = 8
    least_kills = 3

    def test_relays_killed_lose_nothing_and_send_nothing_twice(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        fleet = Fleet(self, cluster(), directory, self.lease)
        for relay in ("relay-1", "relay-2"):
            fleet.start(relay, "relay")
        fleet.start("submission", "submission")
        clients = Clients(fleet.submission, self.messages, self.clients)
        began = time.monotonic()
        clients.start()
        kills = self._kill(fleet, clients)
        clients.join()
        wait_for("all deliveries are over", lambda: not fleet.waiting(), _DRAIN_SECONDS)
        self._judge(fleet, clients, kills, time.monotonic() - began)

    def _kill(self, fleet: Fleet, clients: Clients) -> list[float]:
        """Kill one relay after the other; both are alive at the end."""
        dice = random.Random(20)
        kills: list[float] = []
        while len(kills) < self.least_kills or clients.are_busy:
            time.sleep(self.kill_every_seconds)  # others work meanwhile
            name = f"relay-{1 + len(kills) % 2}"
            fleet.kill(name)
            kills.append(time.time())
            time.sleep(dice.uniform(*self.away_seconds))
            fleet.start(name, "relay")
        return kills

    def _judge(self, fleet: Fleet, clients: Clients, kills: list[float], seconds: float) -> None:
        arrivals = fleet.arrivals()
        lost = clients.accepted - set(arrivals)
        twice = {number: times for number, times in arrivals.items() if len(times) > 1}
        outside = {
            number: times
            for number, times in twice.items()
            if not all(_was_under_way(moment, kills) for moment in times[:-1])
        }
        counters, events = fleet.counts()
        print(
            f"\n{len(clients.accepted)} messages accepted in {seconds:.0f} s, "
            f"{len(kills)} relays killed, {len(lost)} lost, {len(twice)} sent twice in the window, "
            f"{len(outside)} outside; counters {counters}"
        )
        self.assertEqual(len(clients.accepted), self.messages)
        self.assertEqual(lost, set())
        self.assertEqual(outside, {})
        self.assertEqual(counters, events)
        self.assertEqual(counters["accepted"], self.messages)
        self.assertEqual(counters["delivered"], self.messages)
        self.assertNotIn("Traceback", fleet.logs())


def _was_under_way(moment: float, kills: list[float]) -> bool:
    """Was a relay killed right after this moment?"""
    return any(0 <= kill - moment <= _WINDOW_SECONDS for kill in kills)


LONG = (RelaysKilled,)
