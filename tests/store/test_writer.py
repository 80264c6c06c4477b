"""The writer of several processes, and those who ask it."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.commits import Committer
from smtpplus.store.store import Place, Store
from smtpplus.store.write_link import connected
from smtpplus.store.write_service import open_write_service
from smtpplus.store.write_talk import Frames, error_from, error_text, frame
from smtpplus.store.writer_process import WriterProcess
from smtpplus.values.errors import (
    DuplicateMessageError,
    StoreBrokenError,
    StoreCorruptError,
    StoreFullError,
    StoreUnavailableError,
)
from smtpplus.values.message import Accepted, DeliveryState
from tests.store.samples import NOW, accepted, delivery_of, in_queue, settlement
from tests.store.writer_case import KilledError, WriterCase

_ONCE: dict[str, Any] = {"once": "a name", "once_until": NOW + 60}


class WriterTests(WriterCase):
    def asked(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.data_dir / "store.sqlite")) as connection:
            return connection.execute(sql).fetchall()

    def accept(self, store: Store, *items: Accepted) -> list[Deferred[None]]:
        """Ask for `items` in one turn of the reactor."""
        return [ensureDeferred(_accept(store, item)) for item in items]

    def writers_node(self) -> int:
        ((number,),) = self.asked("SELECT number FROM node WHERE name = 'one.writer'")
        return int(number)

    async def test_D16_what_is_accepted_and_settled_is_written_by_the_writer(self) -> None:
        store = await self.written()
        items = [accepted(store.ids, leased=True) for _ in range(5)]
        for one in self.accept(store, *items):
            await one
        ends = [settlement(delivery_of(one), DeliveryState.DELIVERED) for one in items]
        await store.queue.settle(ends)
        self.assertEqual(
            self.asked("SELECT DISTINCT node FROM counter_hour"), [(self.writers_node(),)]
        )
        self.assertEqual(
            self.asked("SELECT type, sum(n) FROM event GROUP BY type ORDER BY type"),
            [("accepted", 5), ("delivered", 5)],
        )
        self.assertEqual(
            self.asked("SELECT DISTINCT lease_node, state FROM delivery"), [(None, "delivered")]
        )

    async def test_what_it_leased_is_leased_to_who_asked(self) -> None:
        store = await self.written()
        await store.queue.accept(accepted(store.ids, leased=True))
        self.assertEqual(self.asked("SELECT lease_node FROM delivery"), [(store.node_id,)])

    async def test_D1_committed_and_not_answered_is_found_and_accepted_once(self) -> None:
        store = await self.written()
        fresh = accepted(store.ids, leased=True)
        before = replace(accepted(store.ids, leased=True), **_ONCE)
        answers = self.accept(store, fresh, before)
        self.die_after_commit()
        for answer in answers:
            await answer
        self.assertFalse(self.turns.running)
        self.assertEqual(len(self.asked("SELECT id FROM message")), 2)
        self.assertEqual(
            self.asked("SELECT sum(n) FROM counter_hour WHERE metric = 'accepted'"), [(2,)]
        )
        with self.assertRaises(DuplicateMessageError) as caught:
            await store.queue.accept(replace(accepted(store.ids), **_ONCE))
        self.assertEqual(caught.exception.message_id, before.message.id)

    def die_after_commit(self) -> None:
        """Let the writer die before it says what it has committed."""
        committer: Committer = self.writer._committer
        run = committer.run

        def run_once(requests: Sequence[Any]) -> Any:
            committer.run = run  # type: ignore[method-assign]
            run(requests)
            raise KilledError

        committer.run = run_once  # type: ignore[method-assign]

    async def test_D2_an_outcome_that_was_committed_is_not_counted_twice(self) -> None:
        store = await self.written()
        item = accepted(store.ids, leased=True)
        await store.queue.accept(item)
        report = accepted(store.ids, reports_on=item.message.id, sender=None)
        self.die_after_commit()
        bounced = settlement(delivery_of(item), DeliveryState.BOUNCED)
        queued = await store.queue.settle([bounced], [report])
        self.assertEqual(queued, {report.message.id})
        self.assertEqual(self.asked("SELECT count(*) FROM attempt"), [(1,)])
        self.assertEqual(self.asked("SELECT count(*) FROM message"), [(2,)])

    async def test_what_was_not_committed_is_written_here(self) -> None:
        store = await self.written()
        answers = self.accept(store, *[accepted(store.ids, leased=True) for _ in range(3)])
        self.is_frozen = True
        await self.next_turn()  # they are asked for, and nobody reads
        self.kill_writer()
        for answer in answers:
            await answer
        self.assertEqual(self.asked("SELECT DISTINCT node FROM counter_hour"), [(store.node_id,)])

    async def next_turn(self) -> None:
        from twisted.internet import reactor

        waited: Deferred[None] = Deferred()
        reactor.callLater(0, reactor.callLater, 0, waited.callback, None)
        await waited

    async def test_D1_one_that_stands_still_is_ended_and_what_it_was_asked_written_here(
        self,
    ) -> None:
        store = await self.written()
        process = self.seen(store)
        self.is_frozen = True
        (answer,) = self.accept(store, accepted(store.ids))
        await self.next_turn()
        for _ in range(9):
            self.timers.advance(1)
        self.assertEqual(process.kills, 0)
        self.timers.advance(1)
        self.assertEqual(process.kills, 1)
        await answer
        self.assertEqual(self.asked("SELECT DISTINCT node FROM counter_hour"), [(store.node_id,)])

    def seen(self, store: Store) -> _Process:
        """The writer as a process that is looked at."""
        process = _Process(self.kill_writer)
        link = store._transactions._link  # type: ignore[union-attr]
        assert link is not None and link._process is not None
        link._process.close()
        link._process = cast("WriterProcess", process)
        return process

    async def test_one_that_a_slow_disk_holds_up_is_waited_for(self) -> None:
        store = await self.written()
        process = self.seen(store)
        self.is_frozen = True
        (answer,) = self.accept(store, accepted(store.ids))
        await self.next_turn()
        for seconds in range(100):
            process.is_still = seconds % 10 != 9
            self.timers.advance(1)
        self.assertEqual(process.kills, 0)
        self.is_frozen = False
        await answer
        self.assertEqual(
            self.asked("SELECT DISTINCT node FROM counter_hour"), [(self.writers_node(),)]
        )

    async def test_one_that_answers_or_is_asked_nothing_may_rest(self) -> None:
        store = await self.written()
        process = self.seen(store)
        for _ in range(30):
            await store.queue.accept(accepted(store.ids))
            self.timers.advance(1)
        for _ in range(30):
            self.timers.advance(1)
        self.assertEqual(process.kills, 0)

    async def test_one_that_comes_back_is_asked_again(self) -> None:
        store = await self.written()
        self.kill_writer()
        await self.next_turn()
        await store.queue.accept(accepted(store.ids))
        self.start_writer()
        await store.queue.accept(accepted(store.ids))
        nodes = self.asked("SELECT node FROM counter_hour WHERE metric = 'accepted' ORDER BY node")
        self.assertEqual(nodes, [(store.node_id,), (self.writers_node(),)])

    async def test_errors_arrive_as_what_they_were(self) -> None:
        store = await self.written()
        self.writer._committer.refusal = StoreFullError("The disk of the store is full.")
        with self.assertRaisesRegex(StoreFullError, r"^The disk of the store is full\.$"):
            await store.queue.accept(accepted(store.ids))
        self.writer._committer.refusal = None
        await store.queue.accept(accepted(store.ids))

    async def test_D5_its_trouble_is_told_and_that_it_is_over(self) -> None:
        store = await self.written()
        committer = self.writer._committer
        committer.refusal = StoreFullError("The disk of the store is full.")
        for _ in range(2):  # not with each
            with self.assertRaises(StoreFullError):
                await store.queue.accept(accepted(store.ids))
        self.assertEqual(self.told, ["The disk of the store is full."])
        committer.refusal = None
        await store.queue.accept(accepted(store.ids))
        await store.queue.accept(accepted(store.ids))
        self.assertEqual(self.told, ["The disk of the store is full.", ""])

    async def test_D5_one_that_nobody_asks_finds_out_by_itself_that_the_disk_is_well(self) -> None:
        await self.written()
        self.writer._committer._abandon(StoreBrokenError("The disk of the store failed: again."))
        self.writer._committer._reopen_at = 0.0
        self.writer._trouble = "The disk of the store failed: again."
        await self.next_turn()
        self.assertEqual(self.told, [""])

    async def test_D15_who_found_damage_that_spreads_asks_for_nothing_until_a_check_passed(
        self,
    ) -> None:
        store = await self.written()
        damage = StoreCorruptError("The store is damaged: so it is.")
        store._transactions._committer.damage.spreading = damage
        await store.queue.accept(accepted(store.ids))  # checked, and written here
        await store.queue.accept(accepted(store.ids))
        nodes = self.asked("SELECT node FROM counter_hour WHERE metric = 'accepted' ORDER BY node")
        self.assertEqual(nodes, [(store.node_id,), (self.writers_node(),)])

    async def test_D15_damage_that_spreads_stops_all_processes_until_a_check_passed(self) -> None:
        store = await self.written()
        sibling = self.open("two", place=Place(1, 2))
        await sibling.start()
        self.addCleanup(sibling.close)
        command = self.open_blocking()
        committers = [
            self.writer._committer,
            *(one._transactions._committer for one in (store, sibling, command)),
        ]
        found = ["The store is damaged, it does not pass its check: 2nd reference to page 7."]

        def checking(open_writer: Callable[[bool], Connection]) -> Callable[[bool], Connection]:
            def checked(check: bool) -> Connection:
                if check and found:
                    raise StoreCorruptError(found[0])
                return open_writer(check)

            return checked

        for committer in committers:
            committer._open = checking(committer._open)
        damage = sibling._transactions._committer.damage
        damage._look = lambda: (found[0], True)
        damage.has_met(StoreCorruptError("The store is damaged: so it is."))
        damage.look()
        for one in (store, command, sibling):
            with self.assertRaisesRegex(StoreCorruptError, "The store is damaged"):
                await one.queue.accept(accepted(one.ids))
            with self.assertRaisesRegex(StoreCorruptError, "The store is damaged"):
                await one.queue.recover(NOW)  # which it writes itself
        self.assertEqual(self.asked("SELECT count(*) FROM message"), [(0,)])
        self.assertIn("does not pass its check", self.told[0])
        late = self.open("three", place=Place(1, 2))  # instead of one that ended meanwhile
        committers.append(late._transactions._committer)
        committers[-1]._open = checking(committers[-1]._open)
        await late.start()
        self.addCleanup(late.close)
        with self.assertRaisesRegex(StoreCorruptError, "The store is damaged"):
            await late.queue.recover(NOW)
        found.clear()
        for committer in committers:
            committer._reopen_at = 0.0
        for one in (store, command, sibling, late):
            await one.queue.recover(NOW)
            await one.queue.accept(accepted(one.ids))
        self.assertEqual(self.asked("SELECT count(*) FROM message"), [(4,)])

    async def test_it_hears_whole_lines(self) -> None:
        await self.written()
        for octets in (b"level w", b"arn\nlevel info\nlev", b"el debug\n"):
            os.write(self.control, octets)
            await self.next_turn()
        self.assertEqual(self.heard, [b"level warn", b"level info", b"level debug"])

    async def test_closing_waits_for_what_was_asked(self) -> None:
        store = await self.written()
        (answer,) = self.accept(store, accepted(store.ids))
        await store.close()
        self.successResultOf(answer)
        self.assertEqual(len(self.asked("SELECT id FROM message")), 1)

    async def test_who_died_gets_nothing_written(self) -> None:
        store = await self.written()
        other = connected(self.data_dir)
        rows = store.queue._accepts.rows(accepted(store.ids, leased=True))
        whole = frame([(1, "accept", rows)])
        other.sendall(whole + whole[:9])  # it died while it asked for more
        other.close()
        await self.next_turn()
        await store.queue.accept(accepted(store.ids))
        self.assertEqual(len(self.asked("SELECT id FROM message")), 1)

    async def test_nonsense_and_silence_on_one_connection_hold_up_nobody(self) -> None:
        store = await self.written()
        for octets in (b"\x00\x00\x00\x01\xc1", frame([(1, "drop", None)]), b"\x00\x00"):
            other = connected(self.data_dir)
            self.addCleanup(other.close)
            other.sendall(octets)
            await store.queue.accept(accepted(store.ids))

    async def test_the_last_outcome_takes_the_file_away(self) -> None:
        store = await self.written()
        item = accepted(store.ids, leased=True, content=None, octets=6)
        writer = await store.contents.begin(item.message.id)
        await writer.write(b"a file")
        await writer.finish()
        await store.queue.accept(item)
        self.assertEqual(len(list(self.data_dir.rglob("*.eml"))), 1)
        await store.queue.settle([settlement(delivery_of(item), DeliveryState.DELIVERED)])
        await self.next_turn()
        self.assertEqual(list(self.data_dir.rglob("*.eml")), [])

    async def test_what_nobody_leased_is_claimed_as_ever(self) -> None:
        store = await self.written()
        item = accepted(store.ids)
        await store.queue.accept(item)
        claimed = await store.queue.claim(NOW + 1, 9, ())
        self.assertEqual(in_queue(claimed), [new.id for new in item.deliveries])

    def test_a_store_that_is_none_is_an_error_of_ours(self) -> None:
        self.data_dir.mkdir()
        (self.data_dir / "store.sqlite").write_bytes(b"something else\n" * 100)
        with self.assertRaisesRegex(StoreCorruptError, "not a database"):
            open_write_service(self.url, self.data_dir, "one.writer", 0, self.fail, self.fail)

    async def test_a_path_longer_than_a_sockets_name_may_be(self) -> None:
        self.data_dir = self.data_dir / ("long" * 30)
        store = await self.written()
        await store.queue.accept(accepted(store.ids))
        self.assertTrue(self.asked("SELECT 1 FROM counter_hour"))
        self.assertGreater(len(str(self.data_dir / "writer")), 108)
        with self.assertRaises(OSError), closing(socket.socket(socket.AF_UNIX)) as plain:
            plain.connect(str(self.data_dir / "writer"))


class _Process:
    """A writer's process that stands still, and can be ended."""

    def __init__(self, kill: Callable[[], None]) -> None:
        self._kill = kill
        self.is_still = True
        self.kills = 0

    def stands_still(self) -> bool:
        return self.is_still

    def kill(self) -> None:
        self.kills += 1
        self._kill()

    def close(self) -> None:
        pass


class TalkTests(SynchronousTestCase):
    def test_frames_come_in_any_pieces(self) -> None:
        octets = frame([1, "a"]) + frame([]) + frame("x" * 300)
        for size in (1, 2, 3, 7, len(octets)):
            frames = Frames()
            pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
            found = [one for piece in pieces for one in frames.take(piece)]
            self.assertEqual([len(one) for one in found], [4, 1, 303])

    def test_errors_are_told_by_name_and_text(self) -> None:
        full = error_from(error_text(StoreFullError("full")))
        self.assertIsInstance(full, StoreFullError)
        self.assertEqual(str(full), "full")
        for strange in (KeyError("x"), DuplicateMessageError(1)):
            self.assertIs(type(error_from(error_text(strange))), StoreUnavailableError)


async def _accept(store: Store, item: Accepted) -> None:
    await store.queue.accept(item)
