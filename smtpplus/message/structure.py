"""The MIME structure of a content as spans of octets (RFC 2045, RFC 2046).

Guarantees: never raises and never recurses, whatever the octets are; one pass; hard limits on
depth, parts, delimiter lines and header octets, and a boundary that is open already is not
opened again. Where a limit was met `Structure.complete` is False and the parts found so far
stand. Decodes no body and unpacks no archive.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from smtpplus.message.charset import harmless
from smtpplus.message.headers import MAX_HEAD_OCTETS, decode_words, head_length, parse_head
from smtpplus.message.parameters import parameterised

__all__ = ["MAX_DEPTH", "MAX_PARTS", "Part", "Structure", "scan", "unscanned"]

MAX_DEPTH = 100  # mail clients nest a handful
MAX_PARTS = 2_000  # a digest has some hundred
_MAX_DELIMITERS = 50_000  # lines that begin with -- and are looked at
_MAX_BOUNDARY = 512  # RFC 2046 §5.1.1 allows 70
_SMALL_HEAD = 1024  # octets of a part's header that are looked at first
_MAX_PART_HEAD = 64 * 1024  # octets of one part's header
_MAX_ALL_HEADS = 512 * 1024  # octets of all parts' headers together
_MAX_FILENAME = 255
_MAX_KNOWN = 256  # octets of a header that is kept as read
_CONTENT_FIELD = re.compile(
    rb"(?:\A|[\r\n])(content-(?:type|transfer-encoding|disposition)[ \t]*:"
    rb"[^\r\n]*(?:(?:\r\n|\n|\r)[ \t][^\r\n]*)*)",
    re.IGNORECASE,
)
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_ENCODED = frozenset({"base64", "quoted-printable"})  # no message may be, some are


class Part(NamedTuple):
    """One part; spans are octets of the content.

    The header is ``content[header_start:body_start]`` with its empty line, the body
    ``content[body_start:body_end]`` without the line end that belongs to a delimiter.
    `parent` is an index into `Structure.parts`, -1 for the first. `type`, `encoding` and
    `disposition` are lower case; `type` is ``text/plain`` where none or a malformed one is
    given, `encoding` ``7bit``. `filename` is safe to show, without a path.
    """

    parent: int
    header_start: int
    body_start: int
    body_end: int
    type: str
    charset: str
    encoding: str
    disposition: str
    filename: str
    has_children: bool

    @property
    def is_multipart(self) -> bool:
        """Does it claim to hold parts?"""
        return self.type.startswith("multipart/")

    @property
    def is_text(self) -> bool:
        """Is it text of any kind?"""
        return self.type.startswith("text/")


class Structure(NamedTuple):
    """All parts, each after its parent; the first is the message itself."""

    parts: tuple[Part, ...]
    complete: bool

    @property
    def leaves(self) -> tuple[Part, ...]:
        """The parts that hold content themselves."""
        return tuple(part for part in self.parts if not part.has_children)


class _Open:
    """A part while it is being found."""

    __slots__ = (
        "body_end",
        "body_start",
        "boundary",
        "charset",
        "disposition",
        "encoding",
        "filename",
        "has_children",
        "header_start",
        "parent",
        "type",
    )

    def __init__(self, parent: int, header_start: int, body_start: int, end: int) -> None:
        self.parent = parent
        self.header_start = header_start
        self.body_start = body_start
        self.body_end = end
        self.has_children = False

    def found(self) -> Part:
        """What it is in the end."""
        return Part(
            self.parent,
            self.header_start,
            self.body_start,
            self.body_end,
            self.type,
            self.charset,
            self.encoding,
            self.disposition,
            self.filename,
            self.has_children,
        )

    def read(self, head: bytes, default_type: str) -> None:
        """Take over what the header says."""
        # Those of most parts are the same again and again; a boundary never is.
        known = _known if len(head) <= _MAX_KNOWN and b"oundary" not in head else _said
        (
            self.type,
            self.charset,
            self.encoding,
            self.disposition,
            self.filename,
            self.boundary,
        ) = known(head, default_type)


def _said(head: bytes, default_type: str) -> tuple[str, str, str, str, str, bytes]:
    """Type, charset, encoding, disposition, filename, boundary, as a header says them.

    Of a field that is there twice the first counts.
    """
    kind, charset, encoding, disposition, boundary = default_type, "", "7bit", "", b""
    name = filename = ""
    seen: set[str] = set()
    for match in _CONTENT_FIELD.finditer(head):
        field = parse_head(match[1])[0]
        lower = field.lower
        if lower in seen:
            continue
        seen.add(lower)
        if lower == "content-type":
            value, given = parameterised(field.unfolded)
            kind = value if _is_type(value) else "text/plain"
            charset = harmless(given.get("charset", ""))[:64].strip().lower()
            name = given.get("name", "")
            boundary = given.get("boundary", "").encode("utf-8", "surrogateescape")
        elif lower == "content-transfer-encoding":
            encoding = harmless(field.unfolded).strip().lower()[:64] or "7bit"
        else:
            value, given = parameterised(field.unfolded)
            disposition = harmless(value)[:64]
            filename = given.get("filename", "")
    named = filename or name
    return kind, charset, encoding, disposition, _safe_filename(named) if named else "", boundary


_known = lru_cache(maxsize=512)(_said)


def _is_type(value: str) -> bool:
    kind, slash, subtype = value.partition("/")
    return bool(slash and kind and subtype) and len(value) < 256 and value.isprintable()


def _safe_filename(name: str) -> str:
    shown = decode_words(name).replace("\\", "/").rpartition("/")[2].strip()
    return shown[-_MAX_FILENAME:]


class _Scan:
    """The one pass: a stack of open parts, and where each open boundary stands in it."""

    def __init__(self, content: bytes) -> None:
        if b"\n" not in content and b"\r" in content:
            content = content.replace(b"\r", b"\n")  # line ends of an old Mac: same spans
        self.content = content
        self.parts: list[_Open] = []
        self.stack: list[int] = []
        self.boundaries: dict[bytes, int] = {}
        self.complete = True
        self.head_octets = 0

    def run(self) -> None:
        content = self.content
        position = self.open_part(0, -1, len(content))
        looked_at = 0
        while self.boundaries and self.complete:
            start = self.next_dashes(position)
            if start < 0:
                return
            looked_at += 1
            if looked_at > _MAX_DELIMITERS:
                self.complete = False
                return
            end = content.find(b"\n", start)
            after = len(content) if end < 0 else end + 1
            position = self.delimiter(start, after) or after - 1

    def next_dashes(self, position: int) -> int:
        """Where the next line that begins with ``--`` starts, from the line of `position` on."""
        content = self.content
        if content.startswith(b"--", position) and (
            not position or content[position - 1 : position] == b"\n"
        ):
            return position
        found = content.find(b"\n--", position)
        return found + 1 if found >= 0 else -1

    def delimiter(self, start: int, after: int) -> int:
        """Take the line if it is a delimiter; where to go on then, else 0."""
        if after - start > _MAX_BOUNDARY + 80:
            return 0
        text = self.content[start + 2 : after].rstrip(b" \t\r\n")
        is_close = False
        part = self.boundaries.get(text)
        if part is None and text.endswith(b"--"):
            is_close = True
            part = self.boundaries.get(text[:-2])
        if part is None:
            return 0
        end = start - 1 if start else 0  # the line end before it belongs to it
        end -= end > 0 and self.content[end - 1 : end] == b"\r"
        self.close_above(part, end)
        if is_close:
            del self.boundaries[self.parts[part].boundary]
            return after - 1
        return self.open_part(after, part, len(self.content))

    def close_above(self, part: int, end: int) -> None:
        """End every part opened since `part`."""
        while self.stack[-1] != part:
            closed = self.parts[self.stack.pop()]
            closed.body_end = max(end, closed.body_start)
            self.boundaries.pop(closed.boundary, None)

    def open_part(self, start: int, parent: int, end: int) -> int:
        """Read the header at `start` and the headers of messages it holds; where to go on."""
        default = "text/plain"
        while True:
            if len(self.parts) >= MAX_PARTS or len(self.stack) >= MAX_DEPTH:
                self.complete = False
                return start
            if parent >= 0:
                self.parts[parent].has_children = True
                if self.parts[parent].type == "multipart/digest":
                    default = "message/rfc822"  # RFC 2046 §5.1.5
            body_start = self.head_end(start, is_root=parent < 0)
            part = _Open(parent, start, body_start, end)
            part.read(self.content[start:body_start], default)
            index = len(self.parts)
            self.parts.append(part)
            self.stack.append(index)
            if part.type in _MESSAGES and part.encoding not in _ENCODED:
                start, parent, default = body_start, index, "text/plain"
                continue
            self.open_boundary(part, index)
            return max(body_start - 1, 0) if body_start > start else body_start

    def open_boundary(self, part: _Open, index: int) -> None:
        if not part.type.startswith("multipart/") or not part.boundary:
            part.boundary = b""
        elif len(part.boundary) > _MAX_BOUNDARY:
            part.boundary = b""
            self.complete = False
        elif part.boundary in self.boundaries:
            part.boundary = b""  # it would never be closed: the outer one takes its lines
        else:
            self.boundaries[part.boundary] = index

    def head_end(self, start: int, *, is_root: bool) -> int:
        """Where the header at `start` ends: after its empty line, or before a delimiter."""
        content = self.content
        for most in (MAX_HEAD_OCTETS,) if is_root else (_SMALL_HEAD, _MAX_PART_HEAD):
            window = content[start : start + most]
            length = head_length(window)
            size = len(window) if length is None else length
            if not is_root:
                size = self.before_delimiter(window, size)
            if length is not None or size < len(window):
                break
        else:
            self.complete = self.complete and start + size == len(content)
        self.head_octets += size
        if self.head_octets > _MAX_ALL_HEADS:
            self.complete = False
        return start + size

    def before_delimiter(self, window: bytes, size: int) -> int:
        """A delimiter line ends a header, too: a part may lack its empty line."""
        position = 0 if window.startswith(b"--") else window.find(b"\n--", 0, size) + 1
        while (position or window.startswith(b"--")) and position < size:
            end = window.find(b"\n", position)
            text = window[position + 2 : end if end >= 0 else len(window)].rstrip(b" \t\r\n")
            if text in self.boundaries or (text[-2:] == b"--" and text[:-2] in self.boundaries):
                return position
            found = window.find(b"\n--", position + 1, size)
            if found < 0:
                return size
            position = found + 1
        return size


def scan(content: bytes) -> Structure:
    """Find the parts of a message."""
    work = _Scan(content)
    work.run()
    return Structure(
        tuple([part.found() for part in work.parts]),
        work.complete,
    )


def unscanned(body_start: int, body_end: int) -> Structure:
    """A message whose body is not looked at: one part, as it is."""
    whole = Part(-1, 0, body_start, body_end, "text/plain", "", "7bit", "", "", has_children=False)
    return Structure((whole,), complete=True)
