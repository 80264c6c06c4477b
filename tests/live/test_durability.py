"""What durability stands on, as it can be seen from outside."""

from __future__ import annotations

import sqlite3
import urllib.request
from contextlib import closing

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import folder_of
from tests.live.installation import Installation


class StoreTests(SynchronousTestCase):
    def test_D17_wal_and_full_syncs_in_the_running_service(self) -> None:
        directory = folder_of(self)
        directory.mkdir()
        service = Installation(self, directory)
        service.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{service.web}/metrics") as answer:
            page = answer.read().decode()
        (line,) = [line for line in page.splitlines() if line.startswith("smtpplus_store_info")]
        self.assertIn('journal_mode="wal"', line)
        self.assertIn('synchronous="2"', line)  # FULL
        store = directory / "service" / "queue" / "smtpplus.sqlite3"
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as fresh:
            self.assertEqual(fresh.execute("PRAGMA journal_mode").fetchone(), ("wal",))
        service.stop()
