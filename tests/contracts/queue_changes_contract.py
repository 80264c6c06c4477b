"""What IQueue promises about hold, release, cancel and flush: part of the queue's contract."""

from __future__ import annotations

from smtpplus.ports import IContents, IQueue
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Accepted, DeliveryState
from smtpplus.values.queue import QueueChange, Selection
from tests.store.samples import (
    CONTENT,
    NOW,
    TO_BOB,
    TO_ZOE,
    StoreCase,
    accepted,
    delivery_of,
    in_queue,
    settlement,
)

HOLD, RELEASE, CANCEL, FLUSH = QueueChange
ALL = Selection(everything=True)


class QueueChangesContract(StoreCase):
    """The tests."""

    queue: IQueue
    contents: IContents
    ids: IdSource

    async def _put(self, *recipients: EnvelopeRecipient, **options: object) -> Accepted:
        item = accepted(self.ids, *recipients, **options)  # type: ignore[arg-type]
        await self.queue.accept(item)
        return item

    async def _change(self, change: QueueChange, which: Selection = ALL, at: float = NOW) -> int:
        would = await self.queue.would_change(change, which, at)
        changed = await self.queue.change(change, which, at, "somebody")
        self.assertEqual(would, changed)
        return changed

    async def _deferred(self, due_at: float) -> Accepted:
        item = await self._put(leased=True)
        later = settlement(delivery_of(item), DeliveryState.QUEUED, due_at=due_at)
        await self.queue.settle([later])
        return item

    async def _claimed(self, now: float = NOW) -> list[int]:
        return in_queue(await self.queue.claim(now, 1000, ()))

    async def test_held_waits_until_it_is_released_then_it_is_due(self) -> None:
        item = await self._deferred(NOW + 500)
        self.assertEqual(await self._change(HOLD), 1)
        self.assertEqual(await self._change(HOLD), 0)
        self.assertEqual(await self._claimed(NOW + 1e6), [])
        self.assertEqual(await self.contents.read(item.message), CONTENT)
        self.assertEqual(await self._change(RELEASE), 1)
        self.assertEqual(await self._change(RELEASE), 0)
        self.assertEqual(await self._claimed(), [item.deliveries[0].id])

    async def test_cancelled_is_final_and_the_content_goes_with_the_last(self) -> None:
        item = await self._put(TO_BOB, TO_ZOE)
        first, second = (new.id for new in item.deliveries)
        self.assertEqual(await self._change(CANCEL, Selection(ids=(first,))), 1)
        self.assertEqual(await self.contents.read(item.message), CONTENT)
        await self._change(HOLD, Selection(ids=(second,)))
        self.assertEqual(await self._change(CANCEL, Selection(ids=(second,))), 1)
        self.assertIsNone(await self.contents.read(item.message))
        for change in QueueChange:
            self.assertEqual(await self._change(change), 0)
        self.assertEqual(await self._claimed(NOW + 1e6), [])

    async def test_a_cancelled_large_message_leaves_no_file(self) -> None:
        item = accepted(self.ids, content=None)
        writer = await self.contents.begin(item.message.id)
        await writer.write(CONTENT)
        await writer.finish()
        await self.queue.accept(item)
        await self._change(CANCEL)
        # The file goes after the commit, in a thread of its own; the first sweep may be quicker.
        self.assertEqual((await self.queue.recover(NOW)).rows_without_file, ())
        found = await self.queue.recover(NOW)
        self.assertEqual((found.files_removed, found.rows_without_file), (0, ()))

    async def test_flushed_is_due_now(self) -> None:
        later = await self._deferred(NOW + 500)
        await self._put(due_at=NOW - 5)
        self.assertEqual(await self._change(FLUSH), 1)
        self.assertIn(later.deliveries[0].id, await self._claimed())

    async def test_P10_what_is_scheduled_is_neither_flushed_nor_released_before_its_time(
        self,
    ) -> None:
        item = await self._put(due_at=NOW + 500)
        self.assertEqual(await self._change(FLUSH), 0)
        self.assertEqual(await self._change(FLUSH, Selection(ids=(item.message.id,))), 0)
        await self._change(HOLD)
        self.assertEqual(await self._change(RELEASE), 1)
        self.assertEqual(await self._claimed(NOW + 499), [])
        self.assertEqual(await self.queue.next_due(NOW, ()), NOW + 500)
        await self._change(HOLD)
        self.assertEqual(await self._change(RELEASE, at=NOW + 600), 1)
        self.assertEqual(await self._claimed(NOW + 600), [item.deliveries[0].id])

    async def test_P10_what_is_scheduled_is_flushed_by_its_name_and_a_word(self) -> None:
        item, other = await self._put(due_at=NOW + 500), await self._put(due_at=NOW + 500)
        named = Selection(ids=(item.message.id,), scheduled=True)
        self.assertEqual(await self._change(FLUSH, named), 1)
        self.assertEqual(await self._claimed(), [item.deliveries[0].id])
        self.assertEqual(await self._claimed(NOW + 500), [other.deliveries[0].id])

    async def test_selections_by_message_domain_user_account(self) -> None:
        one = await self._put(TO_BOB, TO_ZOE)
        other = await self._put(TO_BOB, user_id=8)
        for which, expected in (
            (Selection(ids=(one.message.id,)), 2),
            (Selection(ids=(one.deliveries[0].id, other.message.id)), 2),
            (Selection(domain="example.net"), 2),
            (Selection(domain="xn--bcher-kva.example"), 1),
            (Selection(user_id=8), 1),
            (Selection(user_id=8, domain="elsewhere.example"), 0),
            (Selection(everything=True, account_id=1), 3),
            (Selection(everything=True, account_id=2), 0),
            (Selection(ids=(one.message.id,), account_id=2), 0),
        ):
            self.assertEqual(await self._change(HOLD, which), expected, which)
            self.assertEqual(await self._change(RELEASE, which), expected, which)

    async def test_a_large_selection_is_changed_whole(self) -> None:
        recipients = [TO_BOB] * 1_201
        await self._put(*recipients)
        self.assertEqual(await self._change(HOLD), 1_201)
        self.assertEqual(await self._change(CANCEL), 1_201)

    async def test_withdrawn_is_what_must_not_be_attempted(self) -> None:
        item = await self._put(*[TO_BOB] * 4, leased=True)
        ids = [new.id for new in item.deliveries]
        await self._change(HOLD, Selection(ids=(ids[0],)))
        await self._change(CANCEL, Selection(ids=(ids[1],)))
        await self.queue.settle([settlement(delivery_of(item, 2))])
        self.assertEqual(set(await self.queue.withdrawn(ids)), set(ids[:3]))
        self.assertEqual(set(await self.queue.withdrawn([])), set())

    async def test_an_attempt_under_way_goes_on_and_nobody_else_attempts_beside_it(self) -> None:
        item = await self._put(leased=True)
        await self._change(HOLD)
        await self._change(RELEASE)
        self.assertEqual(await self._claimed(NOW + 1e6), [])
        await self.queue.release([item.deliveries[0].id])
        self.assertEqual(await self._claimed(), [item.deliveries[0].id])

    async def test_held_while_attempted_takes_the_outcome_and_stays_held_when_deferred(
        self,
    ) -> None:
        item = await self._put(TO_BOB, TO_ZOE, leased=True)
        await self._change(HOLD)
        deferred = settlement(delivery_of(item, 0), DeliveryState.QUEUED, due_at=NOW + 60)
        await self.queue.settle([deferred, settlement(delivery_of(item, 1))])
        self.assertEqual(await self._claimed(NOW + 1e6), [])
        self.assertEqual(await self._change(RELEASE), 1)
        (again,) = await self.queue.claim(NOW, 9, ())
        self.assertEqual((again.id, again.attempts), (item.deliveries[0].id, 1))

    async def test_cancelled_while_attempted_stays_cancelled(self) -> None:
        item = await self._put(leased=True)
        self.assertEqual(await self._change(CANCEL), 1)
        done = settlement(delivery_of(item))
        await self.queue.settle([done])
        await self.queue.settle([done])
        self.assertEqual(await self._claimed(NOW + 1e6), [])
        for change in QueueChange:
            self.assertEqual(await self._change(change), 0)

    async def test_leases_of_held_deliveries_are_returned_at_start(self) -> None:
        item = await self._put(leased=True)
        await self._change(HOLD)
        self.assertEqual((await self.queue.recover(NOW)).leases_returned, 1)
        await self._change(RELEASE)
        self.assertEqual(await self._claimed(), [item.deliveries[0].id])

    async def test_an_empty_selection_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            Selection()
        with self.assertRaises(ValueError):
            Selection(account_id=3)
        with self.assertRaises(ValueError):
            Selection(everything=True, scheduled=True)
