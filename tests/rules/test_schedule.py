"""When a message may leave, when it is given up, and what goes first (P10, P13)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.schedule import (
    became_late,
    deliver_by_at,
    ends_at,
    held_until,
    is_urgent,
    level,
    priority,
    returns_at_expiry,
)
from smtpplus.values.address import Address
from smtpplus.values.envelope import ByMode, DeliverBy, Envelope
from smtpplus.values.options import Options
from tests.relay.fakes import a_message

NOW = 1_000_000.0
SENDER = Address("a", "example.com")
PLAIN = Envelope(SENDER)
BY_R = Envelope(SENDER, deliver_by=DeliverBy(600, ByMode.RETURN))
BY_N = Envelope(SENDER, deliver_by=DeliverBy(-5, ByMode.NOTIFY, trace=True))


class TimeTests(SynchronousTestCase):
    def test_P10_how_long_the_envelope_holds(self) -> None:
        table = (
            (PLAIN, NOW),
            (Envelope(SENDER, hold_for=60), NOW + 60),
            (Envelope(SENDER, hold_for=0), NOW),
            (Envelope(SENDER, hold_until=NOW + 70), NOW + 70),
            (Envelope(SENDER, hold_until=NOW - 70), NOW - 70),
        )
        for envelope, expected in table:
            self.assertEqual(held_until(envelope, NOW), expected, envelope)

    def test_when_BY_gives_up(self) -> None:
        ends = [ends_at(envelope, NOW) for envelope in (PLAIN, BY_R, BY_N)]
        self.assertEqual(ends, [0.0, NOW + 600, 0.0])

    def test_what_became_late_here_is_told_of(self) -> None:
        for said, seconds, expected in (
            (DeliverBy(9, ByMode.NOTIFY), 9, False),
            (DeliverBy(9, ByMode.NOTIFY), 10, True),
            (DeliverBy(9, ByMode.RETURN), 10, False),
            (DeliverBy(0, ByMode.NOTIFY), 10, False),
            (None, 10, False),
        ):
            message = a_message(envelope=Envelope(SENDER, deliver_by=said))
            self.assertIs(became_late(message, message.received_at + seconds), expected, said)

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
