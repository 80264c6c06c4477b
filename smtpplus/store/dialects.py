"""The few questions that SQLite and PostgreSQL answer differently.

Guarantees: no other file of the store asks which database it is, but those that open one
(sqlite.py, postgresql.py, which has its own dialect). Every error of the driver becomes one of ours here, on `ours`.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from sqlalchemy import (
    BindParameter,
    Connection,
    Delete,
    FromClause,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    exc,
    insert,
)
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from smtpplus.store.counting import COUNTING_COLUMNS, make_counting
from smtpplus.store.topics import told_again
from smtpplus.values.errors import (
    ConflictError,
    SmtpplusError,
    StoreBrokenError,
    StoreCorruptError,
    StoreFullError,
    StoreUnavailableError,
)

__all__ = [
    "BUSY_MS",
    "CopySql",
    "Fault",
    "IdsSql",
    "IndexingCompiler",
    "ManySql",
    "RowsSql",
    "SqliteDialect",
    "StoreDialect",
    "disk_error",
    "insert_sql",
    "our_errors",
    "select_sql",
    "update_sql",
]


BUSY_MS = 5_000  # how long SQLite waits for another process's lock
_CHECKPOINT_PATIENCE_MS = 200
_IDS_IN_ONE = 1_000
_ANY_NUMBER = 16  # of rows has a statement of its own up to this one, then powers of two
_ROWS_IN_ONE = 64


class Fault(enum.Enum):
    """What an exception means for the transaction it came from."""

    REQUEST = "request"  # the function's own: roll it back, the others go on
    FULL = "full"  # no room for the whole transaction; a smaller one may fit
    CLASH = "clash"  # with another transaction, which was let go on: again at once
    UNAVAILABLE = "unavailable"  # locked, or not to be reached: no use in trying at once
    BROKEN = "broken"  # what the connection believes may not be on the disk: reopen and check


class StoreDialect(Protocol):
    """What the store asks a database."""

    name: str
    single_service: bool
    """Can only one service process use the store (so that all leases are its own)?"""

    sql: Dialect
    """SQLAlchemy's dialect, with positional parameters."""

    takes_lists: bool
    """Is a list of ids one parameter?"""

    def set_up(self, connection: Connection) -> None:
        """In a transaction: let nobody else make or change the tables beside us."""

    def prepare(self, connection: Connection) -> None:
        """Outside a transaction, once: the connection is going to write."""

    def begin(self, connection: Connection) -> None:
        """Begin a transaction that will write."""

    def begin_read(self, connection: Connection) -> None:
        """Begin a transaction that sees one moment and writes nothing."""

    def in_transaction(self, connection: Connection) -> bool:
        """Does the transaction still stand, after an error?"""

    def is_open(self, connection: Connection) -> bool:
        """Can the connection be used again, after an error?"""

    def make_room(self, connection: Connection) -> bool:
        """Outside a transaction, when the disk is (nearly) full: is there more room now?"""

    def transaction_id(self, connection: Connection) -> Any:
        """What `was_committed` asks by; None where a commit's end is never in doubt."""

    def was_committed(self, connection: Connection, transaction_id: Any) -> bool:
        """Did that transaction of a lost connection come to its commit?"""

    def tell(self, connection: Connection, topics: Collection[str]) -> None:
        """With the commit, tell other processes what has changed."""

    def octets(self, connection: Connection, query: Select[Any]) -> bytes | None:
        """The one value of `query`, octets; None where there is no row."""

    def insert(self, table: Table, sql: str, conflict: str) -> ManySql:
        """How many rows are inserted: by `sql` for one row and `conflict`, or more quickly."""

    def update(self, sql: str) -> ManySql:
        """How many rows are changed: by `sql` for one row, or more quickly."""

    def counting(self) -> ManySql | None:
        """How counts are added to all counters at once (counting.py); None: to each by itself."""

    def lock_claimed(self, query: Select[Any], name: str) -> FromClause:
        """`query` as a table `name` whose rows concurrent claims pass by."""

    def fault(self, error: BaseException) -> Fault:
        """What `error` means."""

    def ours(self, error: BaseException) -> BaseException:
        """The error to raise for the driver's; others as they are."""


@dataclass(frozen=True, slots=True)
class CopySql:
    """PostgreSQL's way to insert rows in bulk: ``COPY``, and the types of its columns."""

    text: str
    types: tuple[str, ...]


class RowsSql:
    """SQLite's way to do the same to many rows: one statement, a parenthesis for each row.

    A statement for each row gives the interpreter away and asks for it back each time, which
    beside a busy reactor takes longer than the statement.
    """

    __slots__ = ("_head", "_row", "_tail", "_texts")

    def __init__(self, head: str, row: str, tail: str) -> None:
        self._head = head
        self._row = row
        self._tail = tail
        self._texts: dict[int, str] = {}  # by the number of rows

    def pieces(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
        """The statements, few different ones that the driver keeps, with their parameters."""
        start = 0
        while start < len(rows):
            size = len(rows) - start
            if size > _ANY_NUMBER:
                size = min(1 << (size.bit_length() - 1), _ROWS_IN_ONE)
            yield self._text(size), list(chain.from_iterable(rows[start : start + size]))
            start += size

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            text = f"{self._head}{', '.join([self._row] * size)}{self._tail}"
            self._texts[size] = text
        return text


ManySql: TypeAlias = "str | CopySql | RowsSql"


def insert_sql(table: Table, dialect: StoreDialect, conflict: str = "") -> ManySql:
    """An insert of all columns in their order, for `Transaction.many`."""
    names = [column.name for column in table.columns]
    return dialect.insert(table, _driver_sql(insert(table), names, dialect), conflict)


def update_sql(statement: Update, names: Sequence[str], dialect: StoreDialect) -> ManySql:
    """`statement` for `Transaction.many`, its parameters being `names` in order."""
    return dialect.update(_driver_sql(statement, names, dialect))


IDS: BindParameter[list[int]] = bindparam("ids", expanding=True)


class IdsSql:
    """A statement over a list of ids, compiled once: ``statement`` has the parameter `IDS`.

    What SQLAlchemy does anew for each length of the list costs more than the statement itself.
    """

    def __init__(self, statement: Select[Any] | Delete, dialect: StoreDialect) -> None:
        compiled = str(statement.compile(dialect=dialect.sql))
        self._head, self._tail = compiled.split("IN (__[POSTCOMPILE_ids])")
        self._takes_lists = dialect.takes_lists

    def pieces(self, ids: Iterable[int]) -> Iterator[tuple[str, list[Any]]]:
        """The statement and its parameters, as often as the ids fill one."""
        rest = list(ids)
        if self._takes_lists:
            if rest:
                yield f"{self._head}= ANY (%s){self._tail}", [rest]
            return
        for start in range(0, len(rest), _IDS_IN_ONE):
            some = rest[start : start + _IDS_IN_ONE]
            # Filled up with its last one: few different statements, which the driver keeps.
            some += some[-1:] * ((1 << (len(some) - 1).bit_length()) - len(some))
            yield f"{self._head}IN ({', '.join('?' * len(some))}){self._tail}", some


def select_sql(statement: Select[Any], names: Sequence[str], dialect: StoreDialect) -> str:
    """`statement` for `Transaction.rows`, its parameters being `names` in order."""
    return _driver_sql(statement, names, dialect)


def _driver_sql(
    statement: Insert | Update | Select[Any], names: Sequence[str], dialect: StoreDialect
) -> str:
    """`statement` as SQL for the driver, its positional parameters being `names` in order."""
    keys = list(names) if isinstance(statement, Insert) else None
    compiled = statement.compile(dialect=dialect.sql, column_keys=keys)
    assert isinstance(compiled, SQLCompiler)
    if compiled.positiontup != list(names):
        raise AssertionError(f"parameters are {compiled.positiontup}, not {names}")
    return str(compiled)


def disk_error(error: OSError) -> SmtpplusError:
    """The error of ours for one of the file system."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreFullError("The disk of the queue directory is full.")
    if error.errno in {errno.EIO, errno.EROFS}:
        return StoreBrokenError(f"The disk of the queue directory failed: {error.strerror}.")
    return StoreUnavailableError(f"The queue directory cannot be used: {error.strerror}.")


@contextlib.contextmanager
def our_errors(dialect: StoreDialect) -> Iterator[None]:
    """What is raised within comes out as an error of ours."""
    try:
        yield
    except OSError as error:
        raise disk_error(error) from error
    except Exception as error:
        ours = dialect.ours(error)
        if ours is error:
            raise
        raise ours from error


_COUNTING = RowsSql(
    "INSERT INTO counting VALUES ", f"({', '.join('?' * len(COUNTING_COLUMNS))})", ""
)
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BROKEN = {sqlite3.SQLITE_IOERR, *_CORRUPT}


class IndexingCompiler(SQLiteCompiler):
    """SQLAlchemy's compiler, which leaves ``INDEXED BY`` out, and with it our choice of index."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        """The hint goes behind the table's name."""
        return text


class SqliteDialect:
    """SQLite: one service process on one machine."""

    name = "sqlite"
    single_service = True
    takes_lists = False

    def __init__(self, reserve: Path) -> None:
        self.sql: Dialect = SQLiteDialect_pysqlite(paramstyle="qmark")
        self.reserve = reserve  # see room.py

    def set_up(self, connection: Connection) -> None:
        """Nothing to do: whoever writes is alone."""

    def prepare(self, connection: Connection) -> None:
        """It counts."""
        make_counting(_driver(connection))

    def begin(self, connection: Connection) -> None:
        """The write lock at once: no upgrade of a read lock can fail in the middle."""
        if not connection.in_transaction():
            connection.begin()  # in SQLAlchemy's books
        _driver(connection).execute("BEGIN IMMEDIATE")

    def begin_read(self, connection: Connection) -> None:
        """A snapshot, by WAL."""
        connection.exec_driver_sql("BEGIN")

    def in_transaction(self, connection: Connection) -> bool:
        """Some errors (a full disk, a failed write) roll everything back by themselves."""
        return bool(_driver(connection).in_transaction)

    def is_open(self, connection: Connection) -> bool:
        """A file does not go away by itself."""
        return True

    def make_room(self, connection: Connection) -> bool:
        """Let the log's pages go into the database, so that the log begins anew.

        Its file stays as long as it is: room for outcomes that nobody else can take. Whoever reads an old page is waited for a moment only: the writer stands still meanwhile.
        """
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_CHECKPOINT_PATIENCE_MS}")
        try:
            return _restart_log(connection)
        except exc.DBAPIError as error:
            connection.rollback()  # nothing is lost: the log stays as it is
            if self.fault(error) is not Fault.FULL or not self.give_reserve_up():
                return False
            with contextlib.suppress(exc.DBAPIError):
                return _restart_log(connection)
            connection.rollback()
            return False
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_MS}")

    def give_reserve_up(self) -> bool:
        """Leave the reserve's room to others; False: there was none, or it cannot be."""
        try:
            self.reserve.unlink()
        except OSError:
            return False
        return True

    def transaction_id(self, connection: Connection) -> Any:
        """Never in doubt: the commit is a call."""
        return None

    def was_committed(self, connection: Connection, transaction_id: Any) -> bool:
        """Never asked."""
        raise NotImplementedError

    def tell(self, connection: Connection, topics: Collection[str]) -> None:
        """In the file's head (changes.py): others see that it changed, and there what."""
        if topics:
            driver = _driver(connection)
            (counts,) = driver.execute("PRAGMA user_version").fetchone()
            driver.execute(f"PRAGMA user_version = {told_again(counts, topics)}")

    def octets(self, connection: Connection, query: Select[Any]) -> bytes | None:
        """As it comes."""
        found = connection.scalar(query)
        return None if found is None else bytes(found)

    def insert(self, table: Table, sql: str, conflict: str) -> ManySql:
        """Many in one statement."""
        head, row = sql.split(" VALUES ")
        return RowsSql(f"{head} VALUES ", row, conflict)

    def update(self, sql: str) -> ManySql:
        """Many in one statement: the new values are a table to be joined."""
        first, *rest = sql.split("?")
        names = [f"given.c{number}" for number in range(len(rest))]
        changing = first + "".join(f"{name}{text}" for name, text in zip(names, rest, strict=True))
        changes, where = changing.split(" WHERE ")
        columns = ", ".join(f"c{number}" for number in range(len(rest)))
        return RowsSql(
            f"WITH given ({columns}) AS (VALUES ",
            f"({', '.join('?' * len(rest))})",
            f") {changes} FROM given WHERE {where}",
        )

    def counting(self) -> ManySql | None:
        """By a trigger."""
        return _COUNTING

    def lock_claimed(self, query: Select[Any], name: str) -> FromClause:
        """Nothing to do: there is one writer."""
        return query.subquery(name)

    def fault(self, error: BaseException) -> Fault:
        """By SQLite's primary result code."""
        code = _sqlite_code(error)
        if code is None:
            return Fault.REQUEST
        if code in _BROKEN:
            return Fault.BROKEN
        if code in {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG}:
            return Fault.REQUEST
        return Fault.FULL if code == sqlite3.SQLITE_FULL else Fault.UNAVAILABLE

    def ours(self, error: BaseException) -> BaseException:
        """By SQLite's primary result code; its own text is kept for the log."""
        code = _sqlite_code(error)
        if code is None:
            return error
        said = str(_driver_error(error))
        if code == sqlite3.SQLITE_FULL:
            return StoreFullError("The disk of the store is full.")
        if code in _CORRUPT:
            return StoreCorruptError(
                f'The store is damaged: {said}. See "A damaged store" in the operations manual.'
            )
        if code in _BROKEN:
            return StoreBrokenError(f"The disk of the store failed: {said}.")
        if code == sqlite3.SQLITE_CONSTRAINT:
            return ConflictError(f"What is to be made exists already ({said}).")
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return StoreUnavailableError("The store is locked by another process.")
        return StoreUnavailableError(f"The store cannot be used now: {said}.")


def _driver(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection: what is said to it directly takes a tenth of the time."""
    found = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


def _restart_log(connection: Connection) -> bool:
    row = connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)").first()
    return row is not None and not row[0]


def _driver_error(error: BaseException) -> BaseException:
    """What the driver raised, out of SQLAlchemy's wrapping."""
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        return error.orig
    return error


def _sqlite_code(error: BaseException) -> int | None:
    inner = _driver_error(error)
    if not isinstance(inner, sqlite3.Error):
        return None
    code = getattr(inner, "sqlite_errorcode", None)  # set by SQLite's errors, not the module's
    return sqlite3.SQLITE_ERROR if code is None else code & 0xFF
