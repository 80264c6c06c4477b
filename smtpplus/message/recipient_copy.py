"""The copies of a message: everything found once, then filled in for each recipient.

`prepare` reads head and bodies, finds what the plan changes and keeps the rest as it is.
`Prepared.copy` fills slots and joins; it searches nothing. With a plan that changes nothing the
copy is the message, octet by octet (M1); otherwise what is decoded differs in the named spans
only, and at most the lines that hold them are encoded anew (M6).

Guarantees: raises `TooLongError` alone, where merge values make a copy huge; linear time; a part
longer than `MAX_TEXT_OCTETS` or one that cannot be read is left alone, and `left_alone` says why.
Nothing put in holds a bare CR or LF or makes a line longer than 998 octets. Text parts alone are
looked at: of a stored content that is not in memory `Excerpts` holds them, and the rest goes out
as `Span`.

What is put into plain text and does not exist in the part's charset (or is not 7-bit in a 7-bit
part, or makes a line too long) switches the part: to UTF-8 and quoted-printable, in its header,
too; in base64 to UTF-8 alone. Where octets of such a part are not valid in their charset it
stays, and what is missing becomes ``?`` or its nearest ASCII letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from smtpplus.message.body_edits import BodyEdits
from smtpplus.message.body_parts import BodyPart, body_parts
from smtpplus.message.copy_plan import CopyFields, CopyPlan, LeftAlone, OwnTo
from smtpplus.message.edits import (
    NotFittingError,
    Piece,
    Span,
)
from smtpplus.message.encoded_body import (
    body_of,
)
from smtpplus.message.head_edits import HeadPiece, head_template
from smtpplus.message.headers import HeaderField, head_length, parse_head
from smtpplus.message.merge import MAX_MERGED, Metered, TooLongError
from smtpplus.message.own_to import Visible, visible_addresses
from smtpplus.message.part_copy import PartCopy, flow_of
from smtpplus.message.part_memory import MAX_REMEMBERED, PartKey
from smtpplus.message.structure import Structure

__all__ = ["MAX_TEXT_OCTETS", "Copy", "Excerpts", "Prepared", "needed_spans", "prepare"]

MAX_TEXT_OCTETS = 2 * 1024 * 1024  # decoded, of one part; a longer one is left alone
_MOST_ENCODED = 3  # times as many octets at most, in quoted-printable
_MOST_GROWN = 16 * 1024 * 1024  # octets of a body that are put in, or encoded anew with it
_MAX_UNKNOWN = 100  # tags that are listed
_TOO_LONG = f"it is longer than {MAX_TEXT_OCTETS // 1024:,} KiB"
_PGP_BEGINS = b"-----BEGIN PGP "
_PGP = re.compile(rb"^-----BEGIN PGP [A-Z ]{3,40}-----", re.MULTILINE)
_ANGLED = re.compile(r"<([^<>]{1,2000})>")
_STALE = frozenset({"content-md5", "content-length"})  # what a changed body belies
_ANSWERS = frozenset({"in-reply-to", "references"})


@dataclass(frozen=True, slots=True)
class Excerpts:
    """The octets of a stored content that are in memory: those of `needed_spans`."""

    octets: Mapping[tuple[int, int], bytes]


class Copy(NamedTuple):
    """One recipient's copy. Spans are octets of the stored content."""

    head: bytes
    body: tuple[bytes | Span, ...]

    @property
    def body_octets(self) -> int:
        """How long the body is."""
        return sum(len(p) if isinstance(p, bytes) else p.end - p.start for p in self.body)

    @property
    def content(self) -> bytes:
        """Head and body as one, where the body was prepared in memory."""
        return b"".join([self.head, *(p for p in self.body if isinstance(p, bytes))])


@dataclass(slots=True, eq=False)
class Prepared:
    """A message ready to be filled in. Is not changed from outside.

    `links` are the targets of the tracked links, the first is number 1 (with ``…`` where a
    merge value goes); `different_links` are of them, each counted once. `unknown_tags` have the
    form of a merge tag and no field, or stand in a script or style, where no value is put in.
    """

    left_alone: tuple[LeftAlone, ...]
    unknown_tags: tuple[str, ...]
    links: tuple[str, ...]
    different_links: int
    has_unsubscribe_link: bool
    has_pixel: bool
    changes_body: bool
    _shared: tuple[HeadPiece, ...]
    _own: tuple[HeadPiece, ...]
    _body: tuple[Piece, ...]
    _visible: Visible
    _own_to: OwnTo
    _source: _Source
    _wide: list[Prepared] = field(default_factory=list)

    def copy(self, fields: CopyFields) -> Copy:
        """The copy of one recipient.

        Raises:
            TooLongError: the values make it huge.
        """
        if self._wide and not self._source.wide:
            return self._wide[0].copy(fields)
        values = fields.values
        if values and max(map(len, values.values())) * self._source.octets_in_all > MAX_MERGED:
            fields = replace(fields, values=Metered(values))
        head = self._own if self.has_own_to(fields) else self._shared
        try:
            return Copy(
                b"".join([p if isinstance(p, bytes) else p(fields) for p in head]),
                self._filled(fields),
            )
        except NotFittingError:
            # From now on for all: what one recipient needs, others of this message need, too.
            self._wide.append(_prepared(self._source.widened()))
            return self._wide[0].copy(fields)

    def _filled(self, fields: CopyFields) -> tuple[bytes | Span, ...]:
        pieces: list[bytes | Span] = []
        room = _MOST_GROWN
        for piece in self._body:
            if callable(piece):
                made = piece(fields)
                room -= len(made)
                if room < 0:
                    raise TooLongError
                pieces.append(made)
            else:
                pieces.append(piece)
        return tuple(pieces)

    def has_own_to(self, fields: CopyFields) -> bool:
        """Does this recipient find the own address alone in To?"""
        if self._own_to is OwnTo.BCC:
            return fields.address not in self._visible
        return self._own_to is OwnTo.ALL

    def is_same_for_all(self, fields: CopyFields) -> bool:
        """Is the copy of `fields` the one that every recipient of its kind of To gets?"""
        if self.has_own_to(fields):
            return False
        return not any(map(callable, self._shared)) and not any(map(callable, self._body))


def prepare(
    head: bytes,
    body: bytes | Excerpts,
    structure: Structure,
    plan: CopyPlan,
    *,
    fields: tuple[HeaderField, ...] | None = None,
    visible: Visible | None = None,
    block: HeadPiece = b"",
) -> Prepared:
    """Find everything in a message that `plan` changes.

    Args:
        head: the head as it goes out but for the plan, with its empty line.
        body: what follows the head in the content that `structure` was made of, or excerpts.
        structure: the scan of the content as stored (its head may have fields that `head` lacks).
        plan: what is to be done.
        fields: those of `head`, where they are known.
        visible: who stands in them, likewise.
        block: whole fields with their CRLF that go before the head, of each recipient's own maybe.

    Raises:
        TooLongError: the values that are the same for all make it huge.
    """
    if fields is None:
        fields = parse_head(head)
    if visible is None:
        visible = visible_addresses(fields if plan.own_to is OwnTo.BCC else ())
    return _prepared(_Source(head, body, structure, plan, fields, visible, block))


def needed_spans(structure: Structure, plan: CopyPlan) -> tuple[tuple[int, int], ...]:
    """The octets of a content that `prepare` reads, where the content is not in memory."""
    if not plan.changes_bodies:
        return ()
    spans = []
    for found in body_parts(structure)[0]:
        part = found.part
        if part.body_end - part.body_start <= MAX_TEXT_OCTETS * _MOST_ENCODED:
            if found.index:
                spans.append((part.header_start, part.body_start))
            spans.append((part.body_start, part.body_end))
            if part.body_start == part.body_end:
                spans.append((part.body_end, part.body_end + 2))  # `_BodyWork.has_room`
    return tuple(spans)


class _SealedError(Exception):
    """The whole body is not to be touched."""


@dataclass(slots=True, eq=False)
class _Source:
    """What was given; `wide`: parts that could get too narrow are switched beforehand."""

    head: bytes
    body: bytes | Excerpts
    structure: Structure
    plan: CopyPlan
    fields: tuple[HeaderField, ...]
    visible: Visible
    block: HeadPiece
    wide: bool = False

    def widened(self) -> _Source:
        return replace(self, wide=True)

    @property
    def octets_in_all(self) -> int:
        """How long the message is, about."""
        return len(self.head) + self.structure.parts[0].body_end

    def octets(self, start: int, end: int) -> bytes | None:
        """Octets of the content; None where they are not in memory."""
        if isinstance(self.body, bytes):
            offset = self.structure.parts[0].body_start
            return self.body[start - offset : end - offset]
        return self.body.octets.get((start, end))

    def kept(self, start: int, end: int) -> bytes | Span:
        """Octets that go out as they are."""
        if isinstance(self.body, bytes):
            offset = self.structure.parts[0].body_start
            return self.body[start - offset : end - offset]
        return Span(start, end)


def _prepared(source: _Source) -> Prepared:
    plan, fields = source.plan, source.fields
    edits = BodyEdits(
        plan,
        is_reply=any(field.lower in _ANSWERS for field in fields),
        unsubscribe=_own_unsubscribe(fields),
    )
    work = _BodyWork(source, edits)
    body = work.run()
    if work.head is not source.head:
        fields = parse_head(work.head)
    cuts = _STALE if work.changed else frozenset[str]()
    template = head_template(work.head, fields, plan, edits.finder, cuts, source.block)
    unknown = dict.fromkeys((*template.unknown, *edits.unknown))
    return Prepared(
        left_alone=tuple(work.left),
        unknown_tags=tuple(unknown)[:_MAX_UNKNOWN],
        links=tuple(edits.links.targets),
        different_links=len(set(edits.links.targets)),
        has_unsubscribe_link=edits.has_unsubscribe,
        has_pixel=edits.has_pixel,
        changes_body=work.changed,
        _shared=template.shared,
        _own=template.own,
        _body=body,
        _visible=source.visible,
        _own_to=plan.own_to,
        _source=source,
    )


def _own_unsubscribe(fields: Sequence[HeaderField]) -> frozenset[str]:
    return frozenset(
        target.strip()
        for field in fields
        if field.lower == "list-unsubscribe"
        for target in _ANGLED.findall(field.unfolded)
    )


class _BodyWork:
    """The body of one message: parts replaced in the content."""

    def __init__(self, source: _Source, edits: BodyEdits) -> None:
        self.source = source
        self.edits = edits
        self.head = source.head
        self.left: list[LeftAlone] = []
        self.changed = False
        self.replaced: list[tuple[int, int, list[Piece]]] = []
        self.room = _MOST_GROWN

    def run(self) -> tuple[Piece, ...]:
        root = self.source.structure.parts[0]
        if self.source.plan.changes_bodies:
            found, left = body_parts(self.source.structure)
            self.left += left
            try:
                for part in found:
                    self.part(part)
            except _SealedError as error:
                self.left = [LeftAlone(-1, str(error))]
                self.head = self.source.head
                self.replaced = []
                self.edits.links.targets.clear()
                self.edits.unknown.clear()
                self.edits.has_pixel = self.edits.has_unsubscribe = False
        self.changed = bool(self.replaced)
        pieces: list[Piece] = []
        position = root.body_start
        for start, end, made in sorted(self.replaced, key=lambda each: each[:2]):
            pieces += [self.source.kept(position, start), *made]
            position = end
        pieces.append(self.source.kept(position, root.body_end))
        return _joined(pieces)

    def encoded(self, found: BodyPart) -> bytes | str:
        """The encoded body of a part, or the reason why it is left alone."""
        part = found.part
        size = part.body_end - part.body_start
        if not size and not self.has_room(found):
            return "it is empty"
        factor = {"base64": 1.4, "quoted-printable": _MOST_ENCODED}.get(part.encoding, 1)
        if size > MAX_TEXT_OCTETS * factor:
            return _TOO_LONG
        encoded = self.source.octets(part.body_start, part.body_end)
        if encoded is None:
            return "it was not read"
        if part.encoding == "quoted-printable" and size - 2 * encoded.count(b"=") > MAX_TEXT_OCTETS:
            return _TOO_LONG
        return encoded

    def has_room(self, found: BodyPart) -> bool:
        """May an empty part be filled? Its header's empty line may belong to the delimiter."""
        if not found.index:
            return head_length(self.head) is not None
        end = found.part.body_end
        return self.source.octets(end, end + 2) == b"\r\n"

    def part(self, found: BodyPart) -> None:
        """Change one part, or note why not."""
        part = found.part
        encoded = self.encoded(found)
        if isinstance(encoded, str):
            self.left.append(LeftAlone(found.index, encoded))
            return
        head = (
            self.head if not found.index else self.source.octets(part.header_start, part.body_start)
        )
        key = self.key(found, encoded, head or b"")
        if key is not None and self.remembered(found, key):
            return
        body = body_of(encoded, part.encoding)
        if isinstance(body, str) or len(body.octets) > MAX_TEXT_OCTETS:
            reason = body if isinstance(body, str) else _TOO_LONG
            self.left.append(LeftAlone(found.index, reason))
            return
        if _PGP_BEGINS in body.octets and _PGP.search(body.octets):
            raise _SealedError("it is signed or encrypted (PGP)")
        copy = PartCopy(self.edits, found, body, head or b"")
        reason = copy.run(wide=self.source.wide)
        if key is not None and not reason and copy.new_head is None:
            self.remember(key, copy.pieces)
        if reason:
            self.left.append(LeftAlone(found.index, reason))
        elif copy.pieces is not None:
            self.replace(part.body_start, part.body_end, copy.pieces)
            if copy.new_head is not None and not found.index:
                self.head = copy.new_head
            elif copy.new_head is not None:
                self.replaced.append((part.header_start, part.body_start, [copy.new_head]))

    def replace(self, start: int, end: int, pieces: list[Piece]) -> None:
        """These stand for a part's body."""
        made = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
        self.room -= max(made - (end - start), 0)
        if self.room < 0:
            raise TooLongError
        self.replaced.append((start, end, pieces))

    # ------------------------------------------------ parts that come again

    def key(self, found: BodyPart, encoded: bytes, head: bytes) -> PartKey | None:
        """By what a part is known again; None: it is not remembered."""
        if self.source.plan.parts is None or self.source.wide or len(encoded) > MAX_REMEMBERED:
            return None
        part, edits = found.part, self.edits
        return PartKey(
            encoded,
            part.encoding,
            part.charset,
            found.is_html,
            found.is_main,
            (False, False) if found.is_html else flow_of(head),
            edits.is_reply,
            edits.links.unsubscribe,
            len(edits.links.targets),
            edits.has_pixel,
        )

    def remembered(self, found: BodyPart, key: PartKey) -> bool:
        """Take what is known of the part, where it is known."""
        plan, part = self.source.plan, found.part
        known = None if plan.parts is None else plan.parts.get(plan.found, key)
        if known is None:
            return False
        self.edits.learn(known)
        if known.pieces is not None:
            self.replace(part.body_start, part.body_end, known.pieces)
        return True

    def remember(self, key: PartKey, pieces: list[Piece] | None) -> None:
        """Keep what was just found in a part."""
        plan = self.source.plan
        if plan.parts is not None:
            plan.parts.put(key, self.edits.learnt(plan.found, pieces, key.links))


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Neighbouring constant pieces as one; empty ones go."""
    joined: list[Piece] = []
    run: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            run.append(piece)
        elif not (isinstance(piece, Span) and piece.start == piece.end):
            if run:
                joined.append(run[0] if len(run) == 1 else b"".join(run))
                run = []
            joined.append(piece)
    joined.append(b"".join(run))
    return tuple([piece for piece in joined if piece != b""])
