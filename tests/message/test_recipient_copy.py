"""Copies: only what is named changes, in every charset, encoding and nesting (M1, M6, P4, P5)."""

from __future__ import annotations

import html
import os
import re
from dataclasses import replace
from html.parser import HTMLParser

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.copy_plan import (
    CopyFields,
    CopyPlan,
    HeadField,
    OwnTo,
)
from smtpplus.message.edits import Span
from smtpplus.message.headers import parse_head
from smtpplus.message.merge import TooLongError
from smtpplus.message.recipient_copy import Excerpts, Prepared, needed_spans, prepare
from smtpplus.message.structure import scan
from smtpplus.message.tracking_urls import LinkTarget
from smtpplus.values.address import Address
from smtpplus.values.options import MergeSyntax, Utm
from tests.corpora import corpus_path, messages
from tests.message.wrapped import CHARSETS, ENCODINGS, Wrapped, decoded, split, wrap

WHOLE = os.environ.get("SMTPPLUS_TEST_WHOLE_CORPORA") == "1"
ANNA = CopyFields(Address.parse("anna@example.net"), "Anna", {"first": "Anna", "code": "a b"}, 1)
CLICK = "https://t.example/t/c/"
PIXEL = '<img src="https://t.example/t/o/x.gif"'


def click_url(fields: CopyFields, number: int, target: LinkTarget) -> str:
    return f"{CLICK}{fields.delivery_id}-{number}/{target.url.encode().hex()}"


def open_url(fields: CopyFields) -> str:
    return "https://t.example/t/o/x.gif"


def unsubscribe_url(fields: CopyFields) -> str:
    return f"https://t.example/u/{fields.delivery_id}"


EVERYTHING = CopyPlan(
    header_html="<p>Header</p>",
    header_text="Header",
    footer_html="<p>Fuß €</p>",
    footer_text="Footer",
    open_url=open_url,
    click_url=click_url,
    click_text=True,
    own_hosts=frozenset({"t.example"}),
    unsubscribe_url=unsubscribe_url,
    syntaxes=frozenset(MergeSyntax),
    names=frozenset({"first", "code"}),
    own_to=OwnTo.BCC,
)


def prepared(message: Wrapped, plan: CopyPlan = EVERYTHING) -> Prepared:
    return prepare(message.head, message.body, message.structure, plan)


def copied(message: Wrapped, plan: CopyPlan = EVERYTHING, fields: CopyFields = ANNA) -> bytes:
    return prepared(message, plan).copy(fields).content


def of_content(content: bytes) -> Wrapped:
    return Wrapped(content, scan(content))


def texts(content: bytes) -> list[str]:
    """The text of each text part, decoded in its declared charset."""
    found = []
    for part in scan(content).leaves:
        if part.is_text:
            codec = CHARSETS.get(part.charset, part.charset or "ascii")
            found.append(decoded(content, part).decode(codec))
    return found


class _Events(HTMLParser):
    """What a parser of somebody else's sees, without the links' targets."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=False)
        self.seen: list[object] = []
        self.links: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = []
        for name, value in attrs:
            if tag == "a" and name == "href" and (value or "").startswith("http"):
                self.links.append(value or "")
                kept.append((name, "link"))
            else:
                kept.append((name, value or ""))
        self.seen.append((tag, kept))

    def handle_endtag(self, tag: str) -> None:
        self.seen.append(("/", tag))

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    def handle_entityref(self, name: str) -> None:
        self.seen.append(("&", name))

    def handle_charref(self, name: str) -> None:
        self.seen.append(("&#", name))

    def handle_comment(self, data: str) -> None:
        self.seen.append(("!", data))


def without_ours(page: str) -> str:
    """The page after, with what was put in taken out and the links' targets back."""
    for banner in ("\r\n<p>Header</p>\r\n", "\n<p>Header</p>\n"):
        page = page.replace(banner, "", 1)
    page = re.sub(r"\r?\n<p>Fu(?:ß|&#223;) (?:€|&#8364;)</p>\r?\n", "", page, count=1)
    page = re.sub(re.escape(PIXEL) + r"[^>]*>", "", page, count=1)
    return re.sub(
        rf"{CLICK}\d+-\d+/([0-9a-f]+)",
        lambda found: html.escape(bytes.fromhex(found[1]).decode()),
        page,
    )


def pages() -> list[tuple[str, str]]:
    paths = sorted(corpus_path("html").rglob("*.html"))
    if not WHOLE:
        paths = paths[::22]
    made = []
    for path in paths:
        page = path.read_text("utf-8")
        # The templates' own tags: real targets, as an application would write them.
        page = page.replace("<title>", "<title>Grüße 日本語 漢字 ", 1)
        page = re.sub(r"\{\{(\w+_url)\}\}", r"https://shop.example/\1?a=1&amp;copy=2", page)
        made.append((path.name, page))
    return made


class CorpusTest(SynchronousTestCase):
    def check(self, name: str, message: Wrapped, plan: CopyPlan = EVERYTHING) -> None:
        after = copied(message, plan)
        before_texts, after_texts = texts(message.content), texts(after)
        self.assertEqual(len(before_texts), len(after_texts), name)
        for before, now in zip(before_texts, after_texts, strict=True):
            if "<body" not in before.lower():
                continue
            self.assertIn(PIXEL, now, name)
            self.assertIn("<p>Header</p>", now, name)
            self.assertEqual(before, without_ours(now), name)
            was, is_now = _Events(before), _Events(without_ours(now))
            self.assertEqual(was.seen, is_now.seen, name)
            self.assertEqual(was.links, is_now.links, name)
            self.assertEqual(now.count(CLICK), len(was.links), name)
        self.check_lines(name, message.content, after)

    def check_lines(self, name: str, before: bytes, after: bytes) -> None:
        self.assertNotRegex(after, rb"(?<!\r)\n|\r(?!\n)", name)
        lines, old = after.split(b"\r\n"), set(before.split(b"\r\n"))
        longest = max(len(line) for line in lines if line not in old)
        self.assertLessEqual(longest, 998, name)
        in_encoded = [
            line
            for part in scan(after).leaves
            if part.encoding in {"quoted-printable", "base64"}
            for line in after[part.body_start : part.body_end].split(b"\r\n")
        ]
        self.assertLessEqual(max(map(len, in_encoded), default=0), 76, name)

    def test_M6_only_the_named_spans_differ(self) -> None:
        for name, page in pages():
            for number, charset in enumerate(CHARSETS):
                encodings = ENCODINGS if WHOLE else {ENCODINGS[0], ENCODINGS[number % 4]}
                for encoding in sorted(encodings):
                    if encoding == "7bit" and charset not in {"us-ascii", "iso-2022-jp", "utf-8"}:
                        continue
                    message = wrap(page, charset=charset, encoding=encoding)
                    self.check(f"{name} {charset} {encoding}", message)

    def test_M6_nested(self) -> None:
        for name, page in pages()[:: 1 if WHOLE else 3]:
            for encoding in ENCODINGS:
                message = wrap(page, encoding=encoding, nested=True)
                self.check(f"{name} {encoding}", message)
                after = copied(message)
                for old, new in zip(message.structure.parts, scan(after).parts, strict=True):
                    if not new.is_multipart and new.type != "text/html" and new.filename:
                        self.assertEqual(
                            message.content[old.header_start : old.body_end],
                            after[new.header_start : new.body_end],
                        )
                for kept in (
                    b"calendar.example/ [first]",
                    b"epilogue.example/\r\n",
                    b"Preamble [first]",
                ):
                    self.assertEqual(message.content.count(kept), after.count(kept))

    def test_M6_only_lines_with_edits_are_encoded_anew(self) -> None:
        for name, page in pages():
            message = wrap(page, encoding="quoted-printable")
            after = set(copied(message).split(b"\r\n"))
            changed = [line for line in message.body.split(b"\r\n") if line not in after]
            spans = page.count("http") + 4
            self.assertLessEqual(len(changed), 3 * spans, name)

    def test_M1_with_everything_off_nothing_changes(self) -> None:
        for name, content in messages("mime", "bounces"):
            message = of_content(content)
            made = prepare(message.head, message.body, message.structure, CopyPlan())
            self.assertEqual(made.copy(ANNA).content, content, name)
            self.assertTrue(made.is_same_for_all(ANNA))

    def test_M12_any_message_can_be_copied_and_other_parts_stay(self) -> None:
        for name, stored in messages("mime", "bounces"):
            content = stored.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            message = of_content(content)
            made = prepared(message)
            after = made.copy(ANNA).content
            if not made.changes_body:
                self.assertEqual(split(after)[1], message.body, name)
            now = scan(after)
            self.assertEqual(len(now.parts), len(message.structure.parts), name)
            for old, new in zip(message.structure.parts, now.parts, strict=True):
                if old.type not in {"text/plain", "text/html"} and not old.has_children:
                    self.assertEqual(
                        content[old.body_start : old.body_end],
                        after[new.body_start : new.body_end],
                        name,
                    )

    def test_excerpts_give_the_same_copy(self) -> None:
        for name, content in [
            ("nested", wrap("<p>[first] ä</p>", nested=True).content),
            *messages("mime"),
        ]:
            message = of_content(content)
            spans = needed_spans(message.structure, EVERYTHING)
            some = Excerpts({span: content[span[0] : span[1]] for span in spans})
            made = prepare(message.head, some, message.structure, EVERYTHING).copy(ANNA)
            joined = made.head + b"".join(
                content[p.start : p.end] if isinstance(p, Span) else p for p in made.body
            )
            self.assertEqual(joined, copied(message), name)


class HeadTest(SynchronousTestCase):
    HEAD = (
        b"From: Shop <shop@example.com>\r\nTo: Anna\r\n <anna@example.net>\r\n"
        b"Cc: carl@example.net\r\nSubject: Hi\r\n"
    )

    def head(self, plan: CopyPlan, fields: CopyFields = ANNA, head: bytes = b"") -> bytes:
        return split(copied(wrap("<p>x", head=head or self.HEAD), plan, fields))[0]

    def test_P5_who_stands_in_neither_to_nor_cc_finds_the_own_to(self) -> None:
        plan = CopyPlan(own_to=OwnTo.BCC)
        for address in ("anna@example.net", "ANNA@EXAMPLE.NET", "carl@example.net"):
            made = self.head(plan, CopyFields(Address.parse(address)))
            self.assertTrue(made.startswith(self.HEAD), address)
        for number in range(500):
            own = CopyFields(Address.parse(f"bcc{number}@example.net"))
            made = self.head(plan, own)
            expected = self.HEAD.replace(
                b"To: Anna\r\n <anna@example.net>", b"To: bcc%d@example.net" % number
            )
            self.assertTrue(made.startswith(expected), made)

    def test_P5_alone(self) -> None:
        plan = CopyPlan(own_to=OwnTo.ALL)
        made = self.head(plan)
        self.assertIn(b"\r\nTo: Anna <anna@example.net>\r\nSubject", made)
        self.assertNotIn(b"carl", made)

    def test_P5_names_and_addresses(self) -> None:
        plan = CopyPlan(own_to=OwnTo.ALL)
        for name, address, expected in [
            ("Bob", "bob@example.net", b"To: Bob <bob@example.net>\r\n"),
            ('B. "x"\\', "bob@example.net", b'To: "B. \\"x\\"\\\\" <bob@example.net>\r\n'),
            ("Zoë", "zoe@example.net", b"To: =?utf-8?b?Wm/Dqw==?= <zoe@example.net>\r\n"),
            ("a\r\nBcc: x@y.example", "b@c.example", b'To: "a Bcc: x@y.example" <b@c.example>\r\n'),
            (
                "=?utf-8?q?=0aBcc:x?=",
                "b@c.example",
                b"To: =?utf-8?b?PT91dGYtOD9xPz0wYUJjYzp4Pz0=?= <b@c.example>\r\n",
            ),
            ("", "zoë@exämple.net", "To: zoë@exämple.net\r\n".encode()),
            ("", "zoe@exämple.net", b"To: zoe@xn--exmple-cua.net\r\n"),
        ]:
            made = self.head(plan, CopyFields(Address.parse(address), name))
            self.assertIn(b"\r\n" + expected, made)

    def test_P5_missing_repeated_and_unreadable_to(self) -> None:
        own = CopyFields(Address.parse("b@c.example"))
        plan = CopyPlan(own_to=OwnTo.BCC)
        for head, shown in [
            (b"From: a@b.example\r\nSubject: x\r\n", True),
            (
                b"From: a@b.example\r\nTo: x@c.example\r\nto: y@c.example\r\nBcc: z@c.example\r\n",
                True,
            ),
            (b"From: a@b.example\r\nTo: undisclosed-recipients:;\r\n", True),
            (b"From: a@b.example\r\nTo: (((, b@c.example\r\n", False),
            (b"From: a@b.example\r\nTo: ab@c.example; x@y.example\r\n", True),
            (b"From: a@b.example\r\nTo: b@c.example; x@y.example\r\n", False),
            (b'From: a@b.example\r\nTo: "<b@c.example>" <a@c.example>\r\n', True),
            (b"From: a@b.example\r\nTo: (x) a@c.example (B <b@c.example>)\r\n", True),
            (b'From: a@b.example\r\nTo: "B (x)" <b@c.example>\r\n', False),
            (b"From: a@b.example\r\nTo: =?utf-8?q?B?= <B@C.example>\r\n", False),
            (b"From: a@b.example\r\nTo: friends: x@y.example, b@c.example;\r\n", False),
        ]:
            made = self.head(plan, own, head)
            self.assertEqual(b"To: b@c.example\r\n" in made, shown, made)
            if shown:
                self.assertEqual(len(re.findall(rb"(?im)^to:", made)), 1)
                self.assertNotRegex(made, rb"(?im)^bcc:")

    def test_P5_who_is_written_otherwise_in_to_than_in_the_envelope_is_seen(self) -> None:
        plan = CopyPlan(own_to=OwnTo.BCC)
        for to, addresses in (
            ('"ann.lee"@b.example, <Bob@B.example>', ("ann.lee@b.example", '"bob"@b.example')),
            (
                "Doe, J. <j@b\u00fccher.example>",
                ("j@xn--bcher-kva.example", "j@B\u00dcCHER.example"),
            ),
            ('"a\\b"@b.example', ("ab@b.example", '"ab"@b.example')),
        ):
            head = f"From: a@b.example\r\nTo: {to}\r\n".encode()
            for address in addresses:
                made = self.head(plan, CopyFields(Address.parse(address)), head)
                self.assertTrue(made.startswith(head), address)

    def test_fields_stand_there_once(self) -> None:
        head = (
            self.HEAD
            + b"List-Unsubscribe: <https://x.example/>\r\nFeedback-ID: a\r\nfeedback-id: b\r\n"
        )
        plan = CopyPlan(
            head=(
                HeadField("List-Unsubscribe", lambda fields: "<https://ours.example/>", keep=True),
                HeadField("Feedback-ID", "x:y:z"),
                HeadField("Precedence", "list"),
                HeadField("X-Bad", "a\r\nBcc: x@y.example"),
            ),
            head_cuts=frozenset({"cc"}),
        )
        made = self.head(plan, head=head)
        self.assertEqual(made.count(b"List-Unsubscribe: <https://x.example/>\r\n"), 1)
        self.assertNotIn(b"ours", made)
        self.assertEqual(re.findall(rb"(?im)^feedback-id: .*", made), [b"Feedback-ID: x:y:z\r"])
        self.assertIn(b"Precedence: list\r\nX-Bad: a Bcc: x@y.example\r\n\r\n", made)
        self.assertNotIn(b"Cc:", made)

    def test_long_fields_are_folded(self) -> None:
        url = "<https://t.example/u/" + "x" * 60 + ">"
        plan = CopyPlan(head=(HeadField("List-Unsubscribe", f"{url}, <mailto:u@t.example>"),))
        made = self.head(plan)
        self.assertIn(f"List-Unsubscribe: {url},\r\n <mailto:u@t.example>\r\n".encode(), made)

    def test_merge_tags_in_subject_and_names(self) -> None:
        head = (
            b"From: =?utf-8?q?Shop_=5Bcity=5D?= <shop@example.com>\r\nTo: *|FIRST|* <a@b.example>\r\n"
            b"Subject: =?utf-8?q?F=C3=BCr_=5Bfirst=5D?= -code- [what] %recipient.code%\r\n"
        )
        plan = replace(
            EVERYTHING,
            fields={"city": "Köln"},
            names=frozenset({"first", "code", "-code-"}),
        )
        fields = CopyFields(
            ANNA.address, "", {"first": "Änne", "-code-": "1\r\nBcc: x", "code": "7"}
        )
        message = wrap("<p>x", head=head)
        made = prepared(message, plan)
        copy = split(made.copy(fields).content)[0]
        shown = {field.lower: field.text for field in parse_head(copy)}
        self.assertEqual(shown["subject"], "Für Änne 1 Bcc: x [what] 7")
        self.assertEqual(shown["from"], "Shop Köln <shop@example.com>")
        self.assertNotIn(b"\r\nBcc", copy)
        self.assertEqual(made.unknown_tags, ("[what]",))

    def test_P5_merge_tags_in_the_name_of_the_own_to(self) -> None:
        head = b'From: a@b.example\r\nTo: "[first] *|LAST|* [what]" <anna@example.net>\r\n'
        plan = CopyPlan(
            own_to=OwnTo.ALL, syntaxes=frozenset(MergeSyntax), names=frozenset({"first", "last"})
        )
        named = "[first] *|LAST|* [what]"  # as it is read from To
        fields = CopyFields(ANNA.address, named, {"first": "Anna, <x>", "last": "\r\nBcc: x"})
        self.assertIn(
            b'\r\nTo: "Anna, <x>  Bcc: x [what]" <anna@example.net>\r\n',
            self.head(plan, fields, head),
        )


class BodyTest(SynchronousTestCase):
    def page(self, page: str, plan: CopyPlan = EVERYTHING, fields: CopyFields = ANNA) -> str:
        return texts(copied(wrap(page), plan, fields))[0]

    def test_links_that_stay(self) -> None:
        plan = CopyPlan(click_url=click_url, own_hosts=frozenset({"t.example"}))
        for link in [
            '<a href="mailto:a@b.example">x</a>',
            '<a href="tel:1">x</a>',
            '<a href="cid:1">x</a>',
            '<a href="data:text/html,x">x</a>',
            '<a href="#x">x</a>',
            '<a href="javascript:x">x</a>',
            '<a href="/x">x</a>',
            '<a href="//x.example/">x</a>',
            '<a href="">x</a>',
            "<a href>x</a>",
            '<a href="https://">x</a>',
            '<a href="HTTPS://T.EXAMPLE/x">x</a>',
            '<a href="https://x@t.example:443/x">x</a>',
            '<a data-notrack href="https://x.example/">x</a>',
            '<a href="https://x.example/" data-pm-no-track>x</a>',
            "<a href=https://x.example/ clicktracking=off>x</a>",
            '<a href="https://x.example/unsubscribe?x">x</a>',
            '<a href="https://x.example/">Click to <b>unsubscribe</b></a>',
            '<a href="https://x.example/u">Hier abmelden</a>',
            '<!-- <a href="https://x.example/">x</a> -->',
            '<!--[if mso]><a href="https://x.example/">x</a><![endif]-->',
            "<script>\"<a href='https://x.example/'>\"</script>",
            '<style><a href="https://x.example/"></style>',
            '<textarea><a href="https://x.example/"></textarea>',
            '<![CDATA[<a href="https://x.example/">x</a>]]>',
            "<img alt=\"<a href='https://x.example/'>\">",
            '<link href="https://x.example/">',
            '<a xhref="https://x.example/">x</a>',
            '<a href="https://x.example/',
        ]:
            page = f"<body><p>{link}"
            self.assertEqual(self.page(page, plan), page)

    def test_M6_where_a_link_in_plain_text_ends_beside_letters_of_others(self) -> None:
        plan = CopyPlan(click_url=click_url, click_text=True)
        url = "https://ex.example/a"
        for before, behind, charsets in (
            ("Voir ", "\xa0!", ("utf-8", "iso-8859-1")),
            ("请访问", "，谢谢您的订单。订单号为123。", ("utf-8", "gb18030", "gb2312")),  # noqa: RUF001
            ("“", "” …", ("utf-8", "windows-1252")),
            ("(", "…", ("utf-8",)),
            ("", "\u2028x", ("utf-8",)),
        ):
            for charset in charsets:
                for encoding in ("quoted-printable", "base64", "8bit"):
                    text = f"{before}{url}{behind}\n"
                    message = wrap("<p>x", text=text, charset=charset, encoding=encoding)
                    after = texts(copied(message, plan))[0]
                    made = re.fullmatch(
                        rf"{re.escape(before)}{CLICK}1-1/([0-9a-f]+){re.escape(behind)}\s*", after
                    )
                    assert made is not None, (charset, encoding, after)
                    self.assertEqual(bytes.fromhex(made[1]).decode(), url)

    def test_M6_a_link_that_goes_on_in_letters_of_others_stays(self) -> None:
        plan = CopyPlan(click_url=click_url, click_text=True)
        for path in ("à-propos", "a/подход/цена", "x.é", "商品"):
            text = f"https://ex.example/{path} and more\n"
            message = wrap("<p>x", text=text)
            self.assertEqual(texts(copied(message, plan))[0].strip(), text.strip())
        page = "<a href=https://ex.example/à-propos>x</a>"
        made = re.search(rf"{CLICK}1-1/([0-9a-f]+)>x", self.page(page, plan))
        assert made is not None
        self.assertEqual(bytes.fromhex(made[1]).decode(), "https://ex.example/%C3%A0-propos")

    def test_links_of_one_kind_of_part_alone(self) -> None:
        message = wrap('<a href="https://ex.example/h">x</a>', text="https://ex.example/t\n")
        for html_too, text_too in ((True, False), (False, True), (True, True), (False, False)):
            plan = CopyPlan(
                click_url=click_url,
                click_html=html_too,
                click_text=text_too,
                footer_html='<a href="https://ex.example/f">f</a>',
                footer_text="https://ex.example/f",
            )
            plain, page = texts(copied(message, plan))
            self.assertEqual(plain.count(CLICK), 2 * text_too)
            self.assertEqual(page.count(CLICK), 2 * html_too)

    def test_W4_a_link_that_no_person_sees(self) -> None:
        page = "<body><a href='https://ex.example/'>x</a></body>"
        for clicks in (True, False):
            plan = CopyPlan(
                click_url=click_url,
                click_html=clicks,
                click_text=True,
                honeypot=LinkTarget.of("https://t.example/"),
            )
            message = wrap(page, text="https://ex.example/")
            made = prepared(message, plan)
            plain, after = texts(made.copy(ANNA).content)
            hidden = re.findall(rf'<a style="display:none"[^>]*href="{CLICK}1-65535/', after)
            self.assertEqual(len(hidden), clicks)
            self.assertNotIn("65535", plain)
            self.assertEqual(len(made.links), 1 + clicks)  # it is not counted

    def test_links_that_are_followed(self) -> None:
        plan = CopyPlan(click_url=click_url)
        for link, target in [
            (
                '<a href="https://x.example/?a=1&amp;b=2&copy=3&lt;">x</a>',
                "https://x.example/?a=1&b=2&copy=3%3C",
            ),
            ("<A\nTITLE='a>b' HREF = ' http://x.example/\t'>x</A>", "http://x.example/"),
            ("<a href=https://x.example/?a=b>x</a>", "https://x.example/?a=b"),
            ('<area href="https://x.example/a b">', "https://x.example/a%20b"),
            (
                '<a href="https://ex\u00e4mple.net/\u00e4#\u00f6">x</a>',
                "https://xn--exmple-cua.net/%C3%A4#%C3%B6",
            ),
            (
                '<!--[if !mso]><!--><a href="https://x.example/">x</a><!--<![endif]-->',
                "https://x.example/",
            ),
            ('<!--><a href="https://x.example/">x</a>', "https://x.example/"),
            ('<a href="https://x.example/" href="https://y.example/">x</a>', "https://x.example/"),
            ("<a href='https://x.example/'title=x>x</a>", "https://x.example/"),
            ('<a href="&#104;ttps://x.example/">x</a>', "https://x.example/"),
            ('<a href="https&colon;&sol;&sol;x&period;example&sol;">x</a>', "https://x.example/"),
        ]:
            page = f"<body><p>{link}</body>"
            made = self.page(page, plan)
            self.assertEqual(made.count(CLICK), 1, page)
            self.assertIn(f"{CLICK}1-1/{target.encode().hex()}", made, page)
            self.assertEqual(prepared(wrap(page), plan).links, (target,))

    def test_merge_before_the_link_is_signed(self) -> None:
        page = '<a href="https://x.example/[code]?x=*|first|*#[what]">x</a><a href="[url]">y</a>'
        plan = replace(EVERYTHING, names=frozenset({"first", "code", "url"}))
        for url, expected in [
            ("https://y.example/?a=1&b=2", CLICK + "1-2/" + b"https://y.example/?a=1&b=2".hex()),
            ("javascript:alert(1)", "javascript%3Aalert(1)"),
            ("mailto:a@b.example", "mailto:a@b.example"),
            ('"><script>', "%22%3E%3Cscript%3E"),
        ]:
            fields = CopyFields(ANNA.address, "", {"code": "a/b ä", "first": '"', "url": url}, 1)
            made = self.page(page, plan, fields)
            target = "https://x.example/a%2Fb%20%C3%A4?x=%22#[what]"
            self.assertIn(f'href="{CLICK}1-1/{target.encode().hex()}"', made)
            self.assertIn(f'href="{expected}"', made)

    def test_merge_values_are_escaped_for_their_place(self) -> None:
        page = (
            "<head><style>a[first]{}</style><title>[first]</title></head><body title='[first]'>"
            "[first] *|FIRST|* %recipient.first% -x- [raw] <img alt=[first] src='https://x.example/?[first]'>"
            "<!-- [first] --><!--[if mso]>[first]<![endif]--><script>[first]</script>"
        )
        plan = CopyPlan(
            syntaxes=frozenset(MergeSyntax),
            names=frozenset({"first", "raw"}),
            fields={"-x-": "X", "raw": "<b>"},
            unescaped=frozenset({"raw"}),
        )
        made = self.page(page, plan, CopyFields(ANNA.address, "", {"first": "<'\" &="}))
        text = "&lt;&#x27;&quot; &amp;="
        self.assertEqual(
            made,
            f"<head><style>a[first]{{}}</style><title>{text}</title></head><body title='{text}'>"
            f"{text} {text} {text} X <b> <img alt=&lt;&#x27;&quot;&#32;&amp;&#61; "
            "src='https://x.example/?%3C%27%22%20%26%3D'>"
            f"<!-- [first] --><!--[if mso]>{text}<![endif]--><script>[first]</script>",
        )

    def test_a_value_behind_an_angle_bracket_begins_no_tag(self) -> None:
        plan = CopyPlan(syntaxes=frozenset({MergeSyntax.BRACKETS}), names=frozenset({"n", "raw"}))
        plan = replace(plan, unescaped=frozenset({"raw"}))
        for value, shown in [
            ("img src=x onerror=f()", "&#105;mg src=x onerror=f()"),
            ("/p", "&#47;p"),
            ("!--", "&#33;--"),
            ("<b>", "&lt;b&gt;"),
            ("", ""),
        ]:
            fields = CopyFields(ANNA.address, "", {"n": value, "raw": "<b>"})
            made = self.page("<body>Anna <[n]> </[n]> a/[n] x/[raw]", plan, fields)
            as_usual = html.escape(value)
            self.assertEqual(made, f"<body>Anna <{shown}> </[n]> a/{as_usual} x/<b>")

    def test_a_value_behind_an_angle_bracket_and_empty_tags_begins_no_tag(self) -> None:
        names = frozenset({"n", "no", "other"})
        plan = CopyPlan(syntaxes=frozenset({MergeSyntax.BRACKETS}), names=names, open_tag="%open%")
        values = {"n": "img src=x ", "no": "", "other": "b"}
        for before, shown in [
            ("<[no]", "<&#105;mg src=x "),
            ("<%open%[no]", "<&#105;mg src=x "),
            ("<[no][email][no]", f"<&#97;{str(ANNA.address)[1:]}&#105;mg src=x "),
            ("<[no] [no]", "< img src=x "),
            ("[no]", "img src=x "),
            ("a[other]", "abimg src=x "),
        ]:
            made = self.page(f"<p>{before}[n]b", plan, CopyFields(ANNA.address, "", values))
            self.assertEqual(made, f"<p>{shown}b")
        # In another part, a tag where the row of the one before ended is in no row.
        plan = replace(plan, footer_html="12345[n]", header_html="<[no]")
        made = self.page("<p>x", plan, CopyFields(ANNA.address, "", values))
        self.assertIn("12345img src=x ", made)

    def test_R5_values_that_make_a_copy_huge_are_an_error(self) -> None:
        """A small message may name a long value in thousands of places, in any of its parts."""
        page, value = "[v]", "x" * 100_000
        many = CopyFields(ANNA.address, "", {"v": value})
        part = b"--b\r\nContent-Type: text/plain\r\n\r\n" + b"[email] " * 1_000 + b"\r\n"
        long = CopyFields(Address.parse("a" * 64 + "@" + "b.example" * 20))
        head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        parts = head + part * 100 + b"--b--\r\n"
        named = head + part.replace(b"[email] " * 1_000, b"[v]" * 2) * 100 + b"--b--\r\n"
        syntaxes = frozenset({MergeSyntax.BRACKETS})
        own = CopyPlan(syntaxes=syntaxes, names=frozenset({"v"}))
        shared = CopyPlan(syntaxes=syntaxes, fields={"v": value})
        self.assertIn(value * 40, self.page(page * 40, own, many))
        self.assertIn(value * 40, self.page(page * 40, shared))
        for message, plan, fields in (
            (wrap(page * 42), own, many),
            (wrap(page * 20_000), own, many),
            (wrap("x", head=b"Subject: " + page.encode() * 42 + b"\r\n"), own, many),
            (wrap(page * 42), shared, ANNA),
            (wrap("x", head=b"Subject: " + page.encode() * 42 + b"\r\n"), shared, ANNA),
            (of_content(parts), own, long),
            (of_content(named), own, many),
            (of_content(named), shared, ANNA),
        ):
            with self.assertRaises(TooLongError):
                copied(message, plan, fields)

    def test_where_a_value_could_run_or_load_something_the_tag_stays(self) -> None:
        """No escaping makes a value harmless there: an attribute's references are decoded first."""
        values = {"n": "');alert(1)//", "c": "url(https://evil.example/)"}
        plan = CopyPlan(
            syntaxes=frozenset(MergeSyntax), names=frozenset(values), unescaped=frozenset({"*"})
        )
        for page in (
            "<p onclick=\"f('[n]')\">x",
            "<p ONMouseOver=f('[n]')>x",
            "<p/onclick='[n]'/>x",
            '<svg/onload="[n]">',
            '<p style="color:[c]">x',
            "<p STYLE = 'color:*|c|*'>x",
            "<td style=color:%recipient.c%>x",
            '<iframe srcdoc="[n]"></iframe>',
            "<script>f('[n]')</script>",
            "<style>p { background: [c] }</style>",
            "<!--[if mso]><td style='color:[c]'><![endif]-->",
        ):
            message = wrap(f"<body>{page}</body>")
            made = prepared(message, plan)
            self.assertIn(page, texts(made.copy(CopyFields(ANNA.address, "", values)).content)[0])
            self.assertEqual(len(made.unknown_tags), 1, page)
        self.assertIn(
            f'<p title="{html.escape(values["n"])}" data-on="x">',
            self.page(
                '<p title="[n]" data-on="x">',
                replace(plan, unescaped=frozenset()),
                CopyFields(ANNA.address, "", values),
            ),
        )

    def test_what_looks_like_a_tag_in_a_script_or_style_is_not_told_of(self) -> None:
        plan = CopyPlan(syntaxes=frozenset(MergeSyntax), names=frozenset({"n"}))
        page = "<script>a[index]</script><style>a[href]{}</style><p onclick='a[index]'><!-- [n] -->"
        self.assertEqual(prepared(wrap(page), plan).unknown_tags, ())

    def test_values_that_are_html_or_parts_of_a_url_go_in_as_they_are_where_it_is_said(
        self,
    ) -> None:
        page = (
            '<p>-rows-</p><a href="https://x.example/-path-">x</a><img src="/-path-" alt="-rows-">'
        )
        values = {"-rows-": "A<br>&amp;", "-path-": 'orders/1?a=b&c=" x'}
        escaped = "A&lt;br&gt;&amp;amp;"
        for unescaped, rows, path in (
            ((), escaped, "orders%2F1%3Fa%3Db%26c%3D%22%20x"),
            (("-rows-",), "A<br>&amp;", "orders%2F1%3Fa%3Db%26c%3D%22%20x"),
            (("*",), "A<br>&amp;", "orders/1?a=b&amp;c=%22%20x"),
        ):
            plan = CopyPlan(
                syntaxes=frozenset({MergeSyntax.DASHES}),
                names=frozenset(values),
                unescaped=frozenset(unescaped),
            )
            made = self.page(page, plan, CopyFields(ANNA.address, "", values))
            expected = (
                f'<p>{rows}</p><a href="https://x.example/{path}">x</a>'
                f'<img src="/{path}" alt="{escaped}">'
            )
            self.assertEqual(made, expected, unescaped)

    def test_P2_a_name_is_the_same_in_upper_and_lower_case_whoever_says_it(self) -> None:
        page = "<p>[first] [FIRST] *|First|* [last] -X- -x-"
        plan = CopyPlan(
            syntaxes=frozenset(MergeSyntax),
            fields={"FIRST": "friend", "Last": "L"},
            names=frozenset({"first", "First", "LAST", "-x-", "-X-"}),
        )
        for values, expected in (
            ({}, "friend friend friend L -X- -x-"),
            ({"first": "Ann"}, "Ann Ann Ann L -X- -x-"),
            ({"First": "Bob", "LAST": "Lee"}, "Bob Bob Bob Lee -X- -x-"),
            ({"first": "a", "First": "b", "-x-": "1"}, "a b b L -X- 1"),
            ({"-X-": "2"}, "friend friend friend L 2 -x-"),
        ):
            made = self.page(page, plan, CopyFields(ANNA.address, "", values))
            self.assertEqual(made, f"<p>{expected}", values)

    def test_P2_every_name_that_a_field_may_have_can_be_written_in_brackets(self) -> None:
        long = "n" * 100
        names = ("Nome dell'utente", "Tom & Jerry", "citt\u00e0", 'so "called"', "a=b", long)
        plan = CopyPlan(
            syntaxes=frozenset({MergeSyntax.BRACKETS}),
            fields={name: str(number) for number, name in enumerate(names)},
        )
        page = (
            "<p>[Nome dell'utente] [Tom &amp; Jerry] [TOM & JERRY] [citt\u00e0] [citt&agrave;]"
            f" [so &quot;called&quot;] [a=b] [{long}] <a title='[so' called=']'>[Tom &lt; Jerry]"
        )
        self.assertEqual(
            self.page(page, plan), "<p>0 1 1 2 2 3 4 5 <a title='[so' called=']'>[Tom &lt; Jerry]"
        )

    def test_P2_a_tag_inside_of_what_is_none_is_found(self) -> None:
        plan = CopyPlan(
            syntaxes=frozenset(MergeSyntax),
            fields={"name": "Ann", "-x-": "1"},
            unsubscribe_url=unsubscribe_url,
        )
        page = "<p>[*|NAME|*] [for [name]] [%recipient.name%, -x-] [leave: *|UNSUB|*]"
        made = self.page(page, plan)
        self.assertEqual(made, "<p>[Ann] [for Ann] [Ann, 1] [leave: https://t.example/u/1]")

    def test_P2_only_the_keys_of_a_message_are_tags_as_they_stand(self) -> None:
        page = '<p>Confirm your email, name -x-</p><input type="email" name="name">'
        plan = CopyPlan(syntaxes=frozenset({MergeSyntax.DASHES}), names=frozenset({"-x-"}))
        made = self.page(page, plan, CopyFields(ANNA.address, "Anna", {"-x-": "1"}))
        self.assertEqual(made, page.replace("-x-", "1"))

    def test_the_recipients_own_address_and_name(self) -> None:
        page = "<p>[email] [name] *|NAME|* data[name]</p>"
        plan = CopyPlan(syntaxes=frozenset({MergeSyntax.BRACKETS, MergeSyntax.MANDRILL}))
        for plan_fields, name, expected in (
            ({}, "Ann & Co", "Ann &amp; Co"),
            ({"name": "you"}, "Ann & Co", "you"),
            ({"name": "you"}, "", "you"),
        ):
            made = self.page(
                page, replace(plan, fields=plan_fields), CopyFields(ANNA.address, name)
            )
            shown = f"<p>anna@example.net {expected} {expected} data{expected}</p>"
            self.assertEqual(made, shown, (plan_fields, name))
        made = self.page(page, plan, CopyFields(ANNA.address))
        self.assertEqual(made, page.replace("[email]", "anna@example.net"))  # a name stays a tag
        plan = CopyPlan(footer_html="<p>Hello [name]!</p>")
        self.assertIn("<p>Hello !</p>", self.page("<p>x", plan, CopyFields(ANNA.address)))

    def test_unsubscribe_and_open_tags(self) -> None:
        url = "https://t.example/u/1"
        for tag, expected in [
            ('<a href="[unsubscribe]">x</a>', f'<a href="{url}">x</a>'),
            ("<a href='*|UNSUB:https://x.example/|*'>x</a>", f"<a href='{url}'>x</a>"),
            ('<a href="<%unsubscribe%>">x</a>', f'<a href="{url}">x</a>'),
            ('<a href="{{{ pm:unsubscribe }}}">x</a>', f'<a href="{url}">x</a>'),
            ('<a href="{{amazonSESUnsubscribeUrl}}">x</a>', f'<a href="{url}">x</a>'),
            ('<a href="%unsubscribe_url%">x</a>', f'<a href="{url}">x</a>'),
            ("[unsubscribe]", f'<a href="{url}">Unsubscribe</a>'),
            ("%unsubscribe_url%", url),
            # As editors and programs write them that take them for an address.
            ('<a href="http://[unsubscribe]">x</a>', f'<a href="{url}">x</a>'),
            ('<a href="%5Bunsubscribe%5D">x</a>', f'<a href="{url}">x</a>'),
            ("<a href=https://%5BUNSUBSCRIBE%5D>x</a>", f"<a href={url}>x</a>"),
            ('<a href="http://*%7CUNSUB%7C*">x</a>', f'<a href="{url}">x</a>'),
            ('<a href="http://%3C%25unsubscribe%25%3E">x</a>', f'<a href="{url}">x</a>'),
            ('<a href="%7B%7Bunsubscribe%7D%7D">x</a>', f'<a href="{url}">x</a>'),
            ('<a href="%7B%7B%7B%20pm:unsubscribe%20%7D%7D%7D">x</a>', f'<a href="{url}">x</a>'),
            ('<a href="http://%25unsubscribe_url%25">x</a>', f'<a href="{url}">x</a>'),
        ]:
            plan = replace(EVERYTHING, header_html="", footer_html="", open_tag="<%open%>")
            made = self.page(f"<body><p>{tag} <%open%> <%open%></body>", plan)
            pixel = re.search(r"<img[^>]*>", made)
            assert pixel is not None
            self.assertEqual(made, f"<body><p>{expected} {pixel[0]} </body>")

    def test_subscription_text_is_added_once(self) -> None:
        plan = CopyPlan(
            unsubscribe_url=unsubscribe_url,
            unsubscribe_html="<p>No more? <% Leave %></p>",
            unsubscribe_text="No more? <% Leave: %>",
        )
        made = texts(copied(wrap("<body><p>x</body>", text="x\n"), plan))
        self.assertIn('<p>No more? <a href="https://t.example/u/1">Leave</a></p>', made[1])
        self.assertEqual(made[0], "x\r\n\r\nNo more? Leave: https://t.example/u/1\r\n")
        made = texts(copied(wrap("<body>[unsubscribe]</body>", text="[unsubscribe]"), plan))
        self.assertNotIn("No more", "".join(made))
        made = texts(copied(wrap("<p>x", text="out: http://[unsubscribe].\n"), EVERYTHING))
        self.assertIn("out: https://t.example/u/1.\r\n", made[0])

    def test_utm(self) -> None:
        plan = CopyPlan(utm=Utm(source="a b", campaign="ü", domains=("x.example",)))
        for before, after in [
            ("https://x.example/", "https://x.example/?utm_source=a+b&amp;utm_campaign=%C3%BC"),
            (
                "https://www.x.example/?b#f",
                "https://www.x.example/?b&amp;utm_source=a+b&amp;utm_campaign=%C3%BC#f",
            ),
            (
                "https://x.example/?utm_source=z",
                "https://x.example/?utm_source=z&amp;utm_campaign=%C3%BC",
            ),
            ("https://x.example/?UTM_source=z&amp;utm_campaign=q", None),
            ("https://notx.example/", None),
        ]:
            made = self.page(f'<a href="{before}">x</a>', plan)
            self.assertEqual(made, f'<a href="{after or before}">x</a>')

    def test_text_links(self) -> None:
        plan = CopyPlan(click_url=click_url, click_text=True)
        text = "See https://x.example/a_(b). (http://y.example/?q=1) <https://z.example/> xhttps://no.example\n"
        made = texts(copied(wrap("<p>x", text=text), plan))[0]
        found = [bytes.fromhex(t).decode() for t in re.findall(rf"{CLICK}1-\d/([0-9a-f]+)", made)]
        self.assertEqual(
            found, ["https://x.example/a_(b)", "http://y.example/?q=1", "https://z.example/"]
        )
        self.assertRegex(made, r"^See \S+\. \(\S+\) <\S+> xhttps://no.example\r\n$")
        off = replace(plan, click_text=False)
        self.assertEqual(texts(copied(wrap("<p>x", text=text), off))[0], text.replace("\n", "\r\n"))

    def test_M6_marks_behind_a_text_link_are_not_its_own_but_what_a_token_may_end_in(self) -> None:
        plan = CopyPlan(click_url=click_url, click_text=True)
        for text, target in [
            ("Reset: https://x.example/?t=aBc_", "https://x.example/?t=aBc_"),
            ("https://x.example/?t=aBc_.", "https://x.example/?t=aBc_"),
            ("https://x.example/a*", "https://x.example/a"),
            ("*See https://x.example/a* ok", "https://x.example/a"),
            ("'at https://x.example/a'", "https://x.example/a"),
            ("| https://x.example/a|", "https://x.example/a"),
            ("`GET https://x.example/a`", "https://x.example/a"),
            ("https://x.example/~", "https://x.example/~"),
            ("~~https://x.example/a~~", "https://x.example/a"),
            ("_https://x.example/a_", "https://x.example/a"),
            ("**https://x.example/a**,", "https://x.example/a"),
            ("'https://x.example/a'.", "https://x.example/a"),
            ("(_https://x.example/a__)", "https://x.example/a"),
            ("Run `https://x.example/a`.", "https://x.example/a"),
        ]:
            made = prepared(wrap("<p>x", text=text), plan)
            self.assertEqual(made.links, (target,), text)
            before, after = text.split(target)
            shown = texts(made.copy(ANNA).content)[0]
            self.assertTrue(shown.startswith(before) and shown.rstrip().endswith(after), shown)

    def test_unquoted_url_stays_quoted_printable(self) -> None:
        head = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        content = b"From: a@b.example\r\nMIME-Version: 1.0\r\n" + head
        for body in (
            b"<a href=https://x.example/>x</a>",  # the sign is not escaped
            b'<a \r\nhref=3D"https://x.=\r\nexample/"   \r\n>x</a>',
            b"x" * 64 + b'<a href=3D"https://x.example/">x</a>',
            b"x" * 67 + b"<a href=3Dhttps://x.example/>x</a>",
            b"a \t\r\n<a href=3D'https://x.example/'>x</a>  ",
        ):
            message = of_content(content + body)
            after = copied(message, CopyPlan(click_url=click_url))
            self.assertEqual(without_ours(texts(after)[0]), texts(message.content)[0], body)
            self.assertLessEqual(max(map(len, after.split(b"\r\n"))), 78)


class LeftAloneTest(SynchronousTestCase):
    def test_reasons(self) -> None:
        top = b"From: a@b.example\r\nMIME-Version: 1.0\r\n"
        text = b"Content-Type: text/plain\r\n\r\nHello [first]\r\n"
        for rest, reason in [
            (
                b'Content-Type: multipart/signed; boundary=b; protocol="application/pgp-signature"\r\n\r\n--b\r\n'
                + text
                + b"\r\n--b--\r\n",
                "signed",
            ),
            (
                b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n"
                + text
                + b"\r\n--b--\r\n",
                "encrypted",
            ),
            (b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nxx", "S/MIME"),
            (
                b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
                + text
                + b"\r\n--b\r\nContent-Type: application/ms-tnef\r\n\r\nx\r\n--b--\r\n",
                "TNEF",
            ),
            (b"Content-Type: text/plain\r\n\r\nHi\r\n-----BEGIN PGP MESSAGE-----\r\nx\r\n", "PGP"),
            (b"Content-Type: text/plain; charset=x-odd\r\n\r\nHi [first]", "x-odd"),
            (b"Content-Type: text/plain; charset=utf-7\r\n\r\nHi [first]", "utf-7"),
            (
                b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nHi",
                "x-uuencode",
            ),
            (
                b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nSG=k!",
                "damaged",
            ),
            (b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\nHi \x1b$B\xff", "not valid"),
            (b"Content-Type: text/html; charset=iso-2022-jp\r\n\r\n\x1b$B%F%9%H", "not valid"),
            (b"Content-Type: text/plain; charset=hz-gb-2312\r\n\r\n~{VPND", "not valid"),
            (b"Content-Type: text/plain; name=a.txt\r\n\r\nHi [first]", "attachment"),
            (
                b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
                + text
                + b"\r\n--b--\r\n",
                "report",
            ),
            (b"Content-Type: text/html\r\n\r\n" + b"x" * (2 * 1024 * 1024 + 1), "longer"),
        ]:
            message = of_content(top + rest)
            made = prepared(message, replace(EVERYTHING, own_to=OwnTo.OFF))
            self.assertFalse(made.changes_body, reason)
            self.assertEqual(made.copy(ANNA).content, message.content, reason)
            self.assertTrue(
                any(reason in left.reason for left in made.left_alone), (reason, made.left_alone)
            )


class BombTest(SynchronousTestCase):
    def test_M4_bombs_are_left_alone_or_taken_as_they_are(self) -> None:
        top = b"From: a@b.example\r\nIn-Reply-To: <x@y.example>\r\nMIME-Version: 1.0\r\n"
        for kind, encoding, unit, reason in [
            (b"html", b"7bit", b"<", "elements"),
            (b"html", b"8bit", b"<a href='https://x.example/'>x</a>", "elements"),
            (b"html", b"7bit", b"[first]", "tags"),
            (b"plain", b"7bit", b"*|first|*", "tags"),
            (b"html", b"7bit", b"<!--[if mso]>"[:5] + b"x", "elements"),
            (b"html", b"7bit", b'x <a href="', "elements"),
            (b"plain", b"7bit", b"> x\r\n", ""),
            (b"plain", b"7bit", b"https://x.example/)))) ", ""),
            (b"html", b"quoted-printable", b" " * 500 + b"x=", ""),
            (b"html", b"quoted-printable", b"=C3=A4 <a href=3D'https://x.example/'>x</a>", ""),
            (b"html", b"quoted-printable", b"=\r\n", ""),
            (b"html", b"base64", b"PGI+" * 700_000, "longer"),
        ]:
            body = (unit * (1_000_000 // len(unit) + 1))[: max(1_000_000, len(unit))]
            message = of_content(
                top
                + b"Content-Type: text/%s; charset=utf-8\r\n" % kind
                + b"Content-Transfer-Encoding: %s\r\n\r\n" % encoding
                + body
            )
            made = prepared(message)
            made.copy(ANNA)
            self.assertEqual(
                [reason in left.reason for left in made.left_alone], [True] * bool(reason)
            )
            self.assertLessEqual(len(made.links), 5_000)
