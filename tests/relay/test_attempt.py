"""One attempt, step by step, against scripted hosts (O4, O6, O7, T7, TL3, YH1, D10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from smtpplus.net.spawn import Spawn
from smtpplus.net.workers import InlineWorkers
from smtpplus.ports import IBody, IResolver, MxHost, SessionLostError
from smtpplus.relay.attempt import Attempted, Courier, CourierSettings, Credentials
from smtpplus.relay.connections import Connections
from smtpplus.relay.copies import Copies
from smtpplus.relay.route import Router
from smtpplus.rules.routing import Deliver, Endpoint, Routing
from smtpplus.rules.tls_policy import TlsLevel
from smtpplus.values.address import Address
from smtpplus.values.envelope import DeliverBy, Envelope
from smtpplus.values.errors import (
    CorruptContentError,
    NotFoundError,
    SmtpplusError,
    StoreBrokenError,
    StoreUnavailableError,
)
from smtpplus.values.message import Delivery, Message
from smtpplus.values.options import Options
from smtpplus.values.outcome import Result, Stage
from smtpplus.values.reply import Reply
from tests.relay.fakes import CONTENT, ALease, Contents, Host, World, a_clock, a_delivery

_LOST = SessionLostError("The connection was closed.")


@implementer(IResolver)
class _TwoHosts:
    async def mx(self, domain: str) -> Sequence[MxHost]:
        return [MxHost(10, "first.host"), MxHost(20, "second.host")]

    async def addresses(self, host: str) -> Sequence[str]:
        return [{"first.host": "192.0.2.1", "second.host": "192.0.2.2"}[host]]

    async def txt(self, name: str) -> Sequence[str]:
        return []


class _NoKeys:
    async def signing_key(self, domain: str) -> None:
        return None


class _Unreadable(Contents):
    """Has no content that could be read."""

    def __init__(self, error: SmtpplusError) -> None:
        super().__init__()
        self.error = error

    async def body(self, message: Message, start: int) -> IBody:
        raise self.error


class _CutShort(_Unreadable):
    """Can be read, but for its last piece."""

    async def body(self, message: Message, start: int) -> IBody:
        body: IBody = _Cut(self.content[start:], self.error)
        return body


@implementer(IBody)
class _Cut:
    def __init__(self, octets: bytes, error: SmtpplusError) -> None:
        self.size = len(octets)
        self._octets = octets[:1]
        self._error = error

    async def next_chunk(self) -> bytes:
        octets, self._octets = self._octets, b""
        if not octets:
            raise self._error
        return octets

    def close(self) -> None:
        self._octets = b""


class AttemptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.ours = a_clock()
        self.spawn = Spawn(self.ours)

    def _courier(
        self,
        world: World,
        *,
        tls: TlsLevel = TlsLevel.MAY,
        content: bytes = CONTENT,
        contents: Contents | None = None,
        reuse: int = 100,
    ) -> Courier:
        accounts: Any = _NoKeys()
        self.contents = Contents(content)
        self.connections = Connections(
            clock=self.ours, spawn=self.spawn, most_messages=reuse, idle_seconds=10
        )
        return Courier(
            clock=self.ours,
            dialer=world,
            router=Router(
                routing=Routing(deliver=Deliver.INTERNET),
                resolver=_TwoHosts(),
                our_names=(),
                is_own_address=lambda _: False,
            ),
            connections=self.connections,
            copies=Copies(
                contents=contents or self.contents,
                accounts=accounts,
                signing=InlineWorkers(),
                clock=self.ours,
                relay_domains=(),
            ),
            settings=CourierSettings(ehlo="us.example", tls=tls),
        )

    def _begin(
        self, courier: Courier, delivery: Delivery | None = None
    ) -> Deferred[Attempted | None]:
        self.lease = ALease()
        delivery = delivery or a_delivery()
        lane = courier.settings.lane("lane", delivery.message.options.pool)
        return ensureDeferred(courier.carry(delivery, lane, self.lease))

    def _carry(self, courier: Courier, delivery: Delivery | None = None) -> Attempted:
        attempted = self.successResultOf(self._begin(courier, delivery))
        assert attempted is not None
        return attempted

    def test_what_is_sent_is_what_was_prepended_and_what_was_submitted(self) -> None:
        world = World({"192.0.2.1": Host()})
        attempted = self._carry(self._courier(world))
        self.assertIs(attempted.outcome.result, Result.DELIVERED)
        (_, octets), *_ = world.hosts["192.0.2.1"].taken
        self.assertEqual(octets, b"Received: from x\r\n" + CONTENT)
        self.assertEqual(attempted.attempt.host, "first.host")

    def test_a_message_that_names_a_pool_leaves_from_there(self) -> None:
        world = World({"192.0.2.1": Host()})
        courier = self._courier(world)
        other = CourierSettings(ehlo="other.example", source_v4="192.0.2.77")
        usual = replace(courier.settings, source_v4="192.0.2.76", pools={"other": other})
        courier = replace(courier, settings=usual)
        for pool, source, hello in (
            (None, "192.0.2.76", "us.example"),
            ("other", "192.0.2.77", "other.example"),
            (None, None, "us.example"),  # over the session that is open, of its own pool
            ("other", None, "other.example"),
            ("gone", None, "us.example"),
        ):
            world.sources.clear()
            attempted = self._carry(courier, a_delivery(options=Options(pool=pool)))
            self.assertIs(attempted.outcome.result, Result.DELIVERED)
            self.assertEqual(world.sources, [source] if source else [], pool)
            self.assertEqual(attempted.attempt.ehlo, hello)

    def test_T2_a_password_goes_to_the_smarthost_alone_and_through_TLS(self) -> None:
        login = {"STARTTLS": "", "AUTH": "PLAIN"}
        routed = Endpoint("198.51.100.9", 25)
        for ip, tls, host, steps, result in (
            ("192.0.2.1", TlsLevel.MAY, Host(keywords=login), ["STARTTLS", "AUTH"], "delivered"),
            ("192.0.2.1", TlsLevel.MAY, Host(keywords={"AUTH": "PLAIN"}), [], "deferred"),
            ("192.0.2.1", TlsLevel.NONE, Host(keywords={"AUTH": "PLAIN"}), ["AUTH"], "delivered"),
            ("127.0.0.1", TlsLevel.MAY, Host(keywords={"AUTH": "PLAIN"}), ["AUTH"], "delivered"),
            ("192.0.2.1", TlsLevel.MAY, Host(keywords={"STARTTLS": ""}), ["STARTTLS"], "deferred"),
            (
                "127.0.0.1",
                TlsLevel.MAY,
                Host(keywords=login, start_tls=SessionLostError("The handshake failed.")),
                ["STARTTLS"],
                "deferred",
            ),
            ("198.51.100.9", TlsLevel.MAY, Host(keywords=login), ["STARTTLS"], "delivered"),
        ):
            world = World({ip: host})
            courier = self._courier(world, tls=tls)
            is_routed = ip == routed.host
            routing = Routing(
                deliver=Deliver.SMARTHOST,
                smarthost=Endpoint("192.0.2.1" if is_routed else ip, 25),
                routes={"example.net": routed} if is_routed else {},
            )
            router = Router(
                routing=routing,
                resolver=_TwoHosts(),
                our_names=(),
                is_own_address=lambda _: False,
            )
            settings = replace(courier.settings, credentials=Credentials("joe", "secret"))
            attempted = self._carry(replace(courier, router=router, settings=settings))
            said = [step for one in host.sessions for step in one.said if step in login]
            self.assertEqual((said, attempted.outcome.result.value), (steps, result), (ip, tls))

    def test_D15_a_corrupt_content_is_set_aside_and_not_sent(self) -> None:
        for error, corrupt in (
            (CorruptContentError("Changed."), True),
            (NotFoundError("Gone."), True),
            (StoreBrokenError("EIO."), False),
            (StoreUnavailableError("Locked."), False),
        ):
            for contents in (_Unreadable(error), _CutShort(error)):
                world = World({"192.0.2.1": Host(), "192.0.2.2": Host()})
                delivery = a_delivery(in_file=True)
                attempted = self._carry(self._courier(world, contents=contents), delivery)
                self.assertIs(attempted.corrupt, corrupt, error)
                self.assertIs(attempted.outcome.result, Result.DEFERRED)
                self.assertEqual(str(attempted.outcome.status), "4.3.0")
                self.assertIn(str(error), attempted.outcome.text)
                self.assertEqual(contents.quarantined, [1] if corrupt else [])
                self.assertEqual(world.hosts["192.0.2.1"].taken, [])
                self.assertNotIn("192.0.2.2", world.dialled)

    def test_what_is_left_of_BY_is_passed_on_where_it_is_offered(self) -> None:
        table = (
            ("600;RT", "", 570, "570;RT"),
            ("600;R", "500", 570, "570;R"),
            ("600;R", "571", 570, None),
            ("20;N", "500", -10, "-10;N"),
        )
        for said, least, left, expected in table:
            host = Host(keywords={"DELIVERBY": least})
            envelope = Envelope(Address("a", "example.com"), deliver_by=DeliverBy.parse(said))
            received_at = self.ours.now() - 30
            delivery = a_delivery(envelope=envelope, received_at=received_at)
            self._carry(self._courier(World({"192.0.2.1": host})), delivery)
            ((sent, _),) = host.taken
            passed_on = None if sent.deliver_by is None else str(sent.deliver_by)
            self.assertEqual(passed_on, expected, (said, least, left))

    def test_what_BY_gave_up_is_not_attempted(self) -> None:
        world = World({"192.0.2.1": Host()})
        for said, result in (("60;R", Result.DEFERRED), ("60;N", Result.DELIVERED)):
            envelope = Envelope(Address("a", "example.com"), deliver_by=DeliverBy.parse(said))
            delivery = a_delivery(envelope=envelope, expires_at=self.ours.now())
            attempted = self._carry(self._courier(world), delivery)
            self.assertIs(attempted.outcome.result, result)
            self.assertFalse(attempted.no_host)
        self.assertEqual(len(world.hosts["192.0.2.1"].taken), 1)

    def test_SU4_cuts_are_left_out(self) -> None:
        content = b"From: a@example.com\r\nBcc: c@example.com\r\nTo: b@x\r\n\r\nHi\r\n"
        world = World({"192.0.2.1": Host()})
        delivery = a_delivery(head_octets=content.index(b"Hi"), cuts=((21, 41),))
        self._carry(self._courier(world, content=content), delivery)
        (_, octets), *_ = world.hosts["192.0.2.1"].taken
        self.assertEqual(
            octets, b"Received: from x\r\nFrom: a@example.com\r\nTo: b@x\r\n\r\nHi\r\n"
        )

    def test_O4_the_next_host_is_tried_where_the_first_is_down_or_busy(self) -> None:
        for first in [
            Host(refuses=True),
            Host(greeting=Reply.of(421, "4.3.2", "busy")),
            Host(greeting=Reply.of(554, "5.7.1", "no")),
            Host(greeting=_LOST),
            Host(hello=Reply.of(550, "5.7.1", "no")),
            Host(mail=Reply.of(451, None, "later")),
            Host(rcpt=Reply.of(450, "4.2.0", "greylisted")),
            Host(data=Reply.of(451, None, "later"), final=None),
            Host(send=_LOST),
        ]:
            with self.subTest(first=first):
                second = Host()
                world = World({"192.0.2.1": first, "192.0.2.2": second})
                attempted = self._carry(self._courier(world))
                self.assertIs(attempted.outcome.result, Result.DELIVERED)
                self.assertEqual(world.dialled, ["192.0.2.1", "192.0.2.2"])
                self.assertEqual(attempted.attempt.host, "second.host")
                self.assertEqual(len(second.taken), 1)

    def test_O6_a_permanent_refusal_is_final_at_the_first_host(self) -> None:
        no = Reply.of(550, "5.1.1", "no such user")
        for stage, first in [
            (Stage.MAIL, Host(mail=no)),
            (Stage.RCPT, Host(rcpt=no)),
            (Stage.DATA, Host(data=no, final=None)),
            (Stage.BODY, Host(final=no)),
        ]:
            with self.subTest(stage=stage):
                world = World({"192.0.2.1": first, "192.0.2.2": Host()})
                attempted = self._carry(self._courier(world))
                self.assertIs(attempted.outcome.result, Result.BOUNCED)
                self.assertIs(attempted.outcome.stage, stage)
                self.assertEqual(world.dialled, ["192.0.2.1"])

    def test_O4_five_hundreds_in_the_banner_of_every_host_defer(self) -> None:
        no = Reply.of(554, "5.7.1", "go away")
        world = World({"192.0.2.1": Host(greeting=no), "192.0.2.2": Host(greeting=no)})
        attempted = self._carry(self._courier(world))
        self.assertIs(attempted.outcome.result, Result.DEFERRED)
        self.assertTrue(attempted.no_host)

    def test_D10_lost_after_the_final_dot_is_deferred_and_no_other_host_gets_it(self) -> None:
        lost = SessionLostError("closed", after_final_dot=True)
        world = World({"192.0.2.1": Host(send=lost), "192.0.2.2": Host()})
        attempted = self._carry(self._courier(world))
        self.assertIs(attempted.outcome.result, Result.DEFERRED)
        self.assertTrue(attempted.outcome.uncertain)
        self.assertEqual(world.dialled, ["192.0.2.1"])

    def test_TL3_a_failed_handshake_falls_back_once_to_a_new_plain_connection(self) -> None:
        host = Host(keywords={"STARTTLS": ""}, start_tls=SessionLostError("The handshake failed."))
        world = World({"192.0.2.1": host})
        attempted = self._carry(self._courier(world))
        self.assertIs(attempted.outcome.result, Result.DELIVERED)
        self.assertEqual(world.dialled, ["192.0.2.1", "192.0.2.1"])
        self.assertIsNone(attempted.attempt.tls)
        self.assertIn("TLS failed", attempted.attempt.transcript)

    def test_T7_a_message_that_insists_on_TLS_does_not_make_a_destination_dead(self) -> None:
        for host in [
            Host(keywords={"STARTTLS": ""}, start_tls=SessionLostError("The handshake failed.")),
            Host(keywords={"STARTTLS": ""}, start_tls=Reply.of(454, "4.7.0", "no TLS now")),
            Host(keywords={}),
        ]:
            for level, no_host in ((TlsLevel.MAY, False), (TlsLevel.REQUIRE, True)):
                with self.subTest(host=host, level=level):
                    courier = self._courier(World({"192.0.2.1": host}), tls=level)
                    delivery = a_delivery(options=Options(require_tls=True))
                    attempted = self._carry(courier, delivery)
                    self.assertIs(attempted.outcome.result, Result.DEFERRED)
                    self.assertEqual(host.taken, [])
                    self.assertIs(attempted.no_host, no_host)

    def test_T7_where_tls_is_required_nothing_goes_in_the_clear(self) -> None:
        for host in [
            Host(keywords={"STARTTLS": ""}, start_tls=SessionLostError("The handshake failed.")),
            Host(keywords={"STARTTLS": ""}, start_tls=Reply.of(454, "4.7.0", "no TLS now")),
            Host(keywords={}),
        ]:
            with self.subTest(host=host):
                world = World({"192.0.2.1": host})
                attempted = self._carry(self._courier(world, tls=TlsLevel.REQUIRE))
                self.assertIs(attempted.outcome.result, Result.DEFERRED)
                self.assertEqual(host.taken, [])

    def test_tls_is_used_where_it_is_offered(self) -> None:
        host = Host(keywords={"STARTTLS": "", "8BITMIME": ""})
        attempted = self._carry(self._courier(World({"192.0.2.1": host})))
        assert attempted.attempt.tls is not None
        self.assertEqual(
            host.sessions[0].said,
            ["greeting", "EHLO us.example", "STARTTLS", "EHLO us.example", "MAIL"],
        )

    def test_O9_a_session_is_reused_up_to_the_limit_and_then_closed(self) -> None:
        host = Host()
        courier = self._courier(World({"192.0.2.1": host}), reuse=3)
        for number in range(7):
            self.assertEqual(
                self._carry(courier, a_delivery(number)).attempt.reused, number % 3 != 0
            )
        self.assertEqual([session.messages for session in host.sessions], [3, 3, 1])
        self.assertEqual([session.is_open for session in host.sessions], [False, False, True])

    def test_O9_LIMITS_of_the_remote_are_kept(self) -> None:
        host = Host(keywords={"LIMITS": "RCPTMAX=1 MAILMAX=2"})
        courier = self._courier(World({"192.0.2.1": host}))
        for number in range(4):
            self._carry(courier, a_delivery(number))
        self.assertEqual([session.messages for session in host.sessions], [2, 2])

    def test_O9_a_refused_transaction_is_reset_before_the_session_is_reused(self) -> None:
        host = Host(rcpt=Reply.of(550, "5.1.1", "no such user"))
        courier = self._courier(World({"192.0.2.1": host}))
        self._carry(courier)
        self.assertEqual(host.sessions[0].said[-1], "RSET")
        host.rcpt = Reply.of(250, "2.1.5", "fine")
        self.assertTrue(self._carry(courier, a_delivery(2)).attempt.reused)

    def test_O9_where_RSET_fails_a_new_connection_is_made(self) -> None:
        host = Host(rcpt=Reply.of(550, "5.1.1", "no"), rset=SessionLostError("gone"))
        courier = self._courier(World({"192.0.2.1": host}))
        self._carry(courier)
        host.rcpt = Reply.of(250, "2.1.5", "fine")
        self.assertFalse(self._carry(courier, a_delivery(2)).attempt.reused)

    def test_YH1_an_idle_session_that_died_costs_nothing(self) -> None:
        host = Host()
        courier = self._courier(World({"192.0.2.1": host}))
        self._carry(courier)
        host.send = SessionLostError("closed without a word")
        deferred = self._begin(courier, a_delivery(2))
        # The old session fails; the script is healed for the new one by the dial that follows.
        attempted = self.successResultOf(deferred)
        assert attempted is not None
        self.assertIs(attempted.outcome.result, Result.DEFERRED)
        host.send = None
        attempted = self._carry(courier, a_delivery(2))
        self.assertIs(attempted.outcome.result, Result.DELIVERED)
        self.assertFalse(attempted.attempt.reused)

    def test_GM3_421_to_the_message_is_not_taken_for_a_session_that_died(self) -> None:
        slower = Reply.of(421, "4.7.28", "slower")
        for step, is_anew in (("mail", True), ("rcpt", False), ("final", False)):
            with self.subTest(step=step):
                host = Host()
                world = World({"192.0.2.1": host})
                courier = self._courier(world)
                self._carry(courier)
                setattr(host, step, slower)
                attempted = self._carry(courier, a_delivery(2))
                self.assertIs(attempted.outcome.result, Result.DEFERRED)
                self.assertEqual(len(world.dialled) > 1, is_anew)
                if not is_anew:
                    self.assertEqual(str(attempted.outcome.status), "4.7.28")

    def test_an_unused_session_is_closed_after_its_idle_time(self) -> None:
        host = Host()
        self._carry(self._courier(World({"192.0.2.1": host})))
        self.clock.advance(9.9)
        self.assertTrue(host.sessions[0].is_open)
        self.clock.advance(0.2)
        self.assertFalse(host.sessions[0].is_open)

    def test_a_message_above_the_remotes_SIZE_is_bounced_unsent(self) -> None:
        host = Host(keywords={"SIZE": "10"})
        attempted = self._carry(self._courier(World({"192.0.2.1": host})))
        self.assertEqual(str(attempted.outcome.status), "5.3.4")
        self.assertEqual(host.taken, [])

    def test_U8_an_address_that_needs_SMTPUTF8_is_bounced_where_it_is_not_offered(self) -> None:
        host = Host()
        attempted = self._carry(
            self._courier(World({"192.0.2.1": host})), a_delivery(to="bücher@example.net")
        )
        self.assertEqual(str(attempted.outcome.status), "5.6.7")
        host.keywords["SMTPUTF8"] = ""
        attempted = self._carry(
            self._courier(World({"192.0.2.1": host})), a_delivery(to="bücher@example.net")
        )
        self.assertIs(attempted.outcome.result, Result.DELIVERED)
        self.assertTrue(host.taken[0][0].smtputf8)

    def test_a_large_content_whose_reading_fails_is_deferred_and_the_session_ended(self) -> None:
        world = World({"192.0.2.1": Host()})
        courier = self._courier(world)
        self.contents.failure = StoreUnavailableError("The database is away.")
        attempted = self._carry(courier, a_delivery(in_file=True))
        self.assertIs(attempted.outcome.result, Result.DEFERRED)
        self.assertEqual(attempted.outcome.text, "The database is away.")
        self.assertFalse(attempted.no_host)
        self.assertEqual(world.hosts["192.0.2.1"].taken, [])

    def test_a_lease_that_ends_before_the_final_dot_ends_the_attempt(self) -> None:
        for reused in (False, True):
            host = Host()
            courier = self._courier(World({"192.0.2.1": host}))
            if reused:
                self._carry(courier)
            host.before_dot = Deferred()
            under_way = self._begin(courier, a_delivery(2))
            self.lease.holds = False
            self.connections.withdraw()
            self.assertIsNone(self.successResultOf(under_way))
            self.assertEqual(len(host.taken), int(reused))
            self.assertEqual(len(host.sessions), 1)  # nobody else is asked
            self.assertFalse(host.sessions[0].is_open)

    def test_a_lease_whose_end_was_not_told_in_time_sends_no_final_dot(self) -> None:
        host = Host(before_dot=Deferred())
        under_way = self._begin(self._courier(World({"192.0.2.1": host})))
        self.lease.holds = False
        assert host.before_dot is not None
        host.before_dot.callback(None)  # the process was frozen: what came meanwhile comes first
        self.assertIsNone(self.successResultOf(under_way))
        self.assertEqual(host.taken, [])

    def test_what_was_sent_whole_when_its_lease_ended_is_heard_to_its_end(self) -> None:
        host = Host(until=Deferred())
        under_way = self._begin(self._courier(World({"192.0.2.1": host})))
        self.lease.holds = False
        self.connections.withdraw()
        assert host.until is not None
        host.until.callback(None)
        attempted = self.successResultOf(under_way)
        assert attempted is not None
        self.assertIs(attempted.outcome.result, Result.DELIVERED)

    def test_nothing_begins_without_a_lease_and_idle_sessions_are_left_alone(self) -> None:
        host = Host()
        world = World({"192.0.2.1": host})
        courier = self._courier(world)
        self._carry(courier)
        self.connections.withdraw()
        self.assertTrue(host.sessions[0].is_open)
        lease = ALease()
        lease.holds = False
        self.connections.close_all()
        under_way = ensureDeferred(courier.carry(a_delivery(2), "lane", lease))
        self.assertIsNone(self.successResultOf(under_way))
        self.assertEqual(len(world.dialled), 1)

    def test_S16_eight_bit_content_is_converted_where_8BITMIME_is_not_offered(self) -> None:
        content = (
            b"From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8"
            b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
        )
        head = content.index(b"\r\n\r\n") + 4
        for keywords, eight_bit in [({"8BITMIME": ""}, True), ({"SIZE": "0"}, False)]:
            host = Host(keywords=dict(keywords))
            self._carry(
                self._courier(World({"192.0.2.1": host}), content=content),
                a_delivery(head_octets=head, octets=len(content), eight_bit=True),
            )
            envelope, octets = host.taken[0]
            self.assertEqual(octets.isascii(), not eight_bit)
            self.assertEqual(envelope.body == "8BITMIME", eight_bit)
