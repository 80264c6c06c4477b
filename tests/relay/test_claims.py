"""What of the queue is in memory (D11, O5)."""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.net.spawn import Spawn
from smtpplus.relay.claims import Claims
from smtpplus.values.errors import StoreUnavailableError
from smtpplus.values.message import Accepted, Delivery, DeliveryState, NewDelivery, Settlement
from smtpplus.values.outcome import Outcome, Result, Stage
from smtpplus.values.status_codes import EnhancedCode
from tests.relay.fakes import CONTENT, Queue, a_delivery

_LATER = Outcome(Result.DEFERRED, Stage.RCPT, EnhancedCode(4, 2, 0), "later")


class ClaimTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.queue = Queue()
        self._new(10)

    def _new(self, most: int) -> None:
        self.clock = Clock()
        self.jumped = 0.0
        ours = ReactorClock(self.clock, lambda: 1000.0 + self.clock.seconds() + self.jumped)
        self.added: list[Delivery] = []
        self.remembered: list[Accepted] = []
        self.crowded: list[str] = []
        self.waits: dict[str, int] = {}
        self.claims = Claims(
            clock=ours,
            spawn=Spawn(ours),
            queue=self.queue,
            add=self.added.extend,
            remember=self.remembered.append,
            crowded=lambda most, urgent: [] if urgent else self.crowded,
            waits_for=lambda domain, urgent: 0 if urgent else self.waits.get(domain, 0),
            waiting=lambda: [one.id for one in self.added],
            take_back=self._take_back,
            most=most,
        )
        self.claims.start()
        self.clock.advance(0)

    def _take_back(self, ids: Collection[int]) -> list[Delivery]:
        taken = [one for one in self.added if one.id in ids]
        self.added[:] = [one for one in self.added if one.id not in ids]
        return taken

    def _settled(self, count: int, due_at: float | None = None) -> None:
        state = DeliveryState.DELIVERED if due_at is None else DeliveryState.QUEUED
        self.claims.settled(
            [
                Settlement(a_delivery(number), state, 1000.0, _LATER, None, due_at)
                for number in range(count)
            ]
        )

    def test_an_accepted_message_goes_straight_to_its_lanes(self) -> None:
        looks = len(self.queue.claims)
        self.assertTrue(self.claims.reserve(1))
        delivery = a_delivery(7)
        accepted = Accepted(
            delivery.message, (NewDelivery(7, delivery.recipient),), CONTENT, leased=True, due_at=0
        )
        self.claims.dispatch(accepted)
        self.assertEqual([one.id for one in self.added], [7])
        self.assertEqual(self.remembered, [accepted])
        self.assertEqual(len(self.queue.claims), looks)

    def test_nothing_is_claimed_while_the_leases_may_be_anothers(self) -> None:
        # It would be claimed again after their loss, and its lease then given back with what was
        # lost: for a third claim, beside the attempt of the second.
        self.queue.holds = False
        self.queue.waiting = [a_delivery(1), a_delivery(2)]
        self.claims.wake()
        self.clock.advance(0)
        self.assertEqual(self.added, [])
        self.claims.lost()
        self.clock.advance(0)
        self.assertEqual((self.added, self.queue.released), ([], []))
        self.queue.holds = True
        self.claims.wake()
        self.clock.advance(0)
        self.assertEqual([one.id for one in self.added], [1, 2])

    def test_D11_no_more_than_so_many_are_held(self) -> None:
        self.assertTrue(self.claims.reserve(9))
        self.assertFalse(self.claims.reserve(2))
        self.assertTrue(self.claims.reserve(1))
        self.claims.cancel(10)
        self.assertTrue(self.claims.reserve(10))

    def test_what_found_no_room_is_claimed_when_there_is(self) -> None:
        self.claims.reserve(10)
        self.queue.waiting = [a_delivery(number) for number in range(25)]
        self.claims.wake()
        self.clock.advance(0)
        self.assertEqual(self.added, [])
        self._settled(5)
        self.clock.advance(0)
        self.assertEqual(len(self.added), 5)
        for _ in range(10):
            self._settled(5)
            self.clock.advance(0.1)
        self.assertEqual(len(self.added), 25)

    def test_a_deferred_delivery_is_looked_for_when_it_is_due(self) -> None:
        self.claims.reserve(1)
        self._settled(1, due_at=1000.0 + 30)
        looks = len(self.queue.claims)
        self.clock.advance(29.9)
        self.assertEqual(len(self.queue.claims), looks)
        self.queue.waiting = [a_delivery(1)]
        self.clock.advance(0.2)
        self.assertEqual(len(self.added), 1)

    def test_the_store_is_asked_for_what_it_said_is_due_next(self) -> None:
        self.queue.due = 1000.0 + 20
        self.claims.wake()
        self.clock.advance(0)
        looks = len(self.queue.claims)
        self.clock.advance(19.9)
        self.assertEqual(len(self.queue.claims), looks)
        self.clock.advance(0.2)
        self.assertEqual(len(self.queue.claims), looks + 1)

    def test_something_due_that_cannot_be_claimed_does_not_make_it_spin(self) -> None:
        self.queue.due = 0.0
        self.claims.wake()
        self.clock.advance(0)
        looks = len(self.queue.claims)
        self.clock.pump([0.01] * 100)
        self.assertLessEqual(len(self.queue.claims) - looks, 11)

    def test_O5_nothing_more_is_claimed_for_a_crowded_domain(self) -> None:
        self.crowded = ["dead.example"]
        self.queue.waiting = [a_delivery(1, "x@dead.example"), a_delivery(2)]
        self.claims.wake()
        self.clock.advance(0)
        self.assertEqual([one.id for one in self.added], [2])

    def test_O5_what_is_for_a_crowded_domain_waits_in_the_store(self) -> None:
        self.waits = {"slow.example": 2}
        self.assertFalse(self.claims.reserve(1, {"slow.example", "x.example"}))
        self.assertTrue(self.claims.reserve(1, {"x.example"}))
        self.waits = {"slow.example": 1}
        self.assertTrue(self.claims.reserve(1, {"slow.example"}))
        self.assertTrue(self.claims.reserve(4, {"x.example"}))
        self.assertFalse(self.claims.reserve(1, {"slow.example"}))  # the less is free, the less

    def test_O5_what_waits_in_the_store_is_claimed_when_less_of_it_is_here(self) -> None:
        self.claims.reserve(5)
        self.waits = {"slow.example": 5}
        self.assertFalse(self.claims.reserve(1, {"slow.example"}))
        self.queue.waiting = [a_delivery(1, "x@slow.example")]
        self.waits = {}
        self._settled(5)
        self.clock.advance(0.2)
        self.assertEqual(len(self.added), 1)

    def test_O5_beside_a_crowded_domain_the_store_is_asked_ten_times_a_second(self) -> None:
        self.crowded = ["slow.example"]
        self.claims.wake()
        self.clock.advance(0)
        looks = len(self.queue.claims)
        for _ in range(100):
            self.claims.wake()
            self.clock.advance(0.01)
        self.assertLessEqual(len(self.queue.claims) - looks, 11)

    def test_P13_what_is_urgent_finds_room_where_nothing_else_does(self) -> None:
        self._new(160)
        self.assertTrue(self.claims.reserve(150))
        self.assertFalse(self.claims.reserve(1))
        self.assertFalse(self.claims.reserve(1, priority=3))
        self.assertTrue(self.claims.reserve(1, priority=2))
        self.assertTrue(self.claims.reserve(9, priority=1))
        self.assertFalse(self.claims.reserve(1, priority=1))
        self.claims.cancel(9, priority=1)
        self.assertFalse(self.claims.reserve(1))
        self.assertTrue(self.claims.reserve(9, priority=1))

    def test_P13_what_is_urgent_is_claimed_where_nothing_else_is(self) -> None:
        self._new(160)
        self.claims.reserve(150)
        self.queue.waiting = [a_delivery(1), a_delivery(2, priority=2), a_delivery(3, priority=1)]
        self.claims.wake()
        self.clock.advance(0)
        self.assertEqual([one.id for one in self.added], [2, 3])

    def test_P13_beside_a_crowded_domain_its_urgent_mail_comes_through(self) -> None:
        self.crowded = ["slow.example"]
        self.waits = {"slow.example": 5}
        self.assertFalse(self.claims.reserve(1, {"slow.example"}))
        self.assertTrue(self.claims.reserve(1, {"slow.example"}, priority=1))
        to = "x@slow.example"
        self.queue.waiting = [a_delivery(1, to), a_delivery(2, to, priority=1)]
        self.claims.wake()
        self.clock.pump([0.1, 0.01])
        self.assertEqual([one.id for one in self.added], [2])

    def test_P10_what_is_scheduled_waits_in_the_store_until_its_second(self) -> None:
        delivery = a_delivery(1)
        later = NewDelivery(1, delivery.recipient, due_at=1000.0 + 3600)
        withheld = NewDelivery(2, delivery.recipient, withheld="suppressed")
        now = NewDelivery(3, delivery.recipient)
        accepted = Accepted(delivery.message, (later, withheld, now), CONTENT, True, 1000.0)
        self.assertTrue(self.claims.reserve(len(accepted.at_once)))
        self.claims.dispatch(accepted)
        self.assertEqual([one.id for one in self.added], [3])
        self.clock.advance(1)
        looks = len(self.queue.claims)
        self.claims.wake(1000.0 + 20)
        self.clock.pump([0.5] * 36)
        self.assertEqual(len(self.queue.claims), looks)
        self.clock.pump([0.1] * 12)
        self.assertEqual(len(self.queue.claims), looks + 1)

    def test_C1_what_is_due_by_a_clock_that_was_set_is_claimed_within_seconds(self) -> None:
        self.queue.due = 1000.0 + 3600
        self.claims.wake()
        self.clock.advance(0)
        looks = len(self.queue.claims)
        self.jumped = 3600.0
        self.clock.pump([1.0] * 5)
        self.assertEqual(len(self.queue.claims), looks + 1)
        self.jumped = 0.0
        self.clock.pump([1.0] * 70)  # set back: asked for once a minute, as ever
        self.assertLessEqual(len(self.queue.claims), looks + 3)

    def test_C5_a_store_that_is_away_is_asked_again(self) -> None:
        def away(*_: object) -> None:
            raise StoreUnavailableError("locked")

        claim, self.queue.claim = self.queue.claim, away  # type: ignore[assignment,method-assign]
        self.claims.wake()
        self.clock.advance(0)
        self.queue.claim = claim  # type: ignore[method-assign]
        self.queue.waiting = [a_delivery(1)]
        self.clock.advance(1.1)
        self.assertEqual(len(self.added), 1)

    def test_D12_stopped_it_refuses_reservations(self) -> None:
        self.claims.stop()
        self.assertFalse(self.claims.reserve(1))

    def test_what_was_held_or_cancelled_leaves_memory_and_its_lease_goes_back(self) -> None:
        self.queue.waiting = [a_delivery(number) for number in range(10)]
        self.claims.wake()
        self.clock.advance(0)
        self.queue.taken_back = {3, 4, 77}
        self.claims.changed()
        self.assertEqual([one.id for one in self.added], [0, 1, 2, 5, 6, 7, 8, 9])
        self.assertEqual(self.queue.released, [3, 4])
        self.assertTrue(self.claims.reserve(2))
        self.assertFalse(self.claims.reserve(1))

    def test_a_check_that_fails_is_repeated(self) -> None:
        self.queue.waiting = [a_delivery(1)]
        self.claims.wake()
        self.clock.advance(0)
        self.queue.taken_back = {1}
        self.queue.failure = StoreUnavailableError("away")
        self.claims.changed()
        self.assertEqual(len(self.added), 1)
        self.queue.failure = None
        self.clock.advance(1)
        self.assertEqual(self.added, [])
