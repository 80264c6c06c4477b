"""Merge tags: found once per message, filled in for each recipient, escaped for their place.

`TagFinder` finds merge tags, unsubscribe tags and the pixel's tag in one pass. A tag is a merge
tag where a field of that name exists (names without regard to case, literal keys exactly); one
that has a tag's form but no field stays as it is and is listed. The recipient's own address and
name are fields in every syntax but literal keys, unless the message has others so called.

| place | how a value is put in |
|---|---|
| HTML text | ``& < > " '`` as character references; behind ``<`` the first letter, too |
| attribute | the same; without quotes around it blanks, too |
| a URL's beginning | as a URL: blanks and the like in percent form; no scheme that runs code |
| the rest of a URL | everything but letters, digits and ``-._~`` in percent form |
| script and style, elements and attributes (``onclick``), ``srcdoc`` | not at all: the tag stays |
| the first and the last but this, of names the plan lists | HTML as it is; as a URL |
| plain text | as it is, without control characters |
| header field | on one line |

Guarantees: linear time; at most `MAX_TAGS` tags a part, and `MAX_MERGED` characters of the message's
own values in it. Raises `TooManyTagsError`, `TooLongError`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple
from urllib.parse import quote

from smtpplus.message.charset import harmless
from smtpplus.message.copy_plan import CopyFields, CopyPlan
from smtpplus.message.edits import Fill
from smtpplus.message.html_spans import Place, PlaceKind, lowered
from smtpplus.message.text_view import TextView
from smtpplus.message.unsubscribe_tags import PATTERN as UNSUBSCRIBE_PATTERN
from smtpplus.message.unsubscribe_tags import tag_start
from smtpplus.values.options import MergeSyntax

__all__ = [
    "MAX_LITERALS",
    "MAX_LITERAL_CHARACTERS",
    "MAX_MERGED",
    "MAX_TAGS",
    "Metered",
    "Tag",
    "TagFinder",
    "TagKind",
    "TooLongError",
    "TooManyTagsError",
    "escape_for",
    "in_url",
    "one_line",
    "plain",
    "safe_url",
]

MAX_TAGS = 20_000
MAX_MERGED = 4 * 1024 * 1024  # characters; a value of 100,000 may stand in 20,000 places
MAX_LITERALS = 10_000
MAX_LITERAL_CHARACTERS = 128  # longer keys are not looked for
_ADDRESS_NAMES = frozenset({"email", "recipient", "recipient_email", "recipient.email"})
_NAME_NAMES = frozenset({"name", "recipient_name", "recipient.name"})
_LOOKS_LIKE_TAG = re.compile(r"[A-Za-z_][\w-]{1,40}")
_BAR = r"(?:\||%7[Cc])"
_PATTERNS = {
    MergeSyntax.MANDRILL: rf"\*{_BAR}(?P<mandrill>[^|*\s<>\"'%]{{1,100}}){_BAR}\*",
    MergeSyntax.PERCENT: r"%(?P<mailgun>recipient(?:[._][A-Za-z0-9._\-]{1,100})?)%",
    MergeSyntax.BRACKETS: r"\[(?P<bracket>[^\[\]<>\r\n]{1,100})\]",
}
_MARKS = {
    MergeSyntax.MANDRILL: ("*|", "*%7C", "*%7c"),
    MergeSyntax.PERCENT: ("%recipient",),
    MergeSyntax.BRACKETS: ("[",),
}
_Wanted = tuple[str, bool, frozenset[MergeSyntax]]
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]*):")
_SCHEMES = frozenset({"http", "https", "mailto", "tel", "cid", "sms", "ftp"})


class TooManyTagsError(Exception):
    """A part holds more tags than anybody writes."""


class TooLongError(Exception):
    """The values that are put in would make the copy huge."""

    def __init__(self) -> None:
        super().__init__("What stands for its merge tags would make the message too long.")


class Metered(dict[str, str]):
    """One recipient's values, of which `get` gives `MAX_MERGED` characters in all."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self._room = MAX_MERGED

    def get(self, key: str, _: object = None) -> str | None:  # type: ignore[override]
        """The value, or None.

        Raises:
            TooLongError: it is too much.
        """
        value = super().get(key)
        self._room -= len(value or "")
        if self._room < 0:
            raise TooLongError
        return value


class TagKind(Enum):
    """What a tag stands for."""

    MERGE = "merge"
    UNSUBSCRIBE = "unsubscribe"
    OPEN = "open"
    UNKNOWN = "unknown"


class Tag(NamedTuple):
    """``text[start:end]``; `key` is the field's name as the plan has it, else what is written."""

    start: int
    end: int
    kind: TagKind
    key: str


class TagFinder:
    """Finds the tags of one message.

    Args:
        plan: which syntaxes, keys and names there are.
        syntaxes: instead of the plan's.
        unnamed: what stands for the name of a recipient who has none; None: the tag stays.
    """

    def __init__(
        self,
        plan: CopyPlan,
        syntaxes: frozenset[MergeSyntax] | None = None,
        *,
        unnamed: str | None = None,
    ) -> None:
        self._plan = plan
        self._unnamed = unnamed
        self._syntaxes = plan.syntaxes if syntaxes is None else syntaxes
        self._names: dict[str, list[str]] = {}  # as they are written, by what they are
        for name in dict.fromkeys((*plan.fields, *sorted(plan.names))):
            self._names.setdefault(name.casefold(), []).append(name)
        self._literals: dict[str, str] = {}
        literals = plan.literals if self._syntaxes else ()
        for key in literals[:MAX_LITERALS]:
            if 0 < len(key) <= MAX_LITERAL_CHARACTERS:
                self._literals[key] = key
                self._literals.setdefault(html.escape(key, quote=False), key)
        self._compiled: dict[_Wanted, re.Pattern[str] | None] = {}
        self._longest = max(map(len, plan.fields.values()), default=0)

    def tags(self, view: TextView | str, lower: bytes | None = None) -> list[Tag]:
        """The tags in order.

        Args:
            view: where to look.
            lower: `lowered` of its text, where it is known.

        Raises:
            TooManyTagsError: there are more than `MAX_TAGS`.
            TooLongError: the message's own values for them are too much.
        """
        text = view if isinstance(view, str) else view.text
        codec = "" if isinstance(view, str) or view.ends is not None else view.codec
        wanted = (codec, *self._present(text, lower))
        if wanted not in self._compiled:
            self._compiled[wanted] = self._pattern(*wanted)
        pattern = self._compiled[wanted]
        found: list[Tag] = []
        if pattern is None:
            return found
        match = pattern.search(text)
        while match is not None:
            tag = self._tag(match, view)
            if tag is not None:
                found.append(tag)
                if len(found) > MAX_TAGS:
                    raise TooManyTagsError(f"it holds more than {MAX_TAGS:,} tags")
            # Inside what is none another one may stand: "[for *|NAME|*]".
            match = pattern.search(text, match.start() + 1 if tag is None else match.end())
        if len(found) * self._longest > MAX_MERGED:
            self._check_length(found)
        return found

    def _check_length(self, found: Sequence[Tag]) -> None:
        fields, most = self._plan.fields, MAX_MERGED
        for tag in found:
            known = self._known(tag.key) if tag.kind is TagKind.MERGE else None
            most -= 0 if known is None else len(fields[known])
        if most < 0:
            raise TooLongError

    def _present(self, text: str, lower: bytes | None) -> tuple[bool, frozenset[MergeSyntax]]:
        """What there is to look for: may there be unsubscribe tags, and tags of which syntaxes?

        A search for a few octets is much quicker than one for a pattern with many beginnings.
        """
        syntaxes = self._syntaxes and frozenset(
            syntax
            for syntax in self._syntaxes
            if any(mark in text for mark in _MARKS.get(syntax, ()))
        )
        if self._plan.unsubscribe_url is None:
            return False, syntaxes
        return b"unsub" in (lowered(text) if lower is None else lower), syntaxes

    def _pattern(
        self, codec: str, may_unsubscribe: bool, syntaxes: frozenset[MergeSyntax]
    ) -> re.Pattern[str] | None:
        plan, alternatives = self._plan, []
        if plan.unsubscribe_tag:
            alternatives.append(f"(?P<own>{re.escape(_seen(plan.unsubscribe_tag, codec))})")
        if plan.open_tag:
            alternatives.append(f"(?P<open>{re.escape(_seen(plan.open_tag, codec))})")
        if may_unsubscribe:
            alternatives.append(f"(?P<unsubscribe>{UNSUBSCRIBE_PATTERN})")
        if self._literals:
            words = sorted({_seen(key, codec) for key in self._literals})
            alternatives.append(f"(?P<literal>{_one_of(words)})")
        alternatives += [p for syntax, p in _PATTERNS.items() if syntax in syntaxes]
        return re.compile("|".join(alternatives), re.ASCII) if alternatives else None

    def _tag(self, match: re.Match[str], view: TextView | str) -> Tag | None:
        group = match.lastgroup or ""
        start, end = match.span()
        if group in {"own", "unsubscribe"}:
            if self._plan.unsubscribe_url is None:
                return None
            start = tag_start(match.string, start)
            return Tag(start, end, TagKind.UNSUBSCRIBE, match.group())
        if group == "open":
            return Tag(start, end, TagKind.OPEN, match.group())
        name = match[group]
        if not isinstance(view, str) and not name.isascii():
            name = view.real(*match.span(group))
        if group == "literal":
            return Tag(start, end, TagKind.MERGE, self._literals.get(name, name))
        folded = name.casefold()
        known = self._written(group, folded)
        if known is not None:
            return Tag(start, end, TagKind.MERGE, name if name in known else known[0])
        is_name = folded in _NAME_NAMES if group == "mailgun" else folded == "name"
        if is_name or folded in _ADDRESS_NAMES:
            return Tag(start, end, TagKind.MERGE, folded)
        if group == "bracket" and not _LOOKS_LIKE_TAG.fullmatch(name):
            return None
        return Tag(start, end, TagKind.UNKNOWN, match.group())

    def _written(self, group: str, folded: str) -> list[str] | None:
        """How the plan writes a name; None: it has none of that name."""
        known = self._names.get(folded)
        if known is None and group == "mailgun":  # %recipient.name%: the field is `name`
            return self._names.get(folded.partition(".")[2])
        if known is None and "&" in folded:  # as it is written in HTML
            return self._names.get(html.unescape(folded).casefold())
        return known

    def fill(self, tag: Tag, raw: str, escape: Callable[[str], str]) -> str | Fill:
        """What a merge tag becomes: text where it is the same for all, `raw` where it is unset."""
        key, plan = tag.key, self._plan
        keys, known = self._keys(key), self._known(key)
        default = raw if known is None else escape(plan.fields[known])
        own = [name for name in keys if name in plan.names]
        if own:
            return _valued(own, default, escape)
        if known is not None:
            return default
        return _built_in(key, raw if self._unnamed is None else self._unnamed, escape)

    def _keys(self, key: str) -> list[str]:
        """The names under which a tag's value may be found."""
        if key in self._literals:
            return [key]
        return [key, *(name for name in self._names.get(key.casefold(), ()) if name != key)]

    def _known(self, key: str) -> str | None:
        """The name of the message's own value for a tag."""
        return next((name for name in self._keys(key) if name in self._plan.fields), None)


def _valued(keys: Sequence[str], default: str, escape: Callable[[str], str]) -> Fill:
    """The recipient's value, however the name is written."""

    def fill(fields: CopyFields) -> str:
        for key in keys:
            value = fields.values.get(key)
            if value is not None:
                return escape(value)
        return default

    return fill


def _built_in(key: str, unnamed: str, escape: Callable[[str], str]) -> Fill:
    def fill(fields: CopyFields) -> str:
        if key in _ADDRESS_NAMES:
            return escape(str(fields.address))
        return escape(fields.name) if fields.name else unnamed

    return fill


def _seen(key: str, codec: str) -> str:
    """How `key` looks in a view whose characters are octets."""
    if not codec or key.isascii():
        return key
    return key.encode(codec, "replace").decode("latin-1")


def _one_of(words: list[str]) -> str:
    """A pattern for any of `words`, which are sorted, the longest first; no word is tried alone."""
    first, last = words[0], words[-1]
    unlike = (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    size = next(unlike, len(first))
    rest = [word[size:] for word in words]
    groups: dict[str, list[str]] = {}
    for word in rest:
        if word:
            groups.setdefault(word[0], []).append(word)
    if not groups:
        return re.escape(first)
    inner = "|".join(_one_of(group) for group in groups.values())
    return f"{re.escape(first[:size])}(?:{inner}){'?' if '' in rest else ''}"


# ---------------------------------------------------------------- escaping


def escape_for(place: Place, before: str = "", *, unescaped: bool = False) -> Callable[[str], str]:
    """How a value is written at a place in HTML.

    `before` is the character in front of it, and of the tags between them: they may be empty.
    """
    if place.kind is PlaceKind.TEXT:
        if unescaped:
            return plain
        return _behind_mark if before == "<" else _html
    if place.kind is PlaceKind.URL:
        return _whole_url if unescaped else in_url
    if place.kind is PlaceKind.URL_START:
        return _whole_url if place.quoted else lambda value: _unquoted(_whole_url(value))
    return _html if place.quoted else lambda value: _unquoted(_html(value))


def plain(value: str) -> str:
    """A value without control characters and lone surrogates; line ends are LF."""
    return value if value.isprintable() else harmless(value, lines=True)


def one_line(value: str) -> str:
    """A value for a header field."""
    return value if value.isprintable() else harmless(" ".join(value.splitlines()))


def _html(value: str) -> str:
    return html.escape(plain(value))


def _behind_mark(value: str) -> str:
    """Behind a ``<`` of the sender's that begins no tag, and shall begin none with the value."""
    escaped = _html(value)
    return escaped if escaped[:1] in {"", "&"} else f"&#{ord(escaped[0])};{escaped[1:]}"


def _unquoted(escaped: str) -> str:
    return re.sub(r"[\s`=]", lambda found: f"&#{ord(found[0])};", escaped)


def in_url(value: str) -> str:
    """A value as a part of a URL."""
    return quote(one_line(value), safe="", errors="replace")


def safe_url(value: str) -> str:
    """A value as a whole URL; the colon of a scheme that might run code is escaped."""
    value = one_line(value).strip()
    scheme = _SCHEME.match(value)
    if scheme is not None and scheme[1].lower() not in _SCHEMES:
        value = value.replace(":", "%3A", 1)
    return quote(value, safe="!#$%&'()*+,/:;=?@[]~", errors="replace")


def _whole_url(value: str) -> str:
    return html.escape(safe_url(value))
