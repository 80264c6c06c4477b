"""DNS answers kept for as long as they are valid.

Guarantees: at most `most` entries, the longest unused go first; nothing is given out after its
time. Raises nothing; reads no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["DnsCache"]

V = TypeVar("V")


class DnsCache(Generic[V]):
    """Answers by question. `most` bounds their number, the seconds bound what a TTL may say."""

    def __init__(
        self, most: int = 20_000, least_seconds: float = 5.0, most_seconds: float = 86_400.0
    ) -> None:
        self._most = most
        self._least_seconds = least_seconds
        self._most_seconds = most_seconds
        self._answers: OrderedDict[tuple[str, str], tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, question: tuple[str, str], now: float) -> V | None:
        """The answer, where one is kept that is still valid at `now`."""
        kept = self._answers.get(question)
        if kept is None:
            return None
        if now >= kept[0]:
            del self._answers[question]
            return None
        self._answers.move_to_end(question)
        return kept[1]

    def put(self, question: tuple[str, str], answer: V, seconds: float, now: float) -> None:
        """Keep an answer for its TTL of `seconds`, within the bounds."""
        seconds = min(max(seconds, self._least_seconds), self._most_seconds)
        self._answers[question] = (now + seconds, answer)
        self._answers.move_to_end(question)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()
