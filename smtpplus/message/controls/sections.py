"""SendGrid's sections: texts that stand for other texts, with the recipient's tags in them.

A substitution's value may name a section; the section's text may name substitution tags. A section
with markup in it is HTML: what the tags in it stand for is escaped, as it comes from elsewhere.
Guarantees: a text is looked through once, however many recipients it goes to; nothing that was
put in is looked through again, so nothing can loop. Raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["Sections"]

_MARKUP = re.compile(r"</?[A-Za-z!]|&#?\w+;")


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

    def stand_in(self, values: Sequence[str]) -> tuple[bool, bool]:
        """Does one of `values` name a section, and one with markup?"""
        together = "\n".join(values)
        named = [text for name, text in self._texts.items() if name in together]
        return bool(named), any(map(_MARKUP.search, named))

    def resolve(
        self, tag: str, fields: Mapping[str, str], escape: Callable[[str, str], str]
    ) -> str:
        """The value of `tag`, with the sections it names, for the recipient who has `fields`.

        `escape` makes of a tag and its value what is put in where the tag stands in a section,
        or names none.
        """
        value = fields[tag]
        pieces = self._made.get(value) or self._pieces(value)
        if value in self._texts:  # the usual value; of others there may be thousands
            self._made[value] = pieces
        if len(pieces) == 1:
            return escape(tag, value) if pieces[0] == value else pieces[0]
        made = pieces.copy()
        made[1::2] = [escape(name, fields[name]) if name in fields else name for name in made[1::2]]
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
