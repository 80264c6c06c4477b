"""A copy of a SQLite store and its message files, taken while a service works on them.

Guarantees: database and files agree. Writers stand still for the moment in which the snapshot
begins and the files it names get a second name (hard links); what is settled later is in the
copy as it was at that moment. Raises UsageError for a store that is no file of SQLite,
NotFoundError where there is none, StoreUnavailableError where it is locked for too long.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from smtpplus.store.content_files import ContentFiles
from smtpplus.store.sqlite import SqliteFile
from smtpplus.values.errors import (
    NotFoundError,
    StoreBrokenError,
    StoreUnavailableError,
    UsageError,
)

__all__ = ["Counted", "Snapshot", "count_waiting", "snapshot", "sqlite_path"]

_LOCK_SECONDS = 30.0
_WITH_FILE = "SELECT id FROM message WHERE in_file AND remaining > 0"


@dataclass(frozen=True, slots=True)
class Counted:
    """What a store holds: its version, messages, waiting deliveries, files that rows name."""

    version: str
    messages: int
    waiting: int
    files: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copied database, and the files of its waiting messages by their place below the queue."""

    database: Path
    files: dict[str, Path]
    counted: Counted


def sqlite_path(url: str) -> Path:
    """The file of a store.

    Raises:
        UsageError: the store is in a database server.
    """
    if not url.startswith("sqlite:"):
        raise UsageError(
            "The backup is of a store in SQLite, and store.url names PostgreSQL: leave it away, "
            "or restore with --to DIR."
        )
    return SqliteFile(url).path


@contextlib.contextmanager
def snapshot(url: str, queue_dir: Path, work: Path) -> Iterator[Snapshot]:
    """A copy in the folder `work`, which must have room for the database; gone at the end."""
    path = sqlite_path(url)
    if not path.is_file():
        raise NotFoundError(f"There is no store at {path}.")
    # Hard links need the file system of what they name.
    links = Path(tempfile.mkdtemp(prefix=".backup-", dir=queue_dir))
    copy = work / "store.sqlite3"
    try:
        with (
            contextlib.closing(_connect(path)) as reader,
            contextlib.closing(_connect(path)) as lock,
        ):
            found = _stand_still(lock, reader, queue_dir, links)
            with contextlib.closing(sqlite3.connect(copy)) as target:
                reader.backup(target)  # of the reader's snapshot, in one step
                target.execute("PRAGMA journal_mode = DELETE")
                counted = count_waiting(target)
        yield Snapshot(copy, found, counted)
    except sqlite3.OperationalError as error:
        raise StoreUnavailableError(f"The store cannot be copied now: {error}.") from error
    finally:
        shutil.rmtree(links, ignore_errors=True)
        copy.unlink(missing_ok=True)


def count_waiting(connection: sqlite3.Connection) -> Counted:
    """What the database holds.

    Raises:
        StoreBrokenError: it does not pass its check.
    """
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreBrokenError(f"The store does not pass its check: {found}.")

    def one(query: str) -> int:
        return int(connection.execute(query).fetchone()[0])

    return Counted(
        version=str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]),
        messages=one("SELECT count(*) FROM message"),
        waiting=one("SELECT count(*) FROM delivery WHERE state IN ('queued', 'held')"),
        files=tuple(row[0] for row in connection.execute(_WITH_FILE)),
    )


def _stand_still(
    lock: sqlite3.Connection, reader: sqlite3.Connection, queue_dir: Path, links: Path
) -> dict[str, Path]:
    """Begin the snapshot and link its files, while nobody can write."""
    files = ContentFiles(queue_dir)
    linked: dict[str, Path] = {}
    lock.execute("BEGIN IMMEDIATE")
    try:
        reader.execute("BEGIN")
        for (message_id,) in reader.execute(_WITH_FILE).fetchall():
            source = files.path(message_id)
            target = links / source.name
            with contextlib.suppress(FileNotFoundError):  # it was missing before: doctor says so
                target.hardlink_to(source)
                linked[str(source.relative_to(queue_dir))] = target
    finally:
        lock.execute("ROLLBACK")
    return linked


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=_LOCK_SECONDS, isolation_level=None
    )
