"""Edits of a text, and of the octets it is sent as: what stands for a span instead of it.

A piece is constant, or filled in for each recipient. Guarantees: edits that overlap one that
stands before them are dropped, so that no octet is replaced twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from smtpplus.message.copy_plan import CopyFields

__all__ = [
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


class NotFittingError(Exception):
    """A part's charset, encoding or line length cannot hold what is to be put in."""


@dataclass(frozen=True, slots=True)
class Span:
    """Octets of the stored content that go out unread."""

    start: int
    end: int


Piece = bytes | Span | OctetFill


@dataclass(frozen=True, slots=True)
class Edit:
    """``text[start:end]`` is replaced by `pieces`."""

    start: int
    end: int
    pieces: tuple[str | Fill, ...]


@dataclass(frozen=True, slots=True)
class OctetEdit:
    """``octets[start:end]`` is replaced by `pieces`."""

    start: int
    end: int
    pieces: tuple[bytes | OctetFill, ...]


def in_order(edits: Iterable[Edit]) -> list[Edit]:
    """The edits from front to back; an insertion stands before what is replaced there."""
    ordered: list[Edit] = []
    position = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
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
