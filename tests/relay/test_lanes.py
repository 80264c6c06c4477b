"""How many at once, and what a dead destination costs (O5)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.spawn import Spawn
from smtpplus.relay.attempt import Attempted
from smtpplus.relay.lanes import Lanes
from smtpplus.rules.failure import judge_loss
from smtpplus.values.message import Delivery
from smtpplus.values.outcome import Attempt, Outcome, Result, Stage
from smtpplus.values.status_codes import EnhancedCode
from tests.relay.fakes import ALease, a_clock, a_delivery

_SENT = Attempted(
    Outcome(Result.DELIVERED, Stage.BODY, EnhancedCode(2, 0, 0), "250 Ok"),
    Attempt(started_at=0, ip="192.0.2.1"),
)
_DEAD = Attempted(
    judge_loss(Stage.CONNECT, "refused", after_final_dot=False, reply=None).outcome,
    Attempt(started_at=0, ip="192.0.2.1"),
    no_host=True,
)


class _Courier:
    """Carries when told to."""

    def __init__(self) -> None:
        self.under_way: list[tuple[Delivery, Deferred[Attempted | None]]] = []
        self.carried = 0

    async def carry(self, delivery: Delivery, lane: str, lease: ALease) -> Attempted | None:
        self.carried += 1
        arrived: Deferred[Attempted | None] = Deferred()
        self.under_way.append((delivery, arrived))
        return await arrived

    def arrive(self, attempted: Attempted | None) -> None:
        self.under_way.pop(0)[1].callback(attempted)


class LaneTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, ours = a_clock()
        self.courier = _Courier()
        self.settled: list[tuple[int, Attempted]] = []
        self.has_room = self.may_defer = True
        self.lease = ALease()
        self.dropped: list[Delivery] = []
        courier: Any = self.courier
        self.lanes = Lanes(
            clock=ours,
            spawn=Spawn(ours),
            courier=courier,
            settle=lambda delivery, attempted: self.settled.append((delivery.id, attempted)),
            may_defer=lambda: self.may_defer,
            may_go_on=lambda: self.has_room,
            lease=lambda: self.lease,
            drop=self.dropped.append,
            concurrency=3,
        )

    def _add(self, count: int, lane: str = "a") -> None:
        self.lanes.add(lane, [a_delivery(number) for number in range(count)])

    def test_at_most_so_many_at_once_and_in_order(self) -> None:
        self._add(10)
        self.assertEqual(len(self.courier.under_way), 3)
        for _ in range(10):
            self.courier.arrive(_SENT)
        self.assertEqual([number for number, _ in self.settled], list(range(10)))
        self.assertEqual(self.lanes.statistics(), {})

    def test_lanes_do_not_wait_for_each_other(self) -> None:
        self._add(10, "a")
        self._add(2, "b")
        self.assertEqual(len(self.courier.under_way), 5)

    def test_O5_a_dead_destination_is_probed_by_one_and_the_rest_deferred_with_it(self) -> None:
        self._add(1000)
        for _ in range(3):
            self.courier.arrive(_DEAD)
        self.assertEqual(len(self.settled), 1000)
        self.assertEqual(self.courier.carried, 3)
        self.assertEqual(sum(attempted.made for _, attempted in self.settled), 3)
        self.clock.advance(61)
        self._add(10)
        self.assertEqual(len(self.courier.under_way), 1)

    def test_O5_a_dead_destination_waits_while_the_store_has_enough_of_it(self) -> None:
        self._add(10)
        self.may_defer = False
        for _ in range(3):
            self.courier.arrive(_DEAD)
        self.assertEqual((len(self.settled), self.lanes.waiting("a")), (3, 7))
        self._add(3, "b")
        self.assertEqual(len(self.courier.under_way), 3)
        self.may_defer = True
        self.lanes.resume()
        self.assertEqual((len(self.settled), self.lanes.waiting("a")), (10, 0))

    def test_O5_a_destination_that_answers_again_gets_its_concurrency_back(self) -> None:
        self._add(3)
        for _ in range(3):
            self.courier.arrive(_DEAD)
        self.clock.advance(61)
        self._add(10)
        self.courier.arrive(_SENT)
        self.assertEqual(len(self.courier.under_way), 3)

    def _lanes(self, concurrency: int, reserved: int = 1) -> None:
        courier: Any = self.courier
        self.lanes.reconfigure(courier, concurrency, reserved)

    def test_P13_one_attempt_is_kept_for_priority_1(self) -> None:
        self._lanes(5)
        self._add(100)
        self.assertEqual(len(self.courier.under_way), 4)
        self.lanes.add("a", [a_delivery(501, priority=2)])
        self.assertEqual(len(self.courier.under_way), 4)
        self.lanes.add("a", [a_delivery(502, priority=1), a_delivery(503, priority=1)])
        self.assertEqual([one.id for one, _ in self.courier.under_way], [0, 1, 2, 3, 502])
        for _ in range(2):
            self.courier.arrive(_SENT)
        self.assertEqual([one.id for one, _ in self.courier.under_way], [2, 3, 502, 503])
        for _ in range(3):
            self.courier.arrive(_SENT)
        under_way = [one.id for one, _ in self.courier.under_way]
        self.assertEqual((len(under_way), under_way[:2]), (4, [503, 501]))

    def test_P13_where_few_are_under_way_priority_1_goes_next(self) -> None:
        self._add(10)
        self.lanes.add("a", [a_delivery(501, priority=1)])
        self.assertEqual(len(self.courier.under_way), 3)
        self.courier.arrive(_SENT)
        self.assertEqual(self.courier.under_way[-1][0].id, 501)

    def test_P13_all_that_waits_is_attempted_whatever_its_priority(self) -> None:
        self._lanes(4)
        self.lanes.add("a", [a_delivery(one, priority=one % 5 + 1) for one in range(200)])
        most = 0
        while self.courier.under_way:
            most = max(most, len(self.courier.under_way))
            self.courier.arrive(_SENT)
        self.assertEqual(sorted(number for number, _ in self.settled), list(range(200)))
        self.assertEqual((most, self.lanes.statistics()), (4, {}))
        self.assertEqual(self.lanes.crowded(1, urgent=True), [])

    def test_O5_what_is_urgent_is_counted_by_itself(self) -> None:
        self.lanes.add("a", [a_delivery(one, priority=one % 2 + 2) for one in range(10)])
        self.assertEqual(self.lanes.waiting_for("example.net"), 7)
        self.assertEqual(self.lanes.waiting_for("example.net", urgent=True), 2)
        self.assertEqual(self.lanes.crowded(3), ["example.net"])
        self.assertEqual(self.lanes.crowded(3, urgent=True), [])

    def test_attempts_pause_while_outcomes_cannot_be_written(self) -> None:
        self.has_room = False
        self._add(5)
        self.assertEqual(self.courier.under_way, [])
        self.has_room = True
        self.lanes.resume()
        self.assertEqual(len(self.courier.under_way), 3)

    def test_D12_stopping_gives_back_what_waits_and_ends_what_is_under_way(self) -> None:
        self._add(5)
        left = self.lanes.stop()
        self.assertEqual([one.id for one in left], [3, 4])
        idle = self.lanes.when_idle()
        self.assertNoResult(idle)
        for _ in range(3):
            self.courier.arrive(_SENT)
        self.successResultOf(idle)
        self.assertEqual(len(self.settled), 3)

    def test_a_dead_lane_with_nothing_in_it_is_forgotten(self) -> None:
        self._add(1)
        self.assertEqual(self.lanes.statistics(), {"a": (0, 1, 3)})
        self.courier.arrive(_DEAD)
        self.assertEqual(self.lanes.statistics(), {"a": (0, 0, 1)})
        self.clock.advance(599)
        self.clock.advance(2)
        self.assertEqual(self.lanes.statistics(), {})

    def test_what_waits_can_be_taken_back_and_what_is_under_way_cannot(self) -> None:
        self.lanes.add("example.net", [a_delivery(number) for number in range(5)])
        self.lanes.add("example.org", [a_delivery(number) for number in range(10, 14)])
        self.assertEqual(self.lanes.waiting_ids(), [3, 4, 13])
        taken = self.lanes.take_back({0, 4, 13, 99})
        self.assertEqual([one.id for one in taken], [4, 13])
        for _ in range(7):
            self.courier.arrive(_SENT)
        self.assertEqual(sorted(number for number, _ in self.settled), [0, 1, 2, 3, 10, 11, 12])
        self.assertEqual(self.lanes.statistics(), {})

    def test_what_its_lease_failed_waits_first_until_it_holds_again(self) -> None:
        self._add(5)
        self.has_room = False
        self.courier.arrive(None)
        self.assertEqual(self.lanes.waiting_ids(), [0, 3, 4])
        self.assertEqual(self.lanes.waiting_for("example.net"), 3)
        self.has_room = True
        self.lanes.resume()
        self.assertEqual([one.id for one, _ in self.courier.under_way], [1, 2, 0])

    def test_what_lost_its_lease_under_way_is_dropped(self) -> None:
        self._add(5)
        self.lease.is_lost = True
        self.lease = ALease()
        self.courier.arrive(None)
        self.assertEqual([one.id for one in self.dropped], [0])
        self.assertEqual([one.id for one, _ in self.courier.under_way], [1, 2, 3])
        self.assertEqual(self.settled, [])

    def test_a_dead_destination_is_probed_when_somebody_wishes_it_but_not_at_once(self) -> None:
        self.lanes.add("example.net", [a_delivery(1)])
        self.courier.arrive(_DEAD)
        self.lanes.probe()
        self.lanes.add("example.net", [a_delivery(2)])
        self.assertEqual(self.courier.carried, 1)
        self.clock.advance(5)
        self.lanes.probe()
        self.lanes.add("example.net", [a_delivery(3), a_delivery(4)])
        self.assertEqual(self.courier.carried, 2)
        self.courier.arrive(_DEAD)
        self.assertEqual([number for number, _ in self.settled], [1, 2, 3, 4])
