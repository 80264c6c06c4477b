"""What a transaction can tell other processes of: one word for all that they would ask again.

PostgreSQL carries the words by NOTIFY. In a file of SQLite they are counts in its
``user_version``, which belongs to whoever uses the file: seven bits for each topic, so that who
looks later sees which of them were told of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = ["ACCOUNTS", "DUE", "QUEUE", "SUPPRESSIONS", "TOPICS", "told_again", "told_between"]

ACCOUNTS = "accounts"  # who may send what
DUE = "due"  # there is something to be claimed
QUEUE = "queue"  # deliveries were held, released, cancelled or flushed
SUPPRESSIONS = "suppressions"  # somebody is not to be mailed any more
TOPICS = frozenset({ACCOUNTS, DUE, QUEUE, SUPPRESSIONS})

_BITS = 7
_MASK = (1 << _BITS) - 1
_SHIFTS = {topic: place * _BITS for place, topic in enumerate(sorted(TOPICS))}


def told_again(counts: int, topics: Iterable[str]) -> int:
    """`counts` after each of `topics` was told of once more; a count begins anew after its last."""
    for topic in topics:
        shift = _SHIFTS[topic]
        count = (counts >> shift) + 1 & _MASK
        counts = counts & ~(_MASK << shift) | count << shift
    return counts


def told_between(before: int, after: int) -> Collection[str]:
    """Which topics were told of between two looks."""
    differences = before ^ after
    return {topic for topic, shift in _SHIFTS.items() if differences >> shift & _MASK}
