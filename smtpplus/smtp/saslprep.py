"""SASLprep (RFC 4013): user names and passwords in the one form that is compared.

Guarantees: printable ASCII comes back as it is. Raises ValueError for what is prohibited.
"""

from __future__ import annotations

import stringprep
import unicodedata
from collections.abc import Callable

__all__ = ["saslprep"]

_PROHIBITED: tuple[Callable[[str], bool], ...] = (  # RFC 4013 §2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """`text` prepared as a stored string, unassigned code points allowed as in a query.

    Raises:
        ValueError: it holds a prohibited character or mixes writing directions.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(  # RFC 4013 §2.1
        " " if stringprep.in_table_c12(letter) else letter
        for letter in text
        if not stringprep.in_table_b1(letter)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(prohibited(letter) for letter in prepared for prohibited in _PROHIBITED):
        raise ValueError("the text holds a character that SASLprep prohibits")
    _check_direction(prepared)
    return prepared


def _check_direction(text: str) -> None:
    """RFC 3454 §6: right-to-left text stands alone and at both ends."""
    if any(map(stringprep.in_table_d1, text)) and (
        any(map(stringprep.in_table_d2, text))
        or not stringprep.in_table_d1(text[0])
        or not stringprep.in_table_d1(text[-1])
    ):
        raise ValueError("the text mixes writing directions")
