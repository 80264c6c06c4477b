"""The migrations lead to the tables that the code knows."""

from __future__ import annotations

import re

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from smtpplus.store.schema import HEAD, METADATA
from tests.store.samples import StoreCase


class MigrationTests(StoreCase):
    def test_a_migrated_store_has_the_tables_of_the_schema(self) -> None:
        self.open()
        engine = create_engine(self.url)
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            self.assertEqual(compare_metadata(context, METADATA), [])

    def test_indexes_and_tables_are_sqlites_own_words_too(self) -> None:
        self.open()
        made, meant = create_engine(self.url), create_engine("sqlite://")
        self.addCleanup(made.dispose)
        METADATA.create_all(meant)
        found = []
        for engine in (made, meant):
            with engine.connect() as connection:
                rows = connection.exec_driver_sql(
                    "SELECT name, sql FROM sqlite_master WHERE name != 'alembic_version'"
                    " AND name NOT LIKE 'sqlite_%'"
                )
                found.append({name: sorted(re.findall(r"\w+", sql or "")) for name, sql in rows})
        self.assertEqual(sorted(found[0]), sorted(found[1]))
        for name, sql in found[0].items():
            self.assertEqual(sql, found[1][name])

    def test_head_is_the_newest_revision(self) -> None:
        config = Config()
        config.set_main_option("script_location", "smtpplus.store:migrations")
        self.assertEqual(ScriptDirectory.from_config(config).get_current_head(), HEAD)
