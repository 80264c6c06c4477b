"""What IQueue and IContents promise: each implementation's case sets queue, contents and ids."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.errors import NotFoundError
from smtpplus.values.message import Accepted, DeliveryState
from tests.contracts.accept_contract import AcceptContract
from tests.store.samples import (
    CONTENT,
    HEAD,
    NOW,
    TO_BOB,
    TO_ZOE,
    accepted,
    delivery_of,
    in_queue,
    settlement,
)


class QueueContract(AcceptContract):
    """The tests."""

    async def _accept(self, *recipients: EnvelopeRecipient, **options: object) -> Accepted:
        item = accepted(self.ids, *recipients, **options)  # type: ignore[arg-type]
        await self.queue.accept(item)
        return item

    async def _all(self) -> list[int]:
        return in_queue(await self.queue.claim(NOW + 1e9, 1000, ()))

    async def test_a_claimed_delivery_is_what_was_accepted(self) -> None:
        item = await self._accept(TO_BOB, TO_ZOE)
        claimed = await self.queue.claim(NOW, 10, ())
        self.assertEqual(list(claimed), [delivery_of(item, 0), delivery_of(item, 1)])

    async def test_a_dsn_has_no_sender(self) -> None:
        item = await self._accept(sender=None)
        claimed = await self.queue.claim(NOW, 10, ())
        self.assertEqual(claimed[0].message, item.message)

    async def test_what_is_leased_from_birth_cannot_be_claimed(self) -> None:
        item = await self._accept(leased=True)
        self.assertEqual(await self._all(), [])
        await self.queue.release([item.deliveries[0].id])
        self.assertEqual(await self._all(), [item.deliveries[0].id])

    async def test_claims_are_oldest_due_first_and_bounded(self) -> None:
        later = await self._accept(due_at=NOW + 5)
        first = await self._accept(due_at=NOW + 1)
        await self._accept(due_at=NOW + 50)
        self.assertEqual(in_queue(await self.queue.claim(NOW, 9, ())), [])
        self.assertEqual(in_queue(await self.queue.claim(NOW + 9, 1, ())), [first.deliveries[0].id])
        self.assertEqual(in_queue(await self.queue.claim(NOW + 9, 9, ())), [later.deliveries[0].id])

    async def test_claims_leave_domains_out_whatever_their_spelling(self) -> None:
        item = await self._accept(TO_BOB, TO_ZOE)
        without = await self.queue.claim(NOW, 9, {"example.net"})
        self.assertEqual(in_queue(without), [item.deliveries[1].id])
        self.assertIsNone(await self.queue.next_due(NOW, ["example.net"]))
        self.assertEqual(await self.queue.next_due(NOW, ["xn--bcher-kva.example"]), NOW)

    async def _of_priority(
        self, priority: int, due_at: float, *recipients: EnvelopeRecipient
    ) -> int:
        item = accepted(self.ids, *recipients, due_at=due_at)
        item = replace(item, message=replace(item.message, priority=priority))
        await self.queue.accept(item)
        return item.deliveries[0].id

    async def test_P13_claims_go_by_priority_then_by_the_time_they_fell_due(self) -> None:
        ids = [
            await self._of_priority(priority, NOW + due)
            for priority, due in ((5, 0), (3, 2), (1, 3), (3, 1), (1, 2), (2, 4), (4, 1), (1, 99))
        ]
        claimed = in_queue(await self.queue.claim(NOW + 9, 3, ()))
        claimed += in_queue(await self.queue.claim(NOW + 9, 9, ()))
        self.assertEqual(claimed, [ids[place] for place in (4, 2, 5, 3, 1, 6, 0)])
        self.assertEqual(await self.queue.next_due(NOW, ()), NOW + 99)

    async def test_P13_each_eighth_claim_is_of_what_fell_due_first(self) -> None:
        old = [await self._of_priority(5, NOW - 10 + one) for one in range(3)]
        for _ in range(30):
            await self._of_priority(1, NOW)
        places = [
            place
            for place in range(16)
            if in_queue(await self.queue.claim(NOW + 1, 1, ()))[0] in old
        ]
        self.assertEqual(places, [7, 15])

    async def test_P13_the_urgent_alone_and_to_other_domains(self) -> None:
        ordinary = await self._of_priority(3, NOW - 5)
        urgent = await self._of_priority(2, NOW, TO_BOB)
        other = await self._of_priority(1, NOW, TO_ZOE)
        bobs = {"example.net"}
        self.assertEqual(await self.queue.next_due(NOW, (), (), 2), NOW)
        self.assertEqual(await self.queue.next_due(NOW, bobs, (), 5), NOW)
        self.assertEqual(in_queue(await self.queue.claim(NOW, 9, (), bobs, 2)), [other])
        self.assertEqual(in_queue(await self.queue.claim(NOW, 9, bobs, (), 5)), [urgent])
        self.assertIsNone(await self.queue.next_due(NOW, (), (), 2))
        self.assertEqual(await self._all(), [ordinary])

    async def test_next_due_is_the_earliest_that_nobody_leased(self) -> None:
        self.assertIsNone(await self.queue.next_due(NOW, ()))
        await self._accept(due_at=NOW + 5)
        await self._accept(due_at=NOW + 3)
        self.assertEqual(await self.queue.next_due(NOW, ()), NOW + 3)
        await self.queue.claim(NOW + 3, 1, ())
        self.assertEqual(await self.queue.next_due(NOW, ()), NOW + 5)

    async def test_a_deferred_delivery_waits_and_counts_its_attempts(self) -> None:
        item = await self._accept(leased=True)
        deferred = settlement(
            delivery_of(item), DeliveryState.QUEUED, due_at=NOW + 60, delay_reported=True
        )
        await self.queue.settle([deferred])
        self.assertEqual(await self.queue.next_due(NOW, ()), NOW + 60)
        (again,) = await self.queue.claim(NOW + 60, 9, ())
        self.assertEqual((again.attempts, again.due_at), (1, NOW + 60))
        self.assertTrue(again.delay_reported)
        self.assertEqual(await self.contents.read(item.message), CONTENT)

    async def test_a_repeated_deferral_changes_nothing(self) -> None:
        item = await self._accept(leased=True)
        deferred = settlement(delivery_of(item), DeliveryState.QUEUED, due_at=NOW + 60)
        await self.queue.settle([deferred, deferred])
        await self.queue.settle([deferred])
        (again,) = await self.queue.claim(NOW + 60, 9, ())
        self.assertEqual(again.attempts, 1)

    async def test_final_is_final(self) -> None:
        item = await self._accept(TO_BOB, TO_ZOE, leased=True)
        await self.queue.settle([settlement(delivery_of(item, 0))])
        other = settlement(delivery_of(item, 0), DeliveryState.QUEUED, due_at=NOW)
        await self.queue.settle([other, settlement(delivery_of(item, 0), DeliveryState.BOUNCED)])
        self.assertEqual(await self._all(), [])

    async def test_a_final_outcome_counts_also_when_the_lease_is_gone(self) -> None:
        item = await self._accept(leased=True)
        await self.queue.settle(
            [settlement(delivery_of(item), DeliveryState.QUEUED, due_at=NOW + 60)]
        )
        await self.queue.settle([settlement(delivery_of(item))])
        self.assertEqual(await self._all(), [])

    async def test_held_deliveries_are_not_claimed(self) -> None:
        item = await self._accept(leased=True)
        await self.queue.settle([settlement(delivery_of(item), DeliveryState.HELD)])
        self.assertEqual(await self._all(), [])
        self.assertEqual(await self.contents.read(item.message), CONTENT)

    async def test_content_goes_with_the_last_delivery(self) -> None:
        item = await self._accept(TO_BOB, TO_ZOE, leased=True)
        await self.queue.settle([settlement(delivery_of(item, 0))])
        self.assertEqual(await self.contents.read(item.message), CONTENT)
        await self.queue.settle([settlement(delivery_of(item, 1), DeliveryState.BOUNCED)])
        self.assertIsNone(await self.contents.read(item.message))
        with self.assertRaises(NotFoundError):
            await self.contents.body(item.message, 0)
        with self.assertRaises(NotFoundError):
            await self.contents.head(item.message)

    async def test_head_and_body_are_parts_of_the_content(self) -> None:
        item = await self._accept()
        self.assertEqual(await self.contents.head(item.message), HEAD)
        body = await self.contents.body(item.message, len(HEAD))
        self.assertEqual(body.size, len(CONTENT) - len(HEAD))
        self.assertEqual(await body.next_chunk(), CONTENT[len(HEAD) :])
        self.assertEqual(await body.next_chunk(), b"")
        body.close()
        body.close()

    async def test_a_large_content_goes_through_a_file_octet_for_octet(self) -> None:
        octets = random.Random(1).randbytes(700_001)
        message = accepted(self.ids, content=None, octets=len(octets), leased=True)
        writer = await self.contents.begin(message.message.id)
        for start in range(0, len(octets), 50_000):
            await writer.write(octets[start : start + 50_000])
        await writer.finish()
        await self.queue.accept(message)
        self.assertEqual(await self.contents.read(message.message), octets)
        self.assertEqual(await self.contents.head(message.message), octets[: len(HEAD)])
        body = await self.contents.body(message.message, 1000)
        self.assertEqual(body.size, len(octets) - 1000)
        taken = hashlib.sha256()
        while chunk := await body.next_chunk():
            self.assertLessEqual(len(chunk), 65_536)
            taken.update(chunk)
        body.close()
        self.assertEqual(taken.digest(), hashlib.sha256(octets[1000:]).digest())

    async def test_a_discarded_content_is_gone(self) -> None:
        for finished in (False, True):
            item = accepted(self.ids, content=None)
            writer = await self.contents.begin(item.message.id)
            await writer.write(CONTENT)
            if finished:
                await writer.finish()
            await writer.discard()
            await writer.discard()
            with self.assertRaises(NotFoundError):
                await self.contents.body(item.message, 0)

    async def test_recover_returns_leases_and_sweeps_files(self) -> None:
        leased = await self._accept(leased=True)
        stray = await self.contents.begin(self.ids.next(NOW))
        await stray.finish()
        kept = accepted(self.ids, content=None)
        writer = await self.contents.begin(kept.message.id)
        await writer.write(CONTENT)
        await writer.finish()
        await self.queue.accept(kept)
        lost = await self._accept(content=None)
        found = await self.queue.recover(NOW)
        self.assertEqual(found.leases_returned, 1)
        self.assertEqual(found.files_removed + found.files_quarantined, 1)
        self.assertEqual(found.rows_without_file, (lost.message.id,))
        self.assertEqual(await self.contents.read(kept.message), CONTENT)
        self.assertEqual(
            set(await self._all()),
            {item.deliveries[0].id for item in (leased, kept, lost)},
        )

    async def test_used_counts_messages_of_one_user_from_an_hour_on(self) -> None:
        await self._accept(TO_BOB, TO_ZOE)
        await self._accept(at=NOW + 3600)
        await self._accept(user_id=8)
        self.assertEqual(await self.queue.used(7, NOW - NOW % 3600), 2)
        self.assertEqual(await self.queue.used(7, NOW + 3600 - NOW % 3600), 1)
        self.assertEqual(await self.queue.used(8, 0.0), 1)
        self.assertEqual(await self.queue.used(9, 0.0), 0)

    async def test_P4_what_a_list_has_sent_to_whom_is_known_by_its_message_id(self) -> None:
        item = await self._accept(TO_BOB, TO_ZOE)
        named = [item.message.message_id]
        answer = replace(item.message, id=self.ids.next(NOW))
        everybody = [TO_BOB.address, TO_ZOE.address]
        for to in (everybody, everybody[1:], [Address("nobody", "example.net"), everybody[0]]):
            self.assertTrue(await self.queue.has_sent(answer, to, ["<2@x.example>", *named]))
        for asked, to, ids in (
            (replace(answer, list_id=3), everybody, named),
            (answer, [Address("nobody", "example.net")], named),
            (answer, everybody, ["<2@x.example>", "1@example.com", "\0"]),
            (item.message, everybody, named),
            (answer, [], named),
            (answer, everybody, []),
        ):
            self.assertFalse(await self.queue.has_sent(asked, to, ids))

    async def test_P4_what_other_accounts_send_to_somebody_crowds_out_nothing_of_a_list(
        self,
    ) -> None:
        item = await self._accept(TO_BOB)
        others = accepted(self.ids, *[TO_BOB] * 1_001)
        others = replace(others, message=replace(others.message, account_id=9, list_id=9))
        await self.queue.accept(others)
        answer = replace(item.message, id=self.ids.next(NOW))
        named = [item.message.message_id]
        self.assertTrue(await self.queue.has_sent(answer, [TO_BOB.address], named))

    async def test_a_report_is_queued_with_what_it_reports_once(self) -> None:
        item = await self._accept(leased=True)
        bounced = settlement(delivery_of(item), DeliveryState.BOUNCED)
        to_sender = EnvelopeRecipient(Address("alice", "example.com"))
        queued = []
        for _ in range(2):
            report = accepted(self.ids, to_sender, sender=None, reports_on=item.message.id)
            queued.append(list(await self.queue.settle([bounced], [report])) == [report.message.id])
        self.assertEqual(queued, [True, False])
        (claimed,) = await self.queue.claim(NOW, 9, ())
        self.assertEqual(claimed.recipient, to_sender)
        self.assertEqual(await self.queue.used(7, 0.0), 1)

    async def test_unknown_deliveries_are_passed_over(self) -> None:
        stranger = accepted(self.ids)
        await self.queue.settle([settlement(delivery_of(stranger))])
        await self.queue.release([12345])
        self.assertEqual(await self._all(), [])
