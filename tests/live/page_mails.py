"""The pages of corpora/html as the mails that applications make of them, and what a copy may change.

Every page in every charset, transfer encoding and nesting. What arrived is read by the standard
library: nothing of ours decodes here.
"""

from __future__ import annotations

import base64
import email
import email.policy
import html
import itertools
import re
from dataclasses import dataclass
from email.message import EmailMessage

from tests.corpora import corpus_path
from tests.message.wrapped import wrap

__all__ = [
    "FOOTER_HTML",
    "FOOTER_TEXT",
    "PageMail",
    "View",
    "differences",
    "fields_of",
    "links_back",
    "name_of",
    "page_mails",
]

WRAPPINGS = [
    (charset, encoding, nested)
    for charset, encodings in {
        "utf-8": "quoted-printable base64 8bit 7bit",
        "iso-8859-1": "quoted-printable base64 8bit",
        "windows-1252": "quoted-printable base64 8bit",
        "iso-2022-jp": "quoted-printable base64 7bit",
    }.items()
    for encoding in encodings.split()
    for nested in (False, True)
]
FOOTER_HTML = (
    '<div id="our-footer" style="background:#eee;padding:8px">Grüße, 10 €,'
    ' <a href="https://shop.example/imprint?a=1&amp;b=2">Imprint</a>'
    ' <a href="[unsubscribe]">Unsubscribe</a></div>'
)
FOOTER_TEXT = "Grüße, 10 €\nUnsubscribe: [unsubscribe]"
_TEXT = "Grüße, 日本語\n\nYour order is at https://shop.example/o?a=1&b=2 (see there).\n"
_BASE = r"https?://[a-z0-9.:\-]+"
_CLICK = re.compile(_BASE + r"/t/c/[0-9a-v]{40,}/([A-Za-z0-9_\-]+)")
_OPEN = re.compile(
    rf'<img src="{_BASE}/t/o/[0-9a-v]{{40,}}\.gif" width="1" height="1" alt="" border="0"'
    r' style="display:block;width:1px;height:1px;margin:-1px 0 0;border:0">'
)
_UNSUBSCRIBE = re.compile(_BASE + r"/u/[0-9a-v]{40,}")
_FOOTER = re.compile(r'\r?\n(<div id="our-footer".*?</div>)\r?\n', re.DOTALL)
_LINK = re.compile(r"<a\b[^>]*?\shref=.https?://", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TOLD_ANEW = {b"content-type", b"content-transfer-encoding"}
_OURS = {
    b"dkim-signature",
    b"feedback-id",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"received",
    b"cfbl-address",
    b"cfbl-feedback-id",
}


@dataclass(frozen=True, slots=True)
class PageMail:
    """A mail; `name` says which page it is, and how it is wrapped."""

    name: str
    address: str
    content: bytes


def page_mails(*, whole: bool) -> list[PageMail]:
    """Every page in every wrapping, or every wrapping once, each with another page."""
    pages = sorted(corpus_path("html").rglob("*.html"))
    if whole:
        chosen = list(itertools.product(pages, WRAPPINGS))
    else:
        step = len(pages) // len(WRAPPINGS)
        chosen = list(zip(pages[::step], WRAPPINGS, strict=False))
    mails = []
    for number, (path, (charset, encoding, nested)) in enumerate(chosen):
        page = _page(path.read_text("utf-8"), picture=nested)
        text = _TEXT if nested or number % 2 else ""
        if encoding == "7bit" and charset != "iso-2022-jp":
            text = text.encode("ascii", "ignore").decode()
        address = f"n{number}@example.net"
        head = (
            f"From: Shop <shop@example.com>\r\nTo: Anna <{address}>\r\nSubject: page {number}\r\n"
            f"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@example.com>\r\n"
        )
        mail = wrap(
            page, charset=charset, encoding=encoding, text=text, nested=nested, head=head.encode()
        )
        shape = "nested" if nested else "alternative" if text else "HTML alone"
        mails.append(
            PageMail(f"{path.stem}, {charset}, {encoding}, {shape}", address, mail.content)
        )
    return mails


def _page(page: str, *, picture: bool) -> str:
    """A template as an application would fill it in."""
    page = re.sub(r"\{\{(\w+_url)\}\}", r"https://shop.example/\1?a=1&amp;copy=2", page)
    page = page.replace("<title>", "<title>Grüße 日本語 ", 1)
    image = '<img src="cid:x" width="32" height="32">' if picture else ""
    page = page.rstrip("\n") + "\n"  # as every client ends what it submits
    return re.sub(r"<(?:h1|td)\b[^>]*>", rf"\g<0>Grüße 日本語 € {image}", page, count=1)


# ------------------------------------------------ what arrived


def differences(before: bytes, after: bytes) -> tuple[list[str], int]:
    """What differs beside the named spans (nothing should), and how many links are tracked."""
    found = _head_differences(before, after)
    was, now = _parsed(before), _parsed(after)
    tracked = 0
    parts, now_parts = list(was.walk()), list(now.walk())
    if len(parts) != len(now_parts):
        return [*found, f"{len(now_parts)} parts instead of {len(parts)}"], 0
    for part, copy in zip(parts, now_parts, strict=True):
        if (part.preamble, part.epilogue) != (copy.preamble, copy.epilogue):
            found.append("preamble or epilogue")
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        if kind not in {"text/html", "text/plain"} or part.get_filename():
            if (part.items(), part.get_payload()) != (copy.items(), copy.get_payload()):
                found.append(f"{kind} is not as it was")
            continue
        old, new = _text(part), _text(copy)
        tracked += len(_CLICK.findall(new))
        found += _html_differences(old, new) if kind == "text/html" else _text_differences(old, new)
    return found, tracked


def _parsed(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.SMTP)


def _octets(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def _text(part: EmailMessage) -> str:
    return _octets(part).decode(part.get_content_charset() or "ascii")


def fields_of(content: bytes) -> list[bytes]:
    """The fields of a head, as they stand there."""
    head = content.partition(b"\r\n\r\n")[0] + b"\r\n"
    return re.findall(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*", head)


def name_of(field: bytes) -> bytes:
    """A field's name in lower case."""
    return field.partition(b":")[0].lower()


def _head_differences(before: bytes, after: bytes) -> list[str]:
    """Ours stand in front; of the others only how the one part is encoded may be told anew."""
    old, new = fields_of(before), fields_of(after)
    ours, same = new[: -len(old)], new[-len(old) :]
    found = [f"a field {one[:60]!r}" for one in ours if name_of(one) not in _OURS]
    for was, now in zip(old, same, strict=True):
        if was != now and not (name_of(was) == name_of(now) and name_of(was) in _TOLD_ANEW):
            found.append(f"{now[:60]!r} instead of {was[:60]!r}")
    return found


def links_back(text: str, *, in_html: bool) -> str:
    """A text with the links as they were, opens and unsubscribe links without their token."""

    def target(match: re.Match[str]) -> str:
        url = base64.urlsafe_b64decode(match[1] + "==").decode()
        return html.escape(url) if in_html else url

    text = _UNSUBSCRIBE.sub("[unsubscribe]", _CLICK.sub(target, text))
    return _OPEN.sub("[open]", text)


def _html_differences(old: str, new: str) -> list[str]:
    found = []
    new, pixels = _OPEN.subn("", new)
    if pixels != 1:
        found.append(f"{pixels} pixels")
    wanted, tracked = len(_LINK.findall(_COMMENT.sub("", old))) + 1, len(_CLICK.findall(new))
    if tracked != wanted:
        found.append(f"{tracked} links of {wanted} tracked")
    new = links_back(new, in_html=True)
    footers = _FOOTER.findall(new)
    if [html.unescape(one) for one in footers] != [html.unescape(FOOTER_HTML)]:
        found.append(f"the footer is {footers}")
    if _FOOTER.sub("", new) != old:
        found.append("HTML beside footer, pixel and links")
    return found


def _text_differences(old: str, new: str) -> list[str]:
    new = links_back(new, in_html=False)
    if not new.startswith(old):
        return ["text before the footer"]
    if new[len(old) :].strip().replace("\r\n", "\n") != FOOTER_TEXT:
        return [f"the text's footer is {new[len(old) :]!r}"]
    return []


# ------------------------------------------------ what people see


@dataclass(frozen=True, slots=True)
class View:
    """The HTML that a mail client shows of a mail, its pictures in it."""

    octets: bytes
    charset: str

    @classmethod
    def of(cls, content: bytes) -> View:
        """Of a whole mail."""
        parts = [part for part in _parsed(content).walk() if not part.is_multipart()]
        (page,) = [part for part in parts if part.get_content_type() == "text/html"]
        octets = _octets(page)
        for part in parts:
            if identity := str(part.get("Content-ID", "")).strip("<>"):
                picture = base64.b64encode(_octets(part))
                octets = octets.replace(
                    b'"cid:%s"' % identity.encode(), b'"data:image/png;base64,%s"' % picture
                )
        return cls(octets, page.get_content_charset() or "us-ascii")

    @property
    def text(self) -> str:
        """What two views of the same page have in common, whatever their charset."""
        return self.octets.decode(self.charset)
