"""Backup and restore: what is in the file, where it goes, what is refused (C7)."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.backup.restore import _point_home
from smtpplus.config import load
from smtpplus.installation import open_installation, run
from smtpplus.store.migrate import migrate
from smtpplus.store.sqlite import SqliteFile
from smtpplus.store.store import open_store_blocking
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Accepted
from tests.cli.shell import Shell
from tests.folders import folder_of
from tests.store.samples import CONTENT, NOW, StoreCase, accepted


class BackupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shell = Shell(self, folder_of(self))
        self.file = folder_of(self)
        self.config = load(Path(self.shell.facts["config"]))
        self.large, self.small = self.accept(large=True), self.accept(large=False)

    def accept(self, *, large: bool) -> Accepted:
        case = StoreCase()
        case.setUp()
        store = open_store_blocking(
            self.config.store_url,
            self.config.server.data_dir,
            clock=case.clock,
            secret=bytes.fromhex(self.config.secret_key_file.read_text()),
        )
        item = accepted(IdSource(300 + large), content=None if large else CONTENT)

        async def put() -> None:
            if large:
                writer = await store.contents.begin(item.message.id)
                await writer.write(CONTENT)
                await writer.finish()
            await store.queue.accept(item)
            await store.close()

        run(put())
        return item

    def test_what_was_waiting_is_there_again(self) -> None:
        made = self.shell.json("backup", str(self.file))
        self.assertEqual((made["waiting"], made["files"], made["missing_files"]), (2, 1, 0))
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        with tarfile.open(self.file) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        self.assertEqual((manifest["waiting"], manifest["files"]), (2, 1))
        new = folder_of(self)
        found = self.shell.json("restore", str(self.file), "--to", str(new))
        self.assertEqual((found["waiting"], found["files"], found["missing_files"]), (2, 1, 0))
        config = load(new / "smtpplus.toml")
        self.assertEqual(config.server.data_dir, new)
        with open_installation(config) as opened:
            claimed = run(_claim(opened.queue))
            self.assertEqual(claimed, {self.large.message.id, self.small.message.id})
            self.assertEqual(len(run(opened.accounts.users(None))), 1)
        left = [path.name for path in self.config.queue_dir.iterdir() if "backup" in path.name]
        self.assertEqual(left, [])

    def test_C7_a_store_that_lay_elsewhere_is_in_the_new_folder(self) -> None:
        new = folder_of(self)
        new.mkdir()
        path = new / "smtpplus.toml"
        url = "sqlite:////srv/mail/my.sqlite3"
        for text in (f'[store]\nurl = "{url}"\n', f"store.url = '{url}'\n"):
            path.write_text(f"{text}[submission]\nlisten_tls = []\n")
            self.assertEqual(load(path).store_url, url)
            _point_home(path)
            self.assertEqual(load(path).store_url, f"sqlite:///{new}/queue/smtpplus.sqlite3")

    def test_the_files_that_the_configuration_names_are_in_it_or_told(self) -> None:
        folder = Path(self.shell.facts["config"]).parent
        (folder / "private_key.pem").rename(folder / "key.pem")
        (folder / "keys").mkdir()
        (folder / "keys" / "token").write_text("a token")
        elsewhere = folder_of(self)
        elsewhere.write_text("a password")
        config = Path(self.shell.facts["config"])
        text = config.read_text().replace("private_key.pem", "key.pem")
        relay = f'[relay]\nsmarthost_username = "u"\nsmarthost_password_file = "{elsewhere}"\n'
        text = text.replace("[relay]\n", relay) + '\n[metrics]\ntoken_file = "keys/token"\n'
        config.write_text(text)
        outside = [f"relay.smarthost_password_file: {elsewhere}"]
        self.assertEqual(self.shell.json("backup", str(self.file))["left_out"], outside)
        new = folder_of(self)
        elsewhere.unlink()
        restored = self.shell.json("restore", str(self.file), "--to", str(new))
        self.assertEqual(restored["left_out"], outside)
        for name in ("certificate.pem", "key.pem", "keys/token"):
            self.assertEqual((new / name).read_bytes(), (folder / name).read_bytes(), name)
            self.assertEqual((new / name).stat().st_mode & 0o777, 0o600)

    def test_into_the_data_folder_of_a_configuration(self) -> None:
        self.shell.run("backup", str(self.file))
        data = folder_of(self)
        there = ("--set", f"server.data_dir={data}")
        self.shell.run(*there, "restore", str(self.file))
        self.assertEqual(self.shell.json(*there, "queue")["queued"], 2)
        self.assertIn("move it away", self.shell.refused("restore", str(self.file)).lower())

    def test_refusals(self) -> None:
        self.file.write_bytes(b"mine")
        self.assertIn("exists", self.shell.refused("backup", str(self.file)))
        self.assertEqual(self.file.read_bytes(), b"mine")
        new = folder_of(self)
        self.assertIn("no backup", self.shell.refused("restore", str(self.file), "--to", str(new)))
        folder = Path(self.shell.facts["config"]).parent
        self.assertIn(
            "not empty", self.shell.refused("restore", str(self.file), "--to", str(folder))
        )

    def test_a_backup_of_an_older_version_is_brought_to_this_one(self) -> None:
        self.shell.run("backup", str(self.file))
        older = folder_of(self)
        database = SqliteFile(f"sqlite:///{older}")
        database.make()
        with contextlib.closing(database.open_writer()) as connection:
            migrate(connection, database.dialect, "0003")
        octets = _without(self.file.read_bytes(), "store.sqlite3", older.read_bytes())
        self.file.write_bytes(octets)
        new = folder_of(self)
        self.shell.run("restore", str(self.file), "--to", str(new))
        self.shell.facts["config"] = str(new / "smtpplus.toml")
        self.assertFalse(self.shell.json("migrate")["changed"])

    def test_what_fails_half_way_leaves_nothing(self) -> None:
        self.shell.run("backup", str(self.file))
        whole = self.file.read_bytes()
        top = folder_of(self)
        for broken, text in (
            (whole[: len(whole) // 2], "unexpected end of data"),
            (_without(whole, "store.sqlite3"), "it holds no store"),
            (_without(whole, "store.sqlite3", b"no database" * 999), "its store cannot be read"),
        ):
            self.file.write_bytes(broken)
            said = self.shell.refused("restore", str(self.file), "--to", str(top / "a" / "b"))
            self.assertIn(text, said)
            self.assertFalse(top.exists(), text)

    def test_what_fails_half_way_touches_nothing_that_was_there(self) -> None:
        self.shell.run("backup", str(self.file))
        whole = self.file.read_bytes()
        self.file.write_bytes(whole[: len(whole) // 2])
        mine = folder_of(self)
        mine.mkdir(mode=0o755)
        before = mine.stat()
        self.shell.refused("restore", str(self.file), "--to", str(mine))
        self.assertEqual(list(mine.iterdir()), [])
        self.assertEqual((mine.stat().st_ino, mine.stat().st_mode), (before.st_ino, before.st_mode))
        (mine / "queue").mkdir()
        for name in ("diary.txt", "queue/smtpplus.sqlite3-wal"):
            (mine / name).write_text("mine")
        self.shell.refused("--set", f"server.data_dir={mine}", "restore", str(self.file))
        left = sorted(str(path.relative_to(mine)) for path in mine.rglob("*"))
        self.assertEqual(left, ["diary.txt", "queue", "queue/smtpplus.sqlite3-wal"])

    def test_a_hostile_file_writes_nothing_outside(self) -> None:
        for name, kind in (
            ("../escaped", tarfile.REGTYPE),
            ("/escaped", tarfile.REGTYPE),
            ("queue/a/b/../../../../escaped", tarfile.REGTYPE),
            ("named/../escaped", tarfile.REGTYPE),
            ("named/a/../../escaped", tarfile.REGTYPE),
            ("named//escaped", tarfile.REGTYPE),
            ("named/./escaped", tarfile.REGTYPE),
            ("named/a/..", tarfile.REGTYPE),
            ("secret.key", tarfile.SYMTYPE),
            ("queue/a/b/0000000000000.eml", tarfile.LNKTYPE),
            ("store.sqlite3", tarfile.FIFOTYPE),
        ):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as tar:
                info = tarfile.TarInfo(name)
                info.type, info.linkname, info.size = kind, "/etc/passwd", 0
                tar.addfile(info)
            self.file.write_bytes(buffer.getvalue())
            new = folder_of(self)
            self.assertIn(
                "no backup", self.shell.refused("restore", str(self.file), "--to", str(new))
            )
            self.assertEqual([path for path in new.rglob("*") if path.is_file()], [], name)


def _without(whole: bytes, name: str, instead: bytes | None = None) -> bytes:
    """The tar `whole` without one of its members, or with other octets for it."""
    made = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(whole)) as source,
        tarfile.open(fileobj=made, mode="w") as tar,
    ):
        for member in source:
            octets = source.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == name:
                octets = instead or b""
                member.size = len(octets)
            if member.name != name or instead:
                tar.addfile(member, io.BytesIO(octets))
    return made.getvalue()


async def _claim(queue: object) -> set[int]:
    claimed = await queue.claim(NOW + 1e9, 99, ())  # type: ignore[attr-defined]
    return {one.message.id for one in claimed}
