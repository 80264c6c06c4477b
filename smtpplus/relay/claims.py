"""What of the queue is in memory: what was just accepted, and what has fallen due.

Guarantees: an accepted message goes straight to its lanes when there is room (no polling); else
it waits in the store. At most `most` deliveries are in memory; none is added for a domain where a
quarter of the room that is left waits already, so that there is always room for others, however
many destinations are dead or slow (O5, D11); the priorities 1 and 2 have room of their own (P13).
The store is asked when something is due, to the second also where the clock was set, when room
was made, or when somebody says `wake`. What is held or cancelled while it waits in memory leaves
it when somebody says `changed`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from twisted.logger import Logger
from zope.interface import implementer

from smtpplus.ports import IClock, IDispatch, IQueue, ISpawn
from smtpplus.relay.room import Room
from smtpplus.rules.schedule import LEAST_URGENT, URGENT
from smtpplus.values.errors import SmtpplusError
from smtpplus.values.message import Accepted, Delivery, DeliveryState, Settlement

__all__ = ["Claims"]

_log = Logger()
_MOST_AT_ONCE = 500
_SLOW_LOOK_SECONDS = 60.0  # behind all wake-ups, should one ever be lost
_TRY_AGAIN_SECONDS = 1.0
_SOON_SECONDS = 0.1  # the store is asked at most ten times a second
_TICK_SECONDS = 5.0  # the clock is looked at so often, since it may be set


@implementer(IDispatch)
class Claims:
    """The window onto the queue.

    Args:
        add: puts deliveries into their lanes.
        remember: keeps an accepted content in memory for its copies.
        crowded: the domains for which so many or more wait in memory, of all or of the urgent.
        waits_for: how many wait in memory for a domain, likewise.
        waiting: the ids of what waits in the lanes.
        take_back: takes deliveries out of the lanes; those it found there.
        most: deliveries in memory.
    """

    def __init__(
        self,
        *,
        clock: IClock,
        spawn: ISpawn,
        queue: IQueue,
        add: Callable[[Iterable[Delivery]], None],
        remember: Callable[[Accepted], None],
        crowded: Callable[[int, bool], list[str]],
        waits_for: Callable[[str, bool], int],
        waiting: Callable[[], list[int]],
        take_back: Callable[[Collection[int]], list[Delivery]],
        most: int,
    ) -> None:
        self._clock = clock
        self._spawn = spawn
        self._queue = queue
        self._add = add
        self._remember = remember
        self._crowded = crowded
        self._waits_for = waits_for
        self._waiting = waiting
        self._take_back = take_back
        self._room = Room(most)
        self._looked_at = float("-inf")  # monotonic seconds
        self._next_look = 0.0  # Unix seconds; when the store is to be asked next
        self._looking = False
        self._checking = False
        self._check_again = False  # something was changed while we looked or checked
        self._starved = False  # something was due that there was no room for
        self._starved_urgent = False  # that was urgent
        self._cancel_timer: Callable[[], None] | None = None
        self._stopped = True

    def start(self) -> None:
        """Begin to claim."""
        self._stopped = False
        self.wake()

    def stop(self) -> None:
        """Claim nothing more, refuse reservations."""
        self._stopped = True
        if self._cancel_timer is not None:
            self._cancel_timer()

    # ------------------------------------------------ IDispatch

    def reserve(self, deliveries: int, domains: Collection[str] = (), priority: int = 3) -> bool:
        """Keep room for a message that is about to be committed."""
        urgent = priority <= URGENT
        left = self._room.left(urgent=urgent)
        if self._stopped or deliveries > left:
            return False
        if not self._queue.leases_hold():
            return False  # what is leased now may be another's before it is sent
        most = self._room.share_of(left)
        for domain in domains:
            if self._waits_for(domain, urgent) >= most:
                self._starved |= not urgent  # until there is less of it here
                self._starved_urgent |= urgent
                return False
        self._room.take(deliveries, urgent=urgent)
        return True

    def dispatch(self, accepted: Accepted) -> None:
        """Send a committed message on its way, but for what of it is withheld."""
        self._remember(accepted)
        message, due_at = accepted.message, accepted.due_at
        self._add(
            [
                Delivery(
                    id=new.id,
                    message=message,
                    recipient=new.recipient,
                    attempts=0,
                    due_at=due_at,
                    name=new.name,
                    fields=new.fields,
                )
                for new in accepted.at_once
            ]
        )

    def cancel(self, deliveries: int, priority: int = 3) -> None:
        """The message was not committed: its room is free again."""
        self._room.give_back(deliveries, urgent=priority <= URGENT)

    def wake(self, at: float = 0.0) -> None:
        """Look into the store soon, or at the time `at`."""
        if self._starved or self._starved_urgent:  # then each message comes with a wish to look
            soon = self._looked_at + _SOON_SECONDS - self._clock.monotonic()
            at = max(at, self._clock.now() + soon if soon > 0.0 else 0.0)
        self._look_at(at)

    def changed(self) -> None:
        """Give up what was held or cancelled, then look for what was released or flushed."""
        if self._stopped:
            return
        if self._checking or self._looking:
            self._check_again = True
            return
        self._checking = True
        self._spawn.spawn("relay.check", self._check())

    # ------------------------------------------------ the store

    def settled(self, settlements: list[Settlement]) -> None:
        """These have left memory; the deferred ones are due again at their time."""
        self._room.leave([one.delivery for one in settlements])
        due = [
            one.due_at
            for one in settlements
            if one.state is DeliveryState.QUEUED and one.due_at is not None
        ]
        if due:
            self._look_at(min(due))
        if (self._starved and self._room.is_ample(urgent=False)) or (
            self._starved_urgent and self._room.is_ample(urgent=True)
        ):
            self._starved = self._starved_urgent = False
            self.wake()

    def lost(self) -> None:
        """Our leases were taken away while the store could not be reached: begin anew."""
        taken = self._take_back(set(self._waiting()))
        self._room.leave(taken)
        # What was accepted in the very last moment may be leased to us still.
        self._spawn.spawn("relay.release", self._release([one.id for one in taken]))

    def dropped(self, delivery: Delivery) -> None:
        """A delivery that was under way when its lease was lost has left memory."""
        self._room.leave((delivery,))

    async def _release(self, ids: list[int]) -> None:
        try:
            await self._queue.release(ids)
        except SmtpplusError as error:
            _log.warn("leases could not be given back: {error}", error=error)
        self.wake()

    async def _check(self) -> None:
        """Drop what must not be attempted any more; its leases go back."""
        try:
            withdrawn = await self._queue.withdrawn(self._waiting())
            taken = self._take_back(withdrawn)
            self._room.leave(taken)
            await self._queue.release([one.id for one in taken])
        except SmtpplusError as error:
            _log.warn("the queue could not be checked for changes: {error}", error=error)
            self._clock.call_later(_TRY_AGAIN_SECONDS, self.changed)
        finally:
            self._checking = False
        self.wake()
        self._after_changes()

    def _after_changes(self) -> None:
        again, self._check_again = self._check_again, False
        if again:
            self.changed()

    def _look_at(self, moment: float) -> None:
        """Ask the store at `moment` (Unix seconds), or earlier if that was said before."""
        if self._stopped:
            return
        if self._looking:
            self._next_look = min(self._next_look, moment)
            return
        if self._cancel_timer is not None:
            if self._next_look <= moment:
                return
            self._cancel_timer()
        self._next_look = moment
        self._set_timer()

    def _set_timer(self) -> None:
        delay = min(max(self._next_look - self._clock.now(), 0.0), _TICK_SECONDS)
        self._cancel_timer = self._clock.call_later(delay, self._tick)

    def _tick(self) -> None:
        """Is it time? Asked every few seconds, because timers do not see that a clock was set."""
        self._cancel_timer = None
        if self._stopped:
            return
        is_early = self._clock.now() < self._next_look
        if is_early and self._clock.monotonic() < self._looked_at + _SLOW_LOOK_SECONDS:
            self._set_timer()
            return
        self._looking = True
        self._spawn.spawn("relay.claim", self._look())

    async def _look(self) -> None:
        """Claim what is due, as far as there is room; then set the timer for the next."""
        self._next_look = self._clock.now() + _SLOW_LOOK_SECONDS
        self._looked_at = self._clock.monotonic()
        try:
            await self._claim_all()
        except SmtpplusError as error:
            _log.warn("the queue could not be read: {error}", error=error)
            self._next_look = self._clock.now() + _TRY_AGAIN_SECONDS
        finally:
            self._looking = False
        self._look_at(self._next_look)
        self._after_changes()

    async def _claim_all(self) -> None:
        """Urgent deliveries come first; alone, where there is no room for others.

        Nothing while the leases may be another's: what was claimed then, and claimed again once
        they are ours, would be given back with what was lost, and sent twice.
        """
        self._starved = self._starved_urgent = False
        while not self._stopped and self._queue.leases_hold():
            ordinary = self._room.left(urgent=False)
            room = min(ordinary if ordinary > 0 else self._room.left(urgent=True), _MOST_AT_ONCE)
            lowest = LEAST_URGENT if ordinary > 0 else URGENT
            crowded = self._crowded(self._room.of_one(urgent=False), False)
            urgent_crowded = self._crowded(self._room.of_one(urgent=True), True)
            self._starved |= ordinary <= 0 or bool(crowded)
            self._starved_urgent |= room <= 0 or bool(urgent_crowded)
            if room <= 0:
                return
            now = self._clock.now()
            claimed = await self._claim(now, room, crowded, urgent_crowded, lowest)
            if self._stopped:
                await self._queue.release([one.id for one in claimed])
                return
            self._add(claimed)
            if len(claimed) < room:
                due = await self._queue.next_due(now, crowded, urgent_crowded, lowest)
                if due is not None:
                    self._next_look = min(self._next_look, max(due, now + _SOON_SECONDS))
                return

    async def _claim(
        self,
        now: float,
        room: int,
        crowded: list[str],
        urgent_crowded: list[str],
        lowest: int,
    ) -> Sequence[Delivery]:
        self._room.take(room, urgent=lowest == URGENT)  # until it is known what comes
        claimed: Sequence[Delivery] = ()
        try:
            claimed = await self._queue.claim(now, room, crowded, urgent_crowded, lowest)
        finally:
            self._room.give_back(room, urgent=lowest == URGENT)
            self._room.come(claimed)
        return claimed
