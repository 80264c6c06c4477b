"""Backup and restore of a store in PostgreSQL: whole, consistent, into an empty database only."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.config import load
from smtpplus.installation import open_installation, run
from smtpplus.ports import IAccounts, IQueue
from smtpplus.store.migrate import migrate
from smtpplus.store.store import Store, open_store_blocking, upgrade
from smtpplus.values.ids import IdSource
from smtpplus.values.submission import Account, Stream
from tests.cli.shell import Shell
from tests.folders import folder_of
from tests.postgresql import cluster
from tests.store.postgresql_case import store_database
from tests.store.samples import CONTENT, NOW, StoreCase, accepted

_LARGE = CONTENT + bytes(700_000)
_OLDER = "0003"  # no fingerprint of the secret, no campaigns, no recipients
_COLUMNS = (
    "SELECT table_name::text, column_name::text FROM information_schema.columns"
    " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
    " ORDER BY table_name, ordinal_position"
)

_Table = tuple[tuple[str, ...], bytes]  # its columns, its rows in COPY's form


class PostgresqlBackupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = cluster()
        self.shell = Shell(self, folder_of(self))
        self.file = folder_of(self)
        self.url = self.server.url(store_database(self, self.server))
        self.there = self.at(self.url)
        self.config = load(Path(self.shell.facts["config"]), [f"store.url={self.url}"])
        case = StoreCase()
        case.setUp()
        store = open_store_blocking(
            self.url,
            self.config.server.data_dir,
            clock=case.clock,
            secret=bytes.fromhex(self.config.secret_key_file.read_text()),
        )
        run(self.fill(store))

    def database(self) -> str:
        name = self.server.database()
        self.addCleanup(self.server.drop, name)
        return self.server.url(name)

    def at(self, url: str) -> tuple[str, str]:
        return "--set", f"store.url={url}"

    async def fill(self, store: Store) -> None:
        """Accounts, a small message and a large one; one is leased to a node that is no more."""
        await store.accounts.add_account("acme", NOW)
        await store.accounts.add_list("acme", "default", Stream.TRANSACTIONAL, NOW)
        ids = IdSource(300)
        self.small = accepted(ids, leased=True)
        self.large = accepted(ids, content=None, octets=len(_LARGE))
        writer = await store.contents.begin(self.large.message.id)
        await writer.write(_LARGE)
        await writer.finish()
        for item in (self.small, self.large):
            await store.queue.accept(item)
        await store.close()

    def check(self, config_file: Path, url: str) -> None:
        """All is there, leased to nobody, and numbers go on."""
        with open_installation(load(config_file, [f"store.url={url}"])) as opened:
            self.assertEqual(
                run(_claim(opened.queue)), {self.small.message.id, self.large.message.id}
            )
            (before,) = run(_accounts(opened.accounts))
            after = run(opened.accounts.add_account("other", NOW))
            self.assertGreater(after.id, before.id)
        rows = self.rows(url, "SELECT octets FROM content_part ORDER BY number")
        self.assertEqual(b"".join(row[0] for row in rows), _LARGE)

    def test_what_was_waiting_is_there_again(self) -> None:
        made = self.shell.json(*self.there, "backup", str(self.file))
        self.assertEqual((made["waiting"], made["files"], made["missing_files"]), (2, 1, 0))
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        url, new = self.database(), folder_of(self)
        found = self.shell.json(*self.at(url), "restore", str(self.file), "--to", str(new))
        self.assertEqual((found["waiting"], found["files"], found["missing_files"]), (2, 1, 0))
        self.assertEqual(
            (new / "secret.key").read_bytes(), self.config.secret_key_file.read_bytes()
        )
        self.check(new / "smtpplus.toml", url)

    def test_into_the_database_of_a_configuration_whose_secret_is_the_same(self) -> None:
        self.shell.run(*self.there, "backup", str(self.file))
        url = self.database()
        upgrade(url)  # tables without rows are as good as none
        self.shell.run(*self.at(url), "restore", str(self.file))
        self.check(Path(self.shell.facts["config"]), url)
        self.assertIn("There is a store", self.shell.refused(
            *self.at(url), "restore", str(self.file)))  # fmt: skip

    def test_another_secret_another_kind_of_store_and_half_a_file_are_refused(self) -> None:
        self.shell.run(*self.there, "backup", str(self.file))
        url, new = self.database(), folder_of(self)
        self.assertIn("--set store.url", self.shell.refused("restore", str(self.file)))
        to_new = ("restore", str(self.file), "--to", str(new))
        self.assertIn("--set store.url", self.shell.refused(*to_new))
        self.assertFalse(new.exists())
        self.config.secret_key_file.write_text("00" * 32)
        refused = self.shell.refused(*self.at(url), "restore", str(self.file))
        self.assertIn("not the secret", refused)
        whole = self.file.read_bytes()
        for octets in (whole[: len(whole) // 2], self.without("message"), self.damaged()):
            self.file.write_bytes(octets)
            self.assertIn("no backup", self.shell.refused(*self.at(url), *to_new))
            self.assertFalse(new.exists())
        self.file.write_bytes(whole)
        self.shell.run(*self.at(url), *to_new)  # what failed has left nothing
        self.check(new / "smtpplus.toml", url)

    def test_a_database_that_cannot_be_reached_is_said(self) -> None:
        nowhere = self.at("postgresql://nobody@127.0.0.1:1/nothing")
        self.assertIn("cannot be used", self.shell.refused(*nowhere, "backup", str(self.file)))
        self.assertFalse(self.file.exists())
        empty = self.at(self.database())
        self.assertIn("empty", self.shell.refused(*empty, "backup", str(self.file)))

    def test_a_backup_of_an_older_version_is_brought_to_this_one(self) -> None:
        self.shell.run(*self.there, "backup", str(self.file))
        tables = self.tables_of(_OLDER)
        self.file.write_bytes(self.altered(partial(_older, tables)))
        url, new = self.database(), folder_of(self)
        self.shell.run(*self.at(url), "restore", str(self.file), "--to", str(new))
        self.check(new / "smtpplus.toml", url)
        counted = "SELECT metric, sum(n)::bigint FROM counter GROUP BY metric ORDER BY metric"
        after = self.rows(url, counted)
        self.assertEqual(after, self.rows(self.url, counted))
        self.assertIn(("accepted", 2), after)

    def tables_of(self, version: str) -> dict[str, _Table]:
        """What that version would have written of this store."""
        from smtpplus.store.postgresql import PostgresqlServer  # an extra

        url = self.database()
        server = PostgresqlServer(url)
        with contextlib.closing(server.open_writer()) as connection:
            migrate(connection, server.dialect, version)
        columns: dict[str, tuple[str, ...]] = {}
        for table, column in self.rows(url, _COLUMNS):
            columns[table] = (*columns.get(table, ()), column)
        return {table: (names, self.copied(table, names)) for table, names in columns.items()}

    def copied(self, table: str, columns: tuple[str, ...]) -> bytes:
        """Rows as the older version had them: it counted by hour alone."""
        source = "counter_hour" if table == "counter" else table
        names = ", ".join(columns)
        return self.server.copy(f"COPY {source} ({names}) TO STDOUT (FORMAT BINARY)",
                                _name(self.url))  # fmt: skip

    def rows(self, url: str, query: str) -> list[tuple[Any, ...]]:
        return self.server.execute(query, _name(url))

    def without(self, table: str) -> bytes:
        return self.altered(
            lambda name, octets: None if name.endswith(f"/{table}.copy") else octets
        )

    def damaged(self) -> bytes:
        return self.altered(
            lambda name, octets: octets[:40] if name.endswith("/delivery.copy") else octets
        )

    def altered(self, change: Callable[[str, bytes], bytes | None]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(self.file) as old, tarfile.open(fileobj=buffer, mode="w") as new:
            for member in old:
                inner = old.extractfile(member)
                assert inner is not None
                octets = change(member.name, inner.read())
                if octets is not None:
                    member.size = len(octets)
                    new.addfile(member, io.BytesIO(octets))
        return buffer.getvalue()


def _name(url: str) -> str:
    """Of the database."""
    return url.partition("@/")[2].partition("?")[0]


def _older(tables: dict[str, _Table], name: str, octets: bytes) -> bytes | None:
    """The member as the older version wrote it; None for what it did not have."""
    if name == "manifest.json":
        columns = {table: columns for table, (columns, _) in tables.items()}
        return json.dumps({**json.loads(octets), "schema": _OLDER, "tables": columns}).encode()
    if not name.startswith("tables/"):
        return octets
    return tables.get(Path(name).stem, (None, None))[1]


async def _claim(queue: IQueue) -> set[int]:
    return {one.message.id for one in await queue.claim(NOW + 1e9, 99, ())}


async def _accounts(accounts: IAccounts) -> Sequence[Account]:
    return await accounts.accounts()
