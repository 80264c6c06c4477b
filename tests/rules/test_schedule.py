"""When a message may leave, when it is given up, and what goes first (P10, P13)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.schedule import (
    LONGEST_HOLD_SECONDS,
    deliver_by_at,
    due_at,
    expires_at,
    is_urgent,
    level,
    priority,
    returns_at_expiry,
)
from smtpplus.values.address import Address
from smtpplus.values.envelope import ByMode, DeliverBy, Envelope
from smtpplus.values.errors import RefusedError
from smtpplus.values.options import NOTHING_SAID, Options
from tests.relay.fakes import a_message

NOW = 1_000_000.0
LIFETIME = 5 * 86_400.0
SENDER = Address("a", "example.com")
PLAIN = Envelope(SENDER)
BY_R = Envelope(SENDER, deliver_by=DeliverBy(600, ByMode.RETURN))
BY_N = Envelope(SENDER, deliver_by=DeliverBy(-5, ByMode.NOTIFY, trace=True))


class DueTests(SynchronousTestCase):
    def test_P10_when_it_may_leave(self) -> None:
        table = (
            (PLAIN, NOTHING_SAID, 0.0, None, NOW),
            (PLAIN, NOTHING_SAID, 30.0, None, NOW + 30),
            (PLAIN, Options(send_at=NOW + 90), 30.0, None, NOW + 90),
            (PLAIN, Options(send_at=NOW + 10), 30.0, None, NOW + 30),
            (PLAIN, Options(send_at=NOW - 90), 0.0, None, NOW),
            (Envelope(SENDER, hold_for=60), NOTHING_SAID, 0.0, None, NOW + 60),
            (Envelope(SENDER, hold_until=NOW + 70), NOTHING_SAID, 0.0, None, NOW + 70),
            (Envelope(SENDER, hold_until=NOW - 70), NOTHING_SAID, 0.0, None, NOW),
            (Envelope(SENDER, hold_for=60), Options(send_at=NOW + 5), 0.0, None, NOW + 60),
            (Envelope(SENDER, hold_for=60), Options(send_at=NOW + 500), 0.0, None, NOW + 500),
            (PLAIN, Options(send_at=NOW + 90), 0.0, NOW + 40, NOW + 40),
            (PLAIN, NOTHING_SAID, 0.0, NOW + 40, NOW + 40),
        )
        for envelope, options, recall, own, expected in table:
            due = due_at(envelope, options, recall, NOW, own=own)
            self.assertEqual(due, expected, (envelope, options, recall, own))

    def test_P10_too_far_ahead_is_refused(self) -> None:
        far = Options(send_at=NOW + LONGEST_HOLD_SECONDS + 1)
        refused = self.assertRaises(RefusedError, due_at, PLAIN, far, 0.0, NOW)
        self.assertIn("550 5.6.0", str(refused))
        self.assertIn("366 days", str(refused))


class ExpiryTests(SynchronousTestCase):
    def test_P10_its_life_begins_when_it_may_leave(self) -> None:
        due = NOW + 100
        table = (
            (PLAIN, NOTHING_SAID, due + LIFETIME),
            (PLAIN, Options(expires_after=60.0), due + 60),
            (PLAIN, Options(expires_after=LIFETIME * 2), due + LIFETIME),
            (PLAIN, Options(expires_at=NOW + 200), NOW + 200),
            (PLAIN, Options(expires_at=NOW + 200, expires_after=60.0), NOW + 160),
            (BY_R, NOTHING_SAID, NOW + 600),
            (BY_N, NOTHING_SAID, due + LIFETIME),
        )
        for envelope, options, expected in table:
            end = expires_at(envelope, options, due, NOW, LIFETIME)
            self.assertEqual(end, expected, (envelope, options))

    def test_P10_what_could_never_leave_is_refused(self) -> None:
        for envelope, options in (
            (PLAIN, Options(expires_at=NOW + 700)),
            (BY_R, NOTHING_SAID),
        ):
            refused = self.assertRaises(
                RefusedError, expires_at, envelope, options, NOW + 700, NOW, LIFETIME
            )
            self.assertIn("550 5.6.0", str(refused))

    def test_what_BY_says_of_a_message(self) -> None:
        late = a_message(envelope=BY_N)
        self.assertEqual(deliver_by_at(late), late.received_at - 5)
        self.assertFalse(returns_at_expiry(late))
        self.assertTrue(returns_at_expiry(a_message(envelope=BY_R)))
        self.assertIsNone(deliver_by_at(a_message()))
        self.assertEqual([str(DeliverBy(7, ByMode.RETURN)), "-5;NT"], ["7;R", str(BY_N.deliver_by)])


class PriorityTests(SynchronousTestCase):
    def test_P13_what_goes_first(self) -> None:
        table = (
            (None, None, 3, 3),
            (None, None, 1, 1),
            (4, None, 1, 4),
            (None, 9, 4, 1),
            (5, 9, 1, 5),
            (0, None, 3, 1),
            (99, None, 3, 5),
        )
        for said, asked, otherwise, expected in table:
            envelope = Envelope(SENDER, mt_priority=asked)
            found = priority(envelope, Options(priority=said), otherwise)
            self.assertEqual(found, expected, (said, asked, otherwise))

    def test_P13_nineteen_levels_become_five(self) -> None:
        self.assertEqual(
            [level(asked) for asked in range(-9, 10)],
            [5, 5, 5, 5, 4, 4, 4, 4, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1],
        )

    def test_P13_room_is_kept_for_one_and_two(self) -> None:
        urgent = [number for number in range(1, 6) if is_urgent(a_message(priority=number))]
        self.assertEqual(urgent, [1, 2])
