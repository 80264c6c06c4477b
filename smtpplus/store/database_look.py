"""What a doctor asks a store in PostgreSQL. Changes nothing.

Raises StoreUnavailableError where the server cannot be asked. Blocks.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from smtpplus.store.postgresql import PostgresqlDialect, PostgresqlServer
from smtpplus.store.schema import METADATA

__all__ = ["DatabaseFacts", "NodeFacts", "look", "node_lives"]

_Session = psycopg.Connection[Any]

_NOTICE_SECONDS = 2.0
_SETTINGS = ("fsync", "full_page_writes", "transaction_read_only")
_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_NODES = (
    "SELECT n.name::text, n.seen_at, n.lease_until >= extract(epoch FROM clock_timestamp()),"
    " (SELECT count(*) FROM delivery d"
    "  WHERE d.lease_node = n.number AND d.state IN ('queued', 'held'))"
    " FROM node n ORDER BY n.number"
)
_WITHOUT_PARTS = (
    "SELECT m.id FROM message m WHERE m.in_file AND m.remaining > 0"
    " AND NOT EXISTS (SELECT FROM content_part p WHERE p.message_id = m.id) ORDER BY m.id"
)
_STRAYS = (
    "SELECT count(DISTINCT p.message_id) FROM content_part p WHERE p.number = 0"
    " AND NOT EXISTS (SELECT FROM message m WHERE m.id = p.message_id AND m.remaining > 0)"
)
_LIVES = (
    "SELECT EXISTS (SELECT FROM node WHERE name = %s"
    " AND lease_until >= extract(epoch FROM clock_timestamp()))"
)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A service that was there once; does it say so still, and what is leased to it?"""

    name: str
    seen_at: float
    lives: bool
    leased: int


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """A server, and the store in it; `schema` None: there is none, and what is below is empty."""

    database: str
    user: str
    server_version: int  # 150004 is 15.4
    off: tuple[str, ...]  # of what keeps a commit from being lost
    read_only: bool
    connections_left: int
    ahead_seconds: float  # its clock before ours
    hears_notices: bool
    schema: str | None
    lacking: tuple[str, ...]  # rights, as GRANT says them
    can_migrate: bool
    fingerprint: bytes | None
    nodes: tuple[NodeFacts, ...]
    waiting: int
    missing: tuple[int, ...]  # messages whose large content is not there
    strays: int


def look(url: str) -> DatabaseFacts:
    """All of it."""
    server = PostgresqlServer(url)
    with _session(server) as session:
        hears = _hears_notices(session, server)
        settings = {name: _one(session, f"SHOW {name}") for name in _SETTINGS}
        schema, fingerprint = None, None
        tables = set(_column(session, "SELECT relname::text FROM pg_class"
                                      " WHERE relkind = 'r' AND pg_table_is_visible(oid)"))  # fmt: skip
        lacking = _lacking(session, tables)
        if "alembic_version" in tables and not lacking:
            schema = _one(session, "SELECT version_num::text FROM alembic_version")
        if "installation" in tables and not lacking:
            found = _column(session, "SELECT value FROM installation WHERE name = 'secret'")
            fingerprint = bytes(found[0]) if found else None
        whole = schema is not None and tables >= METADATA.tables.keys()
        return DatabaseFacts(
            database=str(server),
            user=session.info.user,
            server_version=session.info.server_version,
            off=tuple(name for name in _SETTINGS[:2] if settings[name] == "off"),
            read_only=settings["transaction_read_only"] == "on",
            connections_left=_connections_left(session),
            ahead_seconds=_ahead(session),
            hears_notices=hears,
            schema=schema,
            lacking=lacking,
            can_migrate=_can_migrate(session, tables),
            fingerprint=fingerprint,
            nodes=tuple(NodeFacts(*row) for row in session.execute(_NODES)) if whole else (),
            waiting=_waiting(session) if whole else 0,
            missing=tuple(_column(session, _WITHOUT_PARTS)) if whole else (),
            strays=int(_one(session, _STRAYS)) if whole else 0,
        )


def node_lives(url: str, name: str) -> bool:
    """Does the service of this name run?"""
    with _session(PostgresqlServer(url)) as session:
        row = session.execute(_LIVES, (name,)).fetchone()
        return bool(row and row[0])


@contextlib.contextmanager
def _session(server: PostgresqlServer) -> Iterator[_Session]:
    try:
        with contextlib.closing(server.open_session()) as session:
            yield session
    except psycopg.Error as error:
        raise PostgresqlDialect().ours(error) from error


def _one(session: _Session, query: str) -> Any:
    row = session.execute(query).fetchone()
    assert row is not None
    return row[0]


def _column(session: _Session, query: str) -> list[Any]:
    return [row[0] for row in session.execute(query)]


def _hears_notices(session: _Session, server: PostgresqlServer) -> bool:
    """Not through a pooler by transaction, for one."""
    channel = f"smtpplus_{secrets.token_hex(8)}"
    session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    with contextlib.closing(server.open_session()) as other:
        other.execute("SELECT pg_notify(%s, '')", (channel,))
        heard = any(True for _ in session.notifies(timeout=_NOTICE_SECONDS, stop_after=1))
    session.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(channel)))
    return heard


def _lacking(session: _Session, tables: set[str]) -> tuple[str, ...]:
    query = "SELECT has_table_privilege(%s, %s)"
    return tuple(
        f"{right} ON {name}"
        for name in ("alembic_version", *METADATA.tables)
        if name in tables
        for right in (_RIGHTS if name != "alembic_version" else _RIGHTS[:1])
        if session.execute(query, (name, right)).fetchone() != (True,)
    )


def _can_migrate(session: _Session, tables: set[str]) -> bool:
    """Is it the owner's, and may more tables be made?"""
    may_create = _one(session, "SELECT has_schema_privilege(current_schema(), 'CREATE')")
    owned = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s::regclass"
    ours = [name for name in METADATA.tables if name in tables]
    return bool(may_create) and all(
        session.execute(owned, (name,)).fetchone() == (True,) for name in ours
    )


def _connections_left(session: _Session) -> int:
    return int(_one(session,
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int",
    ))  # fmt: skip


def _ahead(session: _Session) -> float:
    """By three questions, of which the quickest counts."""
    found = []
    for _ in range(3):
        begun, monotonic = time.time(), time.monotonic()
        theirs = float(_one(session, "SELECT extract(epoch FROM clock_timestamp())"))
        took = time.monotonic() - monotonic
        found.append((took, theirs - (begun + took / 2)))
    return min(found)[1]


def _waiting(session: _Session) -> int:
    return int(_one(session, "SELECT count(*) FROM delivery WHERE state IN ('queued', 'held')"))
