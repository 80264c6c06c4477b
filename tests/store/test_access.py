"""Files that the user of the service may not use: told at the start, before anything is done."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.cli.shell import Shell
from tests.folders import folder_of
from tests.live.peers import open_way_to

_OTHER = 65534
_IS_ROOT = os.getuid() == 0


@contextlib.contextmanager
def _closed(path: Path) -> Iterator[None]:
    """`path` is nobody's but root's; who is root is somebody else meanwhile."""
    before = path.stat()
    path.chmod(0o000)
    if _IS_ROOT:
        os.chown(path, 0, 0)
        os.seteuid(_OTHER)
    try:
        yield
    finally:
        if _IS_ROOT:
            os.seteuid(0)
            os.chown(path, before.st_uid, before.st_gid)
        path.chmod(before.st_mode)


class AccessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shell = Shell(self, folder_of(self))
        self.folder = self.shell.folder
        open_way_to(self.folder.parent)
        if _IS_ROOT:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, _OTHER, -1)

    def test_each_is_told_of_with_its_owner_and_what_to_do(self) -> None:
        queue, us = self.folder / "queue", pwd.getpwuid(_OTHER if _IS_ROOT else os.getuid()).pw_name
        owner = "root" if _IS_ROOT else us
        lock = self.folder / "smtpplus.lock"
        mend = f"`chown -R {us} " if _IS_ROOT else "`chmod -R u+rwX "
        for path in (
            queue,
            queue / "smtpplus.sqlite3",
            queue / "smtpplus.sqlite3-wal",
            lock,
            self.folder / "secret.key",
        ):
            path.touch()
            if _IS_ROOT:
                os.chown(path, _OTHER, -1)
            with _closed(path):
                said = self.shell.refused("user", "list")
            self.assertIn(f"{path} cannot be used by the user {us}: it belongs to {owner}", said)
            self.assertIn(f"{mend}{path}`", said)
        for path in (queue, queue / "smtpplus.sqlite3"):
            with _closed(path):
                self.assertIn(f"{path} cannot be used", self.shell.refused("migrate"))

    def test_what_lies_beside_a_store_is_looked_for_beside_the_file_that_a_link_means(self) -> None:
        link = self.folder / "link.sqlite3"
        link.symlink_to(self.folder / "queue" / "smtpplus.sqlite3")
        for end in ("-wal", ".lock"):
            path = self.folder / "queue" / f"smtpplus.sqlite3{end}"
            path.touch()
            if _IS_ROOT:
                os.chown(path, _OTHER, -1)
            with _closed(path):
                said = self.shell.refused("--set", f"store.url=sqlite:///{link}", "user", "list")
            self.assertIn(f"{path} cannot be used", said)

    def test_a_data_dir_that_is_closed_is_what_is_named_not_what_is_in_it(self) -> None:
        data_dir = self.folder.with_name("data")
        data_dir.mkdir()
        self.shell.run("--set", f"server.data_dir={data_dir}", "user", "list", status=1)
        (data_dir / "secret.key").write_bytes((self.folder / "secret.key").read_bytes())
        with _closed(data_dir):
            said = self.shell.refused("--set", f"server.data_dir={data_dir}", "user", "list")
        self.assertIn(f"{data_dir} cannot be used", said)

    def test_a_queue_directory_that_is_another_ones_and_open_to_us_is_named(self) -> None:
        if not _IS_ROOT:
            raise SkipTest("needs root to give files away")
        queue = self.folder / "queue"
        queue.chmod(0o777)
        os.chown(queue, 0, 0)
        os.seteuid(_OTHER)
        self.addCleanup(os.seteuid, 0)
        said = self.shell.refused("user", "list")
        self.assertIn(
            f"{queue} cannot be used by the user nobody: it belongs to root, and its mode is 0777",
            said,
        )

    def test_what_may_be_used_is(self) -> None:
        self.assertEqual(len(self.shell.json("user", "list")), 1)
