"""What a disk has changed is found when it is read, and set aside (D15)."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path

from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent

from smtpplus.ports import IBody
from smtpplus.store.content_files import QUARANTINE_SECONDS, ContentFiles
from smtpplus.store.sqlite import SqliteFile, spreading
from smtpplus.store.store import Store
from smtpplus.values.errors import (
    CorruptContentError,
    NotFoundError,
    StoreBrokenError,
    StoreCorruptError,
    StoreUnavailableError,
)
from smtpplus.values.message import Accepted, DeliveryState
from tests.folders import folder_of
from tests.store.samples import NOW, StoreCase, accepted, delivery_of, settlement

_FINDINGS = (  # of SQLite 3.40, and of later ones
    ("2nd reference to page 31", True),
    ("On tree page 12 cell 4: 2nd reference to page 31", True),
    ("Tree 12 page 31 cell 4: 2nd reference to page 31", True),
    ("Main freelist: size is 1 but should be 30", True),
    ("Freelist: size is 1 but should be 30", True),
    ("Freelist: freelist leaf count too big on page 7", True),
    ("Main freelist: invalid page number 99", True),
    ("Page 31 is never used", False),
    ("On tree page 12 cell 0: Rowid 7 out of order", False),
    ("Tree 12 page 31: free space corruption", False),
    ("Tree 12 page 31 cell 9: Extends off end of page", False),
    ("Fragmentation of 7 bytes reported as 0 on page 31", False),
    ("Multiple uses for byte 100 of page 31", False),
    ("On tree page 12 cell 0: overflow list length is 1 but should be 3", False),
    ("Tree 12 page 31: btreeInitPage() returns error code 11", False),
)
LARGE = random.Random(15).randbytes(700_000)


async def _drain(body: IBody) -> bytes:
    octets = b""
    try:
        while chunk := await body.next_chunk():
            octets += chunk
    finally:
        body.close()
    return octets


class DamagedStoreTests(StoreCase):
    """As it is found at the start."""

    async def _killed(self, messages: int) -> list[Accepted]:
        """Accept so many, and leave store and log as a kill does."""
        store = await self.started()
        items = [accepted(store.ids, subject=f"the {n}th subject.") for n in range(messages)]
        for item in items:
            await store.queue.accept(item)
        self._leave()
        return items

    def _leave(self) -> None:
        alive = self.data_dir
        self.data_dir = folder_of(self)
        shutil.copytree(alive, self.data_dir)

    def _zero(self, name: str, at: int) -> None:
        with (self.data_dir / name).open("r+b") as file:
            file.seek(at)
            file.write(bytes(4096))

    def _told(self, events: Sequence[LogEvent], level: LogLevel) -> list[str]:
        return [formatEvent(event) for event in events if event["log_level"] is level]

    async def test_D15_a_log_that_a_kill_has_left_is_not_spoken_of(self) -> None:
        items = await self._killed(20)
        with capturedLogs() as events:
            store = await self.started()
        self.assertEqual(self._told(events, LogLevel.critical), [])
        self.assertEqual(len(await store.queue.claim(NOW + 9, 100, ())), len(items))

    async def test_D15_a_damaged_log_is_told_of_and_kept(self) -> None:
        await self._killed(40)
        log = self.data_dir / "store.sqlite-wal"
        self._zero(log.name, log.stat().st_size // 2)
        octets = log.read_bytes()
        with capturedLogs() as events:
            store = await self.started()
        (told,) = self._told(events, LogLevel.critical)
        self.assertRegex(told, r"write-ahead log is damaged: at least \d\d commits")
        (kept,) = (self.data_dir / "queue" / "quarantine").iterdir()
        self.assertIn(str(kept), told)
        self.assertEqual(kept.read_bytes(), octets)
        self.assertEqual(self._told(events, LogLevel.warn), ["the store itself passes its check"])
        self.assertGreater(len(await store.queue.claim(NOW + 9, 100, ())), 5)
        await store.queue.accept(accepted(store.ids))

    async def test_D15_messages_in_a_page_that_was_lost_hold_nobody_up(self) -> None:
        items = await self._killed(60)
        path = self.data_dir / "store.sqlite"
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        database.close()
        octets = path.read_bytes()
        self._zero(path.name, octets.index(b"the 30th subject.") // 4096 * 4096)
        store = await self.started()
        with capturedLogs() as events:
            claimed = await store.queue.claim(NOW + 9, 100, ())
        lost = len(items) - len(claimed)
        self.assertTrue(0 < lost < 20, lost)
        told = self._told(events, LogLevel.error)
        self.assertEqual(len(told), lost)
        self.assertIn("is left out until the next start: The store is damaged", told[0])
        self.assertEqual(await store.queue.claim(NOW + 9, 100, ()), ())
        critical, *_ = self._told(events, LogLevel.critical)
        self.assertIn("a part of the store cannot be read: The store is damaged", critical)
        self.assertIn("The store is damaged", store.trouble)
        await store.queue.accept(accepted(store.ids))  # it is set aside: the rest goes on

    async def _laid_bare(self, messages: int) -> tuple[list[Accepted], Path, bytes]:
        """So many, in a store whose log is empty: its file, and what is in it."""
        items = await self._killed(messages)
        path = self.data_dir / "store.sqlite"
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        database.close()
        return items, path, path.read_bytes()

    async def test_D15_what_a_page_of_the_web_meets_is_told_of_and_the_rest_goes_on(self) -> None:
        items, path, whole = await self._laid_bare(60)
        self._zero(path.name, whole.index(b"the 30th subject.") // 4096 * 4096)
        store = await self.started()
        damage = store._transactions._committer.damage
        damage._look_at = float("inf")  # the test looks itself
        self.assertEqual(store.trouble, "")
        with capturedLogs() as events:
            for turn in range(3):
                with self.assertRaisesRegex(StoreCorruptError, "damaged"):
                    await store.history.message(None, items[30].message.id)
                if turn == 1:
                    damage._look_at = 0.0
                    damage.look()
                await store.queue.accept(accepted(store.ids))
        self.assertIn("The store is damaged", store.trouble)
        first, second = self._told(events, LogLevel.critical)
        self.assertIn("a part of the store cannot be read", first)
        self.assertIn("what can be read of the store is still written", second)
        self.assertIn("does not pass its check", second)
        self.assertGreater(len(await store.queue.claim(NOW + 9, 100, ())), 40)

    async def test_D15_a_page_that_lost_a_piece_stops_nothing(self) -> None:
        _, path, whole = await self._laid_bare(60)
        at = whole.index(b"the 30th subject.") // 4096 * 4096
        first, second = whole[at + 8 : at + 10], whole[at + 10 : at + 12]  # places of cells
        for where, piece, found in (
            (7, b"\x09", "Fragmentation of"),
            (8, second + first, "Rowid .* out of order"),
            (10, b"\x0f\xff", "Offset 4095 out of range"),
            (1, b"\x0f\xff", "btreeInitPage|free space corruption"),
        ):
            place = at + where
            path.write_bytes(whole[:place] + piece + whole[place + len(piece) :])
            store = self.open()
            await store.start()
            damage = store._transactions._committer.damage
            damage.has_met(StoreCorruptError("The store is damaged: so it is."))
            with capturedLogs() as events:
                damage.look()
            self.assertRegex(" ".join(self._told(events, LogLevel.critical)), found)
            self.assertIn("The store is damaged", store.trouble)
            await store.queue.accept(accepted(store.ids))
            await store.close()

    async def _with_a_page_in_use_twice(self, messages: int, lost: int = 0) -> Path:
        _, path, whole = await self._laid_bare(messages)
        with sqlite3.connect(path) as database:
            query = "SELECT rootpage FROM sqlite_master WHERE name IN ('message', 'delivery')"
            (one,), (other,) = database.execute(query)
            bare = [
                page
                for (page,) in database.execute(
                    "SELECT rootpage FROM sqlite_master WHERE rootpage > 0 AND type = 'index'"
                    " AND tbl_name NOT IN ('message', 'delivery', 'node')"
                )
            ]
        database.close()
        page = whole[(one - 1) * 4096 : one * 4096]  # whose children are in use twice now
        octets = bytearray(whole)
        octets[(other - 1) * 4096 : other * 4096] = page
        for number in bare[:lost]:  # cells without end: a hundred findings each
            octets[(number - 1) * 4096 + 3 : (number - 1) * 4096 + 5] = b"\x01\x90"
        path.write_bytes(octets)
        return path

    async def test_D15_damage_that_writing_would_spread_stops_all_writing(self) -> None:
        await self._with_a_page_in_use_twice(60)
        store = await self.started()
        damage = store._transactions._committer.damage
        damage.has_met(StoreCorruptError("The store is damaged: so it is."))
        damage.look()
        with self.assertRaisesRegex(StoreCorruptError, "does not pass its check"):
            await store.queue.accept(accepted(store.ids))
        self.assertIn("does not pass its check", store.trouble)

    async def test_D15_a_page_in_use_twice_is_found_behind_many_that_are_lost(self) -> None:
        path = await self._with_a_page_in_use_twice(60, lost=9)
        with sqlite3.connect(path) as database:
            text = str(database.execute("PRAGMA quick_check").fetchone())
            self.assertNotIn("2nd reference", text)
        database.close()
        found, spreads = SqliteFile(self.url).look()
        self.assertIn("2nd reference", found)
        self.assertTrue(spreads)

    async def test_D15_a_look_that_cannot_be_taken_finds_nothing(self) -> None:
        _, path, _ = await self._laid_bare(3)
        path.unlink()
        path.mkdir()
        database = SqliteFile(self.url)
        with self.assertRaisesRegex(StoreUnavailableError, "unable to open"):
            database.look()
        with capturedLogs() as events:
            database.tell_of_damage()
        (told,) = self._told(events, LogLevel.warn)
        self.assertIn("the store could not be looked at", told)
        path.rmdir()
        path.write_bytes(b"no database" * 999)
        found, spreads = database.look()
        self.assertIn("The store is damaged: file is not a database", found)
        self.assertTrue(spreads)

    async def test_D15_a_definition_that_lost_its_text_is_damage(self) -> None:
        _, path, whole = await self._laid_bare(3)
        at = whole.index(b"messagemessage")  # its names
        path.write_bytes(whole[:at] + b"\x9b" * 40 + whole[at + 40 :])
        found, spreads = SqliteFile(self.url).look()
        self.assertIn("The store is damaged", found)
        self.assertTrue(spreads)

    def test_D15_what_spreads_is_a_page_in_use_twice_or_in_use_and_free(self) -> None:
        for text, spreads in _FINDINGS:
            for found in (text, f"*** in database main ***\nPage 7: never used\n{text}\nx"):
                self.assertEqual(spreading(found), text if spreads else "", found)

    async def test_D15_damage_that_no_check_finds_is_told_of_and_stops_nothing(self) -> None:
        store = await self.started()
        damage = store._transactions._committer.damage
        for trouble in ("", "The store is damaged: so it is."):  # looked for once an hour
            damage.has_met(StoreCorruptError("The store is damaged: so it is."))
            damage.look()
            self.assertEqual(store.trouble, trouble)
            await store.queue.accept(accepted(store.ids))

    async def test_D15_a_store_that_fails_its_check_takes_nothing_and_says_so_once(self) -> None:
        await self._killed(60)
        path = self.data_dir / "store.sqlite"
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            query = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_event_message_id_id'"
            (root,) = database.execute(query).fetchone()
        database.close()
        self._zero(path.name, (root - 1) * 4096)
        store = await self.started()
        with capturedLogs() as events:
            for _ in range(5):
                with self.assertRaisesRegex(StoreBrokenError, "damaged"):
                    await store.queue.accept(accepted(store.ids))
                self.timers.advance(6)
        told = self._told(events, LogLevel.critical)
        self.assertEqual(len(told), 2, told)
        self.assertIn("does not pass its check", told[1])

    async def test_D15_a_service_starts_whatever_page_of_its_queue_was_lost(self) -> None:
        await self._killed(30)
        path = self.data_dir / "store.sqlite"
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            query = (
                "SELECT rootpage FROM sqlite_master WHERE tbl_name IN"
                " ('message', 'delivery', 'event', 'attempt', 'content', 'counter')"
                " AND rootpage > 0"
            )
            roots = [root for (root,) in database.execute(query)]
        database.close()
        whole = path.read_bytes()
        for root in roots:
            self._zero(path.name, (root - 1) * 4096)
            store = self.open()
            await store.start()
            with contextlib.suppress(StoreCorruptError):
                await store.queue.recover(NOW)
            await store.close()
            path.write_bytes(whole)


class CorruptTests(StoreCase):
    async def _put_file(self, store: Store, octets: bytes = LARGE) -> Accepted:
        item = accepted(store.ids, content=None, octets=len(octets), crc32=zlib.crc32(octets))
        writer = await store.contents.begin(item.message.id)
        await writer.write(octets)
        await writer.finish()
        await store.queue.accept(item)
        return item

    def _file(self, item: Accepted) -> Path:
        return ContentFiles(self.data_dir / "queue").path(item.message.id)

    async def test_D15_a_file_that_changed_is_never_handed_on_whole(self) -> None:
        store = await self.started()
        for at in (0, 300_000, len(LARGE) - 1):
            item = await self._put_file(store)
            self.assertEqual(await _drain(await store.contents.body(item.message, 50)), LARGE[50:])
            path = self._file(item)
            path.write_bytes(LARGE[:at] + bytes([LARGE[at] ^ 1]) + LARGE[at + 1 :])
            with self.assertRaisesRegex(CorruptContentError, "checksum"):
                await store.contents.read(item.message)
            body = await store.contents.body(item.message, 50)
            octets = b""
            with self.assertRaises(CorruptContentError):
                while chunk := await body.next_chunk():
                    octets += chunk
            self.assertLess(len(octets), body.size)
            body.close()

    async def test_D15_a_file_of_another_length_is_not_even_opened(self) -> None:
        store = await self.started()
        item = await self._put_file(store)
        path = self._file(item)
        for octets in (LARGE[:-1], b"", LARGE + b"x"):
            path.write_bytes(octets)
            for reading in (
                store.contents.read(item.message),
                store.contents.head(item.message),
                store.contents.body(item.message, 0),
            ):
                with self.assertRaisesRegex(CorruptContentError, f"{len(octets)} octets are there"):
                    await reading

    async def test_D15_a_file_is_set_aside_for_thirty_days(self) -> None:
        store = await self.started()
        item = await self._put_file(store)
        path = self._file(item)
        for name in (f"{path.stem}.eml", f"{path.stem}.1.eml"):
            self.assertEqual(
                await store.contents.quarantine(item.message), f"queue/quarantine/{name}"
            )
            aside = self.data_dir / "queue" / "quarantine" / name
            self.assertEqual(aside.read_bytes(), LARGE)
            with self.assertRaises(NotFoundError):
                await store.contents.body(item.message, 0)
            self.assertEqual(await store.contents.quarantine(item.message), "")
            path.write_bytes(LARGE)  # put back by hand: it goes out as ever
            self.assertEqual(await store.contents.read(item.message), LARGE)
        os.utime(aside, (NOW, NOW - QUARANTINE_SECONDS - 1))
        self.assertEqual((await store.queue.recover(NOW)).files_removed, 1)
        self.assertFalse(aside.exists())

    async def test_D15_a_file_of_nobody_is_set_aside_at_the_start_others_go(self) -> None:
        store = await self.started()
        waits, over = await self._put_file(store), await self._put_file(store)
        path = self._file(over)
        await store.queue.settle([settlement(delivery_of(over))])
        await store.close()  # the file has gone
        self.assertFalse(path.exists())
        path.write_bytes(LARGE)  # as a kill before its removal leaves it
        store = await self.started()
        nobody = store.ids.next(NOW)
        writer = await store.contents.begin(nobody)
        await writer.finish()
        part = await store.contents.begin(store.ids.next(NOW))
        await part.write(LARGE)
        found = await store.queue.recover(NOW)
        self.assertEqual((found.files_removed, found.files_quarantined), (2, 1))
        self.assertEqual(found.rows_without_file, ())
        self.assertEqual(await store.contents.read(waits.message), LARGE)
        self.assertEqual(len(list((self.data_dir / "queue" / "quarantine").iterdir())), 1)
        self.assertFalse(path.exists())

    async def test_D15_a_row_that_changed_is_not_read(self) -> None:
        store = await self.started()
        item = accepted(store.ids, content=LARGE[:100_000])
        await store.queue.accept(item)
        self.assertEqual(await store.contents.read(item.message), LARGE[:100_000])
        with sqlite3.connect(self.data_dir / "store.sqlite") as database:
            changed = b"x" + LARGE[1:100_000]
            database.execute("UPDATE content SET octets = ?", (changed,))
        database.close()
        with self.assertRaisesRegex(CorruptContentError, "checksum"):
            await store.contents.read(item.message)
        self.assertEqual(await store.contents.quarantine(item.message), "")

    async def test_D15_a_page_that_was_lost_is_a_corrupt_content_not_a_broken_store(self) -> None:
        store = await self.started()
        bad, good = accepted(store.ids, content=LARGE[:100_000]), accepted(store.ids)
        await store.queue.accept(bad)
        await store.queue.accept(good)
        await store.close()
        path = self.data_dir / "store.sqlite"
        octets = path.read_bytes()
        at = octets.index(LARGE[50_000:50_100]) // 4096 * 4096
        path.write_bytes(octets[:at] + bytes(4096) + octets[at + 4096 :])
        store = await self.started()
        with self.assertRaises(CorruptContentError):
            await store.contents.read(bad.message)
        self.assertEqual(await store.contents.read(good.message), good.content)
        held = settlement(delivery_of(bad), DeliveryState.HELD)
        await store.queue.settle([held])
        self.assertEqual((await store.history.queue_size(None))[DeliveryState.HELD], 1)
