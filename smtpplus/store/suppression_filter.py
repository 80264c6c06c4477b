"""Which addresses may be suppressed: the keys of all suppressions, as hashes in memory.

Guarantees: an address that is suppressed in the store is in the filter, unless another process
has suppressed it in the last second or two; one that is not, is in it with a chance of one in
10^12 for each million of suppressions. Eight octets each. What was lifted stays until `replace`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

__all__ = ["SuppressionFilter", "hash_of"]

_MOST_BESIDE = 20_000  # in a set, until they are sorted in


def hash_of(account_id: int, address_key: str) -> int:
    """64 bits, of this process."""
    return hash((account_id, address_key))


class SuppressionFilter:
    """Empty, and not to be asked, until `replace`."""

    def __init__(self) -> None:
        self._sorted = array("q")
        self._beside: set[int] = set()
        self.is_loaded = False

    def __len__(self) -> int:
        return len(self._sorted) + len(self._beside)

    def may_hold(self, wanted: int) -> bool:
        """Is it there?"""
        if not self.is_loaded or wanted in self._beside:
            return True
        found = bisect_left(self._sorted, wanted)
        return found < len(self._sorted) and self._sorted[found] == wanted

    def replace(self, sorted_hashes: array[int]) -> None:
        """These, and what was added meanwhile."""
        self._sorted = sorted_hashes
        self.is_loaded = True

    def add(self, hashes: Iterable[int]) -> None:
        """These too."""
        self._beside.update(one for one in hashes if not self._has(one))
        if len(self._beside) > _MOST_BESIDE:
            self._sorted = array("q", sorted({*self._sorted, *self._beside}))
            self._beside.clear()

    def _has(self, wanted: int) -> bool:
        return self.is_loaded and self.may_hold(wanted)
