"""The copy whose To is the recipient's own address (the Bcc rule).

`visible_addresses` says who stands in To and Cc. Who stands in neither gets a copy whose To is
that address alone; Cc stays (a blind copy shows whom the mail went to openly; only the list in
To would name strangers as its recipients). Where each recipient is to be alone (`OwnTo.ALL`),
Cc goes, too. Bcc stands in no copy. A second To field goes; a missing one is added.

Guarantees: `own_to_field` is one field with its CRLF; the name is quoted or encoded (RFC 2047),
the address as it goes on the wire (RFC 6532 where its local part is not ASCII). Never raises.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from smtpplus.message.encoded_fields import encoded_words
from smtpplus.message.headers import HeaderField
from smtpplus.message.mailboxes import addresses
from smtpplus.message.merge import one_line
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError

__all__ = ["Visible", "mailbox_text", "own_to_field", "visible_addresses"]

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+)*")
_HIDING = re.compile(rb'["(]')
_BETWEEN = re.compile(r'[\s,;:<>()"]+')
_SPECIAL = re.compile(r'(["\\])')
_SHOWN = frozenset({"to", "cc"})
_MAX_NAME = 200  # characters


class Visible:
    """The addresses of To and Cc; of a field that cannot be read, its words.

    The fields are read when somebody is asked for who does not plainly stand there.
    """

    def __init__(self, shown: Sequence[HeaderField]) -> None:
        self._shown = shown
        self._found: tuple[tuple[Address, ...], frozenset[str]] | None = None

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, Address):
            return False
        bare = address.wire.encode("utf-8", "replace")
        angled = b"<%b>" % bare
        for field in self._shown:
            value = field.value  # in quotes or a comment stands nobody
            if bare == value.strip() or (angled in value and not _HIDING.search(value)):
                return True  # as nearly always
        return address.key in self._all()[1]

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Those of the fields that can be read, in order."""
        return self._all()[0]

    def _all(self) -> tuple[tuple[Address, ...], frozenset[str]]:
        if self._found is None:
            self._found = _read(self._shown)
        return self._found


def visible_addresses(fields: Sequence[HeaderField]) -> Visible:
    """Who is openly addressed by these fields of a head."""
    return Visible([field for field in fields if field.name.lower() in _SHOWN])


def _read(shown: Sequence[HeaderField]) -> tuple[tuple[Address, ...], frozenset[str]]:
    """Who stands there; and by `Address.key`, who may stand in what cannot be read, too."""
    found: dict[str, Address] = {}
    keys: set[str] = set()
    for field in shown:
        text = field.unfolded
        try:
            found |= {mailbox.address.key: mailbox.address for mailbox in addresses(text)}
        except AddressError:
            words = _BETWEEN.split(text.lower())
            keys.update(words)
            for word in words:
                if not word.isascii():  # its domain may be written in A-labels elsewhere
                    with contextlib.suppress(AddressError):
                        keys.add(Address.parse(word).key)
    return tuple(found.values()), frozenset(keys | found.keys())


def own_to_field(address: Address, name: str = "") -> bytes:
    """The To field of the recipient's own copy."""
    return f"To: {mailbox_text(address, name)}\r\n".encode("utf-8", "replace")


def mailbox_text(address: Address, name: str) -> str:
    """A mailbox as it is written in a field; folded where name and address are long."""
    name = one_line(name).strip()[:_MAX_NAME]
    if not name:
        return address.wire
    if not name.isascii() or "=?" in name:
        shown = encoded_words(name).replace(" ", "\r\n ")
    elif _ATOMS.fullmatch(name):
        shown = name
    else:
        shown = '"' + _SPECIAL.sub(r"\\\1", name) + '"'
    glue = "\r\n " if len(shown) + len(address.wire) > 70 else " "
    return f"{shown}{glue}<{address.wire}>"
