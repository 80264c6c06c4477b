"""Where a list's header and footer go, and what separates them from what is there.

HTML: the header after ``<body>`` (without one, before the first content), the footer before
``</body>``. Plain text: the first and the last thing, an empty line between.

A reply: the footer goes to the end of what its author wrote, that is before the quotation, and
before the signature that stands above it. A quotation is taken for one only when nothing but
quoted text follows to the end: below an answer that is written under or between quoted text the
footer stands last, as usual. Known are: ``blockquote type=cite``; the marks of Gmail, Yahoo,
Thunderbird, Proton, Roundcube, Outlook (desktop and web), Apple Mail; in text ``>`` lines with the
line that introduces them, and a rule like ``-----Original Message-----`` in any language with
``From:`` lines below. In text all this, and a typed signature (``-- ``) also in HTML, counts only
where the message answers another one (In-Reply-To, References): elsewhere such lines belong to
the text.

Pure, never raises, linear time.
"""

from __future__ import annotations

import functools
import re

from smtpplus.message.html_signatures import signature_start
from smtpplus.message.html_spans import HtmlSpans, html_spans

__all__ = ["footer_position", "fragment", "html_footer_position", "text_banner"]

_SEPARATOR = re.compile(r"^--[ \t]?\r?$", re.MULTILINE)
_FIELD_LINE = r"\r?\n(?:[ \t]*+\r?\n)?\*?[^\s:]{2,12}[ \t]?:\*?[ \t][^\r\n]*+"
_RULE = r"^(?:[ \t]*+-{4,}+[ \t]*+[^\s-][^\r\n]{2,58}?-{4,}+|_{20,}+)[ \t]*+"
_ORIGINAL = re.compile(_RULE + _FIELD_LINE, re.MULTILINE)
_MAX_LINES = 20_000  # of a quotation
_INTRODUCTION = 3  # lines that may introduce a quotation
_BEGINS = re.compile(r"On |Am |Le |El |Il |Em |Op |Den |W dniu|Dnia|\d{1,4}[-./]|\S+@|.*<\S+@\S+>")


def html_footer_position(text: str, spans: HtmlSpans, *, is_reply: bool) -> int:
    """Where a footer goes in HTML, of which `spans` were found."""
    end = spans.body_end if spans.quote_start is None else spans.quote_start
    found = [end]
    if spans.signature_start is not None and (is_reply or spans.quote_start is not None):
        found.append(spans.signature_start)
    if is_reply:
        typed = signature_start(text, max(spans.body_start, spans.quoted_to), end)
        if typed is not None:
            found.append(typed)
    return min(found)


def footer_position(text: str, start: int = 0, *, is_reply: bool) -> int:
    """Where a footer goes in plain text: the beginning of a line, or the end.

    Args:
        text: the text; only its ASCII characters matter.
        start: where it begins, after a byte order mark.
        is_reply: does the message answer another one?
    """
    if not is_reply:
        return len(text)
    quotation = _quotation(text, start)
    end = len(text) if quotation is None else quotation
    signature = _SEPARATOR.search(text, start, end)
    return signature.start() if signature is not None and signature.start() > start else end


def _quotation(text: str, start: int) -> int | None:
    """Where the quotation that reaches to the end begins, with its introduction."""
    original = _ORIGINAL.search(text, start)
    quoted = _quoted_tail(text, start)
    found = [at for at in (original.start() if original else None, quoted) if at is not None]
    # What begins the message is not what its author added to it: a forwarded mail.
    return min(found) if found and text[start : min(found)].strip() else None


def _quoted_tail(text: str, start: int) -> int | None:
    """Where the run of ``>`` lines and empty lines at the end begins."""
    position, first = len(text), -1
    for _ in range(_MAX_LINES):
        if position <= start:
            break
        line_start = text.rfind("\n", start, position - 1) + 1
        line_start = max(line_start, start)
        line = text[line_start:position].strip()
        if line.startswith(">"):
            first = line_start
        elif line:
            break
        position = line_start
    if first < 0:
        return None
    return _introduction(text, start, first)


def _introduction(text: str, start: int, quoted: int) -> int:
    """Where the lines begin that introduce a quotation (“On …, A wrote:”)."""
    position, lines = quoted, 0
    introduced = quoted
    while position > start and lines < _INTRODUCTION:
        line_start = max(text.rfind("\n", start, position - 1) + 1, start)
        line = text[line_start:position].strip()
        if not line:
            if lines:
                break
        else:
            lines += 1
            if lines == 1 and not line.endswith(":"):
                break
            if lines == 1 or _BEGINS.match(line):
                introduced = line_start
        position = line_start
    return introduced


def text_banner(text: str, position: int, banner: str, start: int = 0) -> str:
    """`banner` with the line ends that set it apart where it stands; line ends are LF."""
    banner = banner.replace("\r\n", "\n").strip("\n")
    before = text[max(position - 4, start) : position].replace("\r\n", "\n")
    after = text[position : position + 4]
    if not before:
        return f"{banner}\n\n" if after else banner
    glue = "" if before.endswith("\n\n") else "\n" if before.endswith("\n") else "\n\n"
    if after:
        return f"{glue}{banner}\n\n"
    return f"{glue}{banner}\n" if before.endswith("\n") else f"{glue}{banner}"


@functools.lru_cache(maxsize=256)  # a list's own HTML, the same for each of its messages
def fragment(markup: str) -> str:
    """What is to be put into a page: of a whole document, what its body holds."""
    spans = html_spans(markup)
    if re.search(r"<(?:body|html|!doctype)\b", markup, re.IGNORECASE) is None:
        return markup[: spans.body_end]
    return markup[spans.body_start : spans.body_end]
