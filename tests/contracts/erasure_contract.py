"""Erasing an address: nothing tells of the person any more, the numbers stay (D16)."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, cast

from sqlalchemy import Connection, delete, event, func, select

from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.store import erasure
from smtpplus.store.commits import Transaction
from smtpplus.store.erasure import accounts_of
from smtpplus.store.schema import campaign, counter_campaign, delivery, message
from smtpplus.store.store import Store
from smtpplus.store.transactions import Transactions
from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.message import Accepted
from smtpplus.values.options import NOTHING_SAID, Options
from smtpplus.values.response import Response, ResponseKind
from smtpplus.values.submission import Stream
from tests.store.samples import NOW, TO_ZOE, StoreCase, accepted, delivery_of, settlement

_HOUR = NOW - NOW % 3_600
_ADDRESS = "bob.quux@b\u00fccher.example"
_BOB = EnvelopeRecipient(Address("Bob.Quux", "b\u00fccher.example"))
_OTHER = EnvelopeRecipient(Address("xBob.Quux", "b\u00fccher.example"))
_BY_CODE = "code:for-bob.quux@xn--bcher-kva.example"
_SHOP = "https://shop.example"


@contextlib.contextmanager
def statements(connection: Connection) -> Iterator[list[str]]:
    """What is asked of the database meanwhile."""
    said: list[str] = []

    def note(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        said.append(sql)

    event.listen(connection, "before_cursor_execute", note)
    yield said
    event.remove(connection, "before_cursor_execute", note)


class _Steps:
    """A store's transactions; `step` is called after each that has written."""

    def __init__(self, store: Store, step: Callable[[], Awaitable[None]]) -> None:
        self._transactions = store._transactions
        self._step = step

    def read(self, work: Callable[[Connection], Any]) -> Any:
        return self._transactions.read(work)

    async def write(self, work: Callable[[Transaction], Any]) -> Any:
        done = await self._transactions.write(work)
        await self._step()
        return done


class _CrashError(Exception):
    pass


class ErasureContract(StoreCase):
    async def use(self, store: Store) -> None:
        """An account with a list in `store`."""
        self.store = store
        self.account = (await store.accounts.add_account("acme", NOW)).id
        self.mails = (await store.accounts.add_list("acme", "one", Stream.SUBSCRIBED, NOW)).id

    def make(
        self,
        *to: EnvelopeRecipient,
        subject: str,
        campaign: str,
        options: Options = NOTHING_SAID,
        name: str = "",
    ) -> Accepted:
        """A message; Bob's name is Bob Quux."""
        item = accepted(self.store.ids, *to, leased=True)
        message = replace(
            item.message,
            account_id=self.account,
            list_id=self.mails,
            subject=subject,
            campaign=campaign,
            campaign_name=name,
            options=options,
        )
        named = [
            replace(one, name="Bob Quux") if one.recipient == _BOB else one
            for one in item.deliveries
        ]
        return replace(item, message=message, deliveries=tuple(named))

    async def send(self, item: Accepted) -> Accepted:
        """Accepted, and delivered."""
        await self.store.queue.accept(item)
        count = len(item.deliveries)
        await self.store.queue.settle([settlement(delivery_of(item, n)) for n in range(count)])
        return item

    async def click(self, item: Accepted, target: str, place: int = 0) -> None:
        """The recipient follows a link."""
        about = item.message
        click = Response(
            ResponseKind.CLICKED,
            NOW + 60,
            about.account_id,
            about.list_id,
            about.id,
            item.deliveries[place].id,
            target=target,
            client_ip="192.0.2.7",
        )
        await self.store.responses.record([click])

    async def erase(self, address: str = _ADDRESS) -> int:
        """In how many accounts it was known."""
        return await self.store.recipients.erase(self.account, address, NOW + 99, "me")

    async def totals(self) -> dict[str, int]:
        """Sums by campaign, all together."""
        found: dict[str, int] = {}
        rows = await self.store.history.totals(None, _HOUR, _HOUR + 7_200, "campaign")
        for metric, n in [one for _, sums in rows for one in sums.items()]:
            found[metric] = found.get(metric, 0) + n
        return found

    async def told(self, *items: Accepted) -> str:
        """All that pages would show of these messages and of campaigns."""
        history, campaigns = self.store.history, self.store.campaigns
        rows = await campaigns.campaigns(None, "", 0, 99)
        found: list[object] = [*rows, *await history.totals(None, _HOUR, _HOUR + 7_200, "campaign")]
        for row in rows:
            found += await campaigns.links(row.list_id, row.key, 99)
        for message_id in [item.message.id for item in items]:
            found.append(await history.message(None, message_id))
            found += await history.deliveries(message_id)
            found += await history.attempts(message_id, 99)
            found += await history.events(message_id, 99)
        return str(found).lower()

    async def test_D16_only_numbers_are_left(self) -> None:
        make, send = self.make, self.send
        said = Options(metadata={"who": "Quux"})
        alone = await send(make(_BOB, subject="Hi Quux", campaign="subject:Hi Quux", options=said))
        twice = await send(make(_BOB, _BOB, subject="Two of Quux", campaign="subject:Two of Quux"))
        coded = await send(make(_BOB, subject="For you", campaign=_BY_CODE))
        zoes = await send(make(TO_ZOE, subject="For you", campaign=_BY_CODE))
        both = await send(make(_BOB, _OTHER, subject="Party of bob quux", campaign="subject:Party"))
        note = "New order of Bob.Quux@b\u00fccher.example"
        noted = await send(make(TO_ZOE, subject=note, campaign=f"subject:{note}"))
        await send(make(_BOB, subject="Yours", campaign="code:orders", name="Orders"))
        own = f"{_SHOP}/?m%3Dbob.quux%40b%C3%BCcher.example"
        await self.click(alone, own)
        await self.click(both, f"{_SHOP}/only")
        for place in (0, 1):
            await self.click(both, f"{_SHOP}/all", place)
        before = await self.totals()
        items = (alone, twice, coded, both)
        self.assertIn("quux", await self.told())
        self.assertEqual((await self.erase(), await self.erase()), (1, 0))
        self.assertEqual(await self.totals(), before)
        await self.click(alone, own)  # an old mail is opened again
        text = await self.told(*items, zoes, noted)
        self.assertEqual(text.count("xbob.quux@b\u00fccher.example"), 1)  # the other's delivery
        text = text.replace("xbob.quux", "")
        self.assertEqual([word for word in ("quux", "/only", "two of") if word in text], [])
        self.assertEqual(text.count("192.0.2.7"), 1)
        links = await self.store.campaigns.links(self.mails, "subject:Party", 9)
        self.assertEqual([one.target for one in links], [f"{_SHOP}/all", "(erased)"])
        rows = await self.store.campaigns.campaigns(None, "orders", 0, 99)
        self.assertEqual([row.key for row in rows], ["code:orders"])
        self.assertEqual((await self.totals())["clicked"], before["clicked"] + 1)

    async def test_what_others_got_too_says_the_address_no_more_in_metadata_and_fields(
        self,
    ) -> None:
        said = Options(metadata={"for": "<Bob.Quux@b\u00fccher.example>"}, fields={"by": _ADDRESS})
        both = self.make(_BOB, TO_ZOE, subject="x", campaign="code:1", options=said)
        note = f"Order of {_ADDRESS}"
        noted = self.make(TO_ZOE, subject=note, campaign="code:1", options=said)
        for item in (both, noted):
            await self.send(item)
        await self.erase()
        self.assertNotIn("quux", await self.told(both, noted))
        kept = await self.store.history.message(None, both.message.id)
        assert kept is not None
        self.assertEqual(sorted(kept.message.options.metadata), ["for"])

    async def test_a_link_that_one_alone_followed_in_more_mails_than_a_piece_has(self) -> None:
        self.patch(erasure, "_PIECE", 2)
        for _ in range(5):
            await self.click(
                await self.send(self.make(_BOB, subject="x", campaign="code:1")), f"{_SHOP}/own"
            )
        await self.erase()
        links = await self.store.campaigns.links(self.mails, "code:1", 9)
        self.assertEqual([(one.target, one.persons) for one in links], [("(erased)", 5)])

    async def test_another_address_that_ends_alike_is_left_alone(self) -> None:
        item = await self.send(self.make(_BOB, _OTHER, subject="x", campaign="month:2026-11"))
        await self.erase()
        (other,) = await self.store.recipients.recipient(None, "xbob.quux@b\u00fccher.example")
        self.assertEqual(other.address, "xBob.Quux@b\u00fccher.example")
        found = await self.store.history.messages(None, "xbob.quux", None, None, None, 9)
        self.assertEqual([one.message.id for one in found], [item.message.id])
        (row,) = await self.store.campaigns.campaigns(None, "", 0, 9)
        self.assertEqual(row.key, "month:2026-11")

    async def test_a_campaign_that_others_share_keeps_its_name(self) -> None:
        for to in (_BOB, TO_ZOE):
            await self.send(self.make(to, subject="x", campaign="code:bob quux", name="Bob Quux"))
        await self.send(self.make(_BOB, subject="x", campaign="code:2", name="For Bob Quux"))
        await self.erase()
        rows = await self.store.campaigns.campaigns(None, "", 0, 9)
        self.assertEqual({row.name for row in rows}, {"Bob Quux", "(erased)"})

    async def test_D16_what_is_under_way_is_counted_in_the_campaign_without_its_name(self) -> None:
        note = f"New order of {_ADDRESS}"
        item = self.make(TO_ZOE, subject=note, campaign=f"subject:{note}")
        await self.store.queue.accept(item)
        await self.send(self.make(_BOB, subject="x", campaign="code:1"))
        await self.erase()
        await self.store.queue.settle([settlement(delivery_of(item))])
        rows = await self.store.history.totals(None, _HOUR, _HOUR + 7_200, "campaign")
        self.assertEqual({name for name, _ in rows}, {"(erased)", "code:1"})
        self.assertEqual(dict(rows)["(erased)"], {"accepted": 1, "messages": 1, "delivered": 1})

    async def shared(self, mails: int) -> tuple[str, list[Accepted]]:
        """A campaign's key that says the address, and mail to Zoe that is under way in it."""
        key = f"subject:Order of {_ADDRESS}"
        await self.send(self.make(_BOB, subject="x", campaign="code:1", name="One"))
        items = [self.make(TO_ZOE, subject=key[8:], campaign=key) for _ in range(mails)]
        for item in items:
            await self.store.queue.accept(item)
        return key, items

    def step_by_step(self, step: Callable[[], Awaitable[None]], piece: int = 2) -> None:
        """Campaigns are moved in small pieces from now on, with a `step` after each."""
        moves = self.store.recipients._erasure._moves
        moves.piece = piece
        moves._transactions = cast("Transactions", _Steps(self.store, step))

    async def by_row(self) -> tuple[dict[str, int], dict[str, int]]:
        """By campaign, what was accepted: as deliveries and their messages say, and as counted."""
        sent = select(message.c.campaign, func.count()).group_by(message.c.campaign)
        sent = sent.join(delivery, delivery.c.message_id == message.c.id)
        ever = counter_campaign.c
        counted = select(ever.campaign, func.sum(ever.n)).where(ever.metric == "accepted")
        counted = counted.group_by(ever.campaign)

        def work(connection: Connection) -> tuple[dict[str, int], dict[str, int]]:
            first, second = (
                {row[0]: int(row[1]) for row in connection.execute(query)}
                for query in (sent, counted)
            )
            return first, second

        return await self.store._transactions.read(work)

    async def test_D16_between_the_pieces_of_a_move_sums_are_whole_and_all_is_one(self) -> None:
        _, items = await self.shared(5)
        await self.store.queue.settle([settlement(delivery_of(items[0]))])
        await self.click(items[0], f"{_SHOP}/all")
        before = await self.totals()
        names: list[str] = []
        steps = 0

        async def step() -> None:
            nonlocal steps
            steps += 1
            self.assertEqual(await self.totals(), before)
            rows = await self.store.history.totals(None, _HOUR, _HOUR + 7_200, "campaign")
            names.extend(name for name, _ in rows if name != "One")
            found = await self.store.campaigns.campaigns(None, "", 0, 9)
            self.assertEqual(sorted(row.totals["accepted"] for row in found), [1, 5])
            (row,) = [row for row in found if row.name != "One"]
            links = await self.store.campaigns.links(self.mails, row.key, 9)
            self.assertEqual([(link.target, link.persons) for link in links], [(f"{_SHOP}/all", 1)])

        self.step_by_step(step)
        await self.erase()
        self.assertGreaterEqual(steps, 6)  # begun, two of messages, a day, links, ended
        self.assertEqual(set(names), {"(erased)"})
        self.assertNotIn("quux", await self.told(*items))
        sent, counted = await self.by_row()
        self.assertEqual(sent, counted)

    async def test_what_a_crash_left_of_a_move_is_done_by_doing_it_again(self) -> None:
        _, items = await self.shared(5)
        for _ in range(4):
            await self.send(self.make(_BOB, subject="Hi Quux", campaign="subject:Hi Quux"))
        before = await self.totals()
        for last in range(20):
            left = last

            async def step() -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    raise _CrashError

            self.step_by_step(step)
            with contextlib.suppress(_CrashError):
                await self.erase()
                break
            self.assertEqual(await self.totals(), before)
        self.assertGreater(last, 2)
        self.assertEqual(await self.totals(), before)
        self.assertNotIn("quux", await self.told(*items))
        sent, counted = await self.by_row()
        self.assertEqual((sent, len(sent)), (counted, 3))

    async def test_D16_what_is_accepted_and_settled_while_a_campaign_moves_goes_with_it(
        self,
    ) -> None:
        key, items = await self.shared(4)
        late: list[Accepted] = []

        async def step() -> None:
            if len(late) < 6:
                item = self.make(TO_ZOE, subject=key[8:], campaign=key)
                late.append(await self.send(item))
            if items:
                await self.store.queue.settle([settlement(delivery_of(items.pop()))])

        self.step_by_step(step)
        await self.erase()
        sent, counted = await self.by_row()
        self.assertEqual(sent, counted)
        self.assertEqual(sent.pop(key), 1)  # accepted after the end
        self.assertEqual(sorted(sent.values()), [1, 9])

    async def test_a_campaign_that_is_mailed_again_in_the_same_minute_has_a_row(self) -> None:
        key, _ = await self.shared(1)
        await self.erase()
        await self.send(self.make(TO_ZOE, subject=key[8:], campaign=key))
        rows = await self.store.campaigns.campaigns(None, "", 0, 9)
        self.assertEqual({row.name for row in rows}, {"One", "(erased)", key})
        self.assertEqual([row.totals["accepted"] for row in rows], [1, 1, 1])

    async def test_a_campaign_whose_row_comes_while_it_moves_keeps_one(self) -> None:
        key, (item,) = await self.shared(1)
        await self.store._transactions.write(
            lambda tx: tx.execute(delete(campaign).where(campaign.c.key == key)).rowcount
        )
        late: list[Accepted] = []

        async def step() -> None:
            if not late:
                next_minute = self.make(TO_ZOE, subject=key[8:], campaign=key)
                at = replace(next_minute.message, received_at=NOW + 60)
                late.append(await self.send(replace(next_minute, message=at)))

        self.step_by_step(step)
        await self.erase()
        rows = await self.store.campaigns.campaigns(None, "", 0, 9)
        self.assertEqual(
            {row.name: row.totals["accepted"] for row in rows}, {"One": 1, "(erased)": 2}
        )
        self.assertNotIn("quux", await self.told(item))

    async def test_what_was_kept_of_sums_forgets_the_name_too(self) -> None:
        await self.send(self.make(_BOB, subject="Hi Quux", campaign="subject:Hi Quux"))
        first = await self.store.history.totals(None, _HOUR, _HOUR + 7_200, "campaign")
        await self.erase()
        again = await self.store.history.totals(None, _HOUR, _HOUR + 7_200, "campaign")
        self.assertIn("Quux", str(first))
        self.assertEqual([name for name, _ in again], ["(erased)"])

    async def test_what_was_learnt_has_no_examples_any_more(self) -> None:
        learn = self.store.accounts.learn
        for name in ["Anna", "Bert", "Carl", "Dora", "Emil", "Fritz", "Gina", "Hans"]:
            item = self.make(_BOB, subject=f"{name} wrote to Quux", campaign="code:notes")
            await self.send(item)
        (pattern,) = (await learn(self.mails, NOW + 10)).patterns
        self.assertIn("Anna wrote to Quux", pattern.hint)
        await self.erase()
        (again,) = (await learn(self.mails, NOW + 20)).patterns
        self.assertEqual(again.words, pattern.words)
        self.assertNotIn("Anna", again.hint)

    async def test_an_attempt_that_was_under_way_tells_nothing(self) -> None:
        item = self.make(_BOB, subject="x", campaign="month:2026-11")
        await self.store.queue.accept(item)
        await self.erase()
        late = settlement(delivery_of(item))
        assert late.attempt is not None
        said = replace(late.outcome, text="no bob.quux here", reply=None)
        tried = replace(late.attempt, transcript="RCPT TO:<bob.quux@b\u00fccher.example>")
        await self.store.queue.settle([replace(late, outcome=said, attempt=tried)])
        self.assertNotIn("quux", await self.told(item))

    async def test_merged_campaigns_stay_merged(self) -> None:
        campaigns = self.store.campaigns
        await self.send(self.make(_BOB, subject="Hi Quux", campaign="subject:Hi Quux"))
        await self.send(self.make(TO_ZOE, subject="Hi Zoe", campaign="subject:Hi Zoe"))
        await campaigns.merge(None, self.mails, "subject:Hi Zoe", "subject:Hi Quux")
        await self.erase()
        (row,) = await campaigns.campaigns(None, "", 0, 9)
        self.assertEqual((row.name, row.totals["accepted"]), ("(erased)", 2))

    async def test_deliveries_are_not_asked_who_knows_a_recipient(self) -> None:
        item = await self.send(self.make(_BOB, subject="x", campaign="code:1"))
        key = item.deliveries[0].recipient.address.key

        def work(connection: Connection) -> list[bool]:
            found = []
            for asked, of in ((self.account, key), (None, key), (self.account, f"x{key}")):
                with statements(connection) as said:
                    accounts = accounts_of(connection, asked, of)
                self.assertEqual(accounts, [self.account] if of == key else [])
                found.append("delivery" in str(said))
            return found

        found = await self.store._transactions.read(work)
        self.assertEqual(found, [False, False, True])

    async def test_who_was_never_mailed_is_known_and_erased(self) -> None:
        recipients = self.store.recipients
        self.assertEqual(await recipients.known(None, _ADDRESS), [])
        item = self.make(_BOB, subject="A test", campaign="subject:A test")
        dropped = replace(item.deliveries[0], withheld="A test")
        await self.store.queue.accept(replace(item, deliveries=(dropped,)))
        manual = Suppression(Scope.ACCOUNT, Reason.MANUAL, NOW, detail="asked by phone")
        await self.store.suppressions.add(self.account, _ADDRESS, manual, "me")
        self.assertEqual(await recipients.recipient(None, _ADDRESS), [])
        (row,) = await recipients.known(None, _ADDRESS)
        self.assertEqual((row.id, row.account_id, row.address), (0, self.account, _ADDRESS))
        self.assertEqual([one.suppression.detail for one in row.suppressions], ["asked by phone"])
        self.assertEqual(await recipients.known(self.account + 1, _ADDRESS), [])
        self.assertEqual(await self.erase(), 1)
        self.assertEqual(await recipients.known(None, _ADDRESS), [])
        self.assertNotIn("quux", await self.told(item))
