"""Keeps hits for a moment, and writes them in groups.

A group is written `GROUP_SECONDS` after its first hit, or at once when it has `GROUP_HITS`: a
kill loses at most the last second, and a scanner's burst is seen as a whole before it is
written. One group is on its way at a time. A store that is away is tried again, a little later
each time; what comes meanwhile waits, up to `MOST_WAITING`, beyond that the newest is not
recorded, and the log says how many.

Guarantees: `note` never blocks and never raises; `stop` writes what is left, for a bounded time;
nothing is classed twice. A group whose commit was done and not reported may be written twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from smtpplus.ports import IAccounts, IClock, IResponses, ISpawn
from smtpplus.values.errors import STORE_ERRORS
from smtpplus.web.tracking.classes import Classes, Judged
from smtpplus.web.tracking.hits import Hit

__all__ = ["GROUP_HITS", "GROUP_SECONDS", "MOST_WAITING", "Recorder"]

GROUP_SECONDS: Final = 0.7
GROUP_HITS: Final = 1_000
MOST_WAITING: Final = 50_000
_WAITS = (0.5, 1.0, 2.0, 5.0)  # seconds, the last one repeats
_NOTHING = Judged(())


class Recorder:
    """The hits of this process on their way to the store.

    `written`, `lost` and `waiting` count hits; a hit that another one of its group repeats
    counts as written.
    """

    _log = Logger()

    def __init__(
        self,
        responses: IResponses,
        accounts: IAccounts,
        clock: IClock,
        spawn: ISpawn,
        classes: Classes | None = None,
        *,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._responses = responses
        self._accounts = accounts
        self._clock = clock
        self._spawn = spawn
        self._classes = classes or Classes()
        self._most_waiting = most_waiting
        self._hits: list[Hit] = []
        self._judged = _NOTHING  # the group on its way, until it is written
        self._judged_hits = 0
        self._is_writing = False
        self._is_stopped = False
        self._cancel: Callable[[], None] | None = None
        self._failures = 0
        self.written = 0
        self.lost = 0

    @property
    def waiting(self) -> int:
        """Hits that are not written yet."""
        return len(self._hits) + self._judged_hits

    @property
    def counts(self) -> dict[str, int]:
        """For the metrics."""
        return {"written": self.written, "lost": self.lost, "waiting": self.waiting}

    def note(self, hit: Hit) -> None:
        """Record it, some time within the next second."""
        if self._is_stopped or self.waiting >= self._most_waiting:
            self.lost += 1
            if self.lost == 1 or self.lost % 10_000 == 0:
                self._log.error(
                    "{lost} opens and clicks were not recorded: {waiting} wait for the store",
                    lost=self.lost,
                    waiting=self.waiting,
                )
            return
        self._hits.append(hit)
        if self._is_writing:
            return
        if self._failures == 0 and len(self._hits) == GROUP_HITS:
            self._begin()
        elif self._cancel is None:
            self._cancel = self._clock.call_later(GROUP_SECONDS, self._begin)

    async def stop(self, seconds: float = 5.0) -> None:
        """Write what waits, within `seconds`; what comes after that is answered and not kept."""
        deadline = self._clock.monotonic() + seconds
        while (self.waiting or self._is_writing) and self._clock.monotonic() < deadline:
            if not self._is_writing:
                self._begin()
            if self._is_writing or self._failures:
                await self._clock.sleep(0.02)
        self._is_stopped = True
        self._unschedule()
        if self.waiting:
            self._log.error("{hits} opens and clicks were not recorded", hits=self.waiting)

    def _unschedule(self) -> None:
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def _begin(self) -> None:
        self._unschedule()
        if not self._is_writing:
            self._is_writing = True
            self._spawn.spawn("tracking", self._write())

    async def _write(self) -> None:
        try:
            await self._write_group()
            self._failures = 0
        except CancelledError:
            raise
        except STORE_ERRORS as error:
            self._failures += 1
            if self._failures == 1:
                self._log.warn(
                    "opens and clicks wait, the store is away: {error}", error=str(error)
                )
        except Exception:  # noqa: BLE001 - this group cannot be written; the next ones can
            self._failures += 1
            self._log.failure("a group of {hits} opens and clicks is lost", hits=self._judged_hits)
            self.lost += self._judged_hits
            self._judged, self._judged_hits = _NOTHING, 0
        finally:
            self._is_writing = False
        self._go_on()

    def _go_on(self) -> None:
        if self._is_stopped or not self.waiting:
            return
        if self._failures:
            wait = _WAITS[min(self._failures, len(_WAITS)) - 1]
        else:
            wait = 0.0 if len(self._hits) >= GROUP_HITS else GROUP_SECONDS
        self._cancel = self._clock.call_later(wait, self._begin)

    async def _write_group(self) -> None:
        if not self._judged_hits:
            group = self._hits[:GROUP_HITS]
            if not group:
                return
            delivered = await self._responses.delivered_at({hit.facts.delivery_id for hit in group})
            private = await self._private_lists(group)
            del self._hits[: len(group)]
            self._judged_hits = len(group)
            self._judged = self._classes.responses(group, delivered, private)
        await self._responses.record(*self._judged)
        self.written += self._judged_hits
        self._judged, self._judged_hits = _NOTHING, 0

    async def _private_lists(self, hits: Sequence[Hit]) -> set[int]:
        """Those in privacy mode, and those that are no more: of them nothing is kept either."""
        found = set()
        for list_id in {hit.facts.list_id for hit in hits}:
            mail_list = await self._accounts.list_by_id(list_id)
            if mail_list is None or mail_list.settings.get("privacy"):
                found.add(list_id)
        return found
