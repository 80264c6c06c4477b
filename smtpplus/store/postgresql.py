"""PostgreSQL: its dialect, and opening connections to it.

Guarantees: writers commit durably (``synchronous_commit`` is never off); readers see one moment
and cannot write; no statement, lock or dead network holds a connection for long; every error
of the driver becomes one of ours. Needs the extra ``[postgresql]`` (psycopg 3), a connection
of its own to the server or a pool by session: leases and notices belong to a session.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, FromClause, Select, Table, create_engine, exc
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.compiler import SQLCompiler

from smtpplus.store.dialects import CopySql, Fault, ManySql, StoreDialect
from smtpplus.store.watched_connection import WatchedConnection
from smtpplus.values.errors import (
    ConflictError,
    StoreBrokenError,
    StoreFullError,
    StoreUnavailableError,
    UsageError,
)

__all__ = ["CHANNEL", "PostgresqlDialect", "PostgresqlServer"]

CHANNEL = "smtpplus"
# A lost connection is ours to tell of, in a sentence, and not the driver's on standard error.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

_SET_UP_LOCK = 0x736D7470  # "smtp"; any number that others do not use
_CONNECT_SECONDS = 3
_LOCK_SECONDS = 5
_STATEMENT_SECONDS = 60
_KEEPALIVE = {  # a peer that vanished without a word is noticed in half a minute
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_COPY_TYPES = {
    "BIGINT": "int8",
    "BOOLEAN": "bool",
    "BYTEA": "bytea",
    "FLOAT": "float8",
    "INTEGER": "int4",
    "TEXT": "text",
}
_FULL = {"53100"}  # disk_full
_BROKEN = {"58030", "XX001", "XX002"}  # io_error, data_corrupted, index_corrupted
_CLASH = {"40001", "40P01"}  # serialization_failure, deadlock_detected
# Connections, resources, intervention, a standby, locks, transactions that were rolled back.
_AWAY = ("08", "40", "53", "55P03", "57", "25006")


class PostgresqlDialect:
    """PostgreSQL: several services on several machines."""

    name = "postgresql"
    single_service = False
    takes_lists = True

    def __init__(self) -> None:
        self.sql: Dialect = PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]

    def set_up(self, connection: Connection) -> None:
        """By an advisory lock that ends with the transaction."""
        for setting in ("lock_timeout", "statement_timeout"):  # a large table takes its time
            connection.exec_driver_sql(f"SET LOCAL {setting} = 0")
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_SET_UP_LOCK,))

    def prepare(self, connection: Connection) -> None:
        """Nothing to do."""

    def begin(self, connection: Connection) -> None:
        """The driver says BEGIN with the first statement."""
        connection.begin()

    def begin_read(self, connection: Connection) -> None:
        """A snapshot: readers are opened REPEATABLE READ."""
        connection.begin()

    def in_transaction(self, connection: Connection) -> bool:
        """A failed statement leaves the savepoint to go back to, a lost connection nothing."""
        raw = _driver_connection(connection)
        if raw is None or raw.closed:
            return False
        return raw.info.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}

    def is_open(self, connection: Connection) -> bool:
        """Not once the server or the network closed it."""
        raw = _driver_connection(connection)
        return raw is not None and not raw.closed

    def make_room(self, connection: Connection) -> bool:
        """The server's log is the server's."""
        return False

    def transaction_id(self, connection: Connection) -> Any:
        """The id it has since its first write."""
        return connection.exec_driver_sql("SELECT pg_current_xact_id_if_assigned()::text").scalar()

    def was_committed(self, connection: Connection, transaction_id: Any) -> bool:
        """The server knows for a long while; one in progress is waited for by the caller.

        Raises:
            StoreUnavailableError: it is not over yet.
        """
        status = connection.exec_driver_sql(
            "SELECT pg_xact_status(%s::text::xid8)", (transaction_id,)
        ).scalar()
        if status == "in progress":
            raise StoreUnavailableError("The database has not ended the transaction yet.")
        return bool(status == "committed")

    def tell(self, connection: Connection, topics: Iterable[str]) -> None:
        """By NOTIFY, once the transaction is committed."""
        for topic in sorted(topics):
            connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (CHANNEL, topic))

    def octets(self, connection: Connection, query: Select[Any]) -> bytes | None:
        """In the binary format: the textual one is twice as long."""
        raw = _driver_connection(connection)
        assert raw is not None
        compiled = query.compile(dialect=self.sql)
        assert isinstance(compiled, SQLCompiler)
        names = compiled.positiontup or []
        with raw.cursor(binary=True) as cursor:
            cursor.execute(str(compiled), [compiled.params[name] for name in names])
            row = cursor.fetchone()
        return None if row is None or row[0] is None else bytes(row[0])

    def insert(self, table: Table, sql: str, conflict: str) -> ManySql:
        """COPY: half the processor time of an INSERT for each row, here and there."""
        if conflict:
            return sql + conflict
        names = ", ".join(column.name for column in table.columns)
        types = tuple(_COPY_TYPES[column.type.compile(self.sql)] for column in table.columns)
        return CopySql(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)", types)

    def update(self, sql: str) -> ManySql:
        """A statement for each row: psycopg sends them all before it reads an answer."""
        return sql

    def counting(self) -> ManySql | None:
        """No: rows that two transactions both change are changed in the order of their keys."""
        return None

    def lock_claimed(self, query: Select[Any], name: str) -> FromClause:
        """Each concurrent claim takes what no other has; chosen once, before the update."""
        return query.with_for_update(skip_locked=True).cte(name).prefix_with("MATERIALIZED")

    def fault(self, error: BaseException) -> Fault:
        """By its SQLSTATE."""
        inner = _driver_error(error)
        if inner is None:
            return Fault.REQUEST
        state = inner.sqlstate
        if state is None:
            lost = isinstance(inner, psycopg.OperationalError | psycopg.InterfaceError)
            return Fault.UNAVAILABLE if lost else Fault.REQUEST
        if state in _FULL:
            return Fault.FULL
        if state in _CLASH:
            return Fault.CLASH
        if state in _BROKEN:
            return Fault.BROKEN
        return Fault.UNAVAILABLE if state.startswith(_AWAY) else Fault.REQUEST

    def ours(self, error: BaseException) -> BaseException:
        """By its SQLSTATE; the server's text is kept for the log."""
        inner = _driver_error(error)
        if inner is None:
            return error
        said = " ".join(str(inner).split())
        fault = self.fault(inner)
        if fault is Fault.FULL:
            return StoreFullError("The disk of the database is full.")
        if fault is Fault.BROKEN:
            return StoreBrokenError(f"The disk of the database failed: {said}.")
        if isinstance(inner, psycopg.IntegrityError):
            return ConflictError(f"What is to be made exists already ({said}).")
        if isinstance(inner, psycopg.errors.LockNotAvailable):
            return StoreUnavailableError("The store is locked by another process.")
        return StoreUnavailableError(f"The database cannot be used now: {said}.")


def _driver_error(error: BaseException) -> psycopg.Error | None:
    """What the driver raised, out of SQLAlchemy's wrapping; None: another's error."""
    inner = error.orig if isinstance(error, exc.DBAPIError) else error
    return inner if isinstance(inner, psycopg.Error) else None


def _driver_connection(connection: Connection) -> psycopg.Connection[Any] | None:
    if connection.closed or connection.invalidated:
        return None
    found: psycopg.Connection[Any] | None = connection.connection.driver_connection
    return found


class PostgresqlServer:
    """A store in a database of a server; opens connections to it.

    `url` is one of libpq's; what it leaves out comes from libpq's environment and files.

    Raises:
        UsageError: it is none.
    """

    def __init__(self, url: str) -> None:
        self.dialect: StoreDialect = PostgresqlDialect()
        try:
            self._parts = conninfo_to_dict(url)
        except psycopg.Error as error:
            said = " ".join(str(error).split())
            raise UsageError(f"The store's url is not one of PostgreSQL's: {said}.") from error
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            poolclass=NullPool,
            pool_reset_on_return=None,  # what is closed needs no rollback before
            use_native_hstore=False,
        )

    def __str__(self) -> str:
        """The database, without the password."""
        shown = {key: value for key, value in self._parts.items() if key not in _SECRET}
        return make_conninfo("", **shown) or "PostgreSQL's default database"

    @property
    def exists(self) -> bool:
        """The database is made by whoever runs the server."""
        return True

    def make(self) -> None:
        """Nothing to make but tables."""

    def open_writer(self, check: bool = False) -> Connection:
        """A connection that writes durably. The server does its own checks."""
        connection = self._engine.connect()
        try:
            self._configure_writer(connection)
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        return connection

    def open_reader(self) -> Connection:
        """A connection that sees one moment in each transaction, and cannot write."""
        connection = self._engine.connect()
        raw = _driver_connection(connection)
        assert raw is not None
        connection.rollback()
        raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        raw.read_only = True
        return connection

    def open_session(self) -> psycopg.Connection[Any]:
        """A connection of the driver's own, without transactions: for locks and notices."""
        return self._connect(autocommit=True)

    def facts(self, connection: Connection) -> dict[str, str | int]:
        """How this connection writes, and how large the database is."""
        names = ("server_version", "synchronous_commit", "fsync", "full_page_writes")
        found: dict[str, str | int] = {
            name: str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in names
        }
        size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar()
        return {"database": str(self), "octets": int(size or 0), **found}

    def _configure_writer(self, connection: Connection) -> None:
        if connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off":
            connection.exec_driver_sql("SET synchronous_commit = on")
            connection.commit()
        if connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on":
            raise StoreUnavailableError("The database takes no writes: it is a standby.")

    def _connect(self, autocommit: bool = False) -> psycopg.Connection[Any]:
        settings = {
            "jit": "off",
            "TimeZone": "UTC",
            "lock_timeout": f"{_LOCK_SECONDS}s",
            "statement_timeout": f"{_STATEMENT_SECONDS}s",
            "idle_in_transaction_session_timeout": f"{_STATEMENT_SECONDS}s",
        }
        said = " ".join(f"-c {name}={value}" for name, value in settings.items())
        parts: dict[str, Any] = {
            "application_name": "smtpplus",
            "connect_timeout": _CONNECT_SECONDS,
            **_KEEPALIVE,
            **self._parts,
            "options": f"{said} {self._parts.get('options', '')}".strip(),
            "client_encoding": "utf8",
        }
        connection = WatchedConnection.connect(autocommit=autocommit, **parts)

        def probe() -> None:
            psycopg.connect(**parts).close()

        connection.probe = probe
        return connection


_SECRET = {"password", "sslpassword"}
