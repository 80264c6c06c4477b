"""All rows of a store in PostgreSQL, taken out and put in again, table by table.

`export` reads every table in one transaction that sees one moment, while services go on; what
comes out is COPY's binary form, which any version of the server takes. `fill` puts it into a
database without a store, in one transaction, at the version of the tables it was taken at.
Guarantees: what waits is leased to nobody after `fill`; a `fill` that fails leaves tables
without rows. Raises StoreUnavailableError (the server), UsageError (what was read is no such
copy), ConflictError (there is a store). Blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import psycopg
from psycopg import sql

from smtpplus.store.migrate import check_version, migrate
from smtpplus.store.postgresql import PostgresqlDialect, PostgresqlServer
from smtpplus.store.schema import HEAD, METADATA
from smtpplus.store.snapshot import Counted
from smtpplus.values.errors import ConflictError, UsageError

__all__ = ["Export", "Filled", "Filling", "check_free", "export", "fill"]

_PIECE = 1 << 18
_NO_LIMITS = (
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
)
_COUNT_WAITING = "SELECT count(*) FROM delivery WHERE state IN ('queued', 'held')"
_LARGE = "SELECT id FROM message WHERE in_file AND remaining > 0 ORDER BY id"
_WITHOUT_PARTS = (
    "SELECT count(*) FROM message m WHERE in_file AND remaining > 0"
    " AND NOT EXISTS (SELECT FROM content_part p WHERE p.message_id = m.id)"
)
_IS_USED = (
    "SELECT EXISTS (SELECT FROM account) OR EXISTS (SELECT FROM message)"
    " OR EXISTS (SELECT FROM person)"
)
_FREE = (
    "UPDATE delivery SET lease_node = NULL, lease_until = NULL WHERE lease_node IS NOT NULL",
    "UPDATE node SET holder = NULL, lease_until = NULL",
)

_Session = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Export:
    """An open transaction, and what it sees. `columns` by table, in the order to fill them."""

    counted: Counted
    missing: int  # large contents
    columns: dict[str, tuple[str, ...]]
    session: _Session

    def write(self, table: str, target: IO[bytes]) -> None:
        """All rows of `table`."""
        query = _copy("COPY {} ({}) TO STDOUT (FORMAT BINARY)", table, self.columns[table])
        with _our_errors(), self.session.cursor().copy(query) as rows:
            for piece in rows:
                target.write(piece)


@contextlib.contextmanager
def export(url: str) -> Iterator[Export]:
    """The store as it is at this moment.

    Raises:
        UsageError: there is none, or of another version.
    """
    server = PostgresqlServer(url)
    with _session(server) as session:
        with _our_errors():
            for setting in _NO_LIMITS:
                session.execute(setting)
            session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            columns = _columns(session)
            check_version(_version(session) if "alembic_version" in columns else None)
            counted, missing = _count(session)
        ordered = {table.name: columns[table.name] for table in METADATA.sorted_tables}
        yield Export(counted, missing, ordered, session)


class Filling:
    """The open transaction of `fill`."""

    def __init__(self, session: _Session, columns: Mapping[str, tuple[str, ...]]) -> None:
        self._session = session
        self._columns = columns

    def put(self, table: str, columns: tuple[str, ...], source: IO[bytes]) -> None:
        """All rows of `table`.

        Raises:
            UsageError: it is no copy of such a table.
        """
        known = self._columns.get(table, ()) if table in METADATA.tables else ()
        if not known or sorted(columns) != sorted(known):
            raise UsageError(f"This is no backup of smtpplus: it holds a table {table!r}.")
        query = _copy("COPY {} ({}) FROM STDIN (FORMAT BINARY)", table, columns)
        try:
            with self._session.cursor().copy(query) as rows:
                while piece := source.read(_PIECE):
                    rows.write(piece)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            said = " ".join(str(error).split())
            raise UsageError(
                f"This is no backup of smtpplus, or it is damaged: table {table!r}: {said}."
            ) from error


@dataclass(frozen=True, slots=True)
class Filled:
    """What was put in: `missing` large contents were missing before."""

    database: str
    counted: Counted
    missing: int


def fill(url: str, version: str, put_all: Callable[[Filling], None]) -> Filled:
    """Make the tables of `version`, let `put_all` fill them, bring them to our version.

    Raises:
        ConflictError: there is a store already.
        UsageError: the version is a newer one, or `put_all` said so.
    """
    if version > HEAD:
        check_version(version)
    check_free(url, version)
    server = PostgresqlServer(url)
    _migrate(server, version)
    with _session(server) as session, _our_errors():
        for setting in _NO_LIMITS:
            session.execute(setting)
        with session.transaction():
            columns = _columns(session)
            names = [sql.Identifier(name) for name in METADATA.tables if name in columns]
            session.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(names)))
            put_all(Filling(session, columns))
            for statement in _FREE:
                session.execute(statement)
            _count_on(session, columns)
            counted, missing = _count(session)
        session.execute("ANALYZE")
    _migrate(server, HEAD)
    return Filled(str(server), counted, missing)


def check_free(url: str, version: str) -> None:
    """Is there a database without a store, in which tables of `version` can be filled?

    Raises:
        ConflictError: there is a store in it.
    """
    server = PostgresqlServer(url)
    with _session(server) as session, _our_errors():
        if "alembic_version" not in _columns(session):
            return
        found = _version(session)
        if session.execute(_IS_USED).fetchone() == (True,) or found != version:
            raise ConflictError(
                f"There is a store in {server}: a backup is restored into an empty database. "
                "Make one, and name it with --set store.url=postgresql://…"
            )


def _migrate(server: PostgresqlServer, version: str) -> None:
    try:
        connection = server.open_writer()
        try:
            migrate(connection, server.dialect, version)
        finally:
            connection.close()
    except Exception as error:
        ours = server.dialect.ours(error)
        if ours is error:
            raise
        raise ours from error


@contextlib.contextmanager
def _session(server: PostgresqlServer) -> Iterator[_Session]:
    try:
        session = server.open_session()
    except psycopg.Error as error:
        raise server.dialect.ours(error) from error
    try:
        yield session
    finally:
        session.close()


@contextlib.contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise PostgresqlDialect().ours(error) from error


def _columns(session: _Session) -> dict[str, tuple[str, ...]]:
    """The tables where ours are looked for, and their columns."""
    query = (
        "SELECT c.relname::text, a.attname::text FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid)"
        " AND c.relnamespace <> 'pg_catalog'::regnamespace"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum"
    )
    found: dict[str, tuple[str, ...]] = {}
    for table, column in session.execute(query):
        found[table] = (*found.get(table, ()), column)
    return found


def _version(session: _Session) -> str | None:
    row = session.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _count(session: _Session) -> tuple[Counted, int]:
    """What there is, and how many large contents are missing."""

    def one(query: str) -> Any:
        row = session.execute(query).fetchone()
        assert row is not None
        return row[0]

    counted = Counted(
        version=str(one("SELECT version_num FROM alembic_version")),
        messages=one("SELECT count(*) FROM message"),
        waiting=one(_COUNT_WAITING),
        files=tuple(row[0] for row in session.execute(_LARGE)),
    )
    return counted, one(_WITHOUT_PARTS)


def _count_on(session: _Session, columns: Mapping[str, tuple[str, ...]]) -> None:
    """Let what the database counts up go on behind the highest number there is."""
    for table in columns:
        query = sql.SQL(
            "SELECT setval(s, (SELECT max(id) FROM {0})) FROM pg_get_serial_sequence({1}, 'id') s"
            " WHERE s IS NOT NULL AND EXISTS (SELECT FROM {0})"
        )
        if "id" in columns[table]:
            session.execute(query.format(sql.Identifier(table), sql.Literal(table)))


def _copy(text: str, table: str, columns: tuple[str, ...]) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL(text).format(sql.Identifier(table), names)
