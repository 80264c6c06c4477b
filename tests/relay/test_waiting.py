"""What goes first, and that nothing waits for ever (P13)."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.relay.room import Room
from smtpplus.relay.waiting import Waiting
from smtpplus.values.message import Delivery
from tests.relay.fakes import a_delivery


def _due(number: int, priority: int, due_at: float = 1000.0) -> Delivery:
    return replace(a_delivery(number, priority=priority), due_at=due_at)


def _all(waiting: Waiting) -> list[int]:
    return [waiting.take().id for _ in range(len(waiting))]


class WaitingTests(SynchronousTestCase):
    def test_of_one_priority_the_first_to_come_goes_first(self) -> None:
        waiting = Waiting()
        waiting.extend([_due(number, 3) for number in range(20)])
        self.assertEqual(_all(waiting), list(range(20)))

    def test_P13_the_most_urgent_goes_first(self) -> None:
        waiting = Waiting()
        waiting.extend([_due(5, 5), _due(3, 3), _due(1, 1), _due(4, 4), _due(11, 1)])
        self.assertTrue(waiting.has_first)
        self.assertEqual([one.id for one in waiting], [1, 11, 3, 4, 5])
        self.assertEqual(_all(waiting), [1, 11, 3, 4, 5])
        self.assertFalse(waiting.has_first)

    def test_P13_each_eighth_is_the_one_that_fell_due_first(self) -> None:
        waiting = Waiting()
        waiting.extend([_due(number, 5, due_at=1.0) for number in (501, 502)])
        waiting.extend([_due(number, 1) for number in range(20)])
        order = _all(waiting)
        self.assertEqual([order.index(501), order.index(502)], [7, 15])

    def test_what_is_put_back_goes_before_its_like(self) -> None:
        waiting = Waiting()
        waiting.extend([_due(1, 3), _due(2, 3), _due(3, 2)])
        waiting.put_back(_due(4, 3))
        self.assertEqual(_all(waiting), [3, 4, 1, 2])

    def test_what_is_taken_out_is_gone_and_the_rest_stays_in_order(self) -> None:
        waiting = Waiting()
        waiting.extend([_due(number, 3 - number % 2) for number in range(6)])
        gone = waiting.remove({0, 3, 99})
        self.assertEqual(sorted(one.id for one in gone), [0, 3])
        self.assertEqual(_all(waiting), [1, 5, 2, 4])
        self.assertEqual(len(waiting), 0)

    def test_P13_one_of_the_highest_alone_can_be_taken(self) -> None:
        waiting = Waiting()
        waiting.extend([_due(1, 3), _due(2, 1)])
        self.assertEqual(waiting.take_first().id, 2)
        self.assertEqual(_all(waiting), [1])


class RoomTests(SynchronousTestCase):
    def test_P13_a_sixteenth_is_kept_for_what_is_urgent(self) -> None:
        room = Room(160)
        self.assertEqual(room.left(urgent=False), 150)
        room.take(150, urgent=False)
        self.assertEqual([room.left(urgent=False), room.left(urgent=True)], [0, 10])

    def test_P13_what_is_urgent_takes_no_more_than_half(self) -> None:
        room = Room(160)
        room.take(80, urgent=True)
        self.assertEqual([room.left(urgent=False), room.left(urgent=True)], [80, 0])
        room.take(80, urgent=False)
        self.assertEqual(room.left(urgent=False), 0)
        room.give_back(40, urgent=True)
        self.assertTrue(room.is_ample(urgent=True))
        self.assertFalse(room.is_ample(urgent=False))
        self.assertEqual([room.left(urgent=False), room.left(urgent=True)], [40, 40])

    def test_D11_never_more_than_all(self) -> None:
        for most in (1, 2, 5, 10, 100):
            room = Room(most)
            for urgent in (False, True, False, True):
                room.take(max(room.left(urgent=urgent), 0), urgent=urgent)
            self.assertLessEqual(max(room.left(urgent=True), room.left(urgent=False)), 0)

    def test_what_comes_and_leaves_is_counted_by_its_kind(self) -> None:
        room = Room(160)
        mixed = [_due(number, number % 5 + 1) for number in range(10)]
        room.come(mixed)
        self.assertEqual([room.left(urgent=False), room.left(urgent=True)], [144, 76])
        room.leave(mixed)
        self.assertEqual([room.left(urgent=False), room.left(urgent=True)], [150, 80])
