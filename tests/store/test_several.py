"""Several services on one PostgreSQL: names, leases, notices, a server that goes away."""

from __future__ import annotations

import random
import signal
import time
import zlib
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal, text
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from smtpplus.net.clock import ReactorClock
from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.store.commits import Committer, DoubtfulError, Request, Transaction
from smtpplus.store.leases import NodeLeases
from smtpplus.store.store import Store, open_store_blocking, run, upgrade
from smtpplus.store.topics import ACCOUNTS, DUE, SUPPRESSIONS
from smtpplus.values.errors import (
    ConflictError,
    CorruptContentError,
    NotFoundError,
    StoreUnavailableError,
    UsageError,
)
from smtpplus.values.message import DeliveryState
from smtpplus.values.submission import DkimKeyState, Stream
from tests.postgresql import cluster_to_harm
from tests.store.postgresql_case import PostgresqlCase, store_database
from tests.store.samples import NOW, SECRET, VERIFIER, accepted, delivery_of, in_queue, settlement


def _server(url: str) -> Any:
    """A `PostgresqlServer`."""
    from smtpplus.store.postgresql import PostgresqlServer  # an extra

    return PostgresqlServer(url)


class _Time:
    """The clock that all nodes share, turned by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> ColumnElement[float]:
        return literal(self.seconds)


class SeveralCase(PostgresqlCase):
    async def node(self, name: str, shared: _Time | None = None) -> Store:
        """A running service; its timers are its own."""
        self.timers = Clock()
        self.clock = ReactorClock(self.timers, lambda: NOW)
        store = self.open(name)
        if shared is not None:
            assert isinstance(store.leases, NodeLeases)
            store.leases._now = shared
        await store.start()
        self.addCleanup(store.close)
        return store


class NameTests(SeveralCase):
    async def test_D13_a_second_service_of_the_same_name_is_refused(self) -> None:
        first = await self.node("mail.example.com/main")
        second = self.open("mail.example.com/main")
        with self.assertRaisesRegex(ConflictError, r"mail.example.com/main.*server\.node"):
            await second.start()
        await second.close()
        await first.queue.accept(accepted(first.ids, leased=True))
        self.assertEqual(in_queue(await first.queue.claim(NOW, 9, ())), [])  # still ours
        await first.close()
        third = await self.node("mail.example.com/main")
        self.assertEqual(third.node_id, first.node_id)

    async def test_names_have_numbers_of_their_own(self) -> None:
        nodes = [await self.node(name) for name in ("a", "b", "c")]
        self.assertEqual([node.node_id for node in nodes], [0, 1, 2])

    def test_a_database_without_tables_is_not_filled_unasked(self) -> None:
        self.server.execute("DROP TABLE alembic_version", self.database)
        with self.assertRaisesRegex(NotFoundError, "smtpplus migrate"):
            self.open(create=False)

    async def test_who_lost_its_name_writes_no_more(self) -> None:
        store = await self.node("a")
        leases = store.leases
        assert isinstance(leases, NodeLeases)
        self.server.execute("UPDATE node SET holder = 'another'", self.database)
        await leases.beat()
        self.flushLoggedErrors()
        with self.assertRaisesRegex(ConflictError, "has become node 0"):
            await store.queue.accept(accepted(store.ids))


class SecretTests(SeveralCase):
    async def test_a_machine_with_another_secret_is_refused(self) -> None:
        await self.node("one")
        self.secret = b"another secret, of another machine"
        for opening in (lambda: self.open("two"), self.open_blocking):
            with self.assertRaisesRegex(UsageError, r"secret\.key .* copy it"):
                opening()
        upgrade(self.url, self.secret)
        self.open_blocking()

    def test_a_store_from_before_takes_the_secret_that_opens_its_keys(self) -> None:
        store = self.open_blocking()
        key = ("example.com", "s1", b"pem", "public", DkimKeyState.ACTIVE, NOW)
        run(store.accounts.add_key(*key))
        self.server.execute("DELETE FROM installation", self.database)
        self.secret, good = b"another secret, of another machine", self.secret
        with self.assertRaisesRegex(UsageError, r"secret\.key"):
            self.open_blocking()
        self.secret = good
        self.open_blocking()
        self.assertEqual(len(self.server.execute("TABLE installation", self.database)), 1)


class LeaseTests(SeveralCase):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.shared = _Time()
        self.one = await self.node("one", self.shared)
        self.one_timers = self.timers
        self.two = await self.node("two", self.shared)
        self.two_timers = self.timers

    def leases(self, store: Store) -> NodeLeases:
        assert isinstance(store.leases, NodeLeases)
        return store.leases

    async def _beat_until(self, seconds: float) -> None:
        """Two lives on for so long, one is silent."""
        for _ in range(int(seconds // 10)):
            self.shared.seconds += 10
            self.two_timers.rightNow += 10  # its own timer is not needed: we beat
            await self.leases(self.two).beat()
            await self.two.queue.next_due(NOW, ())
            await self.two.queue.used(0, 0)

    async def test_two_claims_never_take_the_same(self) -> None:
        for _ in range(40):
            await self.one.queue.accept(accepted(self.one.ids))
        asked = [
            Deferred.fromCoroutine(node.queue.claim(NOW, 7, ()))
            for _ in range(4)
            for node in (self.one, self.two)
        ]
        taken = [delivery.id for answer in asked for delivery in await answer]
        self.assertEqual(len(taken), 40)
        self.assertEqual(len(set(taken)), 40)

    async def test_a_silent_nodes_leases_are_taken_over_when_they_run_out(self) -> None:
        item = accepted(self.one.ids, leased=True)
        await self.one.queue.accept(item)
        await self._beat_until(50)
        self.assertEqual(await self.two.queue.claim(NOW, 9, ()), ())
        await self._beat_until(30)
        claimed = await self.two.queue.claim(NOW, 9, ())
        self.assertEqual(in_queue(claimed), [item.deliveries[0].id])

    async def test_what_a_node_says_that_lost_its_lease_changes_nothing(self) -> None:
        item = accepted(self.one.ids, leased=True)
        await self.one.queue.accept(item)
        await self._beat_until(80)
        (claimed,) = await self.two.queue.claim(NOW, 9, ())
        for state in (DeliveryState.QUEUED, DeliveryState.BOUNCED, DeliveryState.DELIVERED):
            await self.one.queue.settle([settlement(delivery_of(item), state, due_at=NOW)])
        report = accepted(self.one.ids, sender=None, reports_on=item.message.id)
        bounced = settlement(delivery_of(item), DeliveryState.BOUNCED)
        self.assertEqual(await self.one.queue.settle([bounced], [report]), set())
        self.assertIsNone(await self.two.history.message(None, report.message.id))
        self.assertEqual(len(await self.two.history.attempts(item.message.id, 9)), 0)
        await self.two.queue.settle([settlement(claimed)])
        (row,) = await self.two.history.deliveries(item.message.id)
        self.assertEqual((row.state, row.attempts), (DeliveryState.DELIVERED, 1))

    async def test_who_lost_its_leases_notices_and_begins_anew(self) -> None:
        lost: list[int] = []
        leases = self.leases(self.one)
        leases.when_lost(lambda: lost.append(leases.generation))
        await self.one.queue.accept(accepted(self.one.ids, leased=True))
        await self._beat_until(80)
        await leases.beat()
        await self.one.queue.next_due(NOW, ())
        await self.one.queue.release([])  # behind what the beat asked for
        self.assertEqual(lost, [1])
        fresh = accepted(self.one.ids, leased=True)
        await self.one.queue.accept(fresh)
        await self._beat_until(20)
        claimed = in_queue(await self.two.queue.claim(NOW, 9, ()))
        self.assertNotIn(fresh.deliveries[0].id, claimed)

    async def test_late_but_not_taken_over_is_not_lost(self) -> None:
        item = accepted(self.one.ids, leased=True)
        await self.one.queue.accept(item)
        self.shared.seconds += 500  # nobody lived
        await self.leases(self.one).beat()
        self.assertEqual(self.leases(self.one).generation, 0)
        await self._beat_until(10)
        self.assertEqual(await self.two.queue.claim(NOW, 9, ()), ())

    async def test_no_attempt_begins_on_a_lease_that_is_about_to_run_out(self) -> None:
        held: list[None] = []
        leases = self.leases(self.one)
        leases.when_held(lambda: held.append(None))
        self.assertTrue(self.one.queue.leases_hold())
        self.one_timers.rightNow += 31
        self.assertFalse(self.one.queue.leases_hold())
        await leases.beat()
        self.assertTrue(self.one.queue.leases_hold())
        self.assertEqual(len(held), 1)

    async def test_the_end_of_a_lease_is_told_before_another_can_take_it(self) -> None:
        ends: list[bool] = []
        leases = self.leases(self.one)
        lease = self.one.queue.lease()
        leases.when_ending(lambda: ends.append(lease.holds))
        leases._transactions.refuse(StoreUnavailableError("away"))
        for _ in range(59):
            self.assertTrue(lease.holds or self.one_timers.seconds() >= 58)
            self.one_timers.advance(1)
            self.shared.seconds += 1
        self.assertEqual(ends, [False])
        self.assertFalse(lease.is_lost)

    async def test_after_a_loss_the_lease_is_another(self) -> None:
        before = self.one.queue.lease()
        await self._beat_until(80)
        await self.leases(self.one).beat()
        await self.one.queue.release([])  # behind what the beat asked for
        self.assertTrue(before.is_lost)
        self.assertFalse(before.holds)
        self.assertTrue(self.one.queue.lease().holds)

    async def test_what_is_claimed_while_the_loss_is_being_mended_is_not_forgotten(self) -> None:
        await self._beat_until(80)
        item = accepted(self.two.ids)
        await self.two.queue.accept(item)
        await self.leases(self.one).beat()  # it has asked to begin again
        claimed = in_queue(await self.one.queue.claim(NOW, 9, ()))
        self.assertEqual(claimed, [item.deliveries[0].id])

    async def test_what_a_node_leased_after_its_loss_and_before_its_end_is_found(self) -> None:
        await self._beat_until(80)
        late = accepted(self.one.ids, leased=True)
        await self.one.queue.accept(late)  # it has not noticed, and is killed now
        await self._beat_until(20)
        self.assertEqual(await self.two.queue.claim(NOW, 9, ()), ())
        await self._beat_until(600)
        claimed = in_queue(await self.two.queue.claim(NOW, 9, ()))
        self.assertEqual(claimed, [late.deliveries[0].id])

    async def test_a_node_that_ends_gives_its_leases_back_at_once(self) -> None:
        item = accepted(self.one.ids, leased=True)
        await self.one.queue.accept(item)
        await self.one.close()
        claimed = await self.two.queue.claim(NOW, 9, ())
        self.assertEqual(in_queue(claimed), [item.deliveries[0].id])

    async def test_a_start_returns_the_leases_of_its_own_name_alone(self) -> None:
        mine, others = accepted(self.one.ids, leased=True), accepted(self.two.ids, leased=True)
        await self.one.queue.accept(mine)
        await self.two.queue.accept(others)
        found = await self.one.queue.recover(NOW)
        self.assertEqual(found.leases_returned, 1)
        claimed = await self.one.queue.claim(NOW, 9, ())
        self.assertEqual(in_queue(claimed), [mine.deliveries[0].id])

    async def test_a_large_content_is_read_on_another_machine_and_swept_by_its_own(self) -> None:
        item = accepted(self.one.ids, content=None, octets=600_000)
        writer = await self.one.contents.begin(item.message.id)
        await writer.write(bytes(600_000))
        found = await self.two.queue.recover(NOW)  # two starts again while one is writing
        self.assertEqual(found.files_removed, 0)
        await writer.finish()
        await self.one.queue.accept(item)
        body = await self.two.contents.body(item.message, 0)
        octets = 0
        while chunk := await body.next_chunk():
            octets += len(chunk)
        self.assertEqual(octets, 600_000)

    async def test_D15_a_part_that_was_changed_or_lost_is_not_read(self) -> None:
        octets = random.Random(2).randbytes(600_000)
        item = accepted(self.one.ids, content=None, octets=600_000, crc32=zlib.crc32(octets))
        writer = await self.one.contents.begin(item.message.id)
        await writer.write(octets)
        await writer.finish()
        await self.one.queue.accept(item)
        self.assertEqual(await self.two.contents.read(item.message), octets)
        this = f"message_id = {item.message.id} AND number = 1"
        other = "set_byte(octets, 9, (get_byte(octets, 9) + 1) % 256)"
        for damage in ("UPDATE content_part SET octets = " + other, "DELETE FROM content_part"):
            self.server.execute(f"{damage} WHERE {this}", self.database)
            with self.assertRaisesRegex(CorruptContentError, "corrupt"):
                await self.two.contents.read(item.message)
        self.assertEqual(await self.two.contents.quarantine(item.message), "")


class NoticeTests(SeveralCase):
    async def _told(self, store: Store, topic: str) -> Deferred[None]:
        told: Deferred[None] = Deferred()
        end: list[Any] = []

        def hear() -> None:
            end.pop()()
            told.callback(None)

        end.append(store.changed.subscribe(hear, topic))
        return told

    async def test_what_a_command_changes_holds_at_once(self) -> None:
        service = await self.node("one")
        line = self.open_blocking()
        await line.accounts.add_account("acme", NOW)
        mails = await line.accounts.add_list("acme", "default", Stream.TRANSACTIONAL, NOW)
        await service.queue.release([])
        self.assertIsNone(await service.accounts.user_by_name("web"))
        told = await self._told(service, ACCOUNTS)
        await line.accounts.add_user(mails.id, "web", VERIFIER, [], [], NOW)
        await told
        while await service.accounts.user_by_name("web") is None:
            await (await self._told(service, ACCOUNTS))  # that was an earlier change

    async def test_what_one_node_suppresses_no_other_denies(self) -> None:
        one, other = await self.node("one"), await self.node("other")
        mine, theirs = one.suppressions, other.suppressions
        self.assertFalse(theirs.may_hold(1, "bob@example.net"))
        wanted = Suppression(Scope.ACCOUNT, Reason.MANUAL, NOW - 86_400)
        told = await self._told(other, SUPPRESSIONS)
        await mine.add(1, "Bob@example.net", wanted, "somebody")
        self.assertTrue(mine.may_hold(1, "bob@example.net"))
        await told
        while not theirs.may_hold(1, "bob@example.net"):  # it was asked for; it is being read
            await other.suppressions.of(1, ["bob@example.net"])
        self.assertFalse(theirs.may_hold(2, "bob@example.net"))

    async def test_what_is_accepted_without_a_lease_wakes_the_relays(self) -> None:
        submission, relay = await self.node("submission"), await self.node("relay")
        told = await self._told(relay, DUE)
        await submission.queue.accept(accepted(submission.ids))
        await told
        self.assertEqual(len(await relay.queue.claim(NOW, 9, ())), 1)


class AwayTests(SeveralCase):
    """With a server that is stopped."""

    def setUp(self) -> None:
        super().setUp()
        self.server = cluster_to_harm(self)
        self.database = store_database(self, self.server)

    async def test_it_says_unavailable_and_mends_itself(self) -> None:
        store = await self.node("one")
        await store.queue.accept(accepted(store.ids))
        self.server.stop()
        for _ in range(2):
            with self.assertRaises(StoreUnavailableError):
                await store.queue.accept(accepted(store.ids))
            with self.assertRaises(StoreUnavailableError):
                await store.queue.next_due(NOW, ())
        self.server.start()
        deadline = time.monotonic() + 10
        while True:
            try:
                await store.queue.accept(accepted(store.ids))
                break
            except StoreUnavailableError:
                self.assertLess(time.monotonic(), deadline)
                self.timers.rightNow += 1
                await store.queue.next_due(NOW, ())
        self.assertEqual(len(await store.queue.claim(NOW, 9, ())), 2)

    async def test_a_crash_of_the_server_between_two_requests_is_not_noticed(self) -> None:
        store = await self.node("one")
        await store.queue.accept(accepted(store.ids))
        self.server.stop(signal.SIGQUIT)
        self.server.start()
        await store.queue.accept(accepted(store.ids))
        self.assertEqual(len(await store.queue.claim(NOW, 9, ())), 2)


class DoubtTests(PostgresqlCase):
    """The connection is lost in the very commit."""

    def committer(self, *, committed: bool, seconds: float = 0.0) -> Committer:
        server = _server(self.url)
        lost: list[None] = []

        def open_writer(check: bool) -> Any:
            if lost and seconds:
                raise StoreUnavailableError("away")
            connection = server.open_writer(check)
            if not lost:
                commit = connection.commit
                raw: Any = connection.connection.driver_connection

                def cut() -> None:
                    lost.append(None)
                    if committed:
                        commit()
                    raw.close()
                    raise StoreUnavailableError("the connection is lost")

                connection.commit = cut
            return connection

        self.now = 0.0

        def pause(some: float) -> None:
            self.now += some

        return Committer(open_writer, server.dialect, lambda: self.now, pause=pause)

    def _names(self) -> list[tuple[Any, ...]]:
        return self.server.execute("SELECT name FROM account", self.database)

    def _do(self, committer: Committer) -> Request:
        insert = text("INSERT INTO account (name, name_key, created_at) VALUES ('a', 'a', 0)")
        request = Request(lambda transaction: transaction.execute(insert).rowcount)
        committer.run([request])
        committer.close()
        return request

    def test_what_was_committed_is_not_done_twice(self) -> None:
        request = self._do(self.committer(committed=True))
        self.assertEqual((request.result, request.error), (1, None))
        self.assertEqual(self._names(), [("a",)])

    def test_what_was_not_committed_is_done_again(self) -> None:
        request = self._do(self.committer(committed=False))
        self.assertEqual((request.result, request.error), (1, None))
        self.assertEqual(self._names(), [("a",)])

    def test_where_nobody_can_be_asked_it_says_so(self) -> None:
        request = self._do(self.committer(committed=True, seconds=9.0))
        self.assertIsInstance(request.error, DoubtfulError)


class ClashTests(PostgresqlCase):
    """Two transactions stand in each other's way; the server ends one of them."""

    def _request(self, clashes: int) -> Request:
        clash = text("DO $$ BEGIN RAISE deadlock_detected; END $$")
        runs: list[None] = []

        def work(transaction: Transaction) -> int:
            runs.append(None)
            if len(runs) <= clashes:
                transaction.execute(clash)
            return len(runs)

        server = _server(self.url)
        committer = Committer(server.open_writer, server.dialect, lambda: 0.0)
        beside = Request(lambda _: "beside")
        request = Request(work)
        committer.run([beside, request])
        committer.close()
        self.assertEqual(beside.error is None, request.error is None)
        return request

    def test_who_was_ended_runs_again(self) -> None:
        self.assertEqual(self._request(2).result, 3)

    def test_not_for_ever(self) -> None:
        self.assertIsInstance(self._request(1_000).error, StoreUnavailableError)


class ServerTests(PostgresqlCase):
    def test_the_password_is_not_told(self) -> None:
        server = _server("postgresql://u:secret@h/d")
        self.assertNotIn("secret", str(server))

    def test_a_url_that_is_none_is_refused(self) -> None:
        for url in ("postgresql://[::1/d", "postgresql://h/d?colour=red"):
            with self.assertRaisesRegex(UsageError, "url"):
                open_store_blocking(url, self.data_dir, clock=self.clock, secret=SECRET)

    async def test_C5_a_lock_of_another_process_is_unavailable_and_passes(self) -> None:
        store = self.open_blocking()
        await store.accounts.add_account("acme", NOW)
        await store._transactions.outside(_be_impatient)
        import psycopg

        with psycopg.connect(self.url) as other:
            other.execute("LOCK TABLE message IN ACCESS EXCLUSIVE MODE")
            with self.assertRaisesRegex(StoreUnavailableError, "locked by another process"):
                await store.queue.accept(accepted(store.ids))
        await store.queue.accept(accepted(store.ids))

    async def test_D17_commits_are_durable_also_where_the_server_says_otherwise(self) -> None:
        off = f"ALTER DATABASE {self.database} SET synchronous_commit = off"
        self.server.execute(off)
        store = self.open_blocking()
        facts = await store.facts()
        self.assertEqual((facts["synchronous_commit"], facts["fsync"]), ("on", "on"))


def _be_impatient(connection: Connection) -> None:
    connection.exec_driver_sql("SET lock_timeout = '50ms'")
    connection.commit()
