"""Outcomes on their way to the store, and what senders are told (DR4, DS2, QU1, D18, O12)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.spawn import Spawn
from smtpplus.relay.attempt import Attempted
from smtpplus.relay.reports import Reporter
from smtpplus.relay.settle import Settling
from smtpplus.rules.retry import RetrySchedule
from smtpplus.values.address import Address
from smtpplus.values.duration import Duration
from smtpplus.values.envelope import DeliverBy, Envelope, Notify, Ret
from smtpplus.values.errors import StoreFullError, StoreUnavailableError
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Accepted, Delivery, DeliveryState, Settlement
from smtpplus.values.options import Options
from smtpplus.values.outcome import Attempt, Outcome, Result, Stage
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode
from tests.relay.fakes import Contents, Queue, a_clock, a_delivery


class _Dispatch:
    def __init__(self) -> None:
        self.dispatched: list[Accepted] = []
        self.reserved = self.cancelled = 0

    def reserve(self, deliveries: int, domains: Collection[str] = (), priority: int = 3) -> bool:
        self.reserved += deliveries
        return True

    def dispatch(self, accepted: Accepted) -> None:
        self.dispatched.append(accepted)

    def cancel(self, deliveries: int, priority: int = 3) -> None:
        self.cancelled += deliveries


def _attempted(result: Result, status: str, **more: Any) -> Attempted:
    code = EnhancedCode.parse(status)
    assert code is not None
    reply = Reply.of(code.klass * 100 + 50, status, "said the remote")
    outcome = Outcome(result, Stage.RCPT, code, str(reply), reply)
    return Attempted(outcome, Attempt(started_at=1000.0, host="mx.example.net"), **more)


_UNCERTAIN = _attempted(Result.DEFERRED, "4.4.2")
_UNCERTAIN = replace(_UNCERTAIN, outcome=replace(_UNCERTAIN.outcome, uncertain=True))
_SENT = _attempted(Result.DELIVERED, "2.0.0")
_BOUNCED = _attempted(Result.BOUNCED, "5.1.1")
_DEFERRED = _attempted(Result.DEFERRED, "4.2.0")


class SettleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, ours = a_clock()
        self.queue = Queue()
        self.dispatch = _Dispatch()
        self.done: list[Settlement] = []
        dispatch: Any = self.dispatch
        self.settling = Settling(
            clock=ours,
            spawn=Spawn(ours),
            queue=self.queue,
            reporter=Reporter(
                clock=ours,
                contents=Contents(),
                ids=IdSource(0),
                hostname="us.example",
                lifetime_seconds=86400,
            ),
            dispatch=dispatch,
            retry=RetrySchedule((Duration(seconds=60), Duration(seconds=300))),
            delay_notice=Duration(seconds=4 * 3600),
            done=self.done.extend,
            chance=lambda: 0.5,
        )

    def _state(self) -> DeliveryState:
        return self.queue.settled[-1].state

    def test_D2_few_deliveries_wait_for_their_commit_while_the_remote_has_them(self) -> None:
        self.queue.failure = StoreUnavailableError("locked")
        for number in range(100):
            self.settling.put(a_delivery(number), _DEFERRED)
        for number in range(100, 131):
            self.settling.put(a_delivery(number), _SENT)
        self.assertTrue(self.settling.has_room)
        self.settling.put(a_delivery(131), _UNCERTAIN)
        self.assertFalse(self.settling.has_room)
        self.queue.failure = None
        self.clock.advance(1)
        self.assertTrue(self.settling.has_room)
        self.assertEqual(len(self.done), 132)

    def test_D6_on_a_full_disk_fewer_outcomes_are_written_together(self) -> None:
        self.queue.failure = StoreFullError("full")
        for number in range(40):
            self.settling.put(a_delivery(number, notify=frozenset({Notify.FAILURE})), _BOUNCED)
        self.clock.advance(1)
        self.queue.failure, self.queue.most = None, 5
        self.clock.pump([1.0] * 10)
        self.assertEqual([one.delivery.id for one in self.done], list(range(40)))
        self.assertEqual(len(self.queue.settled), 40)
        self.assertEqual(self.dispatch.reserved, self.dispatch.cancelled + 40)

    def test_D15_what_must_not_be_sent_is_held_and_nobody_is_told(self) -> None:
        corrupt = _attempted(Result.DEFERRED, "4.3.0", corrupt=True)
        self.settling.put(a_delivery(notify=frozenset({Notify.FAILURE, Notify.DELAY})), corrupt)
        self.assertIs(self._state(), DeliveryState.HELD)
        self.assertEqual((self.queue.reports, self.queue.settled[-1].due_at), ([], None))

    def test_delivered(self) -> None:
        self.settling.put(a_delivery(), _SENT)
        self.assertIs(self._state(), DeliveryState.DELIVERED)
        self.assertEqual(self.queue.reports, [])
        self.assertEqual(len(self.done), 1)

    def test_QU1_deferred_is_due_by_the_schedule(self) -> None:
        self.settling.put(a_delivery(), _DEFERRED)
        self.settling.put(a_delivery(attempts=1), _DEFERRED)
        self.assertIs(self._state(), DeliveryState.QUEUED)
        self.assertEqual([one.due_at for one in self.queue.settled], [1060.0, 1300.0])

    def test_DR4_a_bounce_is_reported_to_the_sender_in_the_same_transaction(self) -> None:
        self.settling.put(a_delivery(), _BOUNCED)
        (report,) = self.queue.reports
        self.assertIsNone(report.message.envelope.sender)
        self.assertEqual(str(report.deliveries[0].recipient.address), "a@example.com")
        assert report.content is not None
        self.assertIn(
            b"\r\nFinal-Recipient: rfc822;b@example.net\r\n", report.content.replace(b"; ", b";")
        )
        self.assertIn(b"\r\nStatus: 5.1.1\r\n", report.content)
        self.assertIn(b"Remote-MTA: dns; mx.example.net", report.content)
        self.assertEqual(self.dispatch.dispatched, [report])
        self.assertEqual(report.reports_on, 1)

    def test_a_report_of_what_another_node_has_by_now_is_not_sent(self) -> None:
        self.queue.is_anothers = True
        self.settling.put(a_delivery(), _BOUNCED)
        self.assertEqual(len(self.queue.settled), 1)
        self.assertEqual(self.dispatch.dispatched, [])
        self.assertEqual(self.dispatch.cancelled, 1)

    def test_DR2_no_report_about_a_report_and_DS2_none_where_never_was_said(self) -> None:
        self.settling.put(a_delivery(envelope=Envelope(None)), _BOUNCED)
        self.settling.put(a_delivery(notify=frozenset({Notify.NEVER})), _BOUNCED)
        self.assertEqual(len(self.queue.settled), 2)
        self.assertEqual(self.queue.reports, [])

    def test_O12_success_is_reported_as_relayed_unless_the_next_hop_does(self) -> None:
        wanted = frozenset({Notify.SUCCESS})
        self.settling.put(a_delivery(notify=wanted), _SENT)
        (report,) = self.queue.reports
        assert report.content is not None
        self.assertIn(b"\r\nAction: relayed\r\n", report.content)
        passed_on = _attempted(Result.DELIVERED, "2.0.0", dsn_passed_on=True)
        self.settling.put(a_delivery(2, notify=wanted), passed_on)
        self.assertEqual(len(self.queue.reports), 1)

    def test_a_delay_is_reported_once_after_four_hours(self) -> None:
        self.clock.advance(4 * 3600 - 1)
        self.settling.put(a_delivery(), _DEFERRED)
        self.assertEqual(self.queue.reports, [])
        self.clock.advance(2)
        self.settling.put(a_delivery(), _DEFERRED)
        (report,) = self.queue.reports
        assert report.content is not None
        self.assertIn(b"\r\nAction: delayed\r\n", report.content)
        self.assertIn(b"Will-Retry-Until:", report.content)
        self.assertTrue(self.queue.settled[-1].delay_reported)
        self.settling.put(a_delivery(delay_reported=True), _DEFERRED)
        self.assertEqual(len(self.queue.reports), 1)

    def _by(self, text: str, lifetime: float = 86_400.0, **changes: Any) -> Delivery:
        """A delivery that came with ``BY=text``."""
        envelope = Envelope(Address("a", "example.com"), deliver_by=DeliverBy.parse(text))
        return a_delivery(envelope=envelope, expires_at=1000.0 + lifetime, **changes)

    def _report(self) -> bytes:
        (report,) = self.queue.reports
        assert report.content is not None
        return report.content

    def test_DR4_RET_FULL_returns_the_message_where_it_failed_and_else_its_header(self) -> None:
        envelope = Envelope(Address("a", "example.com"), ret=Ret.FULL)
        for attempted, is_whole in ((_BOUNCED, True), (_SENT, False)):
            self.queue.reports.clear()
            notify = frozenset({Notify.FAILURE, Notify.SUCCESS})
            self.settling.put(a_delivery(envelope=envelope, notify=notify), attempted)
            report = self._report()
            attached = b"message" if is_whole else b"message's header"
            self.assertIn(b"A copy of the " + attached + b" is", report)
            self.assertIs(b"\r\nContent-Type: message/rfc822\r\n" in report, is_whole)

    def test_with_BY_and_R_it_is_given_up_in_time_with_5_4_7(self) -> None:
        self.settling.put(self._by("90;R", 90.0), _DEFERRED)
        self.assertEqual(self.queue.settled[-1].due_at, 1060.0)
        self.clock.advance(60)
        self.settling.put(self._by("90;R", 90.0, attempts=1), _DEFERRED)
        self.assertEqual(self.queue.settled[-1].due_at, 1090.0)
        self.clock.advance(30)  # what began before and ends after it is given up, too
        self.settling.put(self._by("90;R", 90.0, attempts=2), _DEFERRED)
        self.assertIs(self._state(), DeliveryState.EXPIRED)
        self.assertIn(b"\r\nStatus: 5.4.7\r\n", self._report())
        self.assertIn(b"\r\nAction: failed\r\n", self._report())

    def test_with_BY_and_N_it_is_said_in_time_that_it_is_late_and_tried_on(self) -> None:
        self.settling.put(self._by("90;N"), _DEFERRED)
        self.clock.advance(60)
        self.settling.put(self._by("90;N", attempts=1), _DEFERRED)
        self.assertEqual(self.queue.settled[-1].due_at, 1090.0)
        self.assertEqual(self.queue.reports, [])
        self.clock.advance(30)
        self.settling.put(self._by("90;N", attempts=2), _DEFERRED)
        self.assertIn(b"\r\nAction: delayed\r\n", self._report())
        self.assertEqual(
            (self._state(), self.queue.settled[-1].due_at), (DeliveryState.QUEUED, 1390.0)
        )

    def test_what_was_late_when_it_came_is_reported_at_its_first_failure(self) -> None:
        self.settling.put(self._by("-5;N"), _DEFERRED)
        self.assertIn(b"\r\nAction: delayed\r\n", self._report())

    def test_with_BY_and_N_what_is_handed_on_late_is_told_of_if_it_was_not_before(self) -> None:
        passed_on = _attempted(Result.DELIVERED, "2.0.0", dsn_passed_on=True)
        self.clock.advance(90)
        for text in ("90;N", "-5;N", "5;R"):  # in time; late when it came; nothing to be told
            self.settling.put(self._by(text), passed_on)
        self.clock.advance(1)
        self.settling.put(self._by("90;N", delay_reported=True), _SENT)
        self.settling.put(self._by("90;N", notify=frozenset({Notify.FAILURE})), _SENT)
        self.assertEqual(self.queue.reports, [])
        self.settling.put(self._by("90;N"), passed_on)
        report = self._report()
        for said in (
            b"\r\nSubject: Late mail: it was handed on after the time you set\r\n",
            b"\r\nAction: relayed\r\n",
            b"\r\nDeliver-By-Date: Thu, 01 Jan 1970 00:18:10 +0000\r\n",
            b"It was wanted there by Thu, 01 Jan 1970 00:18:10 +0000.\r\n",
        ):
            self.assertIn(said, report)

    def test_with_BY_and_N_a_report_of_success_says_that_it_is_late(self) -> None:
        self.clock.advance(91)
        self.settling.put(self._by("90;N", notify=frozenset({Notify.SUCCESS})), _SENT)
        self.assertIn(b"\r\nAction: relayed\r\n", self._report())
        self.assertIn(b"later than you wanted", self._report())

    def test_P10_what_was_scheduled_is_not_late_before_four_hours_of_trying(self) -> None:
        self.clock.advance(86_400)
        scheduled = Options(send_at=1000.0 + 86_400)
        self.settling.put(a_delivery(options=scheduled), _DEFERRED)
        self.assertEqual(self.queue.reports, [])
        self.clock.advance(4 * 3600)
        self.settling.put(a_delivery(options=scheduled), _DEFERRED)
        self.assertIn(b"\r\nAction: delayed\r\n", self._report())

    def test_with_BY_and_T_each_relay_is_reported(self) -> None:
        passed_on = _attempted(Result.DELIVERED, "2.0.0", dsn_passed_on=True)
        self.settling.put(self._by("90;NT", notify=frozenset({Notify.NEVER})), passed_on)
        self.settling.put(self._by("90;N"), passed_on)
        self.assertEqual(self.queue.reports, [])
        self.settling.put(self._by("90;NT"), passed_on)
        self.assertIn(b"\r\nAction: relayed\r\n", self._report())

    def test_C1_a_clock_that_jumps_past_the_lifetime_gives_nothing_up_untried(self) -> None:
        self.clock.advance(40 * 86400)
        self.settling.put(a_delivery(), _DEFERRED)  # its attempt began before
        self.assertIs(self._state(), DeliveryState.QUEUED)
        self.settling.put(a_delivery(), replace(_DEFERRED, made=False))
        self.assertIs(self._state(), DeliveryState.QUEUED)

    def test_D18_after_its_lifetime_a_delivery_expires_with_one_report(self) -> None:
        self.clock.advance(5 * 86400)
        last = replace(_DEFERRED.attempt, started_at=1000.0 + 5 * 86400)
        attempted = replace(_DEFERRED, attempt=last)
        self.settling.put(a_delivery(attempts=40, delay_reported=True), attempted)
        self.assertIs(self._state(), DeliveryState.EXPIRED)
        (report,) = self.queue.reports
        assert report.content is not None
        self.assertIn(b"\r\nStatus: 4.4.7\r\n", report.content)
        self.assertIn(b"\r\nAction: failed\r\n", report.content)

    def test_D2_outcomes_wait_for_a_store_that_is_away_and_attempts_pause(self) -> None:
        self.queue.failure = StoreUnavailableError("locked")
        for number in range(500):
            self.settling.put(a_delivery(number), _SENT)
        self.assertFalse(self.settling.has_room)
        self.assertEqual(self.done, [])
        self.queue.failure = None
        self.clock.advance(1.0)
        self.assertEqual(len(self.done), 500)
        self.assertTrue(self.settling.has_room)

    def _to_three(self, number: int) -> Delivery:
        to = tuple(a_delivery(one, f"r{one}@example.net").recipient for one in (1, 2, 3))
        envelope = Envelope(Address("a", "example.com"), to)
        delivery = a_delivery(1, envelope=envelope)
        return replace(delivery, id=number, recipient=to[number - 1])

    def test_DR4_recipients_of_a_message_that_fail_one_after_the_other_share_one_report(
        self,
    ) -> None:
        self.settling.put(self._to_three(1), _BOUNCED)
        self.settling.put(self._to_three(2), _SENT)
        self.assertEqual([one.delivery.id for one in self.done], [2])
        self.clock.advance(1.5)
        self.settling.put(self._to_three(3), _BOUNCED)
        self.assertEqual(len(self.done), 1)
        self.clock.advance(0.5)
        self.assertEqual([one.delivery.id for one in self.done], [2, 1, 3])
        (report,) = self.queue.reports
        assert report.content is not None
        self.assertEqual(report.content.count(b"Final-Recipient:"), 2)

    def test_O5_what_was_not_tried_is_written_in_small_groups_behind_all_else(self) -> None:
        untried = replace(_DEFERRED, made=False)
        self.queue.failure = StoreUnavailableError("busy")
        for number in range(100):
            self.settling.put(a_delivery(number), untried)
        self.assertFalse(self.settling.has_room_for_untried)
        self.settling.put(a_delivery(200), _SENT)
        self.assertTrue(self.settling.has_room)
        self.queue.failure = None
        self.clock.advance(1.0)
        first = [one.delivery.id for one in self.done]
        self.assertEqual(len(first), 2)  # the one that was being written, then the other
        for rest, written in ((1.0, 18), (0.05, 34), (0.05, 50)):  # the first beside another
            self.clock.advance(rest - 0.01)
            self.assertLess(len(self.done), written)
            self.clock.advance(0.01)
            self.assertEqual(len(self.done), written)
        self.clock.pump([0.05] * 4)
        self.assertEqual(len(self.done), 101)
        self.assertTrue(self.settling.has_room_for_untried)

    def test_D12_at_the_end_nothing_is_held_back_for_a_report(self) -> None:
        self.settling.put(self._to_three(1), _BOUNCED)
        self.settling.stop()
        self.settling.put(self._to_three(3), _BOUNCED)
        self.assertEqual([one.delivery.id for one in self.done], [1, 3])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_DR4_recipients_that_fail_together_share_one_report(self) -> None:
        self.queue.failure = StoreUnavailableError("busy")
        self.settling.put(a_delivery(9), _SENT)
        first = a_delivery(1)
        self.settling.put(first, _BOUNCED)
        self.settling.put(a_delivery(1, to="c@example.net"), _BOUNCED)
        self.queue.failure = None
        self.clock.advance(1.0)
        (report,) = self.queue.reports
        assert report.content is not None
        self.assertEqual(report.content.count(b"\r\nFinal-Recipient:"), 2)
