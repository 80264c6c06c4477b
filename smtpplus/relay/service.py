"""The relay role: from a leased delivery to a settled one.

Guarantees: starts by claiming what is due; stops by claiming nothing more, letting attempts
under way come to their end within the time it is given, settling them, and giving the rest of
its leases back (D12).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from smtpplus.ports import (
    IAccounts,
    IClock,
    IContents,
    IDialer,
    IDispatch,
    IQueue,
    IResolver,
    ISpawn,
    ISuppressions,
    IWorkers,
)
from smtpplus.relay.attempt import Courier, CourierSettings
from smtpplus.relay.claims import Claims
from smtpplus.relay.connections import Connections
from smtpplus.relay.copies import Copies
from smtpplus.relay.lanes import Lanes
from smtpplus.relay.rendering import Rendering, RenderingSettings
from smtpplus.relay.reports import Reporter
from smtpplus.relay.route import Router
from smtpplus.relay.settle import Settling
from smtpplus.relay.suppressed import SuppressedMeanwhile
from smtpplus.rules.retry import RetrySchedule
from smtpplus.rules.routing import Routing, lane_key
from smtpplus.values.duration import Duration
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Delivery, Settlement

__all__ = ["RelayNeeds", "RelayService", "RelaySettings"]

_IDLE = Duration(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Everything about delivery that an operator decides."""

    hostname: str
    relay_domains: tuple[str, ...]  # the first with a key makes the second signature
    routing: Routing
    courier: CourierSettings
    retry: RetrySchedule
    lifetime: Duration
    delay_notice: Duration
    concurrency: int = 20  # attempts at a time to one destination
    reserved: int = 1  # of them, for priority 1 alone
    reuse: int = 100  # messages over one connection
    idle: Duration = _IDLE  # how long an unused connection is kept
    in_memory: int = 10_000  # deliveries
    our_names: frozenset[str] = frozenset()
    always_seven_bit: bool = False
    recode_long_lines: bool = False
    rendering: RenderingSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayNeeds:
    """The ports the relay stands on."""

    clock: IClock
    spawn: ISpawn
    queue: IQueue
    contents: IContents
    accounts: IAccounts
    suppressions: ISuppressions
    resolver: IResolver
    dialer: IDialer
    signing: IWorkers
    ids: IdSource
    is_own_address: Callable[[str], bool]
    chance: Callable[[], float] = random.random


class RelayService:
    """Wires the relay's parts and starts and stops them. `dispatch` is its door."""

    def __init__(self, settings: RelaySettings, needs: RelayNeeds) -> None:
        self._needs = needs
        self._routing, self._sources = settings.routing, settings.courier
        clock, spawn, queue = needs.clock, needs.spawn, needs.queue
        self._rendering = None
        if settings.rendering is not None:
            self._rendering = Rendering(
                accounts=needs.accounts, queue=queue, clock=clock, settings=settings.rendering
            )
        self._suppressed = SuppressedMeanwhile(needs.suppressions, needs.accounts, clock)
        self._copies = Copies(
            contents=needs.contents,
            accounts=needs.accounts,
            signing=needs.signing,
            clock=clock,
            relay_domains=settings.relay_domains,
            rendering=self._rendering,
            always_seven_bit=settings.always_seven_bit,
            recode_long_lines=settings.recode_long_lines,
        )
        self._connections = Connections(
            clock=clock,
            spawn=spawn,
            most_messages=settings.reuse,
            idle_seconds=settings.idle.seconds,
        )
        self._claims = Claims(
            clock=clock,
            spawn=spawn,
            queue=queue,
            add=self._add,
            remember=self._copies.remember,
            crowded=self._crowded,
            waits_for=self._waits_for,
            waiting=self._waiting,
            take_back=self._take_back,
            most=settings.in_memory,
        )
        self._settling = Settling(
            clock=clock,
            spawn=spawn,
            queue=queue,
            reporter=self._reporter(settings),
            dispatch=self._claims,
            retry=settings.retry,
            delay_notice=settings.delay_notice,
            done=self._settled,
            chance=needs.chance,
        )
        leases_hold = queue.leases_hold
        self._lanes = Lanes(
            clock=clock,
            spawn=spawn,
            courier=self._courier(settings),
            settle=self._settling.put,
            may_defer=lambda: self._settling.has_room_for_untried,
            may_go_on=lambda: self._settling.has_room and leases_hold(),
            lease=queue.lease,
            drop=self._drop,
            concurrency=settings.concurrency,
            reserved=settings.reserved,
        )

    @property
    def dispatch(self) -> IDispatch:
        """Where committed messages are handed over."""
        return self._claims

    def start(self) -> None:
        """Begin to deliver."""
        self._claims.start()

    async def stop(self, seconds: float) -> None:
        """Come to an end within `seconds`."""
        self._claims.stop()
        left = self._lanes.stop()
        await self._needs.queue.release([delivery.id for delivery in left])
        idle = self._lanes.when_idle()

        def give_up() -> None:
            if not idle.called:
                idle.callback(None)

        cancel = self._needs.clock.call_later(seconds, give_up)
        await idle
        cancel()
        self._settling.stop()
        self._connections.close_all()

    def changed(self) -> None:
        """The store changed by another hand: hold back, let go, try again, as it says."""
        self._lanes.probe()
        self._claims.changed()

    def leases_ending(self) -> None:
        """Others may take what is leased to us: nothing more of it must arrive by our hand."""
        self._connections.withdraw()

    def leases_lost(self) -> None:
        """What waits here is leased to us no more: forget it, and claim anew."""
        self._claims.lost()

    def resume(self) -> None:
        """The leases hold again: go on."""
        self._lanes.resume()
        self._claims.wake()

    def reconfigure(self, settings: RelaySettings, resolver: IResolver) -> None:
        """Hold to `settings` from the next attempt on; attempts under way end as they began."""
        self._needs = replace(self._needs, resolver=resolver)
        self._routing, self._sources = settings.routing, settings.courier
        self._copies.reconfigure(
            settings.relay_domains,
            always_seven_bit=settings.always_seven_bit,
            recode_long_lines=settings.recode_long_lines,
        )
        if self._rendering is not None and settings.rendering is not None:
            self._rendering.settings = settings.rendering
        self._connections.reconfigure(settings.reuse)
        self._settling.reconfigure(self._reporter(settings), settings.retry, settings.delay_notice)
        self._lanes.reconfigure(self._courier(settings), settings.concurrency, settings.reserved)

    def statistics(self) -> dict[str, tuple[int, int, int]]:
        """Per lane: waiting, under way, how many may be at a time."""
        return self._lanes.statistics()

    @property
    def lanes_down(self) -> int:
        """Destinations that are left alone for a while."""
        return self._lanes.down

    def _reporter(self, settings: RelaySettings) -> Reporter:
        return Reporter(
            clock=self._needs.clock,
            contents=self._needs.contents,
            ids=self._needs.ids,
            hostname=settings.hostname,
            lifetime_seconds=settings.lifetime.seconds,
        )

    def _courier(self, settings: RelaySettings) -> Courier:
        return Courier(
            clock=self._needs.clock,
            dialer=self._needs.dialer,
            router=Router(
                routing=settings.routing,
                resolver=self._needs.resolver,
                our_names=settings.our_names,
                is_own_address=self._needs.is_own_address,
                chance=self._needs.chance,
            ),
            connections=self._connections,
            copies=self._copies,
            settings=settings.courier,
            suppressed=self._suppressed,
        )

    def _add(self, deliveries: Iterable[Delivery]) -> None:
        by_lane: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            key = lane_key(delivery.recipient.address, self._routing)
            pool = delivery.message.options.pool
            if pool is not None:
                key = self._sources.lane(key, pool)
            if key in by_lane:
                by_lane[key].append(delivery)
            else:
                by_lane[key] = [delivery]
        for key, group in by_lane.items():
            self._lanes.add(key, group)

    def _crowded(self, most: int, urgent: bool) -> list[str]:
        return self._lanes.crowded(most, urgent=urgent)

    def _waits_for(self, domain: str, urgent: bool) -> int:
        return self._lanes.waiting_for(domain, urgent=urgent)

    def _waiting(self) -> list[int]:
        return self._lanes.waiting_ids()

    def _take_back(self, delivery_ids: Collection[int]) -> list[Delivery]:
        taken = self._lanes.take_back(delivery_ids)
        for delivery in taken:
            self._copies.forget(delivery.message.id)
        return taken

    def _drop(self, delivery: Delivery) -> None:
        self._copies.forget(delivery.message.id)
        self._claims.dropped(delivery)

    def _settled(self, settlements: list[Settlement]) -> None:
        for settlement in settlements:
            self._copies.forget(settlement.delivery.message.id)
        self._claims.settled(settlements)
        self._lanes.resume()
