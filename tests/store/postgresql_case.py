"""A test with stores in a database of its own, in PostgreSQL."""

from __future__ import annotations

from smtpplus.store import upgrade
from tests.postgresql import Cluster, cluster
from tests.store.samples import StoreCase

__all__ = ["PostgresqlCase", "template"]

_TEMPLATE = "smtpplus_template"
_templates: set[int] = set()


def template(server: Cluster) -> str:
    """A database with our tables, made once: copying it is quicker than making them."""
    if id(server) not in _templates:
        server.execute(f"CREATE DATABASE {_TEMPLATE}")
        upgrade(server.url(_TEMPLATE))
        _templates.add(id(server))
    return _TEMPLATE


class PostgresqlCase(StoreCase):
    """As `StoreCase`, in PostgreSQL."""

    def setUp(self) -> None:
        self.server = cluster()
        self.database = self.server.database(template(self.server))
        self.addCleanup(self.server.drop, self.database)
        super().setUp()

    @property
    def url(self) -> str:
        return self.server.url(self.database)
