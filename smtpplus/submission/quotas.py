"""The quotas of all SMTP users: `smtpplus.rules.quota` with the store's counts as start.

Guarantees: a user's counts are read from the store when it is first needed and kept exactly
from then on; users without a limit cost nothing. Raises `StoreUnavailableError` where the
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


class Quotas:
    """Reserves places, user by user."""

    __slots__ = ("_clock", "_queue", "_quotas")

    def __init__(self, queue: IQueue, clock: IClock) -> None:
        self._queue = queue
        self._clock = clock
        self._quotas: dict[int, UserQuota] = {}

    async def reserve(self, user: SmtpUser) -> Place | OverQuota:
        """A place for one message of `user`, or the limit that is reached.

        Raises:
            StoreUnavailableError: the counts so far cannot be read.
        """
        if user.limit_hour is None and user.limit_day is None:
            self._forget(user.id)
            return Place(None)
        quota = self._quotas.get(user.id)
        if quota is None:
            quota = await self._load(user.id)
        over = quota.reserve(self._clock.now(), user.limit_hour, user.limit_day)
        return over if over is not None else Place(quota)

    async def _load(self, user_id: int) -> UserQuota:
        now = self._clock.now()
        used_hour = await self._queue.used(user_id, window_start(now, HOUR_SECONDS))
        used_day = await self._queue.used(user_id, window_start(now, DAY_SECONDS))
        # Where two loaded at once the first one's counts stand: it may have reserved by now.
        return self._quotas.setdefault(
            user_id, UserQuota(now, used_hour=used_hour, used_day=used_day)
        )

    def _forget(self, user_id: int) -> None:
        """Without limits nothing is counted here: a later limit starts from the store again."""
        quota = self._quotas.get(user_id)
        if quota is not None and quota.is_idle:
            del self._quotas[user_id]
