"""What IQueue promises of a message that says more than its envelope: part of its contract."""

from __future__ import annotations

from dataclasses import replace

from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.errors import DuplicateMessageError
from smtpplus.values.message import Accepted, Delivery, DeliveryState, EventType
from smtpplus.values.options import MergeSyntax, Options, RecipientOptions, Utm
from smtpplus.values.queue import Selection
from tests.contracts.queue_changes_contract import ALL, CANCEL, HOLD, QueueChangesContract
from tests.store.samples import (
    CONTENT,
    NOW,
    TO_BOB,
    TO_ZOE,
    accepted,
    delivery_of,
    in_queue,
    settlement,
)

_OPTIONS = Options(
    campaign_code="orders",
    tags=("a", "b"),
    footer=False,
    track_opens=True,
    priority=1,
    send_at=NOW + 60,
    fields={"naïve": "½", "nul": "a"},
    merge=(MergeSyntax.BRACKETS, MergeSyntax.PERCENT),
    utm=Utm(source="mail", domains=("example.com",)),
    metadata={"order": "17"},
    unknown=("X-Odd",),
)


def _with(item: Accepted, *changes: dict[str, object]) -> Accepted:
    """`item` with its deliveries changed, in their order."""
    new = tuple(
        replace(one, **change)  # type: ignore[arg-type]
        for one, change in zip(item.deliveries, changes, strict=True)
    )
    return replace(item, deliveries=new)


class AcceptContract(QueueChangesContract):
    """The tests."""

    async def _due(self, now: float = NOW) -> list[Delivery]:
        return list(await self.queue.claim(now, 1000, ()))

    async def test_what_message_and_recipient_say_comes_back(self) -> None:
        item = _with(
            accepted(self.ids, TO_BOB, TO_ZOE),
            {"name": "Bob Bär", "fields": {"first": "Bob", "\udcff": "\udcfe"}},
            {},
        )
        of_bob = RecipientOptions(TO_BOB.address, "Bob", {"first": "Bob"})
        options = replace(_OPTIONS, recipients=(of_bob,), extra_recipients=(of_bob,))
        message = replace(item.message, options=options, campaign_name="Orders")
        await self.queue.accept(replace(item, message=message))
        bob, zoe = await self._due()
        self.assertEqual(bob.message, replace(message, options=_OPTIONS))
        self.assertEqual(bob.name, "Bob Bär")
        self.assertEqual(bob.fields["first"], "Bob")
        self.assertEqual((zoe.name, zoe.fields), ("", {}))

    async def test_a_recipient_may_be_due_later_than_its_message(self) -> None:
        item = _with(accepted(self.ids, TO_BOB, TO_ZOE, leased=True), {}, {"due_at": NOW + 60})
        await self.queue.accept(item)
        self.assertEqual(await self._due(), [])
        self.assertEqual(await self.queue.next_due(NOW, ()), NOW + 60)
        self.assertEqual(in_queue(await self._due(NOW + 60)), [item.deliveries[1].id])

    async def test_who_is_withheld_is_never_mailed(self) -> None:
        item = _with(
            accepted(self.ids, TO_BOB, TO_ZOE, leased=True),
            {"withheld": "suppressed since 2024"},
            {},
        )
        await self.queue.accept(item)
        bob, zoe = (new.id for new in item.deliveries)
        await self.queue.release([bob, zoe])
        self.assertEqual(in_queue(await self._due()), [zoe])
        self.assertEqual(set(await self.queue.withdrawn([bob])), {bob})
        self.assertEqual(await self.queue.would_change(HOLD, ALL, NOW), 1)
        self.assertEqual(await self.contents.read(item.message), CONTENT)
        self.assertEqual(await self._change(CANCEL), 1)
        self.assertIsNone(await self.contents.read(item.message))

    async def test_a_message_to_nobody_leaves_no_content(self) -> None:
        held: dict[str, object] = {"withheld": "dropped", "withheld_as": EventType.CANCELLED}
        small = _with(accepted(self.ids), held)
        await self.queue.accept(small)
        self.assertIsNone(await self.contents.read(small.message))
        large = _with(accepted(self.ids, content=None), held)
        writer = await self.contents.begin(large.message.id)
        await writer.write(CONTENT)
        await writer.finish()
        await self.queue.accept(large)
        # The file goes after the commit, in a thread of its own; the first sweep may be quicker.
        await self.queue.recover(NOW)
        found = await self.queue.recover(NOW)
        self.assertEqual((found.files_removed, found.rows_without_file), (0, ()))

    async def test_a_message_to_hundreds_is_one_message(self) -> None:
        to = [EnvelopeRecipient(Address(f"r{number}", "example.net")) for number in range(300)]
        item = accepted(self.ids, *to)
        await self.queue.accept(item)
        claimed = await self.queue.claim(NOW + 1, 1_000, ())
        self.assertEqual(sorted(in_queue(claimed)), [new.id for new in item.deliveries])
        self.assertEqual({one.message.id for one in claimed}, {item.message.id})
        self.assertEqual(await self.contents.read(item.message), CONTENT)

    async def test_the_same_submission_is_accepted_once(self) -> None:
        first = await self._once("a")
        for _ in range(2):
            with self.assertRaises(DuplicateMessageError) as caught:
                await self._once("a", at=NOW + 59)
            self.assertEqual(caught.exception.message_id, first.message.id)
        await self._once("b")
        await self._once("a", user_id=8)
        again = await self._once("a", at=NOW + 60)
        with self.assertRaises(DuplicateMessageError) as caught:
            await self._once("a", at=NOW + 61)
        self.assertEqual(caught.exception.message_id, again.message.id)
        self.assertEqual(len(await self._due(NOW + 99)), 4)
        self.assertEqual(await self.queue.used(7, 0.0), 3)

    async def test_what_was_taken_back_as_a_whole_may_be_sent_anew(self) -> None:
        two = await self._once("two", to=2)
        other = await self._once("other")
        gone, stays = two.deliveries
        await self.queue.change(CANCEL, Selection(ids=(gone.id,)), NOW + 1, "")
        with self.assertRaises(DuplicateMessageError):
            await self._once("two", at=NOW + 2)
        await self.queue.change(CANCEL, Selection(ids=(stays.id,)), NOW + 3, "")
        again = await self._once("two", at=NOW + 4)
        self.assertNotEqual(again.message.id, two.message.id)
        with self.assertRaises(DuplicateMessageError) as caught:
            await self._once("other", at=NOW + 5)
        self.assertEqual(caught.exception.message_id, other.message.id)

    async def test_what_was_cancelled_as_suppressed_to_the_last_may_be_sent_anew(self) -> None:
        item = await self._once("two", to=2)
        other = await self._once("other")
        for index in range(2):
            with self.assertRaises(DuplicateMessageError):
                await self._once("two", at=NOW + 2)
            suppressed = settlement(delivery_of(item, index), DeliveryState.CANCELLED)
            await self.queue.settle([suppressed])
        again = await self._once("two", at=NOW + 4)
        self.assertNotEqual(again.message.id, item.message.id)
        await self.queue.settle([settlement(delivery_of(other), DeliveryState.BOUNCED)])
        with self.assertRaises(DuplicateMessageError):
            await self._once("other", at=NOW + 5)

    async def test_a_name_that_holds_no_time_stops_nobody_and_is_still_asked_for(self) -> None:
        for _ in range(2):
            nobodys = self._asked("a", NOW)
            await self.queue.accept(replace(nobodys, once_until=NOW))
        first = await self._once("a")
        with self.assertRaises(DuplicateMessageError) as caught:
            await self.queue.accept(replace(self._asked("a", NOW + 1), once_until=NOW + 1))
        self.assertEqual(caught.exception.message_id, first.message.id)

    async def test_the_same_submission_many_times_at_once_is_accepted_once(self) -> None:
        items = [self._asked("a" if n % 2 else "b", NOW) for n in range(40)]
        answers = [self.queue.accept(item) for item in items]
        plain = accepted(self.ids)
        beside = self.queue.accept(plain)
        before: set[int] = set()
        taken = []
        for item, answer in zip(items, answers, strict=True):
            try:
                await answer
                taken.append(item.message.id)
            except DuplicateMessageError as error:
                before.add(error.message_id)
        await beside
        self.assertEqual(len(taken), 2)
        self.assertEqual(before, set(taken))
        waiting = {delivery.message.id for delivery in await self._due()}
        self.assertEqual(waiting, {*taken, plain.message.id})

    def _asked(self, name: str, at: float, to: int = 1, **options: object) -> Accepted:
        addresses = [EnvelopeRecipient(Address(f"r{n}", "example.net")) for n in range(to)]
        item = accepted(self.ids, *addresses, at=at, **options)  # type: ignore[arg-type]
        return replace(item, once=name, once_until=at + 60)

    async def _once(self, name: str, at: float = NOW, to: int = 1, **options: object) -> Accepted:
        item = self._asked(name, at, to, **options)
        await self.queue.accept(item)
        return item
