"""Several machines over one PostgreSQL: the short forms of the endurance runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.endurance import postgresql
from tests.endurance.fleet import Clients, Fleet
from tests.folders import folder_of
from tests.live.peers import wait_for
from tests.postgresql import cluster, cluster_to_harm

_BACK_SECONDS = 10.0
_ALTER = "ALTER DATABASE {database}"
_READ_ONLY = "default_transaction_read_only"
_CUT = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = '{database}' AND pid <> pg_backend_pid()"
)


class _Short(postgresql.Harmed):
    messages = 500
    per_second = 80.0
    every_seconds = 2.0
    away_seconds = (0.0, 4.0)
    lease = "3s"
    window_seconds = 1.5
    clients = 4
    least = 3


class RelaysKilledTests(_Short, postgresql.RelaysKilled):
    pass


class AllRolesKilledTests(_Short, postgresql.AllRolesKilled):
    messages = 300
    per_second = 50.0
    every_seconds = 4.0


class RelaysFrozenTests(_Short, postgresql.RelaysFrozen):
    messages = 500
    per_second = 30.0
    window_seconds = 1.0  # what wakes up sends later than that
    every_seconds = 5.0
    away_seconds = (3.5, 5.0)


class DatabaseAwayTests(SynchronousTestCase):
    def test_the_database_goes_and_comes_back_under_load(self) -> None:
        directory = folder_of(self)
        directory.mkdir(parents=True)
        server = cluster_to_harm(self)
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
        self.assertEqual(fleet.faults(), [])
        for _, _, said in clients.refused:
            self.assertIn("4.3.0", said)
        self.assertNotIn("Traceback", fleet.logs())

    def test_cut_off_read_only_or_frozen_it_says_451_and_goes_on_by_itself(self) -> None:
        directory = folder_of(self)
        directory.mkdir(parents=True)
        server = cluster_to_harm(self)
        fleet = Fleet(self, server, directory, "60s")
        fleet.start("relay", "relay")
        fleet.start("both", "submission", "relay")
        clients = Clients(fleet.submission, 100_000, 6)
        clients.start()
        self.addCleanup(clients.enough)
        ways: tuple[tuple[str, Callable[[], None], Callable[[], None]], ...] = (
            (
                "cut off",
                lambda: fleet.from_outside(f"{_ALTER} ALLOW_CONNECTIONS false", _CUT),
                lambda: fleet.from_outside(f"{_ALTER} ALLOW_CONNECTIONS true"),
            ),
            (
                "read-only",
                lambda: fleet.from_outside(f"{_ALTER} SET {_READ_ONLY} = on", _CUT),
                lambda: fleet.from_outside(f"{_ALTER} RESET {_READ_ONLY}"),
            ),
            ("frozen", server.freeze, server.thaw),
        )
        for name, go, come_back in ways:
            self._away(clients, name, go, come_back)
        clients.enough()
        clients.join()
        wait_for("all deliveries are over", lambda: not fleet.waiting(), 60)
        arrivals = fleet.arrivals()
        self.assertEqual(set(arrivals), clients.accepted)
        twice = {number for number, times in arrivals.items() if len(times) > 1}
        self.assertLessEqual(twice, {number for _, number, _ in clients.refused})  # in doubt
        counters, events = fleet.counts()
        self.assertEqual(counters, events)
        self.assertEqual(fleet.faults(), [])
        self.assertEqual(counters["accepted"], counters["delivered"])
        self.assertNotIn("Traceback", fleet.logs())

    def _away(
        self, clients: Clients, name: str, go: Callable[[], None], come_back: Callable[[], None]
    ) -> None:
        accepted = len(clients.accepted)
        wait_for("mail flows", lambda: len(clients.accepted) > accepted + 50)
        refused = len(clients.refused)
        go()
        began = time.time()
        wait_for(f"{name}: 451", lambda: len(clients.refused) > refused + 5, 60)
        said = time.time()
        time.sleep(1)  # away for a while
        come_back()
        back = time.time()
        wait_for(f"{name}: again", lambda: clients.accepted_at[-1] > back, _BACK_SECONDS)
        print(f"{name}: 451 after {said - began:.1f} s, mail {time.time() - back:.1f} s after")
        for _, _, text in clients.refused[refused:]:
            self.assertIn("4.3.0", text)


class BackupTests(SynchronousTestCase):
    """A backup while mail comes in and goes out; what was restored from it agrees."""

    def test_a_backup_under_load_agrees_and_what_waits_in_it_is_delivered(self) -> None:
        directory = folder_of(self)
        directory.mkdir(parents=True)
        fleet = Fleet(self, cluster(), directory, "60s")
        fleet.start("both", "submission", "relay")
        clients = Clients(fleet.submission, 600, 6)
        clients.start()
        wait_for("mail flows", lambda: len(clients.accepted) > 100)
        before, backup = set(clients.accepted), directory / "backup.tar"
        made = fleet.cli("backup", str(backup))
        after = set(clients.accepted)
        self.assertGreater(len(after), len(before))  # nobody waited for it
        clients.join()
        wait_for("all deliveries are over", lambda: not fleet.waiting(), 60)
        fleet.end("both")
        sent = set(fleet.arrivals())
        fleet.restore(backup)
        there = {int(row[0].split()[1]) for row in fleet.execute("SELECT subject FROM message")}
        self.assertLessEqual(before, there)
        self.assertLessEqual(there, clients.accepted)
        self.assertEqual(made["messages"], len(there))
        self._agrees(fleet)
        fleet.start("both", "relay")
        wait_for("what waited is delivered", lambda: not fleet.waiting(), 60)
        self.assertEqual(set(fleet.arrivals()), sent)
        self.assertEqual(fleet.counts()[0]["delivered"], len(there))
        self.assertNotIn("Traceback", fleet.logs())

    def _agrees(self, fleet: Fleet) -> None:
        """Counters, events and states; each message that waits has its content, whole."""
        counters, events = fleet.counts()
        self.assertEqual(counters, events)
        self.assertEqual(fleet.faults(), [])
        states = dict(fleet.execute("SELECT state, count(*)::int FROM delivery GROUP BY 1"))
        self.assertEqual(states.get("delivered", 0), counters.get("delivered", 0))
        self.assertEqual(sum(states.values()), counters["accepted"])
        contents = fleet.execute(
            "SELECT m.octets, coalesce(length(c.octets), (SELECT sum(length(p.octets))::int"
            " FROM content_part p WHERE p.message_id = m.id))"
            " FROM message m LEFT JOIN content c ON c.message_id = m.id WHERE m.remaining > 0"
        )
        for meant, found in contents:
            self.assertEqual(meant, found)
