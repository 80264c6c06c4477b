"""What a crash or a failing disk leaves: nothing that was acknowledged is lost."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from smtpplus.store.store import Store
from smtpplus.values.errors import StoreFullError
from smtpplus.values.message import Message
from tests.store.samples import NOW, StoreCase, accepted, delivery_of, settlement

ROOT = Path(__file__).parents[2]
KILLS = 20


def _kill_again_and_again(folder: Path) -> dict[int, str]:
    """Run accepting processes, each for a moment; what they had acknowledged."""
    dice = random.Random(20)
    acknowledged: dict[int, str] = {}
    arguments = [sys.executable, "-m", "tests.store.accepting", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, cwd=ROOT, stdin=pipe, stdout=pipe) as forking:
        assert forking.stdin is not None
        assert forking.stdout is not None
        for seed in range(KILLS):
            forking.stdin.write(b"%d\n" % seed)
            forking.stdin.flush()
            process, left = int(forking.stdout.readline()), dice.randrange(1, 60)
            while (line := forking.stdout.readline()) != b"ended\n":
                message_id, digest = line.split()
                acknowledged[int(message_id)] = digest.decode()
                left -= 1
                if left == 0:
                    os.kill(process, signal.SIGKILL)
        forking.stdin.close()
    return acknowledged


LONG = random.Random(6).randbytes(100_000)  # does not become shorter


class KillTests(StoreCase):
    async def test_D3_every_acknowledged_message_is_there_after_kill_9(self) -> None:
        acknowledged = _kill_again_and_again(self.data_dir)
        store = await self.started()
        found = await store.queue.recover(time.time())
        self.assertEqual(found.rows_without_file, ())
        kept: dict[int, Message] = {}
        while claimed := await store.queue.claim(time.time() + 9, 500, ()):
            kept |= {delivery.message.id: delivery.message for delivery in claimed}
        self.assertGreater(len(acknowledged), KILLS)
        self.assertEqual(set(acknowledged) - set(kept), set())
        for message_id, digest in acknowledged.items():
            octets = await store.contents.read(kept[message_id])
            assert octets is not None
            self.assertEqual(hashlib.sha256(octets).hexdigest(), digest)
        await store.close()
        with sqlite3.connect(self.data_dir / "store.sqlite") as database:
            check = database.execute("PRAGMA integrity_check").fetchone()
        database.close()
        self.assertEqual(check, ("ok",))


def _mount(*options: str) -> bool:
    """Mount what root may mount; False: this process may not."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    return subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0


class FullTests(StoreCase):
    async def _limit_pages(self, store: Store, pages: int) -> None:
        await store._transactions.outside(
            lambda connection: connection.exec_driver_sql(
                f"PRAGMA max_page_count = {pages}"
            ).scalar()
        )

    async def test_D6_a_full_store_says_so_and_takes_mail_again_when_there_is_room(self) -> None:
        store = await self.started()
        first = accepted(store.ids, leased=True)
        await store.queue.accept(first)
        facts = await store.facts()
        await self._limit_pages(store, int(facts["page_count"]) + 10)
        answers = [store.queue.accept(accepted(store.ids, content=LONG)) for _ in range(4)]
        for answer in answers:
            with self.assertRaises(StoreFullError):
                await answer
        small = accepted(store.ids)
        await store.queue.accept(small)  # what fits is taken
        await store.queue.settle([settlement(delivery_of(first))])
        await self._limit_pages(store, 1_000_000)
        await store.queue.accept(accepted(store.ids, content=LONG))
        self.assertEqual(sum((await store.history.queue_size(None)).values()), 2)

    async def test_D6_a_full_disk_loses_nothing(self) -> None:
        disk = self.data_dir
        disk.mkdir()
        if not _mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)):
            self.skipTest("a file system of 3 MiB can be mounted only by root")
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)], check=False)
        store = await self.started()
        kept = []
        with self.assertRaises(StoreFullError):
            for _ in range(100):
                item = accepted(store.ids, content=os.urandom(90_000), leased=True)
                await store.queue.accept(item)
                kept.append(item)
        self.assertGreater(len(kept), 5)
        writer = await store.contents.begin(store.ids.next(NOW))
        with self.assertRaises(StoreFullError):
            for _ in range(20):
                await writer.write(bytes(262_144))
        await writer.discard()
        for item in kept:
            self.assertEqual(await store.contents.read(item.message), item.content)
        self.assertTrue(_mount("-o", "remount,size=30m", str(disk)))
        await store.queue.settle([settlement(delivery_of(item)) for item in kept])
        await store.queue.accept(accepted(store.ids))
        await store.close()
        with sqlite3.connect(disk / "store.sqlite") as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        database.close()


class RoomTests(StoreCase):
    def test_D7_the_room_is_that_of_the_queue_directory(self) -> None:
        queue = self.data_dir / "queue"
        queue.mkdir(parents=True)
        if not _mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(queue)):
            self.skipTest("a file system of 3 MiB can be mounted only by root")
        self.addCleanup(subprocess.run, ["umount", "-l", str(queue)], check=False)
        store = self.open()
        self.assertLessEqual(store.free_octets(), 3 << 20)

    async def test_D6_outcomes_are_written_on_a_disk_that_others_have_filled(self) -> None:
        self.data_dir.mkdir()
        if not _mount("-t", "tmpfs", "-o", "size=6m", "tmpfs", str(self.data_dir)):
            self.skipTest("a file system of 6 MiB can be mounted only by root")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.data_dir)], check=False)
        store = await self.started()
        items = [accepted(store.ids, content=os.urandom(9_000), leased=True) for _ in range(60)]
        for item in items:
            await store.queue.accept(item)
        ballast = self.data_dir / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass
        with self.assertRaises(StoreFullError):
            await store.queue.accept(accepted(store.ids))
        for item in items:
            await store.queue.settle([settlement(delivery_of(item))])
        (self.data_dir / "reserve").unlink(missing_ok=True)  # given up, if it was needed
        ballast.unlink()
        store.free_octets()
        await store.facts()  # it was made again before this is answered
        self.assertTrue((self.data_dir / "reserve").exists())
        await store.queue.accept(accepted(store.ids))


_FAILING = """
import sys, time
from pathlib import Path
from twisted.internet.task import Clock
from smtpplus.net.clock import ReactorClock
from smtpplus.store.store import open_store_blocking, run
from smtpplus.values.errors import StoreBrokenError
from tests.store.samples import SECRET, accepted
folder = Path(sys.argv[1])
timers = Clock()
store = open_store_blocking(
    f"sqlite:///{folder}/store.sqlite", folder,
    clock=ReactorClock(timers), secret=SECRET, create=True,
)
async def main():
    await store.queue.accept(accepted(store.ids, at=time.time()))
    good = broken = refused = 0
    for n in range(40):
        try:
            await store.queue.accept(accepted(store.ids, at=time.time()))
            good += 1
        except StoreBrokenError as error:
            if "being checked" in str(error):
                refused += 1
            else:
                broken += 1
            if refused == 3:
                timers.advance(6)
    print(good, broken, refused)
run(main())
"""


class BrokenTests(StoreCase):
    def test_D5_after_a_failed_sync_nothing_is_taken_until_the_store_was_checked(self) -> None:
        if shutil.which("strace") is None:
            self.skipTest("strace injects the failure")
        self.open()
        inject = "inject=fsync,fdatasync:error=EIO:when=20"
        done = subprocess.run(
            ["strace", "-f", "-o", "/dev/null", "-e", inject,
             sys.executable, "-c", _FAILING, str(self.data_dir)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if "ptrace" in done.stderr:
            self.skipTest("strace may not trace here")
        self.assertEqual(done.returncode, 0, done.stderr)
        good, broken, refused = map(int, done.stdout.split())
        self.assertEqual((broken, refused), (1, 3), done.stdout)
        with sqlite3.connect(self.data_dir / "store.sqlite") as database:
            self.assertEqual(
                database.execute("SELECT count(*) FROM message").fetchone(), (good + 1,)
            )
        database.close()

    async def test_a_missing_folder_is_made_again(self) -> None:
        store = await self.started()
        shutil.rmtree(self.data_dir / "queue")
        item = accepted(store.ids, content=None, octets=0)
        writer = await store.contents.begin(item.message.id)
        await writer.finish()
        self.assertEqual(await store.contents.read(item.message), b"")
