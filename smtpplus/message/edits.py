"""Edits of a text, and of the octets it is sent as: what stands for a span instead of it.

A piece is constant, or filled in for each recipient. Guarantees: edits that overlap one that
stands before them are dropped, so that no octet is replaced twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from smtpplus.message.copy_plan import ClickUrl, CopyFields
from smtpplus.message.tracking_urls import LinkTarget

__all__ = [
    "ClickFill",
    "Edit",
    "Fill",
    "NotFittingError",
    "OctetEdit",
    "OctetFill",
    "Piece",
    "Span",
    "UrlFill",
    "in_order",
    "pieces_of",
]

_PLACE = itemgetter(0, 1)  # start and end

Fill = Callable[[CopyFields], str]
OctetFill = Callable[[CopyFields], bytes]


class UrlFill:
    """Fills in an address of ours, which is ASCII and goes out without being encoded again.

    Args:
        url: makes it, without blanks, quotes, angle brackets and control characters.
        in_html: is it written in HTML?
    """

    __slots__ = ("_in_html", "_url")

    def __init__(self, url: Fill, *, in_html: bool = False) -> None:
        self._url = url
        self._in_html = in_html

    def __call__(self, fields: CopyFields) -> str:
        """The address as text."""
        made = self._url(fields)
        return made.replace("&", "&amp;") if self._in_html else made

    def octets(self, fields: CopyFields) -> bytes:
        """The same as octets."""
        return self(fields).encode("ascii")

    def escaped(self) -> UrlFill:
        """The same for HTML."""
        return UrlFill(self._url, in_html=True)


class ClickFill(UrlFill):
    """Fills in the address that a link is tracked by.

    Args:
        click_url: makes it.
        number: the link's in its message.
        target: where the link leads.
        in_html: is it written in HTML?
    """

    __slots__ = ("_click_url", "_number", "target")

    def __init__(
        self, click_url: ClickUrl, number: int, target: LinkTarget, *, in_html: bool = False
    ) -> None:
        self._click_url = click_url
        self._number = number
        self._in_html = in_html
        self.target = target

    def __call__(self, fields: CopyFields) -> str:
        """The address as text."""
        made = self._click_url(fields, self._number, self.target)
        return made.replace("&", "&amp;") if self._in_html else made

    def octets(self, fields: CopyFields) -> bytes:
        """The same as octets."""
        made = self._click_url(fields, self._number, self.target).encode("ascii")
        return made.replace(b"&", b"&amp;") if self._in_html else made

    def escaped(self) -> ClickFill:
        """The same for HTML."""
        return ClickFill(self._click_url, self._number, self.target, in_html=True)

    def numbered(self, number: int) -> ClickFill:
        """The same for another link of this target."""
        return ClickFill(self._click_url, number, self.target, in_html=self._in_html)


class NotFittingError(Exception):
    """A part's charset, encoding or line length cannot hold what is to be put in."""


class Span(NamedTuple):
    """Octets of the stored content that go out unread."""

    start: int
    end: int


Piece = bytes | Span | OctetFill


class Edit(NamedTuple):
    """``text[start:end]`` is replaced by `pieces`."""

    start: int
    end: int
    pieces: tuple[str | Fill, ...]


class OctetEdit(NamedTuple):
    """``octets[start:end]`` is replaced by `pieces`."""

    start: int
    end: int
    pieces: tuple[bytes | OctetFill, ...]


def in_order(edits: Iterable[Edit]) -> list[Edit]:
    """The edits from front to back; an insertion stands before what is replaced there."""
    ordered: list[Edit] = []
    position = 0
    for edit in sorted(edits, key=_PLACE):
        if edit.start >= position:
            ordered.append(edit)
            position = edit.end
    return ordered


def pieces_of(text: str, edits: Sequence[Edit]) -> tuple[str | Fill, ...]:
    """`text` with its edits made, as pieces."""
    pieces: list[str | Fill] = []
    position = 0
    for edit in in_order(edits):
        pieces += [text[position : edit.start], *edit.pieces]
        position = edit.end
    pieces.append(text[position:])
    return tuple(piece for piece in pieces if piece != "")
