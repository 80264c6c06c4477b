"""Opening, locking, rights, and what other processes change."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from sqlalchemy import insert, update
from twisted.internet.defer import Deferred, ensureDeferred

from smtpplus.store import transactions
from smtpplus.store.changes import FileChanges
from smtpplus.store.commits import Transaction
from smtpplus.store.schema import HEAD, node
from smtpplus.store.store import Store, open_store_blocking, run, upgrade
from smtpplus.values.errors import (
    ConflictError,
    NotFoundError,
    StoreUnavailableError,
    UsageError,
)
from smtpplus.values.submission import Stream
from tests.store.laid_out import lay_out
from tests.store.samples import NOW, SECRET, VERIFIER, StoreCase, accepted


class OpeningTests(StoreCase):
    async def test_D13_a_second_service_on_the_same_directory_is_refused(self) -> None:
        store = await self.started()
        second = self.open()
        with self.assertRaises(ConflictError) as caught:
            await second.start()
        self.assertIn(f"process {os.getpid()}", str(caught.exception))
        await store.close()
        await second.start()
        await second.close()

    async def test_D13_a_second_service_on_the_same_file_from_elsewhere_is_refused(self) -> None:
        own, other = self.data_dir / "own", self.data_dir / "other"
        for folder in (own / "queue", other):
            folder.mkdir(parents=True)
        usual = own / "queue" / "smtpplus.sqlite3"
        lay_out(f"sqlite:///{usual}")
        (other / "by-another-name").symlink_to(usual)

        def opened(path: Path, data_dir: Path) -> Store:
            return open_store_blocking(
                f"sqlite:///{path}", data_dir, clock=self.clock, secret=SECRET
            )

        store = opened(usual, own)
        await store.start()
        for path in (usual, other / "by-another-name"):
            with self.assertRaisesRegex(ConflictError, f"process {os.getpid()}"):
                await opened(path, other).start()
        third = opened(usual, other)
        await store.close()
        await third.start()  # the second has given back what it had taken
        with self.assertRaises(ConflictError):
            await opened(usual, own).start()
        await third.close()

    async def test_D17_the_writer_syncs_fully_and_a_fresh_client_sees_wal(self) -> None:
        store = await self.started()
        facts = await store.facts()
        self.assertEqual((facts["journal_mode"], facts["synchronous"]), ("wal", 2))
        with sqlite3.connect(self.data_dir / "store.sqlite") as fresh:
            self.assertEqual(fresh.execute("PRAGMA journal_mode").fetchone(), ("wal",))
        fresh.close()

    async def test_all_files_are_our_own(self) -> None:
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        store = await self.started()
        writer = await store.contents.begin(store.ids.next(NOW))
        await writer.write(b"x")
        await writer.finish()
        await store.queue.accept(accepted(store.ids))
        seen = set()
        for path in [self.data_dir, *self.data_dir.rglob("*")]:
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode, 0o700 if path.is_dir() else 0o600, path)
            seen.add(path.suffix or path.name)
        self.assertLessEqual({".sqlite", ".sqlite-wal", ".sqlite-shm", ".eml", ".lock"}, seen)

    def test_a_missing_store_is_not_made_unasked(self) -> None:
        with self.assertRaisesRegex(NotFoundError, "store.sqlite is missing.*smtpplus restore"):
            self.open(create=False)
        self.assertFalse(self.data_dir.exists())

    def test_what_is_no_database_is_refused_with_its_path(self) -> None:
        self.data_dir.mkdir()
        Path(self.data_dir, "store.sqlite").write_bytes(b"something else\n" * 100)
        with self.assertRaises(Exception) as caught:
            self.open()
        self.assertIn("file is not a database", str(caught.exception))

    def test_a_url_of_another_kind_is_refused(self) -> None:
        for url in ("mysql://x", "sqlite://", "sqlite:///", "/var/lib/store"):
            with self.assertRaisesRegex(UsageError, "sqlite:///"):
                open_store_blocking(url, self.data_dir, clock=self.clock, secret=SECRET)

    async def test_ids_come_after_those_in_the_store_when_the_clock_went_back(self) -> None:
        first = self.open_blocking()
        item = accepted(first.ids, at=NOW + 3600)
        await first.queue.accept(item)
        second = self.open_blocking()
        self.assertGreater(second.ids.next(NOW), item.deliveries[-1].id)

    def test_a_service_keeps_its_number_and_the_command_line_has_another(self) -> None:
        one, two, again = self.open("one"), self.open("two"), self.open("one")
        self.assertEqual((one.node_id, two.node_id, again.node_id), (0, 1, 0))
        self.assertGreaterEqual(self.open_blocking().node_id, 256)

    def test_names_that_never_come_back_make_room(self) -> None:
        line = self.open_blocking()

        def fill(transaction: Transaction) -> None:
            row = {"process": 1, "started_at": NOW, "seen_at": NOW}
            for number in range(256):
                values = {"number": number, "name": str(number), **row}
                transaction.execute(insert(node), values)

        run(_accept(line._transactions.write(fill)))
        with self.assertRaisesRegex(UsageError, r"256 nodes.*server\.node"):
            self.open("another")
        seen = update(node).where(node.c.number == 9).values(seen_at=NOW - 31 * 86_400)
        run(_accept(line._transactions.write(lambda tx: tx.execute(seen).rowcount)))
        self.assertEqual(self.open("another").node_id, 9)

    async def test_a_closed_store_says_so(self) -> None:
        store = await self.started()
        await store.close()
        with self.assertRaises(StoreUnavailableError):
            await store.queue.accept(accepted(store.ids))
        with self.assertRaises(StoreUnavailableError):
            await store.accounts.accounts()

    async def test_closing_finishes_what_was_asked(self) -> None:
        store = await self.started()
        answers = [store.queue.accept(accepted(store.ids)) for _ in range(50)]
        await store.close()
        for answer in answers:
            await answer
        rows = sqlite3.connect(self.data_dir / "store.sqlite")
        self.assertEqual(rows.execute("SELECT count(*) FROM message").fetchone(), (50,))
        rows.close()


class CommitTests(StoreCase):
    async def test_D4_an_accept_answers_only_when_another_connection_sees_it(self) -> None:
        store = await self.started()
        other = sqlite3.connect(self.data_dir / "store.sqlite", isolation_level=None)
        self.addCleanup(other.close)
        missing: list[int] = []

        def look(_: None, message_id: int) -> None:
            query = "SELECT m.id FROM message m JOIN content c ON c.message_id = m.id"
            if (message_id,) not in other.execute(query).fetchall():
                missing.append(message_id)

        answers = []
        for _ in range(100):
            item = accepted(store.ids)
            answer = store.queue.accept(item)
            assert isinstance(answer, Deferred)
            self.assertFalse(answer.called)
            answers.append(answer.addCallback(look, item.message.id))
        for answer in answers:
            await answer
        self.assertEqual(missing, [])

    async def test_one_bad_accept_fails_alone_in_its_group(self) -> None:
        store = await self.started()
        taken = accepted(store.ids)
        await store.queue.accept(taken)
        items = [accepted(store.ids), taken, accepted(store.ids)]
        answers = [store.queue.accept(item) for item in items]
        await answers[0]
        with self.assertRaises(ConflictError):
            await answers[1]
        await answers[2]
        sizes = await store.history.queue_size(None)
        self.assertEqual(sum(sizes.values()), 3)

    async def test_one_bad_change_fails_alone_among_others(self) -> None:
        store = await self.started()
        await store.accounts.add_account("acme", NOW)
        asked: list[Deferred[object]] = [
            ensureDeferred(store.accounts.add_account(name, NOW)) for name in ("one", "ACME", "two")
        ]
        asked.insert(1, ensureDeferred(_accept(store.queue.accept(accepted(store.ids)))))
        await asked[0]
        await asked[1]
        with self.assertRaisesRegex(ConflictError, "'ACME'"):
            await asked[2]
        await asked[3]
        names = [account.name for account in await store.accounts.accounts()]
        self.assertEqual(names, ["acme", "one", "two"])

    async def test_a_busy_writer_waits_for_company_until_the_end_and_a_lone_request_never(
        self,
    ) -> None:
        self.patch(transactions, "_GATHER_SECONDS", 3_600.0)
        store = await self.started()
        for _ in range(3):  # one after the other: none waits
            await store.queue.accept(accepted(store.ids))
        together = [store.queue.accept(accepted(store.ids)) for _ in range(3)]
        for answer in together:
            await answer
        late = store.queue.accept(accepted(store.ids))
        assert isinstance(late, Deferred)
        for _ in range(20):
            seen = await store.history.queue_size(None)
        self.assertEqual((sum(seen.values()), late.called), (6, False))
        await store.close()
        await late

    async def test_a_cancelled_answer_disturbs_nobody(self) -> None:
        store = await self.started()
        first, second = (store.queue.accept(accepted(store.ids)) for _ in range(2))
        assert isinstance(first, Deferred)
        first.addErrback(lambda _: None)
        first.cancel()
        await second

    async def test_C5_a_lock_of_another_process_is_unavailable_and_passes(self) -> None:
        store = self.open_blocking()
        other = sqlite3.connect(self.data_dir / "store.sqlite", isolation_level=None)
        self.addCleanup(other.close)
        await store.accounts.add_account("acme", NOW)
        await store.facts()
        run(_with_short_patience(store))
        other.execute("BEGIN IMMEDIATE")
        with self.assertRaisesRegex(StoreUnavailableError, "locked by another process"):
            await store.queue.accept(accepted(store.ids))
        other.execute("ROLLBACK")
        await store.queue.accept(accepted(store.ids))


async def _accept(answer: object) -> None:
    assert isinstance(answer, Deferred)
    await answer


async def _with_short_patience(store: object) -> None:
    transactions = store._transactions  # type: ignore[attr-defined]
    await transactions.outside(
        lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 20").all()
    )


async def _poll(service: Store) -> None:
    assert isinstance(service.changed, FileChanges)
    await service.changed.poll()


class ChangedTests(StoreCase):
    async def test_what_the_command_line_changes_holds_in_the_service(self) -> None:
        service = await self.started()
        line = self.open_blocking()
        await line.accounts.add_account("acme", NOW)
        mails = await line.accounts.add_list("acme", "default", Stream.TRANSACTIONAL, NOW)
        self.assertIsNone(await service.accounts.user_by_name("web"))
        await line.accounts.add_user(mails.id, "web", VERIFIER, [], [], NOW)
        self.timers.advance(1)
        await _poll(service)
        found = await service.accounts.user_by_name("WEB")
        assert found is not None
        self.assertEqual(found.list_name, "default")

    async def test_our_own_commits_are_no_change(self) -> None:
        service = await self.started()
        calls: list[None] = []
        end = service.changed.subscribe(lambda: calls.append(None))
        await service.accounts.add_account("acme", NOW)
        await _poll(service)
        self.assertEqual(calls, [])
        line = self.open_blocking()
        await line.accounts.add_account("other", NOW)
        await _poll(service)
        self.assertEqual(len(calls), 1)
        end()
        await line.accounts.add_account("third", NOW)
        await _poll(service)
        self.assertEqual(len(calls), 1)


class VersionTests(StoreCase):
    def _version(self, text: str) -> None:
        with sqlite3.connect(self.data_dir / "store.sqlite") as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (text,))
        database.close()

    def test_an_empty_store_is_made_at_the_newest_version(self) -> None:
        self.open()
        self.assertEqual(upgrade(self.url), (HEAD, HEAD))

    def test_a_newer_store_is_refused_and_left_alone(self) -> None:
        self.open()
        self._version("9999")
        for refused in (self.open, self.open_blocking, lambda: upgrade(self.url)):
            with self.assertRaisesRegex(UsageError, "newer smtpplus"):
                refused()

    def test_an_older_store_asks_for_its_migration(self) -> None:
        self.open()
        self._version("0000")
        with self.assertRaisesRegex(UsageError, "smtpplus migrate"):
            self.open()

    def test_there_is_nothing_to_upgrade_where_there_is_no_store(self) -> None:
        with self.assertRaises(NotFoundError):
            upgrade(self.url)
