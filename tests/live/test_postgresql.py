"""Several machines over one PostgreSQL: the short forms of the endurance runs."""

from __future__ import annotations

import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.endurance import postgresql
from tests.endurance.fleet import Clients, Fleet
from tests.live.peers import wait_for
from tests.postgresql import Cluster

_BACK_SECONDS = 10.0


class RelaysKilledTests(postgresql.RelaysKilled):
    messages = 800
    kill_every_seconds = 1.5
    away_seconds = (0.0, 4.0)
    lease = "3s"
    clients = 4
    least_kills = 3


class DatabaseAwayTests(SynchronousTestCase):
    def test_the_database_goes_and_comes_back_under_load(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        server = Cluster()
        self.addCleanup(server.remove)
        fleet = Fleet(self, server, directory, "60s")
        fleet.start("relay", "relay")
        fleet.start("both", "submission", "relay")
        clients = Clients(fleet.submission, 800, 6)
        clients.start()
        wait_for("mail flows", lambda: len(clients.accepted) > 100)
        server.stop()
        wait_for("451", lambda: any("4.3.0" in said for _, _, said in list(clients.refused)))
        time.sleep(1)  # away for a while
        server.start()
        back = time.time()
        wait_for("mail flows again", lambda: clients.accepted_at[-1] > back, _BACK_SECONDS)
        clients.join()
        wait_for("all deliveries are over", lambda: not fleet.waiting(), 60)
        arrivals = fleet.arrivals()
        self.assertEqual(set(arrivals), clients.accepted)
        twice = {number for number, times in arrivals.items() if len(times) > 1}
        self.assertEqual(twice, set())
        counters, events = fleet.counts()
        self.assertEqual(counters, events)
        for _, _, said in clients.refused:
            self.assertIn("4.3.0", said)
        self.assertNotIn("Traceback", fleet.logs())
