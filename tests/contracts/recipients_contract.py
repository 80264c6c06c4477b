"""What IRecipients, ISuppressions, IResponses and ICampaigns promise.

Each implementation's case sets queue, ids, history, the four ports, and two lists of one account.
"""

from __future__ import annotations

from dataclasses import replace

from smtpplus.ports import ICampaigns, IHistory, IQueue, IRecipients, IResponses, ISuppressions
from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.store.recipients import SqlRecipients
from smtpplus.store.store import Store
from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.errors import NotFoundError, UsageError
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Accepted, DeliveryState, EventType, Settlement
from smtpplus.values.options import Options
from smtpplus.values.outcome import Outcome, Result, Stage
from smtpplus.values.response import Response, ResponseKind
from smtpplus.values.status_codes import EnhancedCode
from smtpplus.values.submission import Stream
from tests.store.samples import NOW, TO_BOB, TO_ZOE, StoreCase, accepted, delivery_of, settlement

OPENED, CLICKED, UNSUBSCRIBED, RESUBSCRIBED = ResponseKind
BOB = "bob@example.net"
HOUR = NOW - NOW % 3_600
UNKNOWN_USER, FULL, POLICY = "5.1.1", "5.2.2", "5.7.1"


def bounce(item: Accepted, status: str, at: float = NOW + 1, index: int = 0) -> Settlement:
    """The remote said no."""
    code = EnhancedCode.parse(status)
    assert code is not None
    said = Outcome(Result.BOUNCED, Stage.RCPT, code, f"550 {status} <Bob@Example.net> no")
    return replace(settlement(delivery_of(item, index), DeliveryState.BOUNCED, at=at), outcome=said)


def answer(item: Accepted, kind: ResponseKind, at: float = NOW + 60, **more: object) -> Response:
    """What the first recipient of `item` did."""
    about = item.message
    values = {"account_id": about.account_id, "list_id": about.list_id, **more}
    return Response(kind, at, message_id=about.id, delivery_id=item.deliveries[0].id, **values)  # type: ignore[arg-type]


class RecipientsContract(StoreCase):
    """The tests."""

    queue: IQueue
    recipients: IRecipients
    suppressions: ISuppressions
    responses: IResponses
    campaigns: ICampaigns
    history: IHistory
    ids: IdSource
    account: int
    mails: int  # two lists
    news: int

    async def use(self, store: Store) -> None:
        """An account with two lists in `store`."""
        self.queue, self.ids, self.history = store.queue, store.ids, store.history
        self.recipients, self.suppressions = store.recipients, store.suppressions
        self.responses, self.campaigns = store.responses, store.campaigns
        self.account = (await store.accounts.add_account("acme", NOW)).id
        one = await store.accounts.add_list("acme", "one", Stream.SUBSCRIBED, NOW)
        two = await store.accounts.add_list("acme", "two", Stream.SUBSCRIBED, NOW)
        self.mails, self.news = one.id, two.id

    def make(self, *to: EnvelopeRecipient, **options: object) -> Accepted:
        """A message of the first list."""
        campaign = str(options.pop("campaign", "code:orders"))
        name = str(options.pop("name", ""))
        item = accepted(self.ids, *to, leased=True, **options)  # type: ignore[arg-type]
        values = {"account_id": self.account, "list_id": self.mails, "campaign": campaign}
        values["campaign_name"] = name
        return replace(item, message=replace(item.message, **values))  # type: ignore[arg-type]

    async def send(self, *to: EnvelopeRecipient, **options: object) -> Accepted:
        """Accepted, and delivered."""
        item = self.make(*to, **options)
        await self.queue.accept(item)
        count = len(item.deliveries)
        await self.queue.settle([settlement(delivery_of(item, n)) for n in range(count)])
        return item

    async def fail_with(self, status: str, **options: object) -> Accepted:
        """Accepted, and refused by the remote."""
        item = self.make(**options)
        await self.queue.accept(item)
        await self.queue.settle([bounce(item, status)])
        return item

    async def totals(self, by: str = "list", hours: int = 0) -> dict[str, int]:
        """All counters; asked for so many `hours` more before and behind."""
        found: dict[str, int] = {}
        more = hours * 3_600
        for _, sums in await self.history.totals(None, HOUR - more, HOUR + 7_200 + more, by):
            for metric, n in sums.items():
                found[metric] = found.get(metric, 0) + n
        return found

    async def holds(self, key: str = BOB) -> list[tuple[Reason, Scope, int | None]]:
        """What stands for an address; the filter must not deny it."""
        found = (await self.suppressions.of(self.account, [key, "nobody@example.org"])).get(key, ())
        if found:
            self.assertTrue(self.suppressions.may_hold(self.account, key))
        return [(one.reason, one.scope, one.list_id) for one in found]

    # ------------------------------------------------ recipients

    async def test_the_first_mail_makes_a_recipient(self) -> None:
        item = self.make(TO_BOB, TO_ZOE)
        new = replace(item.deliveries[0], name="Bob", fields={"first": "Bob"})
        await self.queue.accept(replace(item, deliveries=(new, item.deliveries[1])))
        (bob,) = await self.recipients.recipient(self.account, "bob@EXAMPLE.net")
        self.assertEqual((bob.address, bob.name), ("Bob@Example.net", "Bob"))
        self.assertEqual(dict(bob.fields), {"first": "Bob"})
        self.assertEqual((bob.first_mail_at, bob.last_mail_at), (NOW, NOW))
        self.assertEqual((bob.mails, bob.delivered, bob.last_delivery_at), (1, 0, None))
        await self.send(TO_BOB, at=NOW + 10)
        (bob,) = await self.recipients.recipient(None, BOB)
        self.assertEqual((bob.first_mail_at, bob.last_mail_at), (NOW, NOW + 10))
        self.assertEqual((bob.mails, bob.delivered, bob.last_delivery_at), (2, 1, NOW + 1))
        self.assertEqual((bob.name, dict(bob.fields)), ("Bob", {"first": "Bob"}))
        self.assertEqual(await self.recipients.recipient(self.account + 1, BOB), [])

    async def test_a_report_makes_no_recipient_and_counts_at_none(self) -> None:
        await self.send(sender=None)
        self.assertEqual(await self.recipients.recipient(None, BOB), [])
        await self.fail_with(UNKNOWN_USER, sender=None)
        self.assertEqual(await self.holds(), [])

    async def test_who_is_withheld_is_no_recipient(self) -> None:
        item = self.make()
        new = replace(item.deliveries[0], withheld="suppressed")
        await self.queue.accept(replace(item, deliveries=(new,)))
        self.assertEqual(await self.recipients.recipient(None, BOB), [])

    async def test_many_mails_to_one_recipient_at_once(self) -> None:
        items = [self.make(TO_BOB, TO_BOB) for _ in range(20)]
        answers = [self.queue.accept(item) for item in items]
        for one in answers:
            await one
        await self.queue.settle(
            [settlement(delivery_of(item, n)) for item in items for n in (0, 1)]
        )
        (bob,) = await self.recipients.recipient(None, BOB)
        self.assertEqual((bob.mails, bob.delivered), (40, 40))

    async def test_recipients_are_listed_and_found(self) -> None:
        await self.send(TO_BOB)
        await self.send(TO_ZOE)
        listed = await self.recipients.recipients(self.account, "", None, 9)
        self.assertEqual([row.address for row in listed], ["zoë@bücher.example", "Bob@Example.net"])
        for word, expected in (
            ("EXAMPLE.net", ["Bob@Example.net"]),
            ("bob@example.net", ["Bob@Example.net"]),
            ("_%", []),
        ):
            found = await self.recipients.recipients(None, word, None, 9)
            self.assertEqual([row.address for row in found], expected, word)
        rest = await self.recipients.recipients(None, "", listed[0].id, 9)
        self.assertEqual([row.id for row in rest], [listed[1].id])
        self.assertEqual(await self.recipients.recipients(self.account + 1, "", None, 9), [])

    async def test_a_part_is_looked_for_in_so_many_recipients_at_a_time(self) -> None:
        for number in range(5):
            await self.send(EnvelopeRecipient(Address(f"one{number}", "example.net")))
        assert isinstance(self.recipients, SqlRecipients)
        self.recipients.looked_through = 2
        seen: list[list[str]] = []
        before = None
        while True:
            down_to = await self.recipients.reach(self.account, "ONE", before)
            rows = await self.recipients.recipients(self.account, "ONE", before, 9, down_to)
            seen.append([row.address.partition("@")[0] for row in rows])
            if down_to is None:
                break
            before = down_to
        self.assertEqual(seen, [["one4", "one3"], ["one2", "one1"], ["one0"]])
        self.assertIsNotNone(await self.recipients.reach(None, "one", None))
        for search in ("", "one0@example.net"):
            self.assertIsNone(await self.recipients.reach(None, search, None), search)
        for account in (None, self.account):
            found = await self.recipients.recipients(account, "ONE0@example.net", None, 9)
            self.assertEqual([row.address for row in found], ["one0@example.net"])

    async def test_its_mails_are_shown_with_what_happened(self) -> None:
        first = await self.send()
        second = await self.send(subject="again", at=NOW + 5)
        rows = await self.recipients.mails(self.account, BOB, None, 9)
        self.assertEqual([row.message_id for row in rows], [second.message.id, first.message.id])
        self.assertEqual(rows[0].subject, "again")
        self.assertEqual([one.type for one in rows[1].events], [EventType.DELIVERED])

    # ------------------------------------------------ bounces

    async def test_P7_the_first_hard_bounce_suppresses_in_all_lists(self) -> None:
        self.assertEqual(await self.holds(), [])
        await self.fail_with(UNKNOWN_USER)
        self.assertEqual(await self.holds(), [(Reason.HARD_BOUNCE, Scope.ACCOUNT, None)])
        (row,) = await self.suppressions.listed(self.account, "", None, 9)
        self.assertIn("5.1.1", row.suppression.detail)
        await self.fail_with(UNKNOWN_USER)
        self.assertEqual(len(await self.suppressions.listed(None, BOB, None, 9)), 1)
        (bob,) = await self.recipients.recipient(None, BOB)
        self.assertEqual((bob.bounced, len(bob.suppressions)), (2, 1))

    async def test_P7_ten_soft_failures_in_a_row_suppress(self) -> None:
        for _ in range(9):
            await self.fail_with("5.2.1")
        await self.send()
        for _ in range(9):
            await self.fail_with("5.2.1")
        self.assertEqual(await self.holds(), [])
        await self.fail_with(POLICY)  # says nothing about the address
        items = [self.make() for _ in range(2)]
        for item in items:
            await self.queue.accept(item)
        await self.queue.settle([bounce(items[0], "5.2.1"), bounce(items[1], "5.2.1")])
        self.assertEqual(await self.holds(), [(Reason.REPEATED_SOFT_BOUNCE, Scope.ACCOUNT, None)])

    async def test_P7_more_than_thirty_full_mailboxes_suppress(self) -> None:
        items = [self.make() for _ in range(31)]
        for item in items:
            await self.queue.accept(item)
        await self.queue.settle([bounce(item, FULL) for item in items[:30]])
        self.assertEqual(await self.holds(), [])
        await self.queue.settle([bounce(items[0], FULL)])  # repeated: it changes nothing
        self.assertEqual(await self.holds(), [])
        await self.queue.settle([bounce(items[30], FULL)])
        self.assertEqual(await self.holds(), [(Reason.REPEATED_SOFT_BOUNCE, Scope.ACCOUNT, None)])

    async def test_what_is_said_to_all_is_said_to_the_only_recipient(self) -> None:
        said = Options(fields={"city": "Rome", "first": "friend"})

        async def mail(*to: EnvelopeRecipient) -> list[dict[str, str]]:
            item = self.make(*to)
            first = replace(item.deliveries[0], fields={"first": "Bob"})
            await self.queue.accept(
                replace(
                    item,
                    message=replace(item.message, options=said),
                    deliveries=(first, *item.deliveries[1:]),
                )
            )
            found = [await self.recipients.recipient(None, str(one.address)) for one in to]
            return [dict(rows[0].fields) for rows in found]

        self.assertEqual(await mail(TO_BOB, TO_ZOE), [{"first": "Bob"}, {}])
        self.assertEqual(await mail(TO_BOB), [{"city": "Rome", "first": "Bob"}])

    # ------------------------------------------------ suppressions

    async def test_suppressions_are_set_and_lifted_and_stay_on_record(self) -> None:
        manual = Suppression(Scope.LIST, Reason.MANUAL, NOW, list_id=self.mails, detail="asked")
        row = await self.suppressions.add(self.account, "Bob@Example.net", manual, "someone")
        again = await self.suppressions.add(self.account, BOB, manual, "someone else")
        self.assertEqual((again.id, row.list_name), (row.id, "one"))
        other = Suppression(Scope.ACCOUNT, Reason.COMPLAINT, NOW)
        await self.suppressions.add(self.account, BOB, other, "")
        self.assertEqual(
            set(await self.holds()),
            {(Reason.MANUAL, Scope.LIST, self.mails), (Reason.COMPLAINT, Scope.ACCOUNT, None)},
        )
        lift = self.suppressions.lift
        self.assertEqual(await lift(self.account + 1, BOB, None, None, NOW, "x"), 0)
        self.assertEqual(await lift(None, BOB, None, Reason.HARD_BOUNCE, NOW, "x"), 0)
        self.assertEqual(await lift(None, BOB, self.mails, None, NOW + 5, "x"), 1)
        self.assertEqual(await self.holds(), [(Reason.COMPLAINT, Scope.ACCOUNT, None)])
        self.assertEqual(await lift(self.account, BOB, None, None, NOW + 6, "y"), 1)
        self.assertEqual(await self.holds(), [])
        listed = await self.suppressions.listed(self.account, "BOB", None, 9)
        self.assertEqual(
            [(one.lifted_by, one.suppression.lifted_at) for one in listed],
            [("y", NOW + 6), ("x", NOW + 5)],
        )
        self.assertEqual(await self.suppressions.listed(None, "", None, 9, standing_at=NOW + 9), [])
        fresh = await self.suppressions.add(self.account, BOB, manual, "someone")
        self.assertNotEqual(fresh.id, row.id)

    async def test_an_operators_bypass_stands_beside_and_is_lifted_by_its_name(self) -> None:
        hard = Suppression(Scope.ACCOUNT, Reason.HARD_BOUNCE, NOW)
        bypass = Suppression(Scope.LIST, Reason.BYPASS, NOW + 1, list_id=self.mails)
        await self.suppressions.add(self.account, BOB, hard, "")
        row = await self.suppressions.add(self.account, BOB, bypass, "op@example.com")
        self.assertEqual((row.set_by, row.suppression.reason), ("op@example.com", Reason.BYPASS))
        both = {
            (Reason.HARD_BOUNCE, Scope.ACCOUNT, None),
            (Reason.BYPASS, Scope.LIST, self.mails),
        }
        self.assertEqual(set(await self.holds()), both)
        lift = self.suppressions.lift
        self.assertEqual(await lift(None, BOB, self.mails, None, NOW + 2, "x"), 0)
        self.assertEqual(await lift(None, BOB, None, None, NOW + 2, "x"), 1)
        self.assertEqual(await self.holds(), [(Reason.BYPASS, Scope.LIST, self.mails)])
        self.assertTrue(self.suppressions.may_hold(self.account, BOB))
        self.assertEqual(await lift(None, BOB, None, Reason.BYPASS, NOW + 3, "y"), 1)
        self.assertEqual(await self.holds(), [])

    async def test_an_erased_address_has_no_bypass_any_more(self) -> None:
        await self.fail_with(UNKNOWN_USER)
        bypass = Suppression(Scope.ACCOUNT, Reason.BYPASS, NOW + 1)
        await self.suppressions.add(self.account, BOB, bypass, "op@example.com")
        await self.recipients.erase(self.account, BOB, NOW + 99, "me")
        self.assertEqual(await self.holds(), [(Reason.HARD_BOUNCE, Scope.ACCOUNT, None)])

    async def test_an_expired_suppression_can_be_set_again(self) -> None:
        brief = Suppression(Scope.ACCOUNT, Reason.MANUAL, NOW - 60, expires_at=NOW - 30)
        first = await self.suppressions.add(self.account, BOB, brief, "")
        second = await self.suppressions.add(self.account, BOB, replace(brief, expires_at=None), "")
        self.assertNotEqual(first.id, second.id)

    async def test_P7_what_is_to_hold_longer_stands_beside_what_ends_sooner(self) -> None:
        day = 86_400.0
        brief = Suppression(Scope.ACCOUNT, Reason.MANUAL, NOW, expires_at=NOW + day)
        rows = [
            await self.suppressions.add(self.account, BOB, replace(brief, expires_at=at), "")
            for at in (NOW + day, NOW + day, None, NOW + 2 * day, None)
        ]
        first, second = rows[0].id, rows[2].id
        self.assertEqual([row.id for row in rows], [first, first, second, second, second])
        self.assertIsNone(rows[-1].suppression.expires_at)
        self.assertEqual(await self.suppressions.lift(None, BOB, None, None, NOW + 5, "x"), 2)
        self.assertEqual(await self.holds(), [])

    async def test_P7_a_bypass_that_a_complaint_came_after_can_be_set_again(self) -> None:
        bypass = Suppression(Scope.ACCOUNT, Reason.BYPASS, NOW)
        first = await self.suppressions.add(self.account, BOB, bypass, "op@example.com")
        complaint = Suppression(Scope.ACCOUNT, Reason.COMPLAINT, NOW + 5)
        await self.suppressions.add(self.account, BOB, complaint, "")
        again = replace(bypass, since=NOW + 9)
        second = await self.suppressions.add(self.account, BOB, again, "op@example.com")
        self.assertNotEqual(first.id, second.id)
        third = await self.suppressions.add(self.account, BOB, replace(again, since=NOW + 10), "op")
        self.assertEqual(second.id, third.id)

    async def test_what_is_no_address_is_refused(self) -> None:
        manual = Suppression(Scope.ACCOUNT, Reason.MANUAL, NOW)
        with self.assertRaisesRegex(UsageError, "no mail address"):
            await self.suppressions.add(self.account, "bob", manual, "")
        astray = replace(manual, scope=Scope.LIST)
        with self.assertRaises(UsageError):
            await self.suppressions.add(self.account, BOB, astray, "")

    async def test_suppressions_are_listed_by_what_is_asked(self) -> None:
        for address, reason in (("a@x.example", Reason.MANUAL), ("b@x.example", Reason.COMPLAINT)):
            await self.suppressions.add(
                self.account, address, Suppression(Scope.ACCOUNT, reason, NOW), ""
            )
        for options, expected in (
            ({}, ["b@x.example", "a@x.example"]),
            ({"reason": Reason.MANUAL}, ["a@x.example"]),
            ({"list_id": self.mails}, []),
            ({"standing_at": NOW}, ["b@x.example", "a@x.example"]),
        ):
            found = await self.suppressions.listed(None, "x.ex", None, 9, **options)
            self.assertEqual([row.address for row in found], expected, options)
        (last,) = await self.suppressions.listed(None, "", found[0].id, 9)
        self.assertEqual(last.address, "a@x.example")

    # ------------------------------------------------ opens and clicks

    async def test_opens_and_clicks_are_counted_at_message_and_recipient(self) -> None:
        item = await self.send()
        await self.responses.record(
            [
                answer(item, OPENED, client_ip="192.0.2.4", agent="Mail"),
                answer(item, OPENED, at=NOW + 70),
                answer(item, OPENED, by="privacy_proxy"),
                answer(item, CLICKED, at=NOW + 80, target="https://a.example/", link=1),
                answer(item, CLICKED, target="https://a.example/", by="scanner"),
            ]
        )
        await self.responses.record([answer(item, OPENED, at=NOW + 90)])
        (bob,) = await self.recipients.recipient(None, BOB)
        self.assertEqual((bob.opens, bob.clicks), (3, 1))
        self.assertEqual((bob.last_open_at, bob.last_click_at), (NOW + 90, NOW + 80))
        expected = {
            "opened": 3,
            "opened once": 1,
            "opened privacy_proxy": 1,
            "clicked": 1,
            "clicked once": 1,
            "clicked scanner": 1,
        }
        for by in ("list", "campaign", "provider", "day"):
            for hours in (0, 10, 20, 40):
                totals = await self.totals(by, hours)
                self.assertEqual({name: totals.get(name) for name in expected}, expected)
        (links,) = await self.campaigns.links(self.mails, "code:orders", 9)
        self.assertEqual((links.target, links.persons, links.others), ("https://a.example/", 1, 1))
        events = await self.history.events(item.message.id, 99)
        opened = next(one for one in events if one.type is EventType.OPENED)
        self.assertEqual(opened.detail, {"by": "person", "ip": "192.0.2.4", "agent": "Mail"})
        self.assertEqual(opened.delivery_id, item.deliveries[0].id)

    async def test_W4_what_was_recorded_as_a_persons_is_corrected(self) -> None:
        item, other = await self.send(), await self.send()
        url = "https://a.example/"
        clicks = [
            answer(item, CLICKED, at=NOW + 70.25, target=url, link=1, client_ip="192.0.2.4"),
            answer(item, CLICKED, at=NOW + 71.5, target=url, link=2, agent="Firefox"),
            answer(item, CLICKED, at=NOW + 4_000, target=url, link=1),
            answer(other, CLICKED, at=NOW + 60, target=url, link=1),
        ]
        opened = answer(item, OPENED, at=NOW + 69)
        await self.responses.record([*clicks, opened])
        scanned = [replace(one, by="scanner") for one in (*clicks[:2], opened)]
        await self.responses.record([answer(item, CLICKED, by="scanner", target=url)], scanned)
        await self.responses.record([], scanned)  # told twice, corrected once
        expected = {"clicked": 2, "clicked once": 2, "clicked scanner": 3, "opened scanner": 1}
        for by in ("list", "campaign", "provider", "day"):
            totals = await self.totals(by, 2)
            found = {name: n for name, n in totals.items() if n and name.startswith(("cl", "op"))}
            self.assertEqual(found, expected)
        (bob,) = await self.recipients.recipient(None, BOB)
        self.assertEqual((bob.opens, bob.clicks), (0, 2))
        self.assertEqual((bob.last_open_at, bob.last_click_at), (None, NOW + 4_000))
        (links,) = await self.campaigns.links(self.mails, "code:orders", 9)
        self.assertEqual((links.persons, links.others), (2, 3))
        for hour in (HOUR, HOUR + 3_600):  # the first click of this mail is one of the next hour
            ((_, sums),) = await self.history.totals(None, hour, hour + 3_600, "list")
            self.assertEqual(sums["clicked once"], 1)

    async def test_what_is_only_counted_leaves_no_trace_at_the_recipient(self) -> None:
        item = await self.send()
        await self.responses.record([answer(item, OPENED, only_counted=True)])
        (bob,) = await self.recipients.recipient(None, BOB)
        self.assertEqual((bob.opens, bob.last_open_at), (0, None))
        totals = await self.totals()
        self.assertEqual((totals["opened"], totals["anonymous opens"]), (1, 1))
        self.assertNotIn("opened once", totals)
        await self.responses.record([answer(item, OPENED, by="scanner", only_counted=True)])
        self.assertEqual((await self.totals())["anonymous opens"], 1)
        events = await self.history.events(item.message.id, 99)
        self.assertNotIn(EventType.OPENED, [one.type for one in events])

    async def test_answers_to_other_messages_and_of_other_accounts_change_nothing(self) -> None:
        item = await self.send()
        before = await self.totals()
        stranger = self.make()
        await self.responses.record(
            [
                answer(stranger, OPENED),
                answer(item, OPENED, account_id=self.account + 1),
                replace(answer(item, CLICKED), message_id=stranger.message.id),
            ]
        )
        self.assertEqual(await self.totals(), before)
        with self.assertRaises(ValueError):
            await self.responses.record([answer(item, UNSUBSCRIBED)])

    # ------------------------------------------------ unsubscribing

    async def test_UN1_unsubscribing_holds_when_it_is_answered_and_counts_once(self) -> None:
        item = await self.send()
        gone = answer(item, UNSUBSCRIBED, reason="one-click")
        self.assertTrue(await self.responses.unsubscribe(gone))
        self.assertFalse(await self.responses.unsubscribe(gone))
        self.assertEqual(await self.holds(), [(Reason.UNSUBSCRIBE, Scope.LIST, self.mails)])
        self.assertEqual((await self.totals())["unsubscribed"], 1)
        (bob,) = await self.recipients.recipient(None, BOB)
        (state,) = bob.subscriptions
        self.assertEqual(
            (state.list_name, state.is_active, state.since, state.reason),
            ("one", False, NOW + 60, "one-click"),
        )

    async def test_an_undo_lifts_what_the_unsubscribe_had_set(self) -> None:
        item = await self.send()
        manual = Suppression(Scope.LIST, Reason.MANUAL, NOW, list_id=self.mails)
        await self.suppressions.add(self.account, BOB, manual, "")
        back = answer(item, RESUBSCRIBED, at=NOW + 70)
        self.assertFalse(await self.responses.resubscribe(back))
        await self.responses.unsubscribe(answer(item, UNSUBSCRIBED))
        self.assertTrue(await self.responses.resubscribe(back))
        self.assertFalse(await self.responses.resubscribe(back))
        self.assertEqual(await self.holds(), [(Reason.MANUAL, Scope.LIST, self.mails)])
        (bob,) = await self.recipients.recipient(None, BOB)
        self.assertEqual(
            [(one.is_active, one.since) for one in bob.subscriptions], [(True, NOW + 70)]
        )
        self.assertTrue(await self.responses.unsubscribe(answer(item, UNSUBSCRIBED, at=NOW + 80)))
        totals = await self.totals()
        self.assertEqual((totals["unsubscribed"], totals["resubscribed"]), (2, 1))

    async def test_another_list_of_the_account_can_be_left_too(self) -> None:
        item = await self.send()
        other = answer(item, UNSUBSCRIBED, list_id=self.news)
        self.assertTrue(await self.responses.unsubscribe(other))
        self.assertEqual(await self.holds(), [(Reason.UNSUBSCRIBE, Scope.LIST, self.news)])
        (bob,) = await self.recipients.recipient(None, BOB)
        found = {one.list_id: one.is_active for one in bob.subscriptions}
        self.assertEqual(found, {self.mails: True, self.news: False})

    async def test_an_unsubscribe_of_nothing_known_says_so(self) -> None:
        item = await self.send()
        for wrong in (
            answer(self.make(), UNSUBSCRIBED),
            answer(item, UNSUBSCRIBED, account_id=self.account + 1),
            answer(item, UNSUBSCRIBED, list_id=99_999),
        ):
            with self.assertRaises(NotFoundError):
                await self.responses.unsubscribe(wrong)
            with self.assertRaises(NotFoundError):
                await self.responses.resubscribe(wrong)
        self.assertEqual(await self.holds(), [])

    async def test_lifting_an_unsubscribe_takes_the_subscriptions_end_with_it(self) -> None:
        item = await self.send()
        await self.responses.unsubscribe(answer(item, UNSUBSCRIBED))
        lifted = await self.suppressions.lift(
            self.account, BOB, self.mails, Reason.UNSUBSCRIBE, NOW + 99, "somebody"
        )
        self.assertEqual(lifted, 1)
        (bob,) = await self.recipients.recipient(None, BOB)
        self.assertTrue(bob.subscriptions[0].is_active)
        left = Suppression(Scope.LIST, Reason.UNSUBSCRIBE, NOW + 100, list_id=self.mails)
        await self.suppressions.add(self.account, BOB, left, "somebody")
        (bob,) = await self.recipients.recipient(None, BOB)
        self.assertFalse(bob.subscriptions[0].is_active)

    async def test_what_a_token_names(self) -> None:
        waiting = self.make(TO_BOB, TO_ZOE)
        await self.queue.accept(waiting)
        sent = await self.send()
        first, second = (new.id for new in waiting.deliveries)
        done = sent.deliveries[0].id
        self.assertEqual(
            await self.responses.delivery(waiting.message.id, second),
            ("zoë@bücher.example", "one", 0.0),
        )
        self.assertEqual(
            await self.responses.delivery(sent.message.id, done),
            ("Bob@Example.net", "one", NOW + 1),
        )
        self.assertIsNone(await self.responses.delivery(sent.message.id, first))
        self.assertEqual(dict(await self.responses.delivered_at([first, done, 7])), {done: NOW + 1})

    # ------------------------------------------------ campaigns

    async def test_campaigns_are_made_named_merged_and_counted(self) -> None:
        await self.send(campaign="subject:a")
        await self.send(TO_BOB, TO_ZOE, campaign="subject:b", at=NOW + 3_600)
        await self.send(campaign="", at=NOW + 3_600)
        rows = await self.campaigns.campaigns(self.account, "", 0, 9)
        self.assertEqual([row.key for row in rows], ["subject:b", "subject:a"])
        self.assertEqual((rows[0].list_name, rows[0].first_at), ("one", NOW + 3_600))
        self.assertEqual(rows[0].totals, {"accepted": 2, "messages": 1, "delivered": 2})
        await self.campaigns.rename(self.account, self.mails, "subject:b", "Bills")
        await self.send(campaign="subject:b", at=NOW + 3_700)
        (other,) = await self.campaigns.others(self.mails, "subject:a", 9)
        self.assertEqual((other.key, other.name), ("subject:b", "Bills"))
        self.assertEqual(await self.campaigns.others(self.mails + 1, "subject:a", 9), [])
        merged = await self.campaigns.merge(None, self.mails, "subject:a", "subject:b")
        self.assertEqual(await self.campaigns.others(self.mails, "subject:b", 9), [])
        self.assertEqual((merged.name, merged.totals["delivered"]), ("Bills", 4))
        (row,) = await self.campaigns.campaigns(None, "bill", 0, 9)
        self.assertEqual(row, merged)
        (part,) = await self.campaigns.merged(self.mails, "subject:b")
        self.assertEqual((part.key, part.merged_into), ("subject:a", "subject:b"))
        by_name = dict(await self.history.totals(None, HOUR, HOUR + 9_000, "campaign"))
        self.assertEqual(by_name["Bills"]["delivered"], 4)
        self.assertEqual(by_name["(none)"]["delivered"], 1)
        series = await self.campaigns.series(self.mails, "subject:b", HOUR, HOUR + 7_200, 3_600)
        self.assertEqual(series["accepted"], [1, 3])
        await self.campaigns.merge(None, self.mails, "subject:a", "")
        self.assertEqual(len(await self.campaigns.campaigns(None, "", 0, 9)), 2)
        found = await self.campaigns.campaign(self.account, self.mails, "subject:a")
        assert found is not None
        self.assertEqual((found.merged_into, found.totals["delivered"]), ("", 1))
        self.assertEqual(len(await self.campaigns.campaigns(None, "", 1, 9)), 1)

    async def test_a_code_takes_a_later_name_and_a_persons_name_stays(self) -> None:
        async def names() -> dict[str, str]:
            rows = await self.campaigns.campaigns(None, "", 0, 9)
            return {row.key: row.name for row in rows}

        for key, code in (("code:inv", "inv"), ("tag:inv", "inv"), ("subject:inv", "inv")):
            await self.send(campaign=key, name=code)
            await self.send(campaign=key, name="Invoices")
        found = {"code:inv": "Invoices", "tag:inv": "Invoices", "subject:inv": "inv"}
        self.assertEqual(await names(), found)
        for name in ("inv", "Other"):
            await self.send(campaign="code:inv", name=name, at=NOW + 7_200)
        self.assertEqual(await names(), found)
        await self.send(campaign="code:x", name="x")
        await self.campaigns.rename(None, self.mails, "code:x", "Mine")
        await self.send(campaign="code:x", name="Theirs", at=NOW + 7_200)
        self.assertEqual((await names())["code:x"], "Mine")

    async def test_the_last_mail_is_known_to_the_minute_and_counts_what_was_merged(self) -> None:
        async def order() -> list[tuple[str, float]]:
            rows = await self.campaigns.campaigns(None, "", 0, 99)
            one_by_one = [
                row
                for skip in range(len(rows) + 1)
                for row in await self.campaigns.campaigns(None, "", skip, 1)
            ]
            self.assertEqual(one_by_one, rows)
            self.assertEqual(await self.campaigns.campaigns(None, "", 1, 2), rows[1:3])
            return [(row.key, row.last_at - begin) for row in rows]

        begin = NOW - NOW % 3_600
        for place, key in enumerate("abcdef"):
            await self.send(campaign=key, at=begin + place)
        for key, at in (("a", 60), ("b", 120), ("a", 179)):
            await self.send(campaign=key, at=begin + at)
        found = [("a", 179.0), ("b", 120.0), ("f", 5.0), ("e", 4.0), ("d", 3.0), ("c", 2.0)]
        self.assertEqual(await order(), found)
        for key, into in (("a", "c"), ("b", "d")):
            await self.campaigns.merge(None, self.mails, key, into)
        found = [("c", 179.0), ("d", 120.0), ("f", 5.0), ("e", 4.0)]
        self.assertEqual(await order(), found)
        for key, at in (("b", 240), ("e", 200)):
            await self.send(campaign=key, at=begin + at)
        self.assertEqual(await order(), [("d", 240.0), ("e", 200.0), ("c", 179.0), ("f", 5.0)])
        shown = await self.campaigns.campaign(None, self.mails, "d")
        assert shown is not None
        self.assertEqual((shown.first_at, shown.last_at), (begin + 1, begin + 240))
        await self.campaigns.merge(None, self.mails, "b", "")
        self.assertEqual((await order())[-1], ("d", 3.0))

    async def test_merges_follow_each_other_and_make_no_circle(self) -> None:
        for key in ("a", "b", "c"):
            await self.send(campaign=key)
        merge = self.campaigns.merge
        await merge(self.account, self.mails, "a", "b")
        await merge(self.account, self.mails, "b", "c")
        row = await self.campaigns.campaign(None, self.mails, "a")
        assert row is not None
        self.assertEqual(row.merged_into, "c")
        for into in ("a", "b", "c"):
            with self.assertRaises(UsageError):
                await merge(self.account, self.mails, "c", into)
        with self.assertRaises(NotFoundError):
            await merge(self.account, self.mails, "c", "d")
        with self.assertRaises(NotFoundError):
            await merge(self.account + 1, self.mails, "a", "")
        with self.assertRaises(UsageError):
            await self.campaigns.rename(self.account, self.mails, "a", " ")

    async def test_counters_know_the_provider(self) -> None:
        item = self.make()
        await self.queue.accept(item)
        done = settlement(delivery_of(item))
        assert done.attempt is not None
        tried = replace(done.attempt, host="gmail-smtp-in.l.google.com")
        await self.queue.settle([replace(done, attempt=tried)])
        await self.responses.record([answer(item, OPENED)])
        found = dict(await self.history.totals(None, HOUR, HOUR + 7_200, "provider"))
        self.assertEqual(found["google"], {"delivered": 1, "opened": 1, "opened once": 1})
        self.assertEqual(found["(none)"], {"accepted": 1, "messages": 1})

    # ------------------------------------------------ erasing

    async def test_an_erased_address_is_unreadable_and_stays_suppressed(self) -> None:
        address = EnvelopeRecipient(Address("Bob", "Example.net"))
        item = await self.send(address, TO_ZOE)
        await self.responses.record([answer(item, OPENED, client_ip="192.0.2.4", agent="Mail")])
        await self.fail_with(UNKNOWN_USER)
        waiting = self.make()
        await self.queue.accept(waiting)
        before = await self.totals()
        self.assertEqual(await self.recipients.erase(self.account, BOB, NOW + 99, "me"), 1)
        self.assertEqual(await self.recipients.erase(self.account, BOB, NOW + 99, "me"), 0)
        self.assertEqual(await self.recipients.recipient(None, BOB), [])
        self.assertEqual(await self.recipients.mails(None, BOB, None, 9), [])
        self.assertEqual(await self.holds(), [(Reason.HARD_BOUNCE, Scope.ACCOUNT, None)])
        (row,) = await self.suppressions.listed(None, "", None, 9)
        self.assertEqual((row.address, row.suppression.detail), ("", ""))
        for message_id in (item.message.id, waiting.message.id):
            told = [
                *await self.history.deliveries(message_id),
                *await self.history.attempts(message_id, 99),
                *await self.history.events(message_id, 99),
                await self.history.message(None, message_id),
            ]
            self.assertNotIn(BOB, str(told).lower())
            self.assertNotIn("192.0.2.4", str([one for one in told if hasattr(one, "detail")]))
        self.assertEqual(await self.history.messages(None, BOB, None, None, None, 9), [])
        self.assertEqual(await self.queue.claim(NOW + 1e6, 9, ()), ())
        self.assertEqual((await self.totals())["opened"], before["opened"])
        self.assertIsNone(await self.responses.delivery(item.message.id, item.deliveries[0].id))
        self.assertTrue(await self.responses.unsubscribe(answer(item, UNSUBSCRIBED)))
        self.assertEqual(len(await self.holds()), 2)
        (zoe,) = await self.recipients.recipient(None, "zoë@bücher.example")
        self.assertEqual(zoe.delivered, 1)
