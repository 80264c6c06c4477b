"""A test with stores in a database of its own, in PostgreSQL."""

from __future__ import annotations

import contextlib
from unittest import TestCase

from smtpplus.store.schema import METADATA
from smtpplus.store.store import upgrade
from tests.postgresql import Cluster, cluster
from tests.store.samples import StoreCase

__all__ = ["PostgresqlCase", "store_database", "template"]

_TEMPLATE = "smtpplus_template"
# What a test may have changed besides rows: tables, columns, indexes, settings, the version.
_SHAPE = """
SELECT md5(concat(
  (SELECT version_num FROM alembic_version),
  (SELECT string_agg(concat_ws(' ', relname, relkind, relnatts, relchecks, relowner, reloptions,
     relacl), ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
  (SELECT string_agg(setconfig::text, ',') FROM pg_db_role_setting JOIN pg_database d
     ON d.oid = setdatabase WHERE d.datname = current_database())
)) AS shape
"""
_LEAVE = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_COUNT_ANEW = """
SELECT count(setval(seqrelid::regclass, seqstart, false)) FROM pg_sequence
"""


def template(server: Cluster) -> str:
    """A database with our tables, made once: copying it is quicker than making them."""
    if _TEMPLATE not in server.kept:
        server.execute(f"CREATE DATABASE {_TEMPLATE}")
        upgrade(server.url(_TEMPLATE))
        server.kept[_TEMPLATE] = [server.execute(_SHAPE, _TEMPLATE)[0][0]]
    return _TEMPLATE


def store_database(test: TestCase, server: Cluster) -> str:
    """A database with our tables, without rows, until `test` ends.

    Rows are removed more quickly than a database is made: one that a test has left as it was but
    for its rows is used by the next.
    """
    origin = template(server)
    free = server.kept.setdefault("free", [])
    name = free.pop() if free else server.database(origin)
    test.addCleanup(_give_back, server, name, free)
    return name


def _give_back(server: Cluster, name: str, free: list[str]) -> None:
    server.recover()
    with contextlib.suppress(Exception):
        server.execute(_LEAVE, name)
        if server.execute(_SHAPE, name)[0][0] == server.kept[_TEMPLATE][0]:
            tables = [table.name for table in reversed(METADATA.sorted_tables)]
            server.execute("; ".join(f"DELETE FROM {table}" for table in tables), name)
            server.execute(_COUNT_ANEW, name)
            free.append(name)
            return
    server.drop(name)


class PostgresqlCase(StoreCase):
    """As `StoreCase`, in PostgreSQL."""

    def setUp(self) -> None:
        self.server = cluster()
        self.database = store_database(self, self.server)
        super().setUp()

    @property
    def url(self) -> str:
        return self.server.url(self.database)
