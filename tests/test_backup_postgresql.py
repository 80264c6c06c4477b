"""Backup and restore of a store in PostgreSQL: whole, consistent, into an empty database only."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.config import load
from smtpplus.installation import open_installation, run
from smtpplus.ports import IAccounts, IQueue
from smtpplus.store import open_store_blocking, upgrade
from smtpplus.store.store import Store
from smtpplus.values.ids import IdSource
from smtpplus.values.submission import Account, Stream
from tests.cli.shell import Shell
from tests.postgresql import cluster
from tests.store.samples import CONTENT, NOW, StoreCase, accepted

_LARGE = CONTENT + bytes(700_000)


class PostgresqlBackupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = cluster()
        self.shell = Shell(self, Path(self.mktemp()).absolute())
        self.file = Path(self.mktemp()).absolute()
        self.url = self.database()
        self.there = self.at(self.url)
        self.config = load(Path(self.shell.facts["config"]), [f"store.url={self.url}"])
        self.shell.run(*self.there, "migrate")
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
        database = url.partition("@/")[2].partition("?")[0]
        rows = self.server.execute("SELECT octets FROM content_part ORDER BY number", database)
        self.assertEqual(b"".join(row[0] for row in rows), _LARGE)

    def test_what_was_waiting_is_there_again(self) -> None:
        made = self.shell.json(*self.there, "backup", str(self.file))
        self.assertEqual((made["waiting"], made["files"], made["missing_files"]), (2, 1, 0))
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        url, new = self.database(), Path(self.mktemp()).absolute()
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
        url, new = self.database(), Path(self.mktemp()).absolute()
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
        self.file.write_bytes(self.altered(_older))
        url, new = self.database(), Path(self.mktemp()).absolute()
        self.shell.run(*self.at(url), "restore", str(self.file), "--to", str(new))
        self.check(new / "smtpplus.toml", url)

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


def _older(name: str, octets: bytes) -> bytes | None:
    """As the version wrote it that had no fingerprint of the secret."""
    if name == "tables/installation.copy":
        return None
    if name != "manifest.json":
        return octets
    manifest = json.loads(octets)
    del manifest["tables"]["installation"]
    return json.dumps({**manifest, "schema": "0003"}).encode()


async def _claim(queue: IQueue) -> set[int]:
    return {one.message.id for one in await queue.claim(NOW + 1e9, 99, ())}


async def _accounts(accounts: IAccounts) -> Sequence[Account]:
    return await accounts.accounts()
