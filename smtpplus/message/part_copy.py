"""One part of a copy: its edits found, and put into its encoding.

Where the part is too narrow for what is put in, it is switched: plain text to UTF-8, and what is
not encoded to quoted-printable, in its header, too. Where that cannot be had (octets that are not
valid in their charset, a header that cannot be read), characters of plain text that do not exist
there become their nearest ASCII letters or ``?``.

Guarantees: never raises for the part itself; a fill made here may raise `NotFittingError` for one
recipient's values, unless the part was prepared `wide`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

from smtpplus.message.body_edits import BodyEdits
from smtpplus.message.body_parts import BodyPart
from smtpplus.message.copy_plan import CopyFields
from smtpplus.message.edits import (
    Edit,
    Fill,
    NotFittingError,
    OctetEdit,
    OctetFill,
    Piece,
    UrlFill,
    in_order,
)
from smtpplus.message.encoded_body import (
    Base64Body,
    EncodedBody,
    PlainBody,
    QuotedPrintableBody,
)
from smtpplus.message.headers import parse_head
from smtpplus.message.merge import TooManyTagsError
from smtpplus.message.parameters import parameterised
from smtpplus.message.part_head import retold_head
from smtpplus.message.text_view import TextView, view_of
from smtpplus.message.transfer_encoding import to_base64, to_quoted_printable

__all__ = ["PartCopy", "flow_of"]

_NEAREST = str.maketrans(  # what has no decomposition
    {
        "ß": "ss",
        "æ": "ae",
        "Æ": "AE",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "€": "EUR",
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
    }
)


class PartCopy:
    """One part: its edits found and put into its encoding, switched where it is too narrow."""

    def __init__(self, edits: BodyEdits, found: BodyPart, body: EncodedBody, head: bytes) -> None:
        self.edits = edits
        self.found = found
        self.body = body
        self.head = head
        self.pieces: list[Piece] | None = None
        self.new_head: bytes | None = None

    def run(self, *, wide: bool) -> str:
        """Find and splice; the reason why the part is left alone, or ""."""
        view = self._view()
        if isinstance(view, str):
            return view
        before = _Found.of(self.edits)
        try:
            if not wide:
                try:
                    self.pieces = self._spliced(self.body, view, self._found_in(view))
                except NotFittingError:
                    before.restore(self.edits)
                else:
                    return ""
            return self._switch(view, before, wide=wide)
        except TooManyTagsError as error:
            before.restore(self.edits)
            return str(error)

    def _view(self) -> TextView | str:
        body = self.body
        return view_of(
            body.octets,
            self.found.part.charset,
            is_html=self.found.is_html,
            is_encoded=not isinstance(body, PlainBody),
            may_use_lf=isinstance(body, Base64Body),
        )

    def _found_in(self, view: TextView) -> list[Edit]:
        if self.found.is_html:
            return self.edits.html(view, is_main=self.found.is_main)
        flowed, delsp = flow_of(self.head)
        return self.edits.text(view, is_main=self.found.is_main, flowed=flowed, delsp=delsp)

    def _spliced(
        self, body: EncodedBody, view: TextView, edits: Sequence[Edit], *, lossy: bool = False
    ) -> list[Piece] | None:
        """The body with its edits; None where there are none."""
        if not edits:
            return None
        return body.spliced(_octet_edits(view, in_order(edits), lossy=lossy))

    def _switch(self, view: TextView, before: _Found, *, wide: bool) -> str:
        """Put the edits into the part in UTF-8 (plain text) and quoted-printable or base64.

        The reason why the part is left alone, or "". Octets that are not known stay in their
        charset, and in their encoding unless a line would get too long.
        """
        if not self._found_in(view):
            return ""
        before.restore(self.edits)
        octets, charset = self.body.octets, ""
        lossy = view.is_guessed and not self.found.is_html
        if not (self.found.is_html or lossy or view.written == "utf-8"):
            try:
                octets, charset = octets.decode(view.codec).encode(), "utf-8"
            except UnicodeError:
                lossy = True
        if lossy and not wide and not self._stay(view, before):
            return ""
        switched: EncodedBody = self.body
        encoding = ""
        if isinstance(self.body, Base64Body):
            switched = Base64Body(to_base64(octets)) if charset else self.body
        elif isinstance(self.body, PlainBody) or charset:
            encoding = "quoted-printable" if isinstance(self.body, PlainBody) else ""
            switched = QuotedPrintableBody(to_quoted_printable(octets))
        try:
            if charset or encoding:
                self.new_head = retold_head(
                    self.head, charset=charset, encoding=encoding, is_message=not self.found.index
                )
        except NotFittingError as error:
            return str(error) if wide and encoding else self._stay(view, before)
        new_view = view_of(
            octets,
            charset or self.found.part.charset,
            is_html=self.found.is_html,
            is_encoded=True,
            may_use_lf=isinstance(switched, Base64Body),
        )
        assert isinstance(new_view, TextView)  # it was one before
        self.pieces = self._spliced(switched, new_view, self._found_in(new_view), lossy=lossy)
        return ""

    def _stay(self, view: TextView, before: _Found) -> str:
        """Put the edits into the part as it is, in letters that it has; a reason, or ""."""
        try:
            self.pieces = self._spliced(self.body, view, self._found_in(view), lossy=True)
        except NotFittingError as error:  # a line would get too long
            before.restore(self.edits)
            return str(error)
        return ""


class _Found(NamedTuple):
    """What `BodyEdits` had found before a part, to find it again."""

    links: int
    has_unsubscribe: bool
    has_pixel: bool

    @classmethod
    def of(cls, edits: BodyEdits) -> _Found:
        return cls(len(edits.links.targets), edits.has_unsubscribe, edits.has_pixel)

    def restore(self, edits: BodyEdits) -> None:
        del edits.links.targets[self.links :]
        edits.has_unsubscribe, edits.has_pixel = self.has_unsubscribe, self.has_pixel


def flow_of(head: bytes) -> tuple[bool, bool]:
    """``format=flowed`` and ``delsp=yes`` (RFC 3676 §4) of a part's header."""
    if b"format" not in head.lower():
        return False, False
    for header in parse_head(head):
        if header.lower == "content-type":
            given = parameterised(header.unfolded)[1]
            flowed = given.get("format", "").strip().lower() == "flowed"
            return flowed, flowed and given.get("delsp", "").strip().lower() == "yes"
    return False, False


def _octet_edits(view: TextView, edits: Sequence[Edit], *, lossy: bool) -> list[OctetEdit]:
    """Edits of the text as edits of the octets; neighbours become one."""
    made: list[OctetEdit] = []
    encoded = _lossily(view) if lossy else view.encoded
    for start, end, pieces in edits:
        if view.ends is not None:
            is_empty = start == end
            start = view.start_of(start)  # noqa: PLW2901 - in octets from here on
            end = start if is_empty else view.end_of(end)  # noqa: PLW2901
        octets = tuple([_octets(view, piece, encoded) for piece in pieces])
        if made and made[-1].end == start:
            last = made.pop()
            made.append(OctetEdit(last.start, end, (*last.pieces, *octets)))
        else:
            made.append(OctetEdit(start, end, octets))
    return made


def _octets(
    view: TextView, piece: str | Fill, encoded: Callable[[str], bytes]
) -> bytes | OctetFill:
    if isinstance(piece, str):
        return encoded(piece)
    if isinstance(piece, UrlFill) and view.width == 1:
        return piece.octets

    def fill(fields: CopyFields) -> bytes:
        return encoded(piece(fields))

    return fill


def _lossily(view: TextView) -> Callable[[str], bytes]:
    def encoded(text: str) -> bytes:
        try:
            return view.encoded(text)
        except NotFittingError:
            plain = unicodedata.normalize("NFKD", text.translate(_NEAREST))
            plain = "".join(c for c in plain if not unicodedata.combining(c))
            return view.encoded(plain.encode("ascii", "replace").decode("ascii"))

    return encoded
