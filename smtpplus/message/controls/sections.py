"""SendGrid's sections: texts that stand for other texts, with the recipient's tags in them.

A substitution's value may name a section; the section's text may name substitution tags.
Guarantees: a text is looked through once, however many recipients it goes to; nothing that was
put in is looked through again, so nothing can loop. Raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

__all__ = ["Sections"]


class Sections:
    """The sections of one message.

    Args:
        texts: section tag to text.
        tags: the substitution tags that may stand in these texts.
    """

    __slots__ = ("_made", "_tags", "_texts")

    def __init__(self, texts: Mapping[str, str], tags: Collection[str]) -> None:
        self._texts = texts
        self._tags = tags
        self._made: dict[str, list[str]] = {}

    def stand_in(self, values: Sequence[str]) -> bool:
        """Does one of `values` name a section?"""
        together = "\n".join(values)
        return any(name in together for name in self._texts)

    def resolve(self, value: str, fields: Mapping[str, str]) -> str:
        """`value` with the sections it names, for the recipient who has `fields`."""
        pieces = self._made.get(value) or self._pieces(value)
        if value in self._texts:  # the usual value; of others there may be thousands
            self._made[value] = pieces
        if len(pieces) == 1:
            return pieces[0]
        made = pieces.copy()
        made[1::2] = [fields.get(tag, tag) for tag in pieces[1::2]]
        return "".join(made)

    def _pieces(self, value: str) -> list[str]:
        """Text and the recipient's tags in turn."""
        pieces = [""]
        for place, piece in enumerate(_split(value, self._texts)):
            text = _split(self._texts[piece], self._tags) if place % 2 else [piece]
            pieces[-1] += text[0]
            pieces += text[1:]
        return pieces


def _split(text: str, names: Collection[str]) -> list[str]:
    """`text` cut at `names`, which stand at the odd places; of two that fit, at the longer."""
    present = [name for name in names if name in text]
    if not present:
        return [text]
    present.sort(key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, present))})", text)
