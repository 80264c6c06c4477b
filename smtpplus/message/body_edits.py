"""What is changed in a text or HTML body, found once per message and part.

Brings together header and footer, merge and unsubscribe tags, links and pixel. Works on the
text of a part (`TextView`) and answers with edits of it; the encoding is someone else's.
Guarantees: linear time; places where browsers run or hide text (script, style, attributes of
either, comments) are left alone. Raises `TooManyTagsError`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from smtpplus.message.copy_plan import ClickUrl, CopyFields, CopyPlan
from smtpplus.message.edits import ClickFill, Edit, Fill, Piece, UrlFill, pieces_of
from smtpplus.message.header_footer import (
    footer_position,
    fragment,
    html_footer_position,
    text_banner,
)
from smtpplus.message.html_spans import Anchor, HtmlSpans, Place, PlaceKind, html_spans, lowered
from smtpplus.message.links import MAX_LINKS, TEXT_LINK, Links, attribute_text, text_link_end
from smtpplus.message.merge import (
    Tag,
    TagFinder,
    TagKind,
    TooManyTagsError,
    escape_for,
    in_url,
    plain,
    safe_url,
)
from smtpplus.message.part_memory import FoundPart
from smtpplus.message.pixel import pixel
from smtpplus.message.text_view import TextView
from smtpplus.message.tracking_urls import HONEYPOT_LINK
from smtpplus.message.unsubscribe_tags import (
    is_unsubscribe_text,
    subscription_html,
    subscription_text,
    url_fill,
)
from smtpplus.values.options import MergeSyntax

__all__ = ["MAX_MARKUP", "BodyEdits"]

MAX_MARKUP = 50_000  # elements of an HTML part: one with more of them is left alone
_MAX_WORDS = 400  # characters of a link's text that are looked at
_HIDDEN = '<a style="display:none" tabindex="-1" aria-hidden="true" rel="nofollow" href="'
_HIDDEN_END = '"></a>'
_MARKUP = re.compile(r"<[^>]*+>")
_STUFFED = re.compile(r"^(?=[ >]|From )", re.MULTILINE)
_FLOWS = re.compile(r"(?<!^--) +$", re.MULTILINE)
_MOST_FOUND = 100  # banners of a plan: in flowed text, and where lines end otherwise, they differ
Real = Callable[[int, int], str]
Character = Callable[[int], str]
Pieces = tuple[str | Fill, ...]


class BodyEdits:
    """Finds the edits of one message's bodies.

    Args:
        plan: what is to be done.
        is_reply: does the message answer another one?
        unsubscribe: targets of the sender's own List-Unsubscribe.
    """

    def __init__(
        self, plan: CopyPlan, *, is_reply: bool, unsubscribe: frozenset[str] = frozenset()
    ) -> None:
        self._plan = plan
        self.is_reply = is_reply
        self.finder, self._banner_finder = _finders(plan)
        self._filler = self.finder  # whichever found what is filled in
        self.links = Links(plan, unsubscribe)
        self.unknown: dict[str, None] = {}
        self.has_unsubscribe = False
        self.has_pixel = False
        # Of the part that is looked at.
        self._offers_unsubscribe = False
        self._unknown_here: dict[str, None] = {}
        # Of the tags that stand side by side where it is looked at.
        self._before_row = ""
        self._row_end = -1

    def _begin(self, *, clicks: bool) -> None:
        """Another part is looked at; are the `clicks` on its links tracked?"""
        self.links.click_url = self._plan.click_url if clicks else None
        self._offers_unsubscribe = False
        self._unknown_here = {}

    def learnt(
        self, plan: dict[object, Any], pieces: list[Piece] | None, links_before: int
    ) -> FoundPart:
        """What was found in the part that was looked at last."""
        return FoundPart(
            plan,
            pieces,
            tuple(self.links.targets[links_before:]),
            tuple(self._unknown_here),
            self._offers_unsubscribe,
            self.has_pixel,
        )

    def learn(self, found: FoundPart) -> None:
        """Know what looking at the part would have found."""
        self.links.targets += found.targets
        self.unknown.update(dict.fromkeys(found.unknown))
        self.has_unsubscribe |= found.has_unsubscribe
        self.has_pixel = found.has_pixel

    # ------------------------------------------------ HTML

    def html(self, view: TextView, *, is_main: bool) -> list[Edit]:
        """The edits of an HTML part; `is_main`: header, footer and pixel go into it."""
        self._begin(clicks=self._plan.click_html)
        if len(view.text) > MAX_MARKUP and view.text.count("<") > MAX_MARKUP:
            raise TooManyTagsError(f"it holds more than {MAX_MARKUP:,} elements")
        lower = lowered(view.text)
        tags = self.finder.tags(view, lower)
        spans = html_spans(view.text, [tag[:2] for tag in tags], view.mark, lower)
        edits: list[Edit] = []
        if is_main and self._plan.header_html:
            pieces = self._fragment(fragment(self._plan.header_html))
            edits.append(Edit(spans.body_start, spans.body_start, pieces))
        edits += self._inside(view.text, view.real, tags, spans)
        if is_main:
            edits += self._html_end(view.text, spans)
        return edits

    def _html_end(self, text: str, spans: HtmlSpans) -> list[Edit]:
        edits = []
        plan = self._plan
        pieces: tuple[str | Fill, ...] = ()
        if plan.footer_html:
            pieces += self._fragment(fragment(plan.footer_html))
        if plan.unsubscribe_html and plan.unsubscribe_url and not self._offers_unsubscribe:
            pieces += self._fragment(subscription_html(fragment(plan.unsubscribe_html)))
        if pieces:
            at = html_footer_position(text, spans, is_reply=self.is_reply)
            edits.append(Edit(at, at, pieces))
        if plan.honeypot is not None and self.links.click_url is not None:
            hidden = ClickFill(self.links.click_url, HONEYPOT_LINK, plan.honeypot, in_html=True)
            edits.append(Edit(spans.body_end, spans.body_end, (_HIDDEN, hidden, _HIDDEN_END)))
        if plan.open_url is not None and not self.has_pixel:
            edits.append(Edit(spans.body_end, spans.body_end, pixel(plan.open_url)))
            self.has_pixel = True
        return edits

    def _fragment(self, markup: str) -> Pieces:
        """HTML of the list's own, with its tags and links."""
        return self._of_list(markup.replace("\r\n", "\n"), BodyEdits._fragment_found)

    def _fragment_found(self, markup: str) -> Pieces:
        tags = self._banner_finder.tags(markup)
        spans = html_spans(markup, [tag[:2] for tag in tags])
        edits = self._inside(markup, lambda start, end: markup[start:end], tags, spans)
        return ("\n", *pieces_of(markup, edits), "\n")

    def _of_list(self, text: str, search: Callable[[BodyEdits, str], Pieces]) -> Pieces:
        """What of the list's own is put in: found once, its links numbered for each message."""
        key = (text, search)
        known: _Banner | None = self._plan.found.get(key)
        if known is None:
            if len(self._plan.found) >= _MOST_FOUND:
                self._plan.found.clear()
            known = _Banner.of(self._plan, text, search, self.links.click_url)
            self._plan.found[key] = known
        links = self.links
        room = MAX_LINKS - len(links.targets) - len(known.targets)
        if not known.is_fixed or links.unsubscribe or room < 0:
            return self.searched(text, search)
        number = len(links.targets)
        links.targets += known.targets
        self.unknown.update(known.unknown)
        self._unknown_here.update(known.unknown)
        if known.has_unsubscribe:
            self.has_unsubscribe = self._offers_unsubscribe = True
        if not known.targets:
            return known.pieces
        numbered: list[str | Fill] = []
        for piece in known.pieces:
            if isinstance(piece, ClickFill):
                number += 1
                numbered.append(piece.numbered(number))
            else:
                numbered.append(piece)
        return tuple(numbered)

    def searched(self, text: str, search: Callable[[BodyEdits, str], Pieces]) -> Pieces:
        """What of a text of the list's own is found: there a name that is not known goes."""
        self._filler = self._banner_finder
        try:
            return search(self, text)
        finally:
            self._filler = self.finder

    def _inside(self, text: str, real: Real, tags: Sequence[Tag], spans: HtmlSpans) -> list[Edit]:
        """Edits of links and of the tags outside them."""
        edits: list[Edit] = []
        self._row_end = -1
        position = 0
        wanted = self.links.wanted
        for anchor in spans.anchors:
            while position < len(tags) and tags[position].start < anchor.start:
                edits += self._tag(tags[position], spans.places[position], real)
                position += 1
            first = position
            while position < len(tags) and tags[position].end <= anchor.end:
                position += 1
            inside = tags[first:position]
            edit = self._link(text, real, anchor, inside) if wanted else None
            if edit is not None:
                edits.append(edit)
                continue
            for index in range(first, position):
                edits += self._tag(tags[index], spans.places[index], real)
        for index in range(position, len(tags)):
            edits += self._tag(tags[index], spans.places[index], real)
        return edits

    def _link(self, text: str, real: Real, anchor: Anchor, tags: Sequence[Tag]) -> Edit | None:
        """The edit of a link's href, None where it stays."""
        start, end, tag_start, tag_end = anchor
        if tags:
            if any(tag.kind in {TagKind.UNSUBSCRIBE, TagKind.OPEN} for tag in tags):
                return None
        elif text.find(":", start, end) < 0 and text.find("&", start, end) < 0:
            return None  # no scheme, nor one as PHP's htmlentities writes it (&colon;)
        if self.links.is_marked(text[tag_start:tag_end]) or _unsubscribes(text, tag_end):
            return None
        if tags:
            pieces = self._url_pieces(real, start, end, tags, attribute_text)
            made = self.links.replacement(pieces)
        else:
            made = self.links.replaced(attribute_text(real(start, end)), in_html=True)
            if isinstance(made, ClickFill):
                return Edit(start, end, (made,))
        return None if made is None else Edit(start, end, (_escaped(made),))

    def _url_pieces(
        self, real: Real, start: int, end: int, tags: Sequence[Tag], decoded: Callable[[str], str]
    ) -> list[str | Fill]:
        """A URL between `start` and `end`, as pieces."""
        pieces: list[str | Fill] = []
        position = start
        for tag in tags:
            before = decoded(real(position, tag.start))
            pieces.append(before)
            raw = real(tag.start, tag.end)
            if tag.kind is TagKind.MERGE:
                at_start = not before.strip() and position == start
                as_url = at_start or self._is_unescaped(tag)
                pieces.append(self._filler.fill(tag, raw, safe_url if as_url else in_url))
            else:
                self._note(tag, raw)
                pieces.append(raw)
            position = tag.end
        pieces.append(decoded(real(position, end)))
        return [piece for piece in pieces if piece != ""] or [""]

    def _tag(self, tag: Tag, place: Place, real: Real) -> list[Edit]:
        """The edit of a tag where it stands in HTML."""
        if tag.start != self._row_end:  # else what stands between may be empty
            self._before_row = real(max(tag.start - 1, 0), tag.start)
        self._row_end = tag.end
        if place.kind is PlaceKind.NONE:
            return []
        raw = real(tag.start, tag.end)
        if place.kind is PlaceKind.CODE:
            if tag.kind is not TagKind.UNKNOWN:  # brackets are common there
                self._stays(raw)
            return []
        self._note(tag, raw)
        if tag.kind is TagKind.MERGE:
            escape = escape_for(place, self._before_row, unescaped=self._is_unescaped(tag))
            return [Edit(tag.start, tag.end, (self._filler.fill(tag, raw, escape),))]
        if tag.kind is TagKind.OPEN:
            return [Edit(tag.start, tag.end, self._pixel_here(place))]
        if tag.kind is TagKind.UNSUBSCRIBE and self._plan.unsubscribe_url is not None:
            url = _escaped(url_fill(self._plan.unsubscribe_url))
            if place.kind is PlaceKind.TEXT and raw.startswith("["):
                word = html.escape(self._plan.unsubscribe_word)
                return [Edit(tag.start, tag.end, ('<a href="', url, f'">{word}</a>'))]
            return [Edit(tag.start, tag.end, (url,))]
        return []

    def _is_unescaped(self, tag: Tag) -> bool:
        names = self._plan.unescaped
        return bool(names) and (tag.key in names or "*" in names)

    def _pixel_here(self, place: Place) -> tuple[str | Fill, ...]:
        if place.kind is not PlaceKind.TEXT or self._plan.open_url is None or self.has_pixel:
            return ()
        self.has_pixel = True
        return pixel(self._plan.open_url)

    def _note(self, tag: Tag, raw: str) -> None:
        if tag.kind is TagKind.UNKNOWN:
            self._stays(raw)
        elif tag.kind is TagKind.UNSUBSCRIBE:
            self.has_unsubscribe = self._offers_unsubscribe = True

    def _stays(self, raw: str) -> None:
        self.unknown.setdefault(raw)
        self._unknown_here.setdefault(raw)

    # ------------------------------------------------ text

    def text(
        self, view: TextView, *, is_main: bool, flowed: bool = False, delsp: bool = False
    ) -> list[Edit]:
        """The edits of a plain text part; `flowed`, `delsp` as in RFC 3676."""
        plan = self._plan
        self._begin(clicks=plan.click_text)
        edits: list[Edit] = []
        is_empty = len(view.text) == view.mark
        if is_main and plan.header_text and not is_empty:
            edits.append(self._banner(view, plan.header_text, view.mark, flowed=flowed))
        edits += self._text_inside(
            view.text, view.real, view.character, self.finder.tags(view), delsp=delsp
        )
        if is_main:
            banner = plan.footer_text.strip("\r\n")
            if plan.unsubscribe_text and plan.unsubscribe_url and not self._offers_unsubscribe:
                banner = f"{banner}\n\n{subscription_text(plan.unsubscribe_text)}".strip("\r\n")
            if is_empty:  # both stand in one place
                banner = f"{plan.header_text.rstrip()}\n\n{banner}".strip("\r\n")
            if banner:
                at = footer_position(view.text, view.mark, is_reply=self.is_reply)
                edits.append(self._banner(view, banner, at, flowed=flowed))
        return edits

    def _banner(self, view: TextView, banner: str, at: int, *, flowed: bool) -> Edit:
        banner = banner.replace("\r\n", "\n")
        if flowed:  # RFC 3676 §4.2, §4.4: no line of it flows, none looks like a quotation
            banner = _STUFFED.sub(" ", _FLOWS.sub("", banner))
        banner = text_banner(view.text, at, banner, view.mark)
        return Edit(at, at, self._of_list(banner, BodyEdits._banner_found))

    def _banner_found(self, banner: str) -> Pieces:
        edits = self._text_inside(
            banner,
            lambda start, end: banner[start:end],
            banner.__getitem__,
            self._banner_finder.tags(banner),
        )
        return pieces_of(banner, edits)

    def _text_inside(
        self,
        text: str,
        real: Real,
        character: Character,
        tags: Sequence[Tag],
        *,
        delsp: bool = False,
    ) -> list[Edit]:
        edits: list[Edit] = []
        position = 0
        if self._plan.click_text and self.links.wanted:
            for found in TEXT_LINK.finditer(text):
                start = found.start()
                while position < len(tags) and tags[position].start < start:
                    edits += self._text_tag(tags[position], real)
                    position += 1
                first = position
                end = text_link_end(text, start, found.end())
                while position < len(tags) and tags[position].start < end:
                    end = max(end, tags[position].end)
                    position += 1
                if self.links.is_full:
                    position = first
                    break
                if _goes_on(text, character, found.end(), delsp=delsp):
                    edit = None
                else:
                    edit = self._text_link(real, start, end, tags[first:position])
                if edit is not None:
                    edits.append(edit)
                else:
                    position = first
        for tag in tags[position:]:
            edits += self._text_tag(tag, real)
        return edits

    def _text_link(self, real: Real, start: int, end: int, tags: Sequence[Tag]) -> Edit | None:
        if any(tag.kind in {TagKind.UNSUBSCRIBE, TagKind.OPEN} for tag in tags):
            return None
        made = self.links.replacement(self._url_pieces(real, start, end, tags, str))
        return None if made is None else Edit(start, end, (made,))

    def _text_tag(self, tag: Tag, real: Real) -> list[Edit]:
        raw = real(tag.start, tag.end)
        self._note(tag, raw)
        if tag.kind is TagKind.MERGE:
            return [Edit(tag.start, tag.end, (self._filler.fill(tag, raw, plain),))]
        if tag.kind is TagKind.OPEN:
            return [Edit(tag.start, tag.end, ())]
        if tag.kind is TagKind.UNSUBSCRIBE and self._plan.unsubscribe_url is not None:
            return [Edit(tag.start, tag.end, (url_fill(self._plan.unsubscribe_url),))]
        return []


def _goes_on(text: str, character: Character, end: int, *, delsp: bool) -> bool:
    """Does a URL whose ASCII ends here go on, with letters of others or on the next line?"""
    if delsp and text.startswith((" \r\n", " \n"), end):
        return True
    if end == len(text) or text[end].isascii():
        return False
    return character(end).isalnum()


def _finders(plan: CopyPlan) -> tuple[TagFinder, TagFinder]:
    """The finder for what was sent, and the one for the list's own header and footer."""
    found: tuple[TagFinder, TagFinder] | None = plan.found.get("finders")
    if found is None:
        own = TagFinder(plan, plan.syntaxes | {MergeSyntax.BRACKETS}, unnamed="")
        found = plan.found["finders"] = (TagFinder(plan), own)
    return found


class _Banner(NamedTuple):
    """What was found in a header or footer; `is_fixed`: but for its links' numbers for good."""

    pieces: Pieces
    targets: list[str]
    unknown: dict[str, None]
    has_unsubscribe: bool
    is_fixed: bool

    @classmethod
    def of(
        cls,
        plan: CopyPlan,
        text: str,
        search: Callable[[BodyEdits, str], Pieces],
        click_url: ClickUrl | None,
    ) -> _Banner:
        edits = BodyEdits(plan, is_reply=False)
        edits.links.click_url = click_url
        pieces = edits.searched(text, search)
        targets = edits.links.targets
        # A link with a merge value in it keeps its number, and a pixel is put in only once.
        numbered = sum(isinstance(piece, ClickFill) for piece in pieces)
        is_fixed = numbered == len(targets) and not (plan.open_tag and plan.open_tag in text)
        return cls(pieces, targets, edits.unknown, edits.has_unsubscribe, is_fixed)


def _escaped(piece: str | Fill) -> str | Fill:
    if isinstance(piece, str):
        return html.escape(piece)
    if isinstance(piece, UrlFill):
        return piece.escaped()

    def fill(fields: CopyFields) -> str:
        return html.escape(piece(fields))

    return fill


def _unsubscribes(text: str, tag_end: int) -> bool:
    """Do the words between a link's tags say that it unsubscribes?"""
    close = text.find("</a", tag_end, tag_end + _MAX_WORDS)
    words = text[tag_end : close if close >= 0 else tag_end + _MAX_WORDS // 4]
    return is_unsubscribe_text(_MARKUP.sub(" ", words) if "<" in words else words)
