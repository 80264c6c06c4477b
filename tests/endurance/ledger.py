"""What a store at rest says, read from a copy: the next start finds the original as it was."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from tests.store.sums import faults_in_sums

__all__ = ["STORE", "Ledger", "faults_in_accounts", "read_ledger"]

STORE = "smtpplus.sqlite3"
_FINAL = ("delivered", "bounced", "expired", "cancelled")


class Ledger:
    """Deliveries with their state, and what does not add up (D16)."""

    def __init__(self, database: sqlite3.Connection, queue: Path) -> None:
        self.states: dict[str, str] = dict(database.execute("SELECT address, state FROM delivery"))
        self.integrity: str = database.execute("PRAGMA integrity_check").fetchone()[0]
        self.faults = faults_in_accounts(database) + _faults_in_contents(database, queue)
        if self.integrity != "ok":
            self.faults.append(f"integrity: {self.integrity}")

    @property
    def waiting(self) -> int:
        """Deliveries that are not final."""
        return sum(state not in _FINAL for state in self.states.values())


def read_ledger(queue: Path) -> Ledger:
    """The ledger of a queue directory whose service does not run."""
    with tempfile.TemporaryDirectory() as copy:
        for name in (STORE, f"{STORE}-wal"):
            if (queue / name).exists():
                shutil.copy(queue / name, copy)
        with closing(sqlite3.connect(Path(copy) / STORE)) as database:
            return Ledger(database, queue)


def faults_in_accounts(database: sqlite3.Connection) -> list[str]:
    """Where counters, events and states differ: accepted = final + waiting, for each message."""
    # Messages without a checksum are of a version that knew no recipients.
    ((old,),) = database.execute("SELECT count(*) FROM message WHERE crc32 IS NULL")
    wrong = faults_in_sums(database.execute, is_new=not old)
    rows = database.execute(
        "SELECT m.id FROM message m JOIN delivery d ON d.message_id = m.id GROUP BY m.id"
        " HAVING m.remaining != sum(d.state IN ('queued', 'held')) OR m.recipients != count(*)"
    )
    wrong += [f"message {row[0]} counts its deliveries wrongly" for row in rows]
    rows = database.execute(
        "SELECT d.id FROM delivery d LEFT JOIN event e ON e.delivery_id = d.id AND e.type = d.state"
        " WHERE d.state IN ('delivered', 'bounced', 'expired', 'cancelled')"
        " GROUP BY d.id HAVING count(e.id) != 1"
    )
    return wrong + [f"delivery {row[0]} has not one event of its end" for row in rows]


def _faults_in_contents(database: sqlite3.Connection, queue: Path) -> list[str]:
    """Messages that wait without content."""
    rows = database.execute(
        "SELECT m.id FROM message m LEFT JOIN content c ON c.message_id = m.id"
        " WHERE m.remaining > 0 AND NOT m.in_file AND c.message_id IS NULL"
    )
    wrong = [f"message {row[0]} waits without content" for row in rows]
    (named,) = database.execute(
        "SELECT count(*) FROM message WHERE remaining > 0 AND in_file"
    ).fetchone()
    files = len(list(queue.glob("?/?/*.eml")))
    if named > files:
        wrong.append(f"{named} messages wait in files, {files} files are there")
    return wrong
