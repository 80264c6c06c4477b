"""A queue that an earlier version has left is drained by this one (D14)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.content_files import ContentFiles
from smtpplus.store.schema import HEAD
from tests.endurance.arrivals import Arrivals
from tests.endurance.ground import Ground
from tests.endurance.house import House
from tests.endurance.ledger import STORE, read_ledger
from tests.folders import folder_of
from tests.live.peers import wait_for
from tests.store.make_queue import LARGE, MAILS, OVER, RELEASES


class UpgradeTests(SynchronousTestCase):
    def _lay_out(self, queue: Path, release: Path) -> None:
        """Put the old queue in the place of the new one."""
        for path in queue.glob(f"{STORE}*"):
            path.unlink()
        with closing(sqlite3.connect(queue / STORE)) as database:
            database.executescript(release.read_text())
            (large,) = database.execute("SELECT id FROM message WHERE in_file").fetchone()
        path = ContentFiles(queue).path(large)
        path.parent.mkdir(parents=True)
        path.write_bytes(LARGE.content())

    def _drain(self, release: Path, directory: Path) -> None:
        directory.mkdir(parents=True)
        arrivals = Arrivals(self)
        house = House(Ground(self, directory), arrivals.port)
        self._lay_out(house.queue, release)
        # The queue was made with a secret that is not this installation's.
        self.assertEqual(house.cli("migrate", "--new-secret")["after"], HEAD)
        house.start()
        house.cli("queue", "release", "--all")
        wait_for("the old queue to be delivered", lambda: house.waiting() == 0, 60)
        house.stop()
        due = {address for mail in MAILS for address in mail.addresses} - OVER
        self.assertEqual(dict(arrivals.times), dict.fromkeys(due, 1))
        faults = [fault for mail in MAILS for fault in arrivals.faults_of(mail)]
        self.assertEqual(len(faults), len(OVER), faults)
        self.assertEqual(read_ledger(house.queue).faults, [])

    def test_D14_what_earlier_versions_queued_is_delivered(self) -> None:
        releases = sorted(RELEASES.glob("queue-*.sql"))
        self.assertGreaterEqual(len(releases), 2)
        for release in releases:
            self._drain(release, folder_of(self))
