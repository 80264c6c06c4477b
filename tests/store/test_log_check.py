"""A write-ahead log that was damaged is noticed, one that a kill has left is not (D15)."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.log_check import LogFacts, read_log
from tests.folders import folder_of

_FRAME = 24 + 4096


class LogCheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_of(self)
        self.folder.mkdir()
        self.live = self.folder / "live"
        self.live_log = Path(f"{self.live}-wal")
        self.database = sqlite3.connect(self.live, isolation_level=None)
        self.addCleanup(self.database.close)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"):
            self.database.execute(f"PRAGMA {pragma}").fetchall()
        self.database.execute("CREATE TABLE t (x)")
        self._write(20)

    def _write(self, transactions: int) -> None:
        for _ in range(transactions):
            self.database.execute("INSERT INTO t VALUES (randomblob(9000))")

    def _killed(self, *, index: bool = True) -> Path:
        """The files as a kill leaves them."""
        copy = self.folder / "dead"
        for end in ("", "-wal", "-shm"):
            Path(f"{copy}{end}").unlink(missing_ok=True)
            if index or end != "-shm":
                shutil.copy(f"{self.live}{end}", f"{copy}{end}")
        return copy

    def _facts(self, store: Path) -> LogFacts:
        def files() -> list[bytes]:
            paths = [Path(f"{store}{end}") for end in ("", "-wal")]
            return [path.read_bytes() for path in paths if path.exists()]

        before = files()
        found = read_log(store)
        self.assertEqual(files(), before)
        assert found is not None
        return found

    def _rows(self, store: Path) -> int:
        database = sqlite3.connect(store)
        (count,) = database.execute("SELECT count(*) FROM t").fetchone()
        database.close()
        return int(count)

    def _damage(self, store: Path, at: int, octets: int = 4096) -> None:
        with Path(f"{store}-wal").open("r+b") as log:
            log.seek(at)
            log.write(bytes(octets))

    def test_a_log_that_a_kill_has_left_is_whole(self) -> None:
        frames = (self.live_log.stat().st_size - 32) // _FRAME
        for index in (True, False):
            self.assertEqual(self._facts(self._killed(index=index)), LogFacts(frames, 0, 0))

    def test_there_may_be_none(self) -> None:
        self.assertIsNone(read_log(self.folder / "nothing"))
        self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.assertIsNone(read_log(self.live))

    def test_frames_of_the_turn_before_are_no_loss(self) -> None:
        self.database.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        self._write(2)
        for index in (True, False):
            facts = self._facts(self._killed(index=index))
            self.assertLess(facts.readable, 12)
            self.assertFalse(facts.is_damaged)

    def test_a_transaction_cut_off_while_it_was_written_is_no_loss(self) -> None:
        before = self._facts(self._killed(index=False)).readable
        for cut in (1, 5000, 2 * _FRAME):
            dead = self._killed(index=False)
            log = Path(f"{dead}-wal")
            log.write_bytes(log.read_bytes()[:-cut])
            facts = self._facts(dead)
            self.assertEqual((facts.lost, facts.readable < before), (0, True))

    def test_pages_of_the_last_transaction_may_reach_the_disk_in_any_order(self) -> None:
        frames = self._facts(self._killed(index=False)).readable
        dead = self._killed(index=False)
        self._damage(dead, 32 + (frames - 2) * _FRAME + 100)
        self.assertEqual(self._facts(dead).lost, 0)

    def test_D15_a_page_lost_in_the_middle_is_noticed(self) -> None:
        size = self.live_log.stat().st_size
        for at in (0, 4096, size // 2 // 4096 * 4096, size - 12 * 4096):
            for index in (True, False):
                dead = self._killed(index=index)
                self._damage(dead, at)
                facts = self._facts(dead)
                self.assertTrue(facts.is_damaged, at)
                lost = 20 - (self._rows(dead) if facts.readable > 2 else 0)
                self.assertLessEqual(abs(facts.lost - lost), 2, (at, facts, lost))

    def test_D15_a_log_cut_off_between_transactions_is_noticed_by_its_index(self) -> None:
        size = self.live_log.stat().st_size
        for kept in (32 + 2 * _FRAME, size - 3 * _FRAME, 0):
            dead = self._killed()
            log = Path(f"{dead}-wal")
            log.write_bytes(log.read_bytes()[:kept])
            self.assertTrue(self._facts(dead).is_damaged, kept)

    def test_D15_a_store_that_is_newer_than_what_can_be_read_is_known(self) -> None:
        self.database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self.assertFalse(self._facts(self._killed()).is_superseded)
        dead = self._killed()
        self._damage(dead, 10 * 4096)
        self.assertTrue(self._facts(dead).is_superseded)
        Path(f"{dead}-wal").rename(self.folder / "evidence")
        self.assertEqual(self._rows(dead), 20)
