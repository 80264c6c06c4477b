"""Answers kept in memory until something changed.

Guarantees: an answer that was read before an invalidation is not kept after it; bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from sqlalchemy import Connection

from smtpplus.store.transactions import Transactions

__all__ = ["ReadCache"]

_MOST = 20_000
_MISSING = object()


class ReadCache:
    """Results of reads by key; all of them go at once."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._kept: dict[Hashable, Any] = {}
        self.changes = 0  # how often something changed

    async def get(self, key: Hashable, read: Callable[[Connection], Any]) -> Any:
        """The kept answer, at once; else what `read` answers."""
        kept = self._kept
        found = kept.get(key, _MISSING)
        if found is not _MISSING:
            return found
        found = await self._transactions.read(read)
        if len(kept) >= _MOST:
            kept.clear()
        kept[key] = found  # into the dictionary of before the read: `forget` has made a new one
        return found

    def forget(self) -> None:
        """Something changed: keep nothing of what was read before now."""
        self._kept = {}
        self.changes += 1
