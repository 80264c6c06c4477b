"""The head of a copy: merge tags in Subject and names, the own To, fields that every copy carries.

Guarantees: what is not changed stays octet by octet and in its place; a field that the plan
names stands there once; what is made is folded, has no line over 998 octets, and no value from
outside can end its line. Never raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smtpplus.message.copy_plan import CopyFields, CopyPlan, HeadField, OwnTo
from smtpplus.message.edits import Edit, Fill, OctetFill, pieces_of
from smtpplus.message.encoded_fields import encoded_words
from smtpplus.message.facts import MAX_LINE_OCTETS
from smtpplus.message.headers import HeaderField, head_length
from smtpplus.message.mailboxes import Mailbox, addresses
from smtpplus.message.merge import TagFinder, TagKind, TooManyTagsError, one_line
from smtpplus.message.own_to import mailbox_text, own_to_field
from smtpplus.values.errors import AddressError

__all__ = ["HeadTemplate", "head_template", "text_field"]

_TEXTS = frozenset({"subject"})
_NAMED = frozenset({"from", "reply-to", "to", "cc"})
_BLIND = frozenset({"bcc", "resent-bcc"})
_MAX_TEXT = 2_000  # characters of a merged Subject
_LINE = 78

HeadPiece = bytes | OctetFill


@dataclass(frozen=True, slots=True)
class HeadTemplate:
    """The pieces of the head that is shown openly, and of the one with the recipient's own To."""

    shared: tuple[HeadPiece, ...]
    own: tuple[HeadPiece, ...]
    unknown: tuple[str, ...]


def text_field(name: str, text: str) -> bytes:
    """A field of free text, encoded where it must be (RFC 2047), folded, with its CRLF."""
    text = one_line(text).strip()
    if text.isascii() and "=?" not in text:
        if len(name) + len(text) + 2 <= _LINE:
            return f"{name}: {text}\r\n".encode()
        folded = _folded(name, text)
        if folded is not None:
            return folded
    words = encoded_words(text[:_MAX_TEXT]).replace(" ", "\r\n ")
    return f"{name}: {words}\r\n".encode()


def _folded(name: str, text: str) -> bytes | None:
    """The field folded at blanks; None: a word of it is too long for a line."""
    lines, line = [], f"{name}:"
    for word in text.split():
        if len(word) > MAX_LINE_OCTETS - _LINE:
            return None
        if len(line) + len(word) >= _LINE and line[-1] != ":":
            lines.append(line)
            line = ""
        line = f"{line} {word}"
    lines.append(line)
    return ("\r\n".join(lines) + "\r\n").encode()


def head_template(
    head: bytes,
    fields: Sequence[HeaderField],
    plan: CopyPlan,
    finder: TagFinder,
    more_cuts: frozenset[str] = frozenset(),
    block: HeadPiece = b"",
) -> HeadTemplate:
    """The templates of a head (with its empty line, where there is one) and its `fields`.

    `block` are whole fields with their CRLF, put before it.
    """
    work = _Work(plan, finder)
    if block:
        work.both(block)
    cuts = plan.head_cuts | more_cuts
    position = 0
    for field in fields:
        old = head[field.start : field.end]
        work.both(head[position : field.start])
        position = field.end
        if field.lower in cuts or work.is_replaced(field):
            continue
        work.take(field, old)
    rest = head[position:]
    if work.needs_line_end(head, position):
        work.both(b"\r\n")
    if plan.own_to is not OwnTo.OFF and not work.has_to:
        work.own.append(work.own_to())
    for wanted in plan.head:
        if not (wanted.keep and wanted.name.lower() in work.kept):
            work.both(_made_field(wanted))
    if work.added and head_length(head) is None:
        rest = b"\r\n"
    work.both(rest)
    return HeadTemplate(_joined(work.shared), _joined(work.own), tuple(work.unknown))


class _Work:
    """The templates while they grow."""

    def __init__(self, plan: CopyPlan, finder: TagFinder) -> None:
        self.plan = plan
        self.finder = finder
        self.shared: list[HeadPiece] = []
        self.own: list[HeadPiece] = []
        self.unknown: dict[str, None] = {}
        self.wanted = {field.name.lower(): field for field in plan.head}
        self.kept: set[str] = set()
        self.has_to = False

    @property
    def added(self) -> bool:
        """Is something added at the end of the head?"""
        return bool(self.plan.head) or (self.plan.own_to is not OwnTo.OFF and not self.has_to)

    def needs_line_end(self, head: bytes, position: int) -> bool:
        return self.added and position > 0 and head[position - 1 : position] not in {b"\n", b"\r"}

    def both(self, piece: HeadPiece) -> None:
        self.shared.append(piece)
        self.own.append(piece)

    def is_replaced(self, field: HeaderField) -> bool:
        """Does ours stand for it, or has the one that is kept been there already?"""
        wanted = self.wanted.get(field.lower)
        if wanted is None:
            return False
        if not wanted.keep or field.lower in self.kept:
            return True
        self.kept.add(field.lower)
        return False

    def take(self, field: HeaderField, old: bytes) -> None:
        piece = self.merged(field, old)
        name = field.lower
        self.shared.append(piece)
        if name == "to":
            if not self.has_to:
                self.own.append(self.own_to())
            self.has_to = True
        elif name not in _BLIND and not (name == "cc" and self.plan.own_to is OwnTo.ALL):
            self.own.append(piece)

    def own_to(self) -> OctetFill:
        """The recipient's own To; a name from the message's To may hold merge tags."""
        if not self.plan.syntaxes:
            return _own_to

        def fill(fields: CopyFields) -> bytes:
            pieces = self.tagged(fields.name) if fields.name else None
            name = fields.name if pieces is None else _filled(pieces, fields)
            return own_to_field(fields.address, name)

        return fill

    def merged(self, field: HeaderField, old: bytes) -> HeadPiece:
        """The field with its merge tags to be filled in; as it is where it has none."""
        if not self.plan.syntaxes:
            return old
        if field.lower in _TEXTS:
            pieces = self.tagged(field.text)
            return old if pieces is None else _text_piece(field.name, pieces)
        if field.lower not in _NAMED:
            return old
        try:
            mailboxes = addresses(field.unfolded)
        except AddressError:
            return old
        names = [self.tagged(mailbox.display_name) for mailbox in mailboxes]
        if all(name is None for name in names):
            return old
        return _mailboxes_piece(field.name, mailboxes, names)

    def tagged(self, text: str) -> tuple[str | Fill, ...] | None:
        """`text` as pieces; None: it has no tag that is known."""
        edits = []
        try:
            tags = self.finder.tags(text)
        except TooManyTagsError:
            return None
        for tag in tags:
            raw = text[tag.start : tag.end]
            if tag.kind is TagKind.MERGE:
                edits.append(Edit(tag.start, tag.end, (self.finder.fill(tag, raw, one_line),)))
            elif tag.kind is TagKind.UNKNOWN:
                self.unknown.setdefault(raw)
        return pieces_of(text, edits) if edits else None


def _own_to(fields: CopyFields) -> bytes:
    return own_to_field(fields.address, fields.name)


def _filled(pieces: tuple[str | Fill, ...], fields: CopyFields | None) -> str:
    return "".join(
        [piece if isinstance(piece, str) else piece(fields) for piece in pieces]  # type: ignore[arg-type]
    )


def _text_piece(name: str, pieces: tuple[str | Fill, ...]) -> HeadPiece:
    def fill(fields: CopyFields | None) -> bytes:
        return text_field(name, _filled(pieces, fields))

    return fill(None) if all(isinstance(piece, str) for piece in pieces) else fill


def _mailboxes_piece(
    field: str, mailboxes: tuple[Mailbox, ...], names: list[tuple[str | Fill, ...] | None]
) -> HeadPiece:
    def fill(fields: CopyFields | None) -> bytes:
        shown = [
            mailbox_text(
                mailbox.address,
                mailbox.display_name if pieces is None else _filled(pieces, fields),
            )
            for mailbox, pieces in zip(mailboxes, names, strict=True)
        ]
        value = ",\r\n ".join(shown)
        return f"{field}: {value}\r\n".encode("utf-8", "replace")

    constant = all(isinstance(piece, str) for pieces in names if pieces for piece in pieces)
    return fill(None) if constant else fill


def _made_field(wanted: HeadField) -> HeadPiece:
    name, value = wanted.name, wanted.value
    if isinstance(value, str):
        return text_field(name, value)

    def fill(fields: CopyFields) -> bytes:
        return text_field(name, value(fields))

    return fill


def _joined(pieces: list[HeadPiece]) -> tuple[HeadPiece, ...]:
    """Neighbouring constant pieces as one."""
    joined: list[HeadPiece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return tuple(joined)
