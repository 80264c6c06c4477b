"""Subject patterns that were learnt from a list's mail, as the store keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["PLACEHOLDER", "Learnt", "LearntPattern"]

PLACEHOLDER = "*"  # in keys, where anything may stand


@dataclass(frozen=True, slots=True)
class LearntPattern:
    """A pattern that many subjects of a list share.

    `words` are its words, lower case, ``*`` where anything may stand; `own` those that must be
    there. `text` is for people, `subjects` and `messages` are what it was learnt from, `hint` says
    what to do about it.
    """

    words: tuple[str, ...]
    text: str
    subjects: int = 0
    messages: int = 0
    hint: str = ""
    own: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", frozenset(self.words) - {PLACEHOLDER})

    @property
    def key(self) -> str:
        """What messages of the same pattern share."""
        return " ".join(self.words)

    @classmethod
    def of_key(cls, key: str) -> LearntPattern:
        """The pattern of a key alone."""
        words = tuple(key.split())
        return cls(words, " ".join("{text}" if word == PLACEHOLDER else word for word in words))


@dataclass(frozen=True, slots=True)
class Learnt:
    """What is known of a list; `at` is when it was learnt from last, Unix seconds."""

    at: float
    patterns: Sequence[LearntPattern] = ()
