"""Time-ordered identifiers: 63-bit integers, shown as 13 lower-case base32 characters.

Layout, high to low: 41 bits milliseconds since 2020-01-01T00:00Z (until 2089), 10 bits of the
node that made it, 12 bits of sequence. Guarantees: ids of one `IdSource` grow strictly, also
when the clock goes back; two nodes with different numbers never make the same id.
"""

from __future__ import annotations

__all__ = ["IdSource", "first_id", "id_milliseconds", "parse_id", "show_id"]

_EPOCH_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z in Unix milliseconds
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32, lower case
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LENGTH = 13
_NODE_BITS = 10
_SEQUENCE_BITS = 12
_SEQUENCE_MASK = (1 << _SEQUENCE_BITS) - 1


class IdSource:
    """Makes ids for one node (0 to 1023)."""

    __slots__ = ("_last", "_node")

    def __init__(self, node: int) -> None:
        if not 0 <= node < 1 << _NODE_BITS:
            raise ValueError(f"a node has a number from 0 to 1023, not {node}")
        self._node = node
        self._last = 0  # milliseconds and sequence of the last id, the node left out

    def next(self, now: float) -> int:
        """The next id; `now` is Unix time in seconds.

        Where 4,096 ids fall in one millisecond, or the clock went back, the sequence runs on
        into the following milliseconds.
        """
        moment = (int(now * 1000) - _EPOCH_MS) << _SEQUENCE_BITS
        last = self._last = max(moment, self._last + 1)
        milliseconds, sequence = last >> _SEQUENCE_BITS, last & _SEQUENCE_MASK
        return (milliseconds << _NODE_BITS | self._node) << _SEQUENCE_BITS | sequence


def id_milliseconds(identifier: int) -> int:
    """When an id was made, in Unix milliseconds."""
    return (identifier >> (_NODE_BITS + _SEQUENCE_BITS)) + _EPOCH_MS


def first_id(at: float) -> int:
    """Not above any id that was made at `at` or later, Unix seconds; above all that are older."""
    return max(int(at * 1000) - _EPOCH_MS, 0) << (_NODE_BITS + _SEQUENCE_BITS)


def show_id(identifier: int) -> str:
    """The id as people see it: 13 characters."""
    pairs, rest = _PAIRS, identifier  # an id is shown several times a message
    return (
        _ALPHABET[rest >> 60 & 31]
        + pairs[rest >> 50 & 1023]
        + pairs[rest >> 40 & 1023]
        + pairs[rest >> 30 & 1023]
        + pairs[rest >> 20 & 1023]
        + pairs[rest >> 10 & 1023]
        + pairs[rest & 1023]
    )


def parse_id(text: str) -> int | None:
    """The id that `text` shows (upper case is forgiven), or None where it shows none."""
    if len(text) != _LENGTH:
        return None
    identifier = 0
    for letter in text.lower():
        value = _VALUES.get(letter)
        if value is None:
            return None
        identifier = identifier * 32 + value
    return identifier if identifier < 1 << 63 else None
