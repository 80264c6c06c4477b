"""The relay over real sockets, real DNS and a real store (O1, O4, O6, O9, QU1, DS4, D10, YH1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.net.dialer import Dialer
from smtpplus.net.resolver import Resolver
from smtpplus.net.spawn import Spawn
from smtpplus.net.tls import OutboundTls
from smtpplus.net.workers import Workers
from smtpplus.ports import DeliveryRow
from smtpplus.relay.attempt import CourierSettings
from smtpplus.relay.service import RelayNeeds, RelayService, RelaySettings
from smtpplus.rules.retry import RetrySchedule
from smtpplus.rules.routing import Deliver, Routing
from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.store.store import Store, open_store
from smtpplus.values.address import Address
from smtpplus.values.duration import Duration
from smtpplus.values.envelope import Envelope, EnvelopeRecipient, Notify, Ret
from smtpplus.values.message import Accepted, DeliveryState, NewDelivery
from smtpplus.values.options import NOTHING_SAID, Options
from smtpplus.values.queue import QueueChange, Selection
from smtpplus.values.submission import Stream
from tests.dns_server import FaultDnsServer
from tests.folders import folder_of
from tests.relay.fakes import CONTENT, a_message
from tests.relay.hosts import MailHost
from tests.store.laid_out import lay_out

_FIRST, _SECOND, _THIRD = "127.0.0.11", "127.0.0.12", "127.0.0.13"


class WorldTests(TestCase):
    timeout = 30  # seconds; nothing here waits for a clock

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = ReactorClock(reactor)
        self.spawn = Spawn(self.clock)
        self.dns = FaultDnsServer(reactor)
        self.dns.start()
        self.addCleanup(self.dns.stop)
        self.workers = Workers(reactor, "test", 2)
        self.workers.start()
        self.addCleanup(self.workers.stop)
        directory = folder_of(self)
        any_reactor: Any = reactor
        self.store: Store = open_store(
            lay_out(f"sqlite:///{directory}/store.sqlite3"),
            Path(directory),
            reactor=any_reactor,
            clock=self.clock,
            node_name="test",
            secret=b"a secret of thirty-two octets...",
        )
        await self.store.start()
        self.addCleanup(self.store.close)
        self.port = 0

    async def host(self, ip: str = _FIRST, **says: str | Callable[[], str]) -> MailHost:
        """A mail host; all of a test listen at one port."""
        host = MailHost(**says)
        self.port = host.listen(reactor, ip, self.port)
        self.addCleanup(host.stop)
        return host

    async def relay(self, **changes: Any) -> RelayService:
        """The relay, delivering to MX hosts at the test's port."""
        settings: dict[str, Any] = {
            "hostname": "us.example",
            "relay_domains": (),
            "routing": Routing(deliver=Deliver.INTERNET, port=self.port or 1),
            "courier": CourierSettings(ehlo="us.example"),
            "retry": RetrySchedule((Duration(seconds=0.05),)),
            "lifetime": Duration(seconds=86400),
            "delay_notice": Duration(seconds=4 * 3600),
            "idle": Duration(seconds=0.5),
        }
        relay = RelayService(
            RelaySettings(**(settings | changes)),
            RelayNeeds(
                clock=self.clock,
                spawn=self.spawn,
                queue=self.store.queue,
                contents=self.store.contents,
                accounts=self.store.accounts,
                suppressions=self.store.suppressions,
                resolver=Resolver(
                    self.clock,
                    self.workers,
                    self.spawn,
                    nameservers=[self.dns.where],
                    total_seconds=2,
                    try_seconds=1,
                ),
                dialer=Dialer(reactor, self.clock, OutboundTls()),
                signing=self.workers,
                ids=self.store.ids,
                is_own_address=lambda _: False,
            ),
        )
        relay.start()
        self.addCleanup(self.spawn.drain, 5)
        self.addCleanup(relay.stop, 5)
        return relay

    def zone(self, domain: str, *hosts: str) -> None:
        """`domain` has these addresses as its mail hosts, best first."""
        records = [f"{10 * n} mx{n}.{domain}." for n in range(1, len(hosts) + 1)]
        self.dns.answer(domain, "MX", *records)
        for n, ip in enumerate(hosts, 1):
            self.dns.answer(f"mx{n}.{domain}", "A", ip)

    async def submit(
        self, relay: RelayService, *to: str | EnvelopeRecipient, **envelope: Any
    ) -> int:
        """Queue a message as submission does; its id."""
        now = self.clock.now()
        recipients = tuple(
            one if isinstance(one, EnvelopeRecipient) else EnvelopeRecipient(Address.parse(one))
            for one in to
        )
        sender = envelope.pop("sender", Address("a", "example.com"))
        about = envelope.pop("about", {})
        message = a_message(
            self.store.ids.next(now),
            received_at=now,
            expires_at=now + envelope.pop("lifetime", 86400),
            envelope=Envelope(sender, recipients, **envelope),
            **about,
        )
        accepted = Accepted(
            message,
            tuple(NewDelivery(self.store.ids.next(now), one) for one in recipients),
            CONTENT,
            leased=relay.dispatch.reserve(len(recipients)),
            due_at=now,
        )
        await self.store.queue.accept(accepted)
        if accepted.leased:
            relay.dispatch.dispatch(accepted)
        return message.id

    async def outcome(
        self, message_id: int, done: Callable[[DeliveryRow], bool] = lambda row: row.state.is_final
    ) -> list[DeliveryRow]:
        """The message's deliveries, when `done` holds for each."""
        deadline = time.monotonic() + 20
        while True:
            rows = list(await self.store.history.deliveries(message_id))
            if all(done(row) for row in rows):
                return rows
            assert time.monotonic() < deadline, rows
            await self.clock.sleep(0.01)  # the outcome is seen in the store alone

    async def test_O4_the_best_host_gets_the_mail_as_it_was_submitted(self) -> None:
        first, second = await self.host(_FIRST), await self.host(_SECOND)
        self.zone("example.net", _FIRST, _SECOND)
        message = await self.submit(await self.relay(), "b@example.net")
        (row,) = await self.outcome(message)
        self.assertIs(row.state, DeliveryState.DELIVERED)
        self.assertEqual([len(first.mails), len(second.mails)], [1, 0])
        self.assertEqual(first.mails[0][1], b"Received: from x\r\n" + CONTENT)

    async def test_O5_each_pool_has_a_lane_of_its_own(self) -> None:
        # What befalls one source, such as being refused, does not hold up mail from another.
        lanes: list[str] = []

        def taken() -> str:
            lanes.extend(relay.statistics())
            return "250 2.0.0 Ok"

        await self.host(dot=taken)
        self.zone("example.net", _FIRST)
        courier = CourierSettings(ehlo="us.example")
        relay = await self.relay(courier=replace(courier, pools={"other": courier}))
        for pool in (None, "other", "unknown"):
            about = {"options": Options(pool=pool)}
            await self.outcome(await self.submit(relay, "b@example.net", about=about))
        self.assertEqual(lanes, ["example.net", "example.net from other", "example.net"])

    async def test_PG3_who_was_suppressed_while_mail_waited_does_not_get_it(self) -> None:
        host = await self.host()
        self.zone("example.net", _FIRST)
        accounts, now = self.store.accounts, self.clock.now()
        account = await accounts.add_account("acme", now)
        news = await accounts.add_list("acme", "news", Stream.SUBSCRIBED, now)
        other = await accounts.add_list("acme", "other", Stream.SUBSCRIBED, now)
        gone = Suppression(Scope.LIST, Reason.UNSUBSCRIBE, now, list_id=news.id)
        await self.store.suppressions.add(account.id, "b@example.net", gone, "")
        relay = await self.relay()
        bypass = Options(bypass_suppression=True)
        of_account = {"account_id": account.id, "mechanism": "PLAIN"}
        for arrives, of_list, to, options in (
            (False, news.id, "B@example.net", NOTHING_SAID),
            (True, other.id, "b@example.net", NOTHING_SAID),
            (True, news.id, "c@example.net", NOTHING_SAID),
            (True, news.id, "b@example.net", bypass),
        ):
            before = len(host.mails)
            message = await self.submit(
                relay, to, about={**of_account, "list_id": of_list, "options": options}
            )
            (row,) = await self.outcome(message)
            expected = DeliveryState.DELIVERED if arrives else DeliveryState.CANCELLED
            self.assertIs(row.state, expected, to)
            self.assertEqual(len(host.mails), before + arrives)
            if not arrives:
                events = await self.store.history.events(message, 9)
                self.assertIn("is suppressed for this list", str([one.detail for one in events]))
                self.assertEqual(await self.store.history.attempts(message, 9), [])
        operators = Suppression(Scope.LIST, Reason.BYPASS, now, list_id=news.id)
        hard = Suppression(Scope.ACCOUNT, Reason.HARD_BOUNCE, now)
        for one in (hard, operators):
            await self.store.suppressions.add(account.id, "b@example.net", one, "")
        for of_list, expected in (
            (other.id, DeliveryState.CANCELLED),
            (news.id, DeliveryState.DELIVERED),
        ):
            about = {**of_account, "list_id": of_list}
            (row,) = await self.outcome(await self.submit(relay, "b@example.net", about=about))
            self.assertIs(row.state, expected)

    async def test_O4_the_next_host_where_the_first_is_down_says_4xx_or_5xx(self) -> None:
        second = await self.host(_SECOND)
        for number, says in enumerate([None, "421 4.3.2 busy", "554 5.7.1 no", ""], 1):
            if says is not None:
                first = await self.host(_FIRST, banner=says)
            domain = f"d{number}.example"
            self.zone(domain, _FIRST, _SECOND)
            relay = await self.relay()
            (row,) = await self.outcome(await self.submit(relay, f"b@{domain}"))
            self.assertIs(row.state, DeliveryState.DELIVERED, says)
            self.assertEqual(len(second.mails), number)
            if says is not None:
                await first.stop()

    async def test_O1_dns_decides_at_once_or_later_but_trouble_never_bounces(self) -> None:
        self.dns.answer("null.example", "MX", "0 .")
        self.dns.fail("broken.example", "SERVFAIL")
        self.dns.answer("empty.example", "A")
        relay = await self.relay(retry=RetrySchedule((Duration(seconds=60),)))
        for domain, state, status in [
            ("gone.example", DeliveryState.BOUNCED, "5.1.2"),
            ("null.example", DeliveryState.BOUNCED, "5.1.10"),
            ("empty.example", DeliveryState.BOUNCED, "5.4.4"),
            ("broken.example", DeliveryState.QUEUED, "4.4.3"),
        ]:
            message = await self.submit(relay, f"b@{domain}", sender=None)
            (row,) = await self.outcome(message, lambda row: row.last_outcome is not None)
            assert row.last_outcome is not None
            self.assertEqual((row.state, str(row.last_outcome.status)), (state, status), domain)

    async def test_O2_mail_waits_for_dns_and_goes_when_it_is_back(self) -> None:
        host = await self.host()
        self.zone("example.net", _FIRST)
        self.dns.fail("example.net", "SERVFAIL")
        message = await self.submit(await self.relay(), "b@example.net")
        await self.outcome(message, lambda row: row.attempts >= 2)
        self.dns.mend("example.net")
        (row,) = await self.outcome(message)
        self.assertIs(row.state, DeliveryState.DELIVERED)
        self.assertEqual(len(host.mails), 1)

    async def test_QU4_recipients_are_told_apart(self) -> None:
        replies = iter(["250 2.1.5 Ok", "550 5.1.1 No such user", "451 4.7.1 Greylisted"])
        host = await self.host(RCPT=lambda: next(replies, "250 2.1.5 Ok"))
        self.zone("example.net", _FIRST)
        relay = await self.relay(concurrency=1, reserved=0)
        message = await self.submit(
            relay, "a@example.net", "b@example.net", "c@example.net", sender=None
        )
        rows = await self.outcome(message)
        self.assertEqual(
            [(row.state, row.attempts) for row in rows],
            [
                (DeliveryState.DELIVERED, 1),
                (DeliveryState.BOUNCED, 1),
                (DeliveryState.DELIVERED, 2),
            ],
        )
        self.assertEqual(len(host.mails), 2)

    async def test_D10_closed_after_the_final_dot_is_tried_again_with_the_same_message_id(
        self,
    ) -> None:
        replies = iter([""])
        host = await self.host(dot=lambda: next(replies, "250 2.0.0 Ok"))
        self.zone("example.net", _FIRST)
        message = await self.submit(await self.relay(), "b@example.net")
        (row,) = await self.outcome(message)
        self.assertEqual((row.state, row.attempts), (DeliveryState.DELIVERED, 2))
        self.assertEqual(len(host.mails), 1)
        attempts = await self.store.history.attempts(message, 10)
        self.assertEqual([one.outcome.uncertain for one in attempts], [True, False])

    async def test_YH1_a_host_that_closes_after_five_messages_loses_and_doubles_none(self) -> None:
        count = 0

        def mail() -> str:
            nonlocal count
            count += 1
            return "" if count % 6 == 0 else "250 2.1.0 Ok"

        host = await self.host(MAIL=mail)
        self.zone("example.net", _FIRST)
        relay = await self.relay(
            concurrency=1, reserved=0, retry=RetrySchedule((Duration(seconds=3600),))
        )
        messages = [await self.submit(relay, f"b{n}@example.net") for n in range(40)]
        for message in messages:
            (row,) = await self.outcome(message)
            self.assertEqual((row.state, row.attempts), (DeliveryState.DELIVERED, 1))
        self.assertEqual(len(host.mails), 40)

    async def test_O9_one_connection_carries_many_and_none_is_mixed_up(self) -> None:
        host = await self.host()
        self.zone("example.net", _FIRST)
        relay = await self.relay(concurrency=2, reserved=0, reuse=50)
        messages = [await self.submit(relay, f"b{n}@example.net") for n in range(200)]
        for message in messages:
            await self.outcome(message)
        recipients = [commands[-2] for commands, _ in host.mails]
        self.assertEqual(
            sorted(recipients), sorted(f"RCPT TO:<b{n}@example.net>" for n in range(200))
        )
        self.assertLessEqual(host.connections, 8)

    async def test_DS4_dsn_parameters_go_to_a_host_that_knows_them_and_to_no_other(self) -> None:
        knows = await self.host(_FIRST, EHLO="250-host\r\n250 DSN")
        plain = await self.host(_SECOND)
        self.zone("knows.example", _FIRST)
        self.zone("plain.example", _SECOND)
        relay = await self.relay()
        notify = frozenset({Notify.FAILURE})
        for domain in ("knows.example", "plain.example"):
            to = EnvelopeRecipient(Address("b", domain), notify, f"rfc822;b@{domain}")
            await self.outcome(await self.submit(relay, to, ret=Ret.HDRS, envid="id+2B1"))
        mail, rcpt = knows.mails[0][0][-3:-1]
        self.assertIn(" RET=HDRS", mail)
        self.assertIn(" ENVID=id+2B1", mail)
        self.assertIn(" NOTIFY=FAILURE", rcpt)
        self.assertIn(" ORCPT=rfc822;b@knows.example", rcpt)
        self.assertNotIn("=", plain.mails[0][0][-2].partition(">")[2])

    async def test_DR4_a_bounce_comes_back_as_a_dsn_that_names_the_failing_one_alone(self) -> None:
        replies = iter(["250 2.1.5 Ok", "550 5.1.1 No such user"])
        await self.host(_FIRST, RCPT=lambda: next(replies))
        back = await self.host(_SECOND)
        self.zone("example.net", _FIRST)
        self.zone("example.com", _SECOND)
        relay = await self.relay(concurrency=1, reserved=0)
        await self.outcome(await self.submit(relay, "good@example.net", "bad@example.net"))
        while not back.mails:
            await self.clock.sleep(0.01)  # the DSN is a message of its own
        commands, content = back.mails[0]
        self.assertTrue(commands[-3].startswith("MAIL FROM:<>"), commands)
        self.assertIn(b"Auto-Submitted: auto-replied\r\n", content)
        self.assertIn(b"bad@example.net", content)
        self.assertNotIn(b"good@example.net", content)

    async def test_DR2_A9_a_dsn_that_bounces_is_the_end_of_it(self) -> None:
        await self.host(_FIRST, RCPT="550 5.1.1 No such user")
        self.zone("example.net", _FIRST)
        self.zone("example.com", _FIRST)
        relay = await self.relay()
        await self.outcome(await self.submit(relay, "b@example.net"))
        while any((await self.store.history.queue_size(None)).values()):
            await self.clock.sleep(0.01)  # until nothing is under way any more
        rows = await self.store.history.messages(None, "", None, None, None, 10)
        self.assertEqual(len(rows), 2)

    async def test_S18_mail_that_would_come_back_to_us_bounces(self) -> None:
        self.dns.answer("loop.example", "MX", "10 us.example.")
        relay = await self.relay(our_names=frozenset({"us.example"}))
        (row,) = await self.outcome(await self.submit(relay, "b@loop.example", sender=None))
        assert row.last_outcome is not None
        self.assertEqual(str(row.last_outcome.status), "5.4.6")

    async def test_D18_what_outlives_its_lifetime_expires_with_one_dsn(self) -> None:
        await self.host(_FIRST, RCPT="451 4.7.1 Later")
        back = await self.host(_SECOND)
        self.zone("example.net", _FIRST)
        self.zone("example.com", _SECOND)
        message = await self.submit(await self.relay(), "b@example.net", lifetime=0.3)
        (row,) = await self.outcome(message)
        self.assertIs(row.state, DeliveryState.EXPIRED)
        while not back.mails:
            await self.clock.sleep(0.01)  # the DSN is a message of its own
        self.assertIn(b"\r\nStatus: 4.4.7\r\n", back.mails[0][1])

    async def test_QU3_what_was_queued_before_a_restart_is_delivered_after_it(self) -> None:
        host = await self.host(_FIRST)
        self.zone("example.net", _FIRST)
        idle: Any = _Unattended()
        message = await self.submit(idle, "b@example.net")
        await self.relay()
        (row,) = await self.outcome(message)
        self.assertIs(row.state, DeliveryState.DELIVERED)
        self.assertEqual(len(host.mails), 1)

    async def test_held_and_cancelled_deliveries_leave_memory_and_what_is_under_way_ends(
        self,
    ) -> None:
        queue, under_way = self.store.queue, [""]
        host = await self.host(_FIRST, banner=lambda: under_way[0])
        self.zone("example.net", _FIRST)
        # One attempt at a time; the first waits for a banner that comes later.
        under_way[0] = "220-wait"
        relay = await self.relay(concurrency=1, reserved=0)
        first, second, third = [await self.submit(relay, f"b{n}@example.net") for n in range(3)]
        while not host.open:
            await self.clock.sleep(0.01)
        now = self.clock.now()
        await queue.change(QueueChange.CANCEL, Selection(ids=(first, second)), now, "t")
        await queue.change(QueueChange.HOLD, Selection(ids=(third,)), now, "t")
        relay.changed()
        while relay.statistics()["example.net"] != (0, 1, 1):
            await self.clock.sleep(0.01)
        under_way[0] = "220 go"
        for protocol in list(host.open):
            protocol.transport.write(b"220 go\r\n")  # type: ignore[union-attr]
        while len(host.mails) < 1 or not (await self.outcome(first))[0].attempts:
            await self.clock.sleep(0.01)
        (row,) = await self.outcome(first)
        self.assertIs(row.state, DeliveryState.CANCELLED)
        assert row.last_outcome is not None
        self.assertEqual(row.last_outcome.result.value, "delivered")
        self.assertEqual(len(await self.store.history.attempts(first, 9)), 1)
        (row,) = await self.outcome(second)
        self.assertEqual((row.state, row.attempts), (DeliveryState.CANCELLED, 0))
        self.assertEqual(len(host.mails), 1)
        await queue.change(QueueChange.RELEASE, Selection(ids=(third,)), now, "t")
        relay.changed()
        (row,) = await self.outcome(third)
        self.assertIs(row.state, DeliveryState.DELIVERED)
        self.assertEqual(len(host.mails), 2)


class _Unattended:
    """No relay runs: what is accepted waits in the store."""

    @property
    def dispatch(self) -> _Unattended:
        return self

    def reserve(self, deliveries: int, domains: Collection[str] = ()) -> bool:
        return False
