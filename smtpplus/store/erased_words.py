"""What tells of a person in a text, and what is put in its place.

Guarantees: an address is found however it is written: with U-labels or A-labels, within JSON, in
percent form as in links, with ``=`` for ``@`` as in return paths; not as a part of a longer one.
Pure. Does not find what nobody could know as theirs: a first name alone, an order's number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from smtpplus.store.rows import json_text
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError

__all__ = ["GONE", "ErasedWords"]

GONE = "(erased)"
_BEFORE = r"(?:(?<![\w.+\-])|(?<=%[0-9a-f]{2}))"  # a link's %3D may stand there
_BEHIND = r"(?![\w\-]|\.\w)"
# Within a longer word, but not as the end of another address or the beginning of another domain.
_WITHIN = r"(?:(?<![^\W_])(?<!\.)|(?<=%[0-9a-f]{2}))"
_WITHIN_END = r"(?![^\W_]|\.\w)"


class ErasedWords:
    """Puts `shown`, an address that nobody can read, in the place of `addresses`.

    `names` are display names; of one word alone they would be found in too much. `plain` are the
    forms that stand in texts for people, `forms` those of JSON and links, too, all in lower case:
    a thousand spellings by case are one.
    """

    def __init__(self, addresses: Iterable[str], names: Iterable[str], shown: str) -> None:
        plain = {form for address in addresses for form in _plain_forms(address)}
        self.plain = frozenset(one.lower() for one in plain)
        self.forms = frozenset(form.lower() for one in plain for form in _written(one))
        paths = {"=".join(form.rsplit("@", 1)) for form in self.forms}
        written, of_paths = _any_of(self.forms), _any_of(paths)
        found = rf"{_BEFORE}(?:{written}){_BEHIND}|(?<!\w)(?:{of_paths}){_BEHIND}"
        within = rf"{_WITHIN}(?:{written}|{of_paths}){_WITHIN_END}"
        self._shown = shown
        self._texts = re.compile(found, re.IGNORECASE)
        self._within = re.compile(within, re.IGNORECASE)
        whole = {" ".join(name.split()) for name in names}
        whole = {name.lower() for name in whole if " " in name}
        self._names = re.compile(rf"(?<!\w)(?:{_any_of(whole)})(?!\w)", re.IGNORECASE)
        self._has_names = bool(whole)

    def text(self, text: str) -> str:
        """`text` without the address."""
        return self._texts.sub(self._shown, text)

    def octets(self, octets: bytes) -> bytes:
        """`octets` without the address."""
        return self.text(octets.decode(errors="surrogateescape")).encode(errors="surrogateescape")

    def words(self, text: str) -> str:
        """`text` without address and whole name."""
        text = self.text(text)
        return self._names.sub(GONE, text) if self._has_names else text

    def tells(self, text: str) -> bool:
        """Is the address in `text`, be it within a longer code (``for-eve@x.example``)?"""
        return self._within.search(text) is not None


def _plain_forms(address: str) -> set[str]:
    forms = {address}
    try:
        parsed = Address.parse(address)
    except AddressError:  # as it was kept, not as it came
        return forms
    return forms | {parsed.key, parsed.wire, f"{parsed.local}@{parsed.ascii_domain}"}


def _written(address: str) -> set[str]:
    """Also as JSON and links have it."""
    forms = {address, json_text(address)[1:-1]}
    return forms | {quote(one, safe="") for one in forms}


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
