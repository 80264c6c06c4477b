"""Opening SQLite: the file and its rights, the pragmas, the check after a failure.

Guarantees: WAL and ``synchronous=FULL`` are read back and required on the writer (D17); the
database and its companions are 0600; readers cannot write. Raises UsageError where the file is
missing or no database, StoreCorruptError where it does not pass its check.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool
from twisted.logger import Logger

from smtpplus.store.dialects import (
    BUSY_MS,
    IndexingCompiler,
    SqliteDialect,
    StoreDialect,
    our_errors,
)
from smtpplus.values.errors import SmtpplusError, StoreCorruptError, UsageError

__all__ = ["SqliteFile", "spreading", "sync_folder"]

_log = Logger()
_PREFIX = "sqlite:///"
_PAGE_OCTETS = 4096
_WRITER_CACHE_KIB = 16_384
_READER_CACHE_KIB = 4_096
_CHECKPOINT_PAGES = 4_000  # 16 MiB of log between two checkpoints, at most
# A page in use twice, or in use and free, gets what belongs elsewhere when it is written. All else
# that a check says is of one page, and of what is lost with it.
_SPREADS = re.compile(r"^.*(?:2nd reference|freelist).*$", re.IGNORECASE | re.MULTILINE)
_MOST_FINDINGS = 10_000  # a page in use twice may come behind many that are lost
_MOST_TOLD = 1_000  # characters of them
LOG_LIMIT = 2  # intervals: a log that became longer is cut back to that


class SqliteFile:
    """A store in one file; opens connections to it."""

    def __init__(self, url: str) -> None:
        if not url.startswith(_PREFIX) or len(url) == len(_PREFIX):
            raise UsageError(
                "The store's url must be sqlite:/// and a path, or postgresql:// and what libpq "
                f"knows, not {url!r}."
            )
        # Without links, as SQLite sees it: its log, and all else beside it, lies by the file itself.
        self.path = Path(os.path.realpath(url[len(_PREFIX) :]))
        self.lock = Path(f"{self.path}.lock")  # another data_dir may mean the same file
        self.reserve = self.path.parent / "reserve"
        self._log, self._reserve = f"{self.path}-wal", str(self.reserve)  # asked with each commit
        self._sqlite = SqliteDialect(self.reserve)
        self.dialect: StoreDialect = self._sqlite
        self._checkpoint_pages = 0  # not known yet
        self._engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        self._engine.dialect.statement_compiler = IndexingCompiler

    def __str__(self) -> str:
        """Where it is, as people are told."""
        return str(self.path)

    @property
    def folder(self) -> Path:
        """Where the file and its companions lie."""
        return self.path.parent

    @property
    def exists(self) -> bool:
        """Is there a file with something in it?"""
        return self.path.is_file() and self.path.stat().st_size > 0

    @property
    def log_octets(self) -> int:
        """How long the write-ahead log is: what the file may have to grow by."""
        return _octets_of(self._log)

    def make(self) -> None:
        """Create the empty file, 0600, and its folder, 0700; SQLite's other files follow it."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_folder(self.path.parent)

    def open_writer(self, check: bool = False) -> Connection:
        """A connection that writes durably; with `check` the file is examined first."""
        connection = self._engine.connect()
        try:
            if check:
                _quick_check(connection)
            self._configure_writer(connection)
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        return connection

    def open_reader(self) -> Connection:
        """A connection that cannot write."""
        connection = self._engine.connect()
        _pragma(connection, f"cache_size = -{_READER_CACHE_KIB}")
        _pragma(connection, "query_only = ON")
        connection.rollback()
        return connection

    def look(self) -> tuple[str, bool]:
        """What a check of the whole file finds, and would writing spread it? See `Look`."""
        # One row, which tells of all pages: the driver forgets it where the next one fails.
        query = "SELECT quick_check FROM pragma_quick_check(?) LIMIT 1"
        try:
            with our_errors(self.dialect), self._engine.connect() as connection:
                found = str(connection.exec_driver_sql(query, (_MOST_FINDINGS,)).scalar())
        except StoreCorruptError as error:
            return str(error), True
        except UnicodeDecodeError as error:  # SQLite's own text, with a table's name that was lost
            return _damaged(error), True
        if found == "ok":
            return "", False
        spreads = spreading(found)
        return _damaged(spreads or found), bool(spreads)

    def tell_of_damage(self) -> None:
        """Check the file, and log what is found."""
        try:
            found, _ = self.look()
        except SmtpplusError as error:
            _log.warn("the store could not be looked at: {error}", error=str(error))
            return
        if found:
            _log.critical("{text}", text=found)
        else:
            _log.warn("the store itself passes its check")

    def spare_octets(self, connection: Connection) -> int:
        """Room inside the file that was in use once."""
        return int(_pragma(connection, "freelist_count")) * _PAGE_OCTETS

    def keep_reserve(self) -> None:
        """Make the reserve, where it is not there and the disk has room for two of it."""
        size = self.reserve_wanted
        if self.reserve.exists() or shutil.disk_usage(self.folder).free < 2 * size:
            return
        descriptor = os.open(self.reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            self.reserve.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def give_reserve_up(self) -> None:
        """Leave its room to others."""
        self._sqlite.give_reserve_up()

    @property
    def reserve_wanted(self) -> int:
        """How large the reserve should be."""
        return LOG_LIMIT * self.checkpoint_octets

    @property
    def reserve_octets(self) -> int:
        """How large the reserve is."""
        return _octets_of(self._reserve)

    @property
    def checkpoint_octets(self) -> int:
        """How long the log may become between two checkpoints: less on a small disk."""
        if not self._checkpoint_pages:
            share = shutil.disk_usage(self.folder).total // 32 // _PAGE_OCTETS
            self._checkpoint_pages = min(max(share, 1), _CHECKPOINT_PAGES)
        return self._checkpoint_pages * _PAGE_OCTETS

    def facts(self, connection: Connection) -> dict[str, str | int]:
        """How this connection writes, and how large the file is."""
        names = ("journal_mode", "synchronous", "page_size", "page_count", "freelist_count")
        found: dict[str, str | int] = {name: _pragma(connection, name) for name in names}
        return {"path": str(self.path), "sqlite": sqlite3.sqlite_version, **found}

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_MS / 1_000,
            isolation_level=None,  # BEGIN is ours
            check_same_thread=False,  # opened in one thread, used in another, never in two
            cached_statements=512,
        )

    def _configure_writer(self, connection: Connection) -> None:
        _pragma(connection, f"page_size = {_PAGE_OCTETS}")  # holds for a new file only
        mode = _pragma(connection, "journal_mode = WAL")
        _pragma(connection, "synchronous = FULL")
        _pragma(connection, f"wal_autocheckpoint = {self.checkpoint_octets // _PAGE_OCTETS}")
        _pragma(connection, f"journal_size_limit = {LOG_LIMIT * self.checkpoint_octets}")
        _pragma(connection, f"cache_size = -{_WRITER_CACHE_KIB}")
        _pragma(connection, "temp_store = MEMORY")
        _pragma(connection, "foreign_keys = ON")
        if mode != "wal" or _pragma(connection, "synchronous") != 2:
            raise UsageError(f"{self.path} is on a file system that SQLite's WAL cannot use.")


def spreading(found: str) -> str:
    """The line of what a check found that tells of damage that writing would spread, or ""."""
    line = _SPREADS.search(found)
    return line.group() if line else ""


def _octets_of(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - a third of the time
    except FileNotFoundError:
        return 0


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in `folder` survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pragma(connection: Connection, text: str) -> Any:
    result = connection.exec_driver_sql(f"PRAGMA {text}")
    return result.scalar() if result.returns_rows else None


def _damaged(found: Any) -> str:
    text = " ".join(str(found)[:_MOST_TOLD].split())
    return (
        f"The store is damaged, it does not pass its check ({text}): stop the service, keep a copy "
        'of data_dir, and restore a backup; see "A damaged store" in the operations manual.'
    )


def _quick_check(connection: Connection) -> None:
    """After a failed sync: is the file whole, and does the disk take a write and a sync again?"""
    found = _pragma(connection, "quick_check(1)")
    if found != "ok":
        raise StoreCorruptError(_damaged(found))
    _pragma(connection, "wal_checkpoint(TRUNCATE)")
