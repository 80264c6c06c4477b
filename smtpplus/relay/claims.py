"""What of the queue is in memory: what was just accepted, and what has fallen due.

Guarantees: an accepted message goes straight to its lanes when there is room (no polling); else
it waits in the store. At most `most` deliveries are in memory; none is added for a domain where a
quarter of the room that is left waits already, so that there is always room for others, however
many destinations are dead or slow (O5, D11). The store is asked when something is due, when room
was made, or when somebody says `wake`. What is held or cancelled while it waits in memory leaves
it when somebody says `changed`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from twisted.logger import Logger
from zope.interface import implementer

from smtpplus.ports import IClock, IDispatch, IQueue, ISpawn
from smtpplus.values.errors import SmtpplusError
from smtpplus.values.message import Accepted, Delivery, DeliveryState, Settlement

__all__ = ["Claims"]

_log = Logger()
_MOST_AT_ONCE = 500
_SLOW_LOOK_SECONDS = 60.0  # behind all wake-ups, should one ever be lost
_TRY_AGAIN_SECONDS = 1.0
_SOON_SECONDS = 0.1  # the store is asked at most ten times a second


@implementer(IDispatch)
class Claims:
    """The window onto the queue.

    Args:
        add: puts deliveries into their lanes.
        remember: keeps an accepted content in memory for its copies.
        crowded: the domains for which so many or more wait in memory.
        waits_for: how many wait in memory for a domain.
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
        crowded: Callable[[int], list[str]],
        waits_for: Callable[[str], int],
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
        self._most = most
        self._in_memory = 0
        self._looked_at = float("-inf")  # monotonic seconds
        self._next_look = 0.0  # Unix seconds; when the store is to be asked next
        self._looking = False
        self._checking = False
        self._check_again = False  # something was changed while we looked or checked
        self._starved = False  # something was due that there was no room for
        self._is_crowded = False  # because of its domain: wishes to look come with each message
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

    def reserve(self, deliveries: int, domains: Collection[str] = ()) -> bool:
        """Keep room for a message that is about to be committed."""
        if self._stopped or self._in_memory + deliveries > self._most:
            return False
        if not self._queue.leases_hold():
            return False  # what is leased now may be another's before it is sent
        most = self._most_of_one
        if any(self._waits_for(domain) >= most for domain in domains):
            self._starved = self._is_crowded = True  # until there is less of it here
            return False
        self._in_memory += deliveries
        return True

    def dispatch(self, accepted: Accepted) -> None:
        """Send a committed message on its way, but for what of it is withheld."""
        self._remember(accepted)
        self._add(
            Delivery(
                id=new.id,
                message=accepted.message,
                recipient=new.recipient,
                attempts=0,
                due_at=accepted.due_at,
                name=new.name,
                fields=new.fields,
            )
            for new in accepted.deliveries
            if not new.withheld
        )

    def cancel(self, deliveries: int) -> None:
        """The message was not committed: its room is free again."""
        self._in_memory -= deliveries

    def wake(self) -> None:
        """Look into the store soon."""
        wait = (
            self._looked_at + _SOON_SECONDS - self._clock.monotonic() if self._is_crowded else 0.0
        )
        self._look_at(self._clock.now() + wait if wait > 0.0 else 0.0)

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
        self._in_memory -= len(settlements)
        due = [
            one.due_at
            for one in settlements
            if one.state is DeliveryState.QUEUED and one.due_at is not None
        ]
        if due:
            self._look_at(min(due))
        if self._starved and self._in_memory <= self._most // 2:
            self._starved = False
            self.wake()

    def lost(self) -> None:
        """Our leases were taken away while the store could not be reached: begin anew."""
        taken = self._take_back(set(self._waiting()))
        self._in_memory -= len(taken)
        # What was accepted in the very last moment may be leased to us still.
        self._spawn.spawn("relay.release", self._release([one.id for one in taken]))

    def dropped(self) -> None:
        """A delivery that was under way when its lease was lost has left memory."""
        self._in_memory -= 1

    async def _release(self, ids: list[int]) -> None:
        try:
            await self._queue.release(ids)
        except SmtpplusError as error:
            _log.warn("leases could not be given back: {error}", error=error)
        self.wake()

    @property
    def _most_of_one(self) -> int:
        """How much may wait for one domain: a share of what is free, so it is never all taken."""
        return max((self._most - self._in_memory) // 4, 1)

    async def _check(self) -> None:
        """Drop what must not be attempted any more; its leases go back."""
        try:
            withdrawn = await self._queue.withdrawn(self._waiting())
            taken = self._take_back(withdrawn)
            self._in_memory -= len(taken)
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
        delay = min(max(moment - self._clock.now(), 0.0), _SLOW_LOOK_SECONDS)
        self._cancel_timer = self._clock.call_later(delay, self._start_look)

    def _start_look(self) -> None:
        self._cancel_timer = None
        if not self._stopped:
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
        while not self._stopped:
            room = min(self._most - self._in_memory, _MOST_AT_ONCE)
            crowded = self._crowded(self._most_of_one)
            self._is_crowded = bool(crowded)
            self._starved = room <= 0 or self._is_crowded
            if room <= 0:
                return
            now = self._clock.now()
            claimed = await self._claim(now, room, crowded)
            if self._stopped:
                await self._queue.release([one.id for one in claimed])
                return
            self._add(claimed)
            if len(claimed) < room:
                due = await self._queue.next_due(now, crowded)
                if due is not None:
                    self._next_look = min(self._next_look, max(due, now + _SOON_SECONDS))
                return

    async def _claim(self, now: float, room: int, crowded: list[str]) -> Sequence[Delivery]:
        self._in_memory += room
        claimed: Sequence[Delivery] = ()
        try:
            claimed = await self._queue.claim(now, room, crowded)
        finally:
            self._in_memory -= room - len(claimed)
        return claimed
