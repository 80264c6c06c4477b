"""Where a signature begins in HTML that no element is known by: typed, Outlook's, Apple Mail's.

| what | as |
|---|---|
| typed | a line of ``--``, with or without its blank, between line breaks or as a block |
| Outlook | the bookmark ``_MailAutoSig`` in the signature's first paragraph |
| Apple Mail, iOS | ``<br id="lineBreakAtBeginningOfSignature">`` |

Asked once for a reply that gets a footer. Pure, never raises, linear time.
"""

from __future__ import annotations

import itertools
import re

__all__ = ["signature_start"]

_BLANK = r"(?:\s|\xc2?\xa0|&nbsp;|&#160;)*"  # the view's characters may be UTF-8's octets
_TYPED = re.compile(rf"--{_BLANK}(?=<(?:br|/div|/p|/span|/font)[\s/>])", re.IGNORECASE)
# By what an element is known, and its tag up to there; searched for where the name is at all.
_ELEMENTS = {
    "_MailAutoSig": re.compile(r"<a\s[^<>]{0,200}?\bname=[\"']?_MailAutoSig\b"),
    "lineBreakAtBeginningOfSignature": re.compile(
        r"<br\s[^<>]{0,200}?\bid=[\"']?lineBreakAtBeginningOfSignature\b"
    ),
}
_TAG = re.compile(r"<(/?)([a-z][a-z0-9:]*)[^<>]*>\s*", re.IGNORECASE)
_AROUND = frozenset({"div", "p"})  # the signature's own blocks, where it is the first in them
_INLINE = frozenset({"span", "font", "a", "b", "i", "em", "strong", "meta", "o:p"})
_OPENED = _AROUND | _INLINE
_MOST_TAGS = 20  # that are opened around its first line
_MOST_SIGNS = 100
_SHOWN = re.compile(r"(?:<[^<>]*>|\s|&nbsp;|&#160;|\xc2?\xa0)*")


def signature_start(text: str, start: int, end: int) -> int | None:
    """Where in ``text[start:end]``, which its author wrote, the signature begins; None: nowhere."""
    found = [_typed(text, start, end)]
    for name, element in _ELEMENTS.items():
        if text.find(name, start, end) >= 0:
            tag = element.search(text, start, end)
            if tag is not None and not _is_hidden(text, start, tag.start()):
                found.append(_line_start(text, start, tag.start()) or tag.start())
    at = min((one for one in found if one is not None), default=None)
    if at is None:
        return None
    # What begins the message is not what its author put below it.
    shown = _SHOWN.match(text, start, at)
    return None if shown is not None and shown.end() == at else at


def _typed(text: str, start: int, end: int) -> int | None:
    for found in itertools.islice(_TYPED.finditer(text, start, end), _MOST_SIGNS):
        at = _line_start(text, start, found.start())
        if at is not None and not _is_hidden(text, start, at):
            return at
    return None


def _line_start(text: str, start: int, at: int) -> int | None:
    """Where the line of `at` begins, with the blocks that it is the first in.

    None: something stands before it on its line.
    """
    begins_block = False
    for _ in range(_MOST_TAGS):
        opening = text.rfind("<", start, at)
        tag = None if opening < 0 else _TAG.fullmatch(text, opening, at)
        name = "" if tag is None else tag[2].lower()
        if tag is None or (tag[1] and name in _INLINE):
            return at if begins_block else None
        if tag[1] or name not in _OPENED:  # <br>, the end of another block, a cell
            return at
        at = opening
        begins_block |= name in _AROUND
    return at


def _is_hidden(text: str, start: int, at: int) -> bool:
    """Does it stand in a comment?"""
    return text.rfind("<!--", start, at) > text.rfind("-->", start, at)
