"""What was found in a text part, kept for the next message that has the same one.

Who writes to many one by one sends the same words again and again, with what differs in merge tags
or in the head. Such a part is looked through and prepared once. It is kept when it comes for the
second time: a part that is different in each message costs its hash.

Guarantees: bounded in octets; what is kept holds for the same plan, the same octets and the same
circumstances alone (`PartKey`). Each step is one of the interpreter's own: several threads may use
it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from smtpplus.message.edits import Piece

__all__ = ["MAX_REMEMBERED", "FoundPart", "PartKey", "PartMemory"]

MAX_REMEMBERED = 64 * 1024  # octets of a part as it is encoded
_MOST_OCTETS = 4 * 1024 * 1024
_MOST_SEEN = 4_096  # hashes of parts that came once
_OF_ONE = 2  # the part, and the pieces of its copy, which are cut from it
_OF_PLAN = 16 * 1024  # octets that its plan takes, which may be kept here alone
_OF_PIECE = 1_024  # octets that a place takes which is filled in for each recipient, at most
_MOST_PIECES = 500


class PartKey(NamedTuple):
    """All that decides what is found in a part, but for the plan.

    `flow` are ``format=flowed`` and ``delsp``, `unsubscribe` the targets of the sender's own
    List-Unsubscribe, `links` and `has_pixel` what was found in the parts before it.
    """

    encoded: bytes
    encoding: str
    charset: str
    is_html: bool
    is_main: bool
    flow: tuple[bool, bool]
    is_reply: bool
    unsubscribe: frozenset[str]
    links: int
    has_pixel: bool


class FoundPart(NamedTuple):
    """What was found: the pieces of the copy (None: it stays), and what `BodyEdits` learnt by it.

    `plan` is `CopyPlan.found` of the plan.
    """

    plan: dict[object, Any]
    pieces: list[Piece] | None
    targets: tuple[str, ...]
    unknown: tuple[str, ...]
    has_unsubscribe: bool
    has_pixel: bool


class PartMemory:
    """The parts that came twice or more. `octets` is what they take, roughly."""

    def __init__(self, most_octets: int = _MOST_OCTETS) -> None:
        self._most_octets = most_octets
        self._seen: dict[int, None] = {}
        self._kept: dict[tuple[int, PartKey], FoundPart] = {}
        self.octets = 0

    def get(self, plan: dict[object, Any], key: PartKey) -> FoundPart | None:
        """What was found in the same part under the same plan."""
        found = self._kept.get((id(plan), key))
        return found if found is not None and found.plan is plan else None

    def put(self, key: PartKey, found: FoundPart) -> None:
        """Keep it, unless the part was not seen before, or takes much."""
        pieces = len(found.pieces or ())
        if pieces > _MOST_PIECES:
            return
        whole = (id(found.plan), key)
        number = hash(whole)
        if number not in self._seen:
            if len(self._seen) >= _MOST_SEEN:
                self._seen.clear()
            self._seen[number] = None
            return
        octets = len(key.encoded) * _OF_ONE + pieces * _OF_PIECE + _OF_PLAN
        if self.octets + octets > self._most_octets:
            self._kept.clear()
            self.octets = 0
        self._kept[whole] = found
        self.octets += octets
