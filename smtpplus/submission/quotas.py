"""The quotas of all SMTP users: `smtpplus.rules.quota` with the store's counts as start.

Guarantees: a user's counts are read from the store when it is first needed and kept exactly
from then on; where other processes accept mail, too, they are read again once a second, so that
a limit is passed by what those accept within a second at most; users without a limit cost nothing. Raises `StoreUnavailableError` where the
counts cannot be read. Does not write: the accept transaction counts.
"""

from __future__ import annotations

from smtpplus.ports import IClock, IQueue
from smtpplus.rules.quota import DAY_SECONDS, HOUR_SECONDS, OverQuota, UserQuota, window_start
from smtpplus.values.submission import SmtpUser

__all__ = ["Place", "Quotas"]


class Place:
    """One message's reserved place; settled once, by `accepted` or `give_back`."""

    __slots__ = ("_quota",)

    def __init__(self, quota: UserQuota | None) -> None:
        self._quota = quota

    def accepted(self, received_at: float) -> None:
        """The message was committed."""
        quota, self._quota = self._quota, None
        if quota is not None:
            quota.accepted(received_at)

    def give_back(self) -> None:
        """It was not. Harmless after `accepted`."""
        quota, self._quota = self._quota, None
        if quota is not None:
            quota.give_back()


_FRESH_SECONDS = 1.0
_UNCOUNTED = Place(None)  # of users without a limit


class Quotas:
    """Reserves places, user by user."""

    __slots__ = ("_clock", "_is_alone", "_queue", "_quotas", "_read_at")

    def __init__(self, queue: IQueue, clock: IClock, *, is_alone: bool = True) -> None:
        self._queue = queue
        self._clock = clock
        self._is_alone = is_alone
        self._quotas: dict[int, UserQuota] = {}
        self._read_at: dict[int, float] = {}  # monotonic; where others accept, too

    def reserve(self, user: SmtpUser) -> Place | OverQuota | None:
        """A place for one message of `user`, or the limit that is reached; None: `load` first."""
        if user.limit_hour is None and user.limit_day is None:
            if self._quotas:
                self._forget(user.id)
            return _UNCOUNTED
        quota = self._quotas.get(user.id)
        if quota is None or (not self._is_alone and self._is_old(user.id)):
            return None
        over = quota.reserve(self._clock.now(), user.limit_hour, user.limit_day)
        return over if over is not None else Place(quota)

    async def load(self, user: SmtpUser) -> Place | OverQuota:
        """As `reserve`, with the counts from the store.

        Raises:
            StoreUnavailableError: the counts so far cannot be read.
        """
        now = self._clock.now()
        used_hour = await self._queue.used(user.id, window_start(now, HOUR_SECONDS))
        used_day = await self._queue.used(user.id, window_start(now, DAY_SECONDS))
        # Where two loaded at once the first one's counts stand: it may have reserved by now.
        quota = UserQuota(now, used_hour=used_hour, used_day=used_day)
        known = self._quotas.setdefault(user.id, quota)
        if not self._is_alone:
            known.learn(now, used_hour=used_hour, used_day=used_day)
            self._read_at[user.id] = self._clock.monotonic()
        place = self.reserve(user)
        assert place is not None
        return place

    def _is_old(self, user_id: int) -> bool:
        return self._clock.monotonic() - self._read_at.get(user_id, 0.0) > _FRESH_SECONDS

    def _forget(self, user_id: int) -> None:
        """Without limits nothing is counted here: a later limit starts from the store again."""
        quota = self._quotas.get(user_id)
        if quota is not None and quota.is_idle:
            del self._quotas[user_id]
            self._read_at.pop(user_id, None)
