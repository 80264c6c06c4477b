"""Address lists of header fields (RFC 5322 §3.4, obsolete forms §4.4).

Guarantees: linear time; what is returned obeys `Address.parse`. `single_mailbox` is what
decisions about senders rest on: it takes only what every reader of the message understands in
the same way. Raises `AddressError` with a sentence. Does not look anything up.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from smtpplus.message.headers import decode_words
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError

__all__ = ["Mailbox", "addresses", "single_mailbox"]

_TOKEN = re.compile(
    r"""(?P<atom>[^ \t\r\n()<>@,;:\\".\[\]]+)
    |(?P<blank>[ \t\r\n]+)
    |(?P<quoted>"(?:[^"\\]|\\.)*")
    |(?P<literal>\[[^\[\]\\]*\])
    |(?P<special>[<>@,;:.])
    |(?P<comment>\()""",
    re.VERBOSE,
)
_COMMENT_MARK = re.compile(r"[()]|\\.")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPED = re.compile(r"\\(.)")
_MISLEADING = re.compile(r"[\s@<>,;:()\[\]\\]")
_MISLEADING_NAME = re.compile(r"[@<>]")
_MAX_KEPT = 256  # characters of a value whose reading is remembered
_MAX_SINGLE = 4096  # characters; a From that is longer is no From


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name, decoded and safe to show (may be empty), and an address."""

    display_name: str
    address: Address

    def __str__(self) -> str:
        return f"{self.display_name} <{self.address}>" if self.display_name else str(self.address)


class _Token(NamedTuple):
    """A plain tuple: an address list makes many."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A mailbox and whether it was written plainly: no group, route, or gap in the address."""

    mailbox: Mailbox
    plain: bool


def addresses(value: str) -> tuple[Mailbox, ...]:
    """All mailboxes of an address list, those inside groups too.

    Args:
        value: the unfolded value of the field.

    Raises:
        AddressError: the value is no address list.
    """
    return tuple(entry.mailbox for entry in _entries(value) if entry)


def single_mailbox(value: str) -> Mailbox:
    """The one mailbox that `value` is, written so that nobody can read another one.

    Groups, routes, empty list elements, comments or blanks inside the address, encoded words
    in it, and an address of someone else as bare display name are refused.

    Raises:
        AddressError: it is not one such mailbox; the text says why.
    """
    if len(value) > _MAX_SINGLE:
        raise AddressError(f"It is longer than {_MAX_SINGLE} characters.")
    return _single(value) if len(value) <= _MAX_KEPT else _read_single(value)


@functools.lru_cache(maxsize=1024)  # an application writes the same From into all its mails
def _single(value: str) -> Mailbox:
    return _read_single(value)


def _read_single(value: str) -> Mailbox:
    entries = list(_entries(value))
    if len(entries) > 1:
        raise AddressError("It holds more than one address.")
    if not entries or entries[0] is None:
        raise AddressError("It holds no address.")
    if not entries[0].plain:
        raise AddressError(
            "It uses a group, a route, quoting, or a comment or blank inside the address."
        )
    return entries[0].mailbox


def _tokens(value: str) -> Iterator[_Token]:
    if _CONTROL.search(value):
        raise AddressError("It holds a control character.")
    position = 0
    while position < len(value):
        match = _TOKEN.match(value, position)
        if match is None:
            raise AddressError(f"It cannot be read from {value[position : position + 20]!r} on.")
        kind, end = match.lastgroup or "", match.end()
        if kind == "comment":
            end = _comment_end(value, position)
        yield _Token(kind, value[position:end])
        position = end


def _comment_end(value: str, start: int) -> int:
    depth = 0
    for mark in _COMMENT_MARK.finditer(value, start):
        depth += {"(": 1, ")": -1}.get(mark.group(), 0)
        if depth == 0:
            return mark.end()
    raise AddressError("A comment is not closed.")


def _entries(value: str) -> Iterator[_Entry | None]:
    """The elements of the list; None for an empty one (RFC 5322 §4.4)."""
    in_group = seen_group = False
    for element, mark in _elements(value):
        if mark == ":":
            if in_group:
                raise AddressError("A group stands inside a group.")
            in_group = seen_group = True
            continue  # the element was the group's name
        if mark == ";" and not in_group:
            raise AddressError("It has a semicolon outside a group.")
        in_group = in_group and mark != ";"
        # Nothing before or after a semicolon is no empty element.
        if not (_is_empty(element) and (mark == ";" or (seen_group and not mark))):
            yield _entry(element, plain=not seen_group)
    if in_group:
        raise AddressError("A group is not closed by a semicolon.")


def _elements(value: str) -> Iterator[tuple[list[_Token], str]]:
    """The tokens up to each mark outside angle brackets, and the mark; "" at the end."""
    element: list[_Token] = []
    in_angle = False
    for token in _tokens(value):
        mark = token.text if token.kind == "special" else ""
        if mark in {"<", ">"}:
            in_angle = mark == "<"
        if mark and not in_angle and mark in ",;:":
            yield element, mark
            element = []
        else:
            element.append(token)
    yield element, ""


def _is_empty(element: list[_Token]) -> bool:
    return all(token.kind in {"blank", "comment"} for token in element)


def _entry(element: list[_Token], *, plain: bool) -> _Entry | None:
    if _is_empty(element):
        return None
    marks = [token.text if token.kind == "special" else "" for token in element]
    if "<" not in marks:
        if ">" in marks:
            raise AddressError("It has a > without its <.")
        spec = _trimmed(element)
        comments = [token.text[1:-1] for token in element if token.kind == "comment"]
        name = decode_words(_ESCAPED.sub(r"\1", comments[-1])) if comments else ""
        plain = plain and not any("<" in comment or ">" in comment for comment in comments)
        return _made(name.strip(), _address(spec), plain=plain and _contiguous(spec))
    opened = marks.index("<")
    if marks.count("<") > 1 or marks.count(">") != 1 or marks.index(">") < opened:
        raise AddressError("Its angle brackets do not match.")
    closed = marks.index(">")
    if not _is_empty(element[closed + 1 :]):
        raise AddressError("Something follows the > of the address.")
    spec = _trimmed(element[opened + 1 : closed])
    if spec and spec[0].text == "@":  # RFC 5322 §4.4 obs-route
        colons = [index for index, token in enumerate(spec) if token.text == ":"]
        spec, plain = spec[(colons[0] if colons else len(spec)) + 1 :], False
    plain = plain and _contiguous(spec) and len(spec) == closed - opened - 1
    address = _address(spec)
    return _made(_display_name(element[:opened], address), address, plain=plain)


def _made(name: str, address: Address, *, plain: bool) -> _Entry:
    # A quoted local part is no place for what looks like another address.
    return _Entry(Mailbox(name, address), plain and not _MISLEADING.search(address.local))


def _trimmed(tokens: list[_Token]) -> list[_Token]:
    start, end = 0, len(tokens)
    while start < end and tokens[start].kind in {"blank", "comment"}:
        start += 1
    while end > start and tokens[end - 1].kind in {"blank", "comment"}:
        end -= 1
    return tokens[start:end]


def _contiguous(tokens: list[_Token]) -> bool:
    return not any(token.kind in {"blank", "comment"} for token in tokens)


def _address(tokens: list[_Token]) -> Address:
    tokens = [token for token in tokens if token.kind not in {"blank", "comment"}]
    if [token.text for token in tokens].count("@") != 1:
        raise AddressError("It holds no address of the form local@domain.")
    text = "".join(token.text for token in tokens)
    # A reader that decodes it would see another address (RFC 2047 §5 forbids it).
    if "=?" in text:
        raise AddressError("An encoded word stands inside the address.")
    for before, after in pairwise(tokens):
        if before.kind != "special" and after.kind != "special":
            raise AddressError("The address holds a blank or several parts side by side.")
    return Address.parse(text)


def _display_name(tokens: list[_Token], address: Address) -> str:
    written = _trimmed(tokens)
    if any(token.kind == "literal" and _MISLEADING_NAME.search(token.text) for token in written):
        raise AddressError("The display name holds brackets that need quoting.")
    if any(token.kind == "special" and token.text == "@" for token in written):
        # Common clients write the address as name, unquoted; only the same one is harmless.
        text = "".join(token.text for token in written if token.kind != "blank")
        if text.lower() != str(address).lower():
            raise AddressError("The display name is an address, unquoted, and not the same one.")
    pieces = []
    for token in written:
        if token.kind == "quoted":
            pieces.append(_ESCAPED.sub(r"\1", token.text[1:-1]))
        elif token.kind == "blank":
            pieces.append(" ")
        elif token.kind != "comment":
            pieces.append(token.text)
    return " ".join(decode_words("".join(pieces)).split())
