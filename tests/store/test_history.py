"""IHistory over the database."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

from smtpplus.store import group_totals
from smtpplus.store.store import Store
from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.errors import UsageError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Accepted, DeliveryState, EventType
from smtpplus.values.queue import QueueChange, Selection
from smtpplus.values.submission import Stream
from tests.store.samples import (
    NOW,
    TO_BOB,
    TO_ZOE,
    VERIFIER,
    StoreCase,
    accepted,
    delivery_of,
    settlement,
)

HOUR = NOW - NOW % 3600
DAY = NOW - NOW % 86_400


class HistoryCase(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.store: Store = self.open_blocking()
        self.history = self.store.history

    async def accept(self, *recipients: EnvelopeRecipient, **options: object) -> Accepted:
        item = accepted(self.store.ids, *recipients, **options)  # type: ignore[arg-type]
        await self.store.queue.accept(item)
        return item

    async def find(self, search: str = "", **options: object) -> list[int]:
        asked = {
            "account_id": None,
            "user_id": None,
            "state": None,
            "before": None,
            "most": 50,
            **options,
        }
        rows = await self.history.messages(search=search, **asked)  # type: ignore[arg-type]
        return [row.message.id for row in rows]


class MessageTests(HistoryCase):
    async def test_a_row_has_what_a_table_shows(self) -> None:
        await self.store.accounts.add_account("acme", NOW)
        for name in ("one", "two"):
            mails = await self.store.accounts.add_list("acme", name, Stream.TRANSACTIONAL, NOW)
        for number in range(7):
            await self.store.accounts.add_user(mails.id, f"u{number}", VERIFIER, [], [], NOW)
        item = await self.accept(TO_ZOE, TO_BOB)
        await self.store.queue.settle([settlement(delivery_of(item, 1))])
        (row,) = await self.history.messages(None, "", None, None, None, 9)
        self.assertEqual((row.username, row.list_name), ("u6", "two"))
        self.assertEqual(row.states, {DeliveryState.QUEUED: 1, DeliveryState.DELIVERED: 1})
        self.assertEqual(row.first_recipient, "zoë@bücher.example")
        envelope = dataclasses.replace(item.message.envelope, recipients=(TO_ZOE,))
        self.assertEqual(row.message, dataclasses.replace(item.message, envelope=envelope))
        whole = await self.history.message(1, item.message.id)
        assert whole is not None
        self.assertEqual(whole.message, item.message)
        self.assertIsNone(await self.history.message(2, item.message.id))
        self.assertIsNone(await self.history.message(None, 5))

    async def test_when_each_user_was_last_heard_of(self) -> None:
        await self.store.accounts.add_account("acme", NOW)
        mails = await self.store.accounts.add_list("acme", "one", Stream.TRANSACTIONAL, NOW)
        for number in range(7):
            await self.store.accounts.add_user(mails.id, f"u{number}", VERIFIER, [], [], NOW)
        self.assertEqual(await self.history.last_times([7]), {})
        for later in (0.0, 60.0):
            item = accepted(self.store.ids, TO_ZOE)
            message = dataclasses.replace(item.message, received_at=NOW + later)
            await self.store.queue.accept(dataclasses.replace(item, message=message))
        self.assertEqual(await self.history.last_times([3, 7, 99]), {7: NOW + 60.0})
        self.assertEqual(await self.history.last_times([]), {})

    async def test_newest_first_in_pages(self) -> None:
        ids = [(await self.accept()).message.id for _ in range(5)]
        self.assertEqual(await self.find(most=2), ids[:2:-1])
        self.assertEqual(await self.find(before=ids[3], most=2), [ids[2], ids[1]])
        self.assertEqual(await self.find(account_id=2), [])
        self.assertEqual(await self.find(user_id=8), [])
        self.assertEqual(len(await self.find(account_id=1, user_id=7)), 5)

    async def test_words_are_looked_for_in_so_many_messages_at_a_time(self) -> None:
        ids = [(await self.accept()).message.id for _ in range(7)]
        self.history.looked_through = 3
        seen: list[list[int]] = []
        before = None
        while True:
            down_to = await self.history.reach(1, "hello", None, None, before)
            seen.append(await self.find("hello", account_id=1, before=before, down_to=down_to))
            if down_to is None:
                break
            before = down_to
        self.assertEqual(seen, [ids[:3:-1], ids[3:0:-1], ids[:1]])
        queued = DeliveryState.QUEUED
        self.assertEqual(await self.history.reach(None, "", 7, queued, None), ids[4])
        for search, user, state in (
            ("", None, queued), ("", 7, None), (show_id(ids[0]), None, None),
            ("bob@example.net", None, None), ("", None, None),
        ):  # fmt: skip
            self.assertIsNone(await self.history.reach(None, search, user, state, None), search)
        for account, user, before in ((2, None, None), (1, 8, None), (1, 7, ids[3])):
            self.assertIsNone(await self.history.reach(account, "hello", user, None, before))

    async def test_search_by_id_address_and_words(self) -> None:
        one = (await self.accept(TO_ZOE, subject="Ihre Bestellung ÄÖ 50%")).message.id
        two = await self.accept(subject="Invoice", sender=Address("Billing", "Shop.Example"))
        for search, found in (
            (show_id(one), [one]),
            (show_id(two.deliveries[0].id).upper(), [two.message.id]),
            ("zoë@BÜCHER.example", [one]),
            ("<bob@example.net>", [two.message.id]),
            ("billing@shop.example", [two.message.id]),
            ("äö bestell", [one]),
            ("50%", [one]),
            ("5_%", []),
            ("shop.ex inv", [two.message.id]),
            ("bob@", [two.message.id]),
            ("nothing", []),
            ("   ", [two.message.id, one]),
            ("eve@example.net", []),
        ):
            self.assertEqual(await self.find(search), found, search)
        self.assertEqual(await self.find("bob@example.net", before=two.message.id), [])

    async def test_words_find_recipients_beyond_the_first(self) -> None:
        many = [EnvelopeRecipient(Address(f"r{n}", "example.net")) for n in range(30)]
        item = await self.accept(*many)
        self.assertEqual(await self.find("r29@exam"), [item.message.id])

    async def test_by_state_of_any_delivery(self) -> None:
        one, two, three = [await self.accept(TO_BOB, TO_ZOE) for _ in range(3)]
        bounced = DeliveryState.BOUNCED
        for item in (one, three):
            await self.store.queue.settle(
                [settlement(delivery_of(item, n), bounced) for n in range(2)]
            )
        ids = [three.message.id, one.message.id]
        self.assertEqual(await self.find(state=bounced), ids)
        self.assertEqual(await self.find(state=bounced, most=1), ids[:1])
        self.assertEqual(await self.find(state=bounced, before=ids[0]), ids[1:])
        self.assertEqual(await self.find(state=bounced, account_id=1), ids)
        self.assertEqual(await self.find(state=bounced, account_id=2), [])
        self.assertEqual(await self.find("bob", state=bounced, user_id=7), ids)
        self.assertEqual(await self.find(state=DeliveryState.QUEUED), [two.message.id])

    async def test_hostile_texts_are_kept_as_far_as_a_database_can(self) -> None:
        item = await self.accept(subject="a\x00b\ud800c\u202e'; DROP TABLE message; --")
        said = settlement(delivery_of(item), text="\udcff\x00\x1b[31m", transcript="\ud800" * 9)
        await self.store.queue.settle([said])
        (row,) = await self.history.messages(None, "drop TABLE", None, None, None, 9)
        self.assertEqual(row.message.subject, "a\ufffdb\ufffdc\u202e'; DROP TABLE message; --")
        (attempt,) = await self.history.attempts(item.message.id, 9)
        self.assertEqual(attempt.outcome.text, "\ufffd\ufffd\x1b[31m")


class TimelineTests(HistoryCase):
    async def test_deliveries_attempts_and_events_of_a_message(self) -> None:
        item = await self.accept(TO_BOB, TO_ZOE)
        long = "250 " + "x" * 10_000
        later = settlement(
            delivery_of(item, 0), DeliveryState.QUEUED, due_at=NOW + 60, transcript=long
        )
        await self.store.queue.settle([later])
        done = settlement(delivery_of(item, 0, 1), at=NOW + 61)
        await self.store.queue.settle([done])
        first, second = await self.history.deliveries(item.message.id)
        self.assertEqual(
            (first.state, first.attempts, first.due_at, first.settled_at, first.last_outcome),
            (DeliveryState.DELIVERED, 2, None, NOW + 61, done.outcome),
        )
        self.assertEqual(
            (second.address, second.state, second.due_at, second.last_outcome),
            ("zoë@bücher.example", DeliveryState.QUEUED, NOW, None),
        )
        attempts = await self.history.attempts(item.message.id, 9)
        self.assertEqual([row.attempt for row in attempts], [later.attempt, done.attempt])
        self.assertEqual([row.outcome for row in attempts], [later.outcome, done.outcome])
        events = await self.history.events(item.message.id, 9)
        self.assertEqual(
            [event.type for event in events],
            [EventType.ACCEPTED, EventType.DEFERRED, EventType.DELIVERED],
        )
        self.assertEqual(events[0].detail, {"n": 2})
        self.assertEqual(events[1].detail["due_at"], NOW + 60)
        self.assertEqual(events[1].delivery_id, item.deliveries[0].id)
        self.assertEqual(len(await self.history.events(item.message.id, 2)), 2)

    async def test_a_report_stands_in_the_timeline_of_what_it_reports(self) -> None:
        item = await self.accept()
        bounced = settlement(delivery_of(item), DeliveryState.BOUNCED)
        report = accepted(self.store.ids, sender=None, reports_on=item.message.id, at=NOW + 1)
        await self.store.queue.settle([bounced], [report])
        events = await self.history.events(item.message.id, 9)
        self.assertEqual(events[-1].type, EventType.REPORTED)
        self.assertEqual(events[-1].detail, {"report": show_id(report.message.id)})


class QueueTests(HistoryCase):
    async def test_what_waits_next_due_first_in_pages(self) -> None:
        late = await self.accept(due_at=NOW + 9)
        pair = await self.accept(TO_BOB, TO_ZOE, leased=True)
        gone = await self.accept()
        await self.store.queue.settle([settlement(delivery_of(gone))])
        said = settlement(delivery_of(late), DeliveryState.HELD, text="Held.")
        await self.store.queue.settle([said])
        rows = list(await self.history.queue(None, "", None, 9))
        ids = [new.id for new in (*pair.deliveries, *late.deliveries)]
        self.assertEqual([row.delivery_id for row in rows], ids)
        self.assertEqual([row.leased for row in rows], [True, True, False])
        self.assertEqual(rows[2].last_reply, "250 2.0.0 Held.")
        self.assertEqual((rows[1].domain, rows[1].queued_at), ("xn--bcher-kva.example", NOW))
        after = await self.history.queue(None, "", ids[0], 1)
        self.assertEqual([row.delivery_id for row in after], ids[1:2])
        self.assertEqual(await self.history.queue(2, "", None, 9), [])
        found = await self.history.queue(1, "BÜCHER", None, 9)
        self.assertEqual({row.message_id for row in found}, {pair.message.id})
        self.assertEqual(
            await self.history.queue_size(None),
            {DeliveryState.QUEUED: 2, DeliveryState.HELD: 1},
        )
        self.assertEqual(
            await self.history.queue_size(2), {DeliveryState.QUEUED: 0, DeliveryState.HELD: 0}
        )

    async def test_ages_are_those_of_what_waits(self) -> None:
        for seconds in (500, 61, 60, 59):
            await self.accept(TO_BOB, TO_ZOE, at=NOW - seconds)
        held = await self.accept(at=NOW)
        await self.store.queue.change(QueueChange.HOLD, Selection(ids=(held.message.id,)), NOW, "")
        done = await self.accept(at=NOW)
        await self.store.queue.settle([settlement(delivery_of(done))])
        found = await self.history.queue_ages((60, 500), NOW)
        numbers = {state.value: tuple(numbers) for state, numbers in found.items()}
        self.assertEqual(numbers, {"queued": (4, 4, 0), "held": (1, 0, 0)})


class CounterTests(HistoryCase):
    async def test_one_metric_is_counted_by_hour(self) -> None:
        for at in (HOUR, HOUR + 3_599, HOUR + 3_600, HOUR + 7_200):
            await self.accept(TO_BOB, TO_ZOE, at=at)
        self.assertEqual(
            await self.history.counted("accepted", HOUR + 3_601),
            {HOUR + 3_600: 2, HOUR + 7_200: 2},
        )
        self.assertEqual((await self.history.counted("accepted", HOUR))[int(HOUR)], 4)
        self.assertEqual(await self.history.counted("cancelled", 0.0), {})

    async def test_a_series_has_a_number_per_step(self) -> None:
        await self.accept(TO_BOB, TO_ZOE, at=HOUR)
        await self.accept(at=HOUR + 3600)
        await self.accept(at=HOUR + 3 * 3600, user_id=8)
        series = await self.history.counters(None, HOUR, HOUR + 4 * 3600, 3600)
        self.assertEqual(series["accepted"], [2, 1, 0, 1])
        self.assertEqual(series["bounced"], [0, 0, 0, 0])
        self.assertNotIn("messages", series)
        halves = await self.history.counters(1, HOUR, HOUR + 4 * 3600, 7200)
        self.assertEqual(halves["accepted"], [3, 1])
        other = await self.history.counters(2, HOUR, HOUR + 4 * 3600, 7200)
        self.assertEqual(other["accepted"], [0, 0])

    async def test_totals_by_user_list_and_day(self) -> None:
        await self.store.accounts.add_account("acme", NOW)
        mails = await self.store.accounts.add_list("acme", "one", Stream.TRANSACTIONAL, NOW)
        await self.store.accounts.add_user(mails.id, "web", VERIFIER, [], [], NOW)
        await self.accept(at=HOUR, user_id=1)
        await self.accept(TO_BOB, TO_ZOE, at=HOUR + 86_400)
        span = (HOUR, HOUR + 2 * 86_400)
        by_user = await self.history.totals(None, *span, "user")
        self.assertEqual(
            by_user,
            [("7", {"accepted": 2, "messages": 1}), ("web", {"accepted": 1, "messages": 1})],
        )
        self.assertEqual([name for name, _ in await self.history.totals(1, *span, "list")], ["2"])
        days = await self.history.totals(1, *span, "day")
        self.assertEqual([sums["accepted"] for _, sums in days], [2, 1])
        with self.assertRaisesRegex(UsageError, "'hour'"):
            await self.history.totals(1, *span, "hour")

    async def test_totals_of_a_time_are_the_sums_of_its_hours(self) -> None:
        rows = [(0, "a"), (5, "b"), (26, "a"), (30, "a"), (60, "b"), (75, "a"), (100, "b")]
        for hour, campaign in rows:
            item = accepted(self.store.ids, at=DAY + hour * 3600)
            about = dataclasses.replace(item.message, campaign=campaign)
            await self.store.queue.accept(dataclasses.replace(item, message=about))
        ends = (2, 15, 24, 40, 61, 72, 76, 90, 96, 130)
        for since, until in itertools.product((0, 1, 13, 24, 25, 30, 43, 48, 49), ends):
            expected = Counter(name for hour, name in rows if since <= hour < until)
            found = await self.history.totals(
                None, DAY + since * 3600, DAY + until * 3600, "campaign"
            )
            self.assertEqual({name: sums["accepted"] for name, sums in found}, expected)
            for by in ("user", "list", "provider", "day"):
                found = await self.history.totals(1, DAY + since * 3600, DAY + until * 3600, by)
                self.assertEqual(sum(sums["accepted"] for _, sums in found), expected.total(), by)
            series = await self.history.counters(1, DAY + since * 3600, DAY + until * 3600, 86_400)
            self.assertEqual(sum(series["accepted"]), expected.total())

    async def test_D16_what_is_kept_of_older_days_follows_what_is_counted_there_later(self) -> None:
        async def count(day: int, campaign: str) -> None:
            item = accepted(self.store.ids, at=DAY + day * 86_400)
            about = dataclasses.replace(item.message, campaign=campaign)
            await self.store.queue.accept(dataclasses.replace(item, message=about))

        async def of_days(first: int, last: int, account_id: int | None = None) -> dict[str, int]:
            span = (DAY + first * 86_400, DAY + (last + 1) * 86_400)
            found = await self.history.totals(account_id, *span, "campaign")
            return {name: sums["accepted"] for name, sums in found}

        for day in range(12):
            await count(day, "a" if day % 2 else "b")
        self.assertEqual(await of_days(2, 6), {"a": 2, "b": 3})
        self.assertEqual(await of_days(2, 6), {"a": 2, "b": 3})
        await count(3, "c")  # of an older day
        await count(6, "a")  # of the newest
        self.assertEqual(await of_days(2, 6), {"a": 3, "b": 3, "c": 1})
        self.assertEqual(await of_days(2, 5), {"a": 2, "b": 2, "c": 1})
        self.assertEqual(await of_days(2, 6, 1), {"a": 3, "b": 3, "c": 1})
        self.assertEqual(await of_days(2, 6, 2), {})

    async def test_D16_what_is_kept_of_hours_follows_what_is_counted_there_later(self) -> None:
        async def count(hour: int, campaign: str) -> None:
            item = accepted(self.store.ids, at=DAY + hour * 3600)
            about = dataclasses.replace(item.message, campaign=campaign)
            await self.store.queue.accept(dataclasses.replace(item, message=about))

        async def of_hours(first: int, last: int) -> dict[str, int]:
            span = (DAY + first * 3600, DAY + last * 3600)
            found = await self.history.totals(None, *span, "campaign")
            by_provider = await self.history.totals(None, *span, "provider")
            accepted = [[sums["accepted"] for _, sums in rows] for rows in (found, by_provider)]
            self.assertEqual(sum(accepted[0]), sum(accepted[1]))
            return {name: sums["accepted"] for name, sums in found}

        for hour in (1, 9, 20, 30, 40, 100):
            await count(hour, "a")
        for first, last in ((5, 29), (14, 34), (20, 23)):
            await of_hours(first, last)
        for hour in (3, 7, 16, 22, 28, 33):
            await count(hour, "b")
        self.assertEqual(await of_hours(5, 29), {"a": 2, "b": 4})
        self.assertEqual(await of_hours(14, 34), {"a": 2, "b": 4})
        self.assertEqual(await of_hours(20, 23), {"a": 1, "b": 1})

    async def test_what_is_kept_of_sums_has_a_bound(self) -> None:
        self.patch(group_totals, "_MOST_KEPT", 9)
        for day in range(300):
            await self.accept(at=DAY + day * 86_400)
        for last in range(100):
            span = (DAY, DAY + (last + 1) * 86_400)
            ((_, sums),) = await self.history.totals(None, *span, "campaign")
            self.assertEqual(sums["accepted"], last + 1)
        self.assertEqual(len(self.history._sums._kept), 4)  # each with one group, and itself
