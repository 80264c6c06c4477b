"""The deliveries waiting for one destination, and how many are under way at once.

Guarantees: at most `concurrency` attempts at a time to one destination, of which `reserved` are
kept for priority 1, so that it starts at once however much else is under way (P13; where none is
reserved it only goes next); what waits goes by priority, and nothing waits for ever
(`smtpplus.relay.waiting`). A destination where no host could be spoken to is probed by one
attempt at a time, and what waits for it meanwhile is deferred with the probe's outcome instead of
trying each in vain (O5). A lane exists only while something waits in it or is under way, or while
it is down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred

from smtpplus.ports import IClock, ILease, ISpawn
from smtpplus.relay.attempt import Attempted, Courier
from smtpplus.relay.waiting import Waiting
from smtpplus.rules.schedule import URGENT
from smtpplus.values.message import Delivery

__all__ = ["Lanes"]

_DOWN_SECONDS = 60.0  # how long a destination without a host to speak to is left alone
_PROBE_SECONDS = 5.0  # how soon after a failure somebody's wish may have it tried again
_REMEMBERED_SECONDS = 600.0  # how long after its last failure it is probed by one at a time


class _Lane:
    __slots__ = ("busy", "down_until", "key", "last_failure", "waiting")

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiting = Waiting()
        self.busy = 0
        self.down_until = 0.0  # monotonic seconds; 0: up
        self.last_failure: Attempted | None = None


class Lanes:
    """All lanes that are awake.

    Args:
        carry: makes one attempt.
        settle: takes every outcome; called exactly once for each delivery added, but for those
            that are taken back or dropped.
        may_defer: false while enough wait to be written that were deferred without an attempt.
        may_go_on: false while outcomes pile up unwritten; attempts pause meanwhile.
        lease: what the deliveries that wait here are held under.
        drop: takes a delivery that was lost with its lease while it was being attempted.
    """

    def __init__(
        self,
        *,
        clock: IClock,
        spawn: ISpawn,
        courier: Courier,
        settle: Callable[[Delivery, Attempted], None],
        may_defer: Callable[[], bool],
        may_go_on: Callable[[], bool],
        lease: Callable[[], ILease],
        drop: Callable[[Delivery], None],
        concurrency: int,
        reserved: int = 0,
    ) -> None:
        self._clock = clock
        self._spawn = spawn
        self._courier = courier
        self._settle = settle
        self._may_defer = may_defer
        self._may_go_on = may_go_on
        self._lease = lease
        self._drop = drop
        self._concurrency = concurrency
        self._ordinary = concurrency - reserved
        self._lanes: dict[str, _Lane] = {}
        self._of_domain: Counter[str] = Counter()  # what waits, in all lanes
        self._urgent_of_domain: Counter[str] = Counter()  # what is urgent of it
        self._stopping = False
        self._idle_waiters: list[Deferred[None]] = []

    def add(self, key: str, deliveries: Sequence[Delivery]) -> None:
        """Put deliveries into the lane `key` and start as many attempts as it allows."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key)
        lane.waiting.extend(deliveries)
        for one in deliveries:
            self._came(one)
        self._start(lane)

    def waiting(self, key: str) -> int:
        """How many wait in a lane."""
        lane = self._lanes.get(key)
        return len(lane.waiting) if lane is not None else 0

    def waiting_for(self, domain: str, *, urgent: bool = False) -> int:
        """How many wait for a domain (or of the urgent ones); several may share a lane."""
        return (self._urgent_of_domain if urgent else self._of_domain)[domain]

    def crowded(self, most: int, *, urgent: bool = False) -> list[str]:
        """The domains for which `most` or more (urgent ones) wait."""
        counted = self._urgent_of_domain if urgent else self._of_domain
        return [domain for domain, waiting in counted.items() if waiting >= most]

    def reconfigure(self, courier: Courier, concurrency: int, reserved: int) -> None:
        """What holds from the next attempt on; what was down may be reached otherwise now."""
        self._courier = courier
        self._concurrency = concurrency
        self._ordinary = concurrency - reserved
        self.probe()
        self.resume()

    def waiting_ids(self) -> list[int]:
        """The deliveries that wait in any lane."""
        return [one.id for lane in self._lanes.values() for one in lane.waiting]

    def take_back(self, delivery_ids: Collection[int]) -> list[Delivery]:
        """Take these out of their lanes; those under way, or not here, are not among the answer."""
        taken: list[Delivery] = []
        for lane in list(self._lanes.values()):
            gone = lane.waiting.remove(delivery_ids)
            if gone:
                taken += gone
                for one in gone:
                    self._left(one)
                self._forget(lane)
        return taken

    def probe(self) -> None:
        """Somebody wants what is due to be tried now: also where no host could be spoken to."""
        now = self._clock.monotonic()
        for lane in self._lanes.values():
            if lane.down_until - _DOWN_SECONDS + _PROBE_SECONDS <= now < lane.down_until:
                lane.down_until = now

    def when_idle(self) -> Deferred[None]:
        """Fires when no attempt is under way; the caller may fire it first."""
        done: Deferred[None] = Deferred()
        if any(lane.busy for lane in self._lanes.values()):
            self._idle_waiters.append(done)
        else:
            done.callback(None)
        return done

    def statistics(self) -> dict[str, tuple[int, int, int]]:
        """Per lane: how many wait, how many are under way, how many may be at a time."""
        return {
            key: (len(lane.waiting), lane.busy, self._limit(lane))
            for key, lane in self._lanes.items()
        }

    @property
    def down(self) -> int:
        """Destinations where no host could be spoken to."""
        return sum(1 for lane in self._lanes.values() if lane.down_until)

    def resume(self) -> None:
        """`may_go_on` became true: go on."""
        for lane in list(self._lanes.values()):
            self._start(lane)

    def stop(self) -> list[Delivery]:
        """Start nothing more. What was waiting comes back; attempts under way go on."""
        self._stopping = True
        left = [delivery for lane in self._lanes.values() for delivery in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
        self._of_domain.clear()
        self._urgent_of_domain.clear()
        return left

    def _start(self, lane: _Lane) -> None:
        limit = self._limit(lane)
        while lane.busy < limit and self._may_work(lane, lane.busy + 1):
            lane.busy += 1
            self._spawn.spawn("relay.lane", self._work(lane))  # takes one before it waits

    def _limit(self, lane: _Lane) -> int:
        return 1 if lane.down_until else self._concurrency

    def _next(self, lane: _Lane) -> Delivery:
        """What to attempt next; there is something."""
        waiting = lane.waiting
        delivery = waiting.take() if lane.busy <= self._ordinary else waiting.take_first()
        self._left(delivery)
        return delivery

    @property
    def _paused(self) -> bool:
        return self._stopping or not self._may_go_on()

    def _may_work(self, lane: _Lane, busy: int) -> bool:
        """May the last of `busy` take one more?

        Of a destination that is down only so many are deferred at once.
        """
        waiting = lane.waiting
        if not waiting.count or (busy > self._ordinary and not waiting.has_first):
            return False
        return not self._paused and (not self._is_left_alone(lane) or self._may_defer())

    def _is_left_alone(self, lane: _Lane) -> bool:
        return lane.last_failure is not None and self._clock.monotonic() < lane.down_until

    async def _work(self, lane: _Lane) -> None:
        """Take deliveries from the lane until it is empty."""
        try:
            while self._may_work(lane, lane.busy):
                delivery = self._next(lane)
                if lane.last_failure is not None and self._is_left_alone(lane):
                    self._settle(delivery, replace(lane.last_failure, made=False))
                    continue
                lease = self._lease()
                attempted = await self._courier.carry(delivery, lane.key, lease)
                if attempted is None:
                    self._give_up(lane, delivery, lease)
                else:
                    self._end(lane, delivery, attempted)
                if lane.down_until and lane.busy > 1:
                    break  # one is enough to probe
        finally:
            lane.busy -= 1
            if not lane.waiting and not lane.busy and not lane.down_until:
                self._lanes.pop(lane.key, None)
        if lane.waiting:
            self._start(lane)
        elif self._idle_waiters and not any(one.busy for one in self._lanes.values()):
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                if not waiter.called:
                    waiter.callback(None)

    def _end(self, lane: _Lane, delivery: Delivery, attempted: Attempted) -> None:
        is_back = self._judge(lane, attempted)
        self._settle(delivery, attempted)
        if is_back:
            self._start(lane)

    def _give_up(self, lane: _Lane, delivery: Delivery, lease: ILease) -> None:
        """The lease did not hold to the end: try again where it comes to hold again."""
        if lease.is_lost:
            self._drop(delivery)
        elif not self._stopping:
            lane.waiting.put_back(delivery)
            self._came(delivery)

    def _came(self, delivery: Delivery) -> None:
        """It waits."""
        domain = delivery.recipient.address.ascii_domain
        self._of_domain[domain] = self._of_domain.get(domain, 0) + 1
        if delivery.message.priority <= URGENT:
            self._urgent_of_domain[domain] += 1

    def _left(self, delivery: Delivery) -> None:
        """It waits no more."""
        domain = delivery.recipient.address.ascii_domain
        _count_down(self._of_domain, domain)
        if delivery.message.priority <= URGENT:
            _count_down(self._urgent_of_domain, domain)

    def _judge(self, lane: _Lane, attempted: Attempted) -> bool:
        """Keep whether the destination is up, by this attempt; has it just come back?"""
        was_down = bool(lane.down_until)
        if attempted.no_host:
            lane.down_until = self._clock.monotonic() + _DOWN_SECONDS
            lane.last_failure = attempted
            self._clock.call_later(_REMEMBERED_SECONDS, lambda: self._forget(lane))
        elif attempted.attempt.ip:
            lane.down_until = 0.0
            lane.last_failure = None
        return was_down and not lane.down_until

    def _forget(self, lane: _Lane) -> None:
        """Nothing was heard of a dead destination for long: its lane goes."""
        is_quiet = not lane.waiting and not lane.busy
        if is_quiet and self._clock.monotonic() >= lane.down_until:
            self._lanes.pop(lane.key, None)


def _count_down(counted: Counter[str], domain: str) -> None:
    left = counted[domain] - 1
    if left > 0:
        counted[domain] = left
    else:
        del counted[domain]
