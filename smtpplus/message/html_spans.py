"""What an HTML body holds, as spans: links, where its body begins and ends, where a reply quotes.

A tolerant scanner after the HTML standard's tokeniser, not a parser: comments, bogus comments,
CDATA, the raw text of script and style, attributes with ``>`` in them, tags in any case, missing
tags. It also says for marked places in which context they stand, so that what goes there can be
escaped for it.

Guarantees: never raises, linear time, whatever the text is; what browsers do not show as
elements (comments, raw text, an unfinished tag at the end) is not taken for any. Inside
Outlook's conditional comments places are found and links are not. Builds no tree.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from smtpplus.message.html_quotes import (
    Quotation,
    draws_outlooks_rule,
    may_quote,
    quotation_of,
)

__all__ = ["Anchor", "HtmlSpans", "Place", "PlaceKind", "attributes_of", "html_spans", "lowered"]

_ATTRIBUTE_PATTERN = r"""[^\s/>][^\s/>=]*+
    (?>(?:\s*+=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>"'][^\s>]*+|(?=>)))?)"""
_TAG = re.compile(
    rf"<(/?)([A-Za-z][^\s/>]*+)((?>(?:[\s/]++|{_ATTRIBUTE_PATTERN})*))>",
    re.VERBOSE | re.ASCII,
)
_ATTRIBUTE = re.compile(
    r"""([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)|(?=>)))?""",
    re.VERBOSE | re.ASCII,
)
_BEGINS = re.compile(r"<(?=[A-Za-z/!?])")  # any other < is text
_LETTER = re.compile(r"[A-Za-z]")
_COMMENT_END = re.compile(r"--!?>")
_CONDITION = re.compile(r"<!--\[if[^\]]*+\]>", re.IGNORECASE)
_RAW = frozenset(
    {"script", "style", "xmp", "iframe", "noembed", "noframes", "textarea", "title", "plaintext"}
)
_RAW_END = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE | re.ASCII)
    for name in _RAW - {"plaintext"}
}
_HEADISH = frozenset(
    {"html", "head", "title", "meta", "link", "style", "script", "base", "noscript", "template"}
)
_URLS = frozenset({"href", "src", "action", "background", "formaction", "cite", "data", "poster"})
_CODE = frozenset({"style", "srcdoc"})  # and on…: what stands there is run, loads, or is a page
_WATCHED = frozenset({"a", "area", "body", "blockquote", "div", "span", "pre", "hr", "p"})
_NOTHING_SHOWN = re.compile(
    r"(?>(?:<!--.*?-->|<[^>]*+>|&nbsp;|&#160;|\s++)*)", re.DOTALL | re.ASCII
)
# Elements without any part in what is looked for, as they are mostly written.
_DULL_NAMES = (
    "t(?:[dr]|able|h(?:ead)?|body|foot)|br?|s(?:trong|mall|u[bp])?|i(?:mg)?|ul?|ol|li|em|font"
    "|h[1-6]|center"
)
_QUOTING_NAMES = "p(?:re)?|div|span|blockquote"
# Attributes as they are mostly written: what this takes, `_ATTRIBUTE_PATTERN` takes as well.
_NEAT = r"""(?>(?:\s++[^\s"'<>/=]++(?>(?:="[^"]*+")?))*)\s*+"""
_UNNAMED = _NEAT.replace(r"\s++", r"\s++(?!(?:[cC][lL]|[iI][dD]|[tT][yY])[^\s=]*+=)", 1)
_NEAT_LINK = r"""<a(?>(?:\s++(?!href\b)[a-z][a-z0-9:_\-]*+(?>(?:="[^"]*+")?))*)
    \s++href="([^"]*+)"(?>(?:\s++[a-z][a-z0-9:_\-]*+(?>(?:="[^"]*+")?))*)\s*+>"""


def _skipped(*dull: str) -> re.Pattern[str]:
    """Text, and the tags that `dull` matches the inside of, as many as there are; maybe a link."""
    either = "|".join(dull)
    return re.compile(
        rf"""(?>(?:[^<]++|</[Aa]>|<(?:{either})>)*)({_NEAT_LINK})?""",
        re.VERBOSE | re.ASCII,
    )


def _tags(names: str, neat: str = _NEAT) -> str:
    """The insides of the tags of elements of these `names`, as they are mostly written."""
    return rf"(?:{names}){neat}/?+|/(?:{names})"


def _odd_tags(names: str) -> str:
    """The same, written in whatever way."""
    either = f"{names}|{names.upper()}"
    return rf"/?(?:{either})(?=[\s/>])(?>(?:[\s/]++|{_ATTRIBUTE_PATTERN})*)"


_DULL = re.compile(rf"{_DULL_NAMES}|{_DULL_NAMES.upper()}")
_ALL_DULL = f"{_DULL_NAMES}|{_QUOTING_NAMES}|hr"
# Where a quotation may begin with any element, where with a named one only, and where with none.
_SKIP_DULL = _skipped(_tags(_DULL_NAMES), _odd_tags(_DULL_NAMES)).match
_SKIP_UNNAMED = _skipped(
    _tags(_DULL_NAMES), _tags(_QUOTING_NAMES, _UNNAMED), _odd_tags(_DULL_NAMES)
).match
_SKIP_ALL = _skipped(_tags(_ALL_DULL), _odd_tags(_ALL_DULL)).match
# What may stand before the first content and is none, as it is mostly written.
_PROLOGUE = re.compile(
    rf"""(?>(?:\s++(?=<[A-Za-z/!?])|<[!?](?!--|\[CDATA\[)[^>]*+>|<(?:html|head|meta|link|base)(?=[\s/>]){_NEAT}/?+>
        |</head>
        |<(title|style|script)(?=[\s>]){_NEAT}>(?>(?:[^<]++|<(?!/))*)</\1>)*)""",
    re.VERBOSE | re.ASCII,
)


class PlaceKind(enum.Enum):
    """Where a marked place stands; CODE and NONE: where nothing is to be put in.

    CODE: no escaping is known that would do, as in scripts and styles. NONE: nobody sees it.
    """

    TEXT = "text"
    ATTRIBUTE = "attribute"
    URL_START = "URL, at its beginning"
    URL = "URL"
    CODE = "code"
    NONE = "none"


class Place(NamedTuple):
    """A context; `quoted` False: an attribute value without quotes."""

    kind: PlaceKind
    quoted: bool = True


_NOWHERE = Place(PlaceKind.NONE)
_IN_CODE = Place(PlaceKind.CODE)
_IN_TEXT = Place(PlaceKind.TEXT)


class Anchor(NamedTuple):
    """The value of a link's href, without its quotes.

    Its tag stands between `tag_start` and `tag_end`, where the link's text begins.
    """

    start: int
    end: int
    tag_start: int
    tag_end: int


@dataclass(slots=True)
class HtmlSpans:
    """What was found. `body_start` and `body_end`: where the first and the last thing go.

    `quote_start`: where the quotation of a reply begins that goes on to the end; None: there is
    none. `quoted_to`: where a quotation ends that does not; 0: there is none. `signature_start`:
    where a signature begins that an element is. `places` goes with the marks given.
    """

    body_start: int = 0
    body_end: int = 0
    quote_start: int | None = None
    quoted_to: int = 0
    signature_start: int | None = None
    anchors: list[Anchor] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)


def html_spans(
    text: str,
    marks: Sequence[tuple[int, int]] = (),
    start: int = 0,
    lower: bytes | None = None,
) -> HtmlSpans:
    """Scan an HTML text.

    Args:
        text: the text; only its ASCII characters matter.
        marks: spans whose context is asked for, in order, without overlap.
        start: where the text begins, after a byte order mark.
        lower: `lowered` of the text, where it is known.
    """
    scan = _Scan(text, marks, lowered(text) if lower is None else lower)
    scan.run(start, len(text), hidden=False)
    scan.places += [_NOWHERE] * (len(marks) - len(scan.places))
    return scan.result(start)


def lowered(text: str) -> bytes:
    """The ASCII letters of a text in lower case, as octets: searching these is much quicker."""
    return text.encode("latin-1", "replace").lower()


def attributes_of(text: str) -> dict[str, str]:
    """Attributes by lower-case name, values as written; the first of a name counts."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text):
        found.setdefault(match[1].lower(), match[2] or match[3] or match[4] or "")
    return found


class _Scan:
    """One pass over a text."""

    def __init__(self, text: str, marks: Sequence[tuple[int, int]], lower: bytes) -> None:
        self.text = text
        self.marks = marks
        self.places: list[Place] = []
        self.anchors: list[Anchor] = []
        self.after_body_tag = -1
        self.first_content = -1
        self.body_end = -1  # the last </body>
        self.html_end = -1
        self.unclosed = -1  # where something begins that never ends: a comment, a tag, a script
        self.quote: tuple[int, str, int] | None = None  # start, element, open elements
        self.quote_end = -1
        self.goes_on = True  # may another quotation be the same one's next part?
        self.signature = -1
        self.rule = (-1, -1)  # the last <hr>
        self.no_cdata_end = False
        self.lower = lower
        self.may_quote: bool | None = None  # not known yet
        self.skip_dull = _SKIP_UNNAMED
        if draws_outlooks_rule(lower):
            self.may_quote, self.skip_dull = True, _SKIP_DULL

    # ------------------------------------------------ the pass

    def run(self, position: int, end: int, *, hidden: bool) -> None:
        """Scan ``text[position:end]``; `hidden`: it is the inside of a conditional comment."""
        text, find, match_tag = self.text, _BEGINS.search, _TAG.match
        mark = self.next_mark()
        while position < end:
            if self.quote is None:
                position = self.dull(position, min(mark, end), hidden=hidden)
            found = find(text, position, end)
            start = end if found is None else found.start()
            if mark <= start or self.first_content < 0:
                inside = self.text_until(position, start)
                mark = self.next_mark()
                if inside > 0:  # the < belongs to a mark
                    position = inside
                    continue
            if found is None:
                return
            match = match_tag(text, start, end)
            if match is None:
                position = self.other(start, end, hidden=hidden)
            elif _DULL.fullmatch(match[2]) and mark >= match.end() and self.quote is None:
                self.first_content = start if self.first_content < 0 else self.first_content
                position = match.end()
                continue
            else:
                position = self.tag(match, end, hidden=hidden)
            mark = self.next_mark()
            if position < 0:
                if not hidden:
                    self.unclosed = start
                return

    def dull(self, position: int, end: int, *, hidden: bool) -> int:
        """Where what is of no interest ends; the links in between, as they are mostly written."""
        if self.first_content < 0:
            prologue = _PROLOGUE.match(self.text, position, end)
            return position if prologue is None else prologue.end()
        text, anchors, skip = self.text, self.anchors, self.skip_dull
        while True:
            run = skip(text, position, end)
            if run is None:
                return position
            position = run.end()
            if run.lastindex is None:
                return position
            if not hidden:
                start, stop = run.span(2)
                anchors.append(Anchor(start, stop, run.start(1), position))

    def other(self, start: int, end: int, *, hidden: bool) -> int:
        """Take a < that begins no whole tag; where to go on, -1 where what it begins never ends."""
        text = self.text
        if text.startswith(("<!", "<?"), start):
            return self.declaration(start, end, hidden=hidden)
        if text.startswith("</", start) and _LETTER.match(text, start + 2, end) is None:
            return self.bogus(start, end)
        return -1  # a tag that never ends

    def next_mark(self) -> int:
        """Where the next mark stands that has no place yet."""
        known = len(self.places)
        return self.marks[known][0] if known < len(self.marks) else sys.maxsize

    def text_until(self, position: int, end: int) -> int:
        """Note the marks in plain text before `end`; where to go on if one reaches beyond it."""
        if self.first_content < 0 and position < end and not self.text[position:end].isspace():
            self.content(position)
        while len(self.places) < len(self.marks):
            start, stop = self.marks[len(self.places)]
            if start > end or (start == end and not self.text.startswith("<", end)):
                break
            self.places.append(_IN_TEXT if start >= position else _NOWHERE)
            if stop > end:
                self.content(start)
                return stop
        return 0

    def skip(self, end: int, place: Place = _NOWHERE) -> None:
        """Marks before `end` that were not noted stand where nothing is put in."""
        while len(self.places) < len(self.marks) and self.marks[len(self.places)][0] < end:
            self.places.append(place)

    def content(self, at: int) -> None:
        if self.first_content < 0:
            self.first_content = at

    def declaration(self, start: int, end: int, *, hidden: bool) -> int:
        """A comment, a doctype, CDATA; where to go on, -1 where it never ends."""
        text = self.text
        if not text.startswith("<!--", start):
            return self.bogus(start, end)
        if text.startswith(("<!-->", "<!--->"), start):  # empty comments
            stop = text.index(">", start) + 1
            self.skip(stop)
            return stop
        closing = _COMMENT_END.search(text, start + 4, end)
        if closing is None:
            self.skip(end)
            return -1
        condition = None if hidden else _CONDITION.match(text, start, closing.start())
        if condition is not None:
            self.skip(condition.end())
            first = self.first_content
            self.run(condition.end(), closing.start(), hidden=True)
            self.first_content = first  # what few programs show does not begin the page
        self.skip(closing.end())
        return closing.end()

    def bogus(self, start: int, end: int) -> int:
        text = self.text
        if text.startswith("<![CDATA[", start) and not self.no_cdata_end:
            stop = text.find("]]>", start, end)
            if stop >= 0:
                self.skip(stop + 3)
                return stop + 3
            self.no_cdata_end = True
        stop = text.find(">", start, end)
        self.skip(end if stop < 0 else stop + 1)
        return stop + 1 if stop >= 0 else -1

    # ------------------------------------------------ tags

    def tag(self, match: re.Match[str], end: int, *, hidden: bool) -> int:
        """Take a tag, and the raw text behind it; where to go on, -1 where that never ends."""
        name = match[2].lower()
        self.places_in_tag(match)
        if not hidden:
            if match[1]:
                self.end_tag(name, match.start(), match.end())
            else:
                self.start_tag(name, match)
        if match[1] or name not in _RAW:
            return match.end()
        closing = _RAW_END[name].search(self.text, match.end(), end) if name in _RAW_END else None
        stop = end if closing is None else closing.start()
        if name == "title":  # its text is text, though no elements stand in it
            self.marks_in_title(stop)
        self.skip(stop, _IN_CODE if name in {"script", "style"} else _NOWHERE)
        return -1 if closing is None else stop

    def marks_in_title(self, end: int) -> None:
        while len(self.places) < len(self.marks) and self.marks[len(self.places)][1] <= end:
            self.places.append(_IN_TEXT)

    def places_in_tag(self, match: re.Match[str]) -> None:
        """Contexts of the marks inside a tag."""
        marks, places = self.marks, self.places
        if len(places) >= len(marks) or marks[len(places)][0] >= match.end():
            return
        for found in _ATTRIBUTE.finditer(self.text, match.start(3), match.end(3)):
            group = found.lastindex or 1
            if group == 1:
                continue
            start, end = found.span(group)
            name = found[1].lower()
            is_url = name in _URLS
            is_code = name in _CODE or name.startswith("on")
            while len(places) < len(marks) and marks[len(places)][0] < end:
                at, stop = marks[len(places)]
                if at < start or stop > end:
                    places.append(_NOWHERE)
                    continue
                kind = PlaceKind.CODE if is_code else PlaceKind.ATTRIBUTE
                if is_url:
                    blank = self.text[start:at].strip()
                    kind = PlaceKind.URL if blank else PlaceKind.URL_START
                places.append(Place(kind, group != 4))
        self.skip(match.end())

    def start_tag(self, name: str, match: re.Match[str]) -> None:
        if name == "body":
            if self.after_body_tag < 0:
                self.after_body_tag = match.end()
            return
        if name not in _HEADISH:
            self.content(match.start())
        if self.quote is not None and name == self.quote[1] and self.quote[2]:
            self.quote = (self.quote[0], name, self.quote[2] + 1)
        if name not in _WATCHED or match.end(3) == match.start(3):
            if name == "hr":
                self.rule = match.span()
            return
        if name in {"a", "area"}:
            self.anchor(match)
            return
        if name == "hr":
            self.rule = match.span()
        if self.quote is None or (self.quote_end >= 0 and self.goes_on):
            self.quotation(name, match)

    def anchor(self, match: re.Match[str]) -> None:
        for found in _ATTRIBUTE.finditer(self.text, match.start(3), match.end(3)):
            if found[1].lower() == "href":
                group = found.lastindex or 1
                if group > 1:
                    self.anchors.append(Anchor(*found.span(group), match.start(), match.end()))
                return

    def knows_quotes(self) -> bool:
        """May a quotation or a signature begin anywhere? Looked for when it is first asked."""
        if self.may_quote is None:
            self.may_quote = may_quote(self.lower)
            if not self.may_quote:
                self.skip_dull = _SKIP_ALL
        return self.may_quote

    def quotation(self, name: str, match: re.Match[str]) -> None:
        """Does a reply's quotation, or a signature, begin here?"""
        if self.quote is not None:
            self.next_quotation(name, match)
            return
        if not self.knows_quotes():
            return
        start = match.start()
        found = quotation_of(name, attributes_of(match[3]))
        if found is Quotation.SIGNATURE:
            self.signature = start if self.signature < 0 else self.signature
        if found not in {Quotation.QUOTED, Quotation.RUNS_ON}:
            return
        if self.rule[1] >= 0 and not self.text[self.rule[1] : start].strip():
            start = self.rule[0]  # Outlook on the web draws a line above it
        self.quote = (start, name, 0 if found is Quotation.RUNS_ON else 1)

    def next_quotation(self, name: str, match: re.Match[str]) -> None:
        """Does the one that has ended go on here? iOS quotes who wrote, and then what."""
        found = quotation_of(name, attributes_of(match[3]))
        if self.quote is None or found not in {Quotation.QUOTED, Quotation.RUNS_ON}:
            return
        self.goes_on = (
            _NOTHING_SHOWN.fullmatch(self.text, self.quote_end, match.start()) is not None
        )
        if self.goes_on:
            self.quote = (self.quote[0], name, 0 if found is Quotation.RUNS_ON else 1)
            self.quote_end = -1

    def end_tag(self, name: str, start: int, end: int) -> None:
        if name == "body":
            self.body_end = start
        elif name == "html":
            self.html_end = start
        elif self.quote is not None and name == self.quote[1] and self.quote[2]:
            self.quote = (self.quote[0], name, self.quote[2] - 1)
            if not self.quote[2]:
                self.quote_end = end

    # ------------------------------------------------ the result

    def result(self, start: int) -> HtmlSpans:
        length = len(self.text) if self.unclosed < 0 else self.unclosed
        ends = [at for at in (self.body_end, self.html_end, length) if at >= 0]
        end = min(ends[0], length)
        begin = self.after_body_tag
        if begin < 0:
            begin = self.first_content if self.first_content >= 0 else end
        begin = max(min(begin, end), start)
        quote = self.quote[0] if self.quote is not None and self.ends_quoted(end) else None
        return HtmlSpans(
            body_start=begin,
            body_end=max(end, begin),
            quote_start=quote if quote is not None and begin <= quote <= end else None,
            quoted_to=max(self.quote_end, 0) if quote is None else 0,
            signature_start=self.signature if begin <= self.signature <= end else None,
            anchors=self.anchors,
            places=self.places,
        )

    def ends_quoted(self, end: int) -> bool:
        """Does nothing that is shown follow the quotation?"""
        if self.quote is None or self.quote[2] or self.quote_end < 0:
            return True  # never closed, or of the kind that runs on
        return _NOTHING_SHOWN.fullmatch(self.text, self.quote_end, end) is not None
