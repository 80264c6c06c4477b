"""Header and footer: where they go in pages and texts of every kind (P4)."""

from __future__ import annotations

import base64
import html
import random
import re
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.copy_plan import CopyFields, CopyPlan
from smtpplus.message.edits import Span
from smtpplus.message.header_footer import fragment
from smtpplus.message.html_signatures import signature_start
from smtpplus.message.html_spans import html_spans
from smtpplus.message.recipient_copy import Excerpts, needed_spans, prepare
from smtpplus.message.structure import scan
from smtpplus.message.token import TokenFacts, Tokens
from smtpplus.message.tracking_urls import LinkTarget, click_url, open_url, read_click
from smtpplus.values.address import Address
from smtpplus.values.options import MergeSyntax
from tests.message.test_recipient_copy import (
    ANNA,
    EVERYTHING,
    copied,
    of_content,
    pages,
    prepared,
    texts,
)
from tests.message.wrapped import decoded, split, wrap

PLAN = CopyPlan(header_html="[H]", header_text="[H]", footer_html="[F]", footer_text="[F]")
REPLY = b"From: a@b.example\r\nTo: c@d.example\r\nSubject: Re: x\r\nIn-Reply-To: <x@y.example>\r\n"


_OUTLOOK = """<html><head><style><!--
p.MsoNormal {margin:0cm; font-size:11.0pt;}
--></style></head><body lang=EN-US link="#0563C1" style='word-wrap:break-word'><div class=WordSection1>
<p class=MsoNormal>Yes.<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p>
<div><p class=MsoNormal><a name="_MailAutoSig"><span style='mso-no-proof:yes'>Regards,<o:p></o:p></span></a></p>
<p class=MsoNormal>Ann<o:p></o:p></p></div><p class=MsoNormal><o:p>&nbsp;</o:p></p>
<div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'>
<p class=MsoNormal><b>From:</b> Bob &lt;bob@example.net&gt;<br><b>Sent:</b> Monday<o:p></o:p></p></div></div>
<p class=MsoNormal>Shall we?<o:p></o:p></p></div></body></html>
"""
_IOS = (
    '<html><head></head><body dir="auto"><div dir="ltr">Yes</div>'
    '<br id="lineBreakAtBeginningOfSignature"><div dir="ltr">Ann</div><div dir="ltr"><br>'
    '<blockquote type="cite">On 5 Nov 2026, at 10:00, Bob &lt;bob@example.net&gt; wrote:<br><br>'
    '</blockquote></div><blockquote type="cite"><div dir="ltr">Shall we?</div></blockquote>'
    "</body></html>"
)
_APPLE = (
    '<body>Yes<br id="lineBreakAtBeginningOfMessage"><div><meta charset="UTF-8">'
    '<div>-- <br>Ann</div></div><div><br><blockquote type="cite"><div>On 5. Nov 2026, Bob wrote:'
    "</div>Shall we?</blockquote></div></body>"
)


def page(before: str, *, reply: bool = False) -> str:
    made = texts(copied(wrap(before, head=REPLY if reply else b""), PLAN))[-1]
    return re.sub(r"\r\n(\[[HF]\])\r\n", r"\1", made)


def text(before: str, *, reply: bool = False, parameters: str = "") -> str:
    head = REPLY if reply else b"From: a@b.example\r\n"
    content = (
        head
        + (
            f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8{parameters}\r\n"
            f"Content-Transfer-Encoding: 8bit\r\n\r\n{before}"
        )
        .replace("\r\n", "\n")
        .replace("\n", "\r\n")
        .encode()
    )
    return split(copied(of_content(content), PLAN))[1].decode().replace("\r\n", "\n")


class HtmlTest(SynchronousTestCase):
    def test_P4_inside_the_body(self) -> None:
        for before, after in [
            ("<html><body>x</body></html>", "<html><body>[H]x[F]</body></html>"),
            (
                "<HTML><BODY BGCOLOR='>'>x</BODY ></HTML>",
                "<HTML><BODY BGCOLOR='>'>[H]x[F]</BODY ></HTML>",
            ),
            ("<p>x", "[H]<p>x[F]"),
            ("x", "[H]x[F]"),
            ("<html><p>x</html>", "<html>[H]<p>x[F]</html>"),
            (
                "<html><head><title>t</title><style>p{}</style></head><p>x</html>",
                "<html><head><title>t</title><style>p{}</style></head>[H]<p>x[F]</html>",
            ),
            ("<title>t</title>\r\n<meta x>\r\n<p>x", "<title>t</title>\r\n<meta x>\r\n[H]<p>x[F]"),
            (
                "<!-- <body> --><body>x<!-- </body> -->",
                "<!-- <body> --><body>[H]x<!-- </body> -->[F]",
            ),
            (
                "<body>x<script>'</body>'</script></body>",
                "<body>[H]x<script>'</body>'</script>[F]</body>",
            ),
            ("<body>x</body><!-- y --></body>", "<body>[H]x</body><!-- y -->[F]</body>"),
            ("<body>x<!-- never ends", "<body>[H]x[F]<!-- never ends"),
            ("<body>x<a href='never ends", "<body>[H]x[F]<a href='never ends"),
            ("<body>x<style>never ends", "<body>[H]x[F]<style>never ends"),
            (
                "<!--[if mso]><body><![endif]--><body>x",
                "<!--[if mso]><body><![endif]--><body>[H]x[F]",
            ),
            (
                "<!--[if mso]>m<table><td><![endif]--><p>x<!--[if mso]></table><![endif]-->",
                "<!--[if mso]>m<table><td><![endif]-->[H]<p>x<!--[if mso]></table><![endif]-->[F]",
            ),
            ("<![CDATA[<body>]]><body>x", "<![CDATA[<body>]]><body>[H]x[F]"),
            ("<body>a < b </ > c</body>", "<body>[H]a < b </ > c[F]</body>"),
        ]:
            self.assertEqual(page(before), after)

    def test_P4_before_what_a_reply_quotes(self) -> None:
        for before, after in [
            (
                '<div dir="ltr">Yes</div><div class="gmail_quote"><div>On x, y wrote:</div><blockquote>q</blockquote></div>',
                '<div dir="ltr">Yes</div>[F]<div class="gmail_quote">',
            ),
            (
                "<p>Yes</p><blockquote type=cite>q<blockquote type=cite>r</blockquote></blockquote> <br>&nbsp;</body>",
                "<p>Yes</p>[F]<blockquote type=cite>q",
            ),
            (
                "<p>Yes</p><hr tabindex='-1' style='x'>\r\n<div id=\"divRplyFwdMsg\">From:</div><div>q</div>",
                "<p>Yes</p>[F]<hr tabindex",
            ),
            ('<p>Yes</p><div id="x_appendonsend"></div><hr>q', "<p>Yes</p>[F]<div id="),
            (
                '<p>Yes</p><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt"><b>From:</b></div>q',
                "<p>Yes</p>[F]<div style=",
            ),
            (
                '<p>Yes</p><div class="moz-cite-prefix">On x:</div><blockquote type="cite">q</blockquote>',
                '<p>Yes</p>[F]<div class="moz',
            ),
            (
                '<p>Yes</p><div class="gmail_signature">Me</div><div class="gmail_quote">q</div>',
                '<p>Yes</p>[F]<div class="gmail_signature">',
            ),
            ('<p>Yes</p><pre class="moz-signature">-- \r\nMe</pre>', "<p>Yes</p>[F]<pre class="),
        ]:
            self.assertIn(after, page(before, reply=True))

    def test_P4_before_a_signature_that_programs_set_apart(self) -> None:
        for name, before, after in [
            ("Outlook", _OUTLOOK, '<div><p class=MsoNormal><a name="_MailAutoSig">'),
            (
                "Outlook without a signature of its own",
                _OUTLOOK.replace("_MailAutoSig", "x"),
                "<div style='border:none;border-top:solid",
            ),
            (
                "Outlook, new",
                _OUTLOOK.replace("border-top:solid #E1E1E1 1.0pt", "border-top: 1pt solid #E1E1E1"),
                '<div><p class=MsoNormal><a name="_MailAutoSig">',
            ),
            (
                "Outlook, new, without",
                _OUTLOOK.replace(
                    "border-top:solid #E1E1E1 1.0pt", "border-top: 1pt solid rgb(225, 225, 225)"
                ).replace("_MailAutoSig", "x"),
                "<div style='border:none;border-top: 1pt",
            ),
            ("iOS", _IOS, '<br id="lineBreakAtBeginningOfSignature">'),
            (
                "iOS without a signature",
                _IOS.replace('<br id="lineBreakAtBeginningOfSignature">', ""),
                '<blockquote type="cite">On 5 Nov',
            ),
            (
                "older iOS",
                '<div>Yes</div><div id="AppleMailSignature" dir="ltr">Ann</div><blockquote type="cite">q</blockquote>',
                '<div id="AppleMailSignature"',
            ),
            (
                "Apple Mail",
                _APPLE,
                '<div><meta charset="UTF-8"><div>-- ',
            ),
        ]:
            made = page(before, reply=True)
            self.assertIn(f"[F]{after}", made, name)
            self.assertEqual(made.count("[F]"), 1)

    def test_P4_before_a_signature_that_was_typed(self) -> None:
        quote = '<div class="gmail_quote">q</div>'
        for before, after in [
            (f"<div>Yes<br><br>-- <br>Ann</div>{quote}", "<div>Yes<br><br>[F]-- <br>"),
            (f"<div>Yes<BR>\r\n--<BR>Ann</div>{quote}", "<div>Yes<BR>\r\n[F]--<BR>"),
            (f"<p>Yes</p><p>-- <br>Ann</p>{quote}", "<p>Yes</p>[F]<p>-- <br>"),
            ("<p>Yes</p><div>--&nbsp;</div><div>Ann</div>", "<p>Yes</p>[F]<div>--&nbsp;"),
            ("<p>Yes</p><div>--\u00a0<br>Ann</div>", "<p>Yes</p>[F]<div>--"),
            ("Yes<br><span style='x'>-- <br>Ann</span>", "Yes<br>[F]<span style='x'>-- "),
            ("<table><tr><td>Yes<td>-- <br>Ann</table>", "<td>Yes<td>[F]-- <br>"),
            (
                "<blockquote type=cite>q<br>-- <br>Bob</blockquote>Yes<br>-- <br>Ann",
                "Yes<br>[F]-- <br>Ann",
            ),
        ]:
            self.assertIn(after, page(before, reply=True))
            if quote not in before:  # what answers nothing has its dashes where it wants them
                self.assertTrue(page(before).endswith(("[F]", "[F]</table>")), before)

    def test_P4_other_dashes_are_no_signature(self) -> None:
        for before in (
            "<p>-- <br>Ann</p>",  # nothing stands above it
            "<p>Yes -- <br>no</p>",
            "<p>Yes<b>x</b>-- <br>no</p>",
            "<p>Yes</p><p>-- Ann</p>",
            "<p>Yes</p><p>--- <br>Ann</p>",
            "<p>Yes</p><!-- <p>-- <br>Ann</p> -->",
            "<p>Yes</p><blockquote type=cite><p>-- <br>Bob</p></blockquote><p>No</p>",
        ):
            self.assertTrue(page(before, reply=True).endswith("[F]"), before)

    def test_R_looking_for_a_signature_takes_linear_time(self) -> None:
        """Each would take minutes if it did not."""
        for text in (
            "<div>" * 200_000,
            ">--" + " " * 500_000,
            (">--" + "&nbsp;" * 50) * 20_000,
            "<a _MailAutoSig " * 50_000,
            "<!--" + "<p>--<br>" * 50_000,
        ):
            self.assertIsNone(signature_start(text, 0, len(text)))
        signature_start("x" + "<span>" * 100_000 + "-- <br>" * 50_000, 0, 950_000)
        parts = "<blockquote type=cite>q</blockquote>&nbsp;" * 20_000
        self.assertEqual(html_spans(f"x{parts}").quote_start, 1)
        self.assertIsNone(html_spans(f"x{parts}y{parts}").quote_start)

    def test_P4_last_where_the_answer_stands_below(self) -> None:
        for before in (
            "<blockquote type=cite>q</blockquote><p>Yes</p>",
            "<p>a</p><blockquote type=cite>q</blockquote><p>b</p><blockquote type=cite>q</blockquote>",
            '<div class="gmail_quote">q</div>Yes',
            '<p>Yes</p><div class="quote">q</div>',
        ):
            self.assertTrue(page(before, reply=True).endswith("[F]"), before)
        signed = '<p>Yes</p><div class="gmail_signature">Me</div>'
        self.assertTrue(page(signed).endswith("[F]"))

    def test_a_whole_document_as_footer(self) -> None:
        self.assertEqual(
            fragment("<html><head><title>x</title></head><body a>F<br></body></html>"), "F<br>"
        )
        self.assertEqual(fragment("F<!-- never"), "F")

    def test_mutated_pages_never_raise(self) -> None:
        chance = random.Random(7)
        for name, content in pages():
            for _ in range(30):
                octets = bytearray(content.encode())
                for _ in range(chance.randrange(1, 30)):
                    at = chance.randrange(len(octets))
                    octets[at : at + chance.randrange(3)] = chance.choice(
                        [
                            b"<",
                            b">",
                            b'"',
                            b"'",
                            b"<!--",
                            b"-->",
                            b"&",
                            b"=",
                            b"</",
                            b"\xff",
                            b"[first]",
                        ]
                    )
                message = wrap(octets.decode("latin-1"), charset="windows-1252", encoding="base64")
                made = prepared(message)
                self.assertEqual(made.left_alone, (), name)
                self.assertIn("https://t.example/t/o/x.gif", texts(made.copy(ANNA).content)[0])

    def test_spans_of_an_endless_page(self) -> None:
        spans = html_spans("<b>x" * 100_000)
        self.assertEqual((spans.body_start, spans.body_end), (0, 400_000))


class TextTest(SynchronousTestCase):
    def test_P4_first_and_last(self) -> None:
        for before, after in [
            ("x\n", "[H]\n\nx\n\n[F]\n"),
            ("x", "[H]\n\nx\n\n[F]"),
            ("x\n\n", "[H]\n\nx\n\n[F]\n"),
            ("x\n-- \nMe\n", "[H]\n\nx\n-- \nMe\n\n[F]\n"),
            ("See:\n> x\n", "[H]\n\nSee:\n> x\n\n[F]\n"),
        ]:
            self.assertEqual(text(before), after)

    def test_P4_before_what_a_reply_quotes(self) -> None:
        for quotation in [
            "On Mon, 1 Jan 2026, A wrote:\n> q\n> r\n",
            "On Mon, 1 Jan 2026 at 10:00, A very long name\n<a@b.example> wrote:\n\n> q\n\n",
            "Am 1.1.2026 schrieb A:\n> q\n>\n>> r\n",
            "> q\n",
            "-----Original Message-----\nFrom: A <a@b.example>\nq\n",
            "-------- Weitergeleitete Nachricht --------\nBetreff: x\nq\n",
            "________________________________\nVon: A <a@b.example>\nq\n",
            "-- \nMe\n",
            "-- \nMe\n\nOn Mon, A wrote:\n> q\n",
        ]:
            before = f"Yes\n\n{quotation}"
            self.assertEqual(text(before, reply=True), f"[H]\n\nYes\n\n[F]\n\n{quotation}")

    def test_P4_last_where_the_answer_stands_below(self) -> None:
        for before in ("A wrote:\n> q\n\nYes\n", "> q\nYes\n> r\nNo\n", "> q\n", "Yes\n"):
            self.assertTrue(text(before, reply=True).endswith("\n\n[F]\n"), before)

    def test_P4_an_alternative_with_a_file_name_is_no_attachment(self) -> None:
        leaf = b"--b\r\nContent-Type: text/%s\r\n%b\r\nHi\r\n"
        name = b'Content-Disposition: inline; filename="message.html"\r\n'
        for kind, fields, expected in [
            (b"alternative", name, 2),
            (b"alternative", name.replace(b"inline", b"attachment"), 1),
            (b"mixed", name, 1),
        ]:
            content = (
                b"From: a@b.example\r\nContent-Type: multipart/%b; boundary=b\r\n\r\n" % kind
                + leaf % (b"plain", b"")
                + leaf % (b"html", fields)
                + b"--b--\r\n"
            )
            after = copied(of_content(content), PLAN)
            self.assertEqual(after.count(b"[F]"), expected)

    def test_P4_empty_parts(self) -> None:
        """As programs send them that only attach something."""
        top = b"From: a@b.example\r\nMIME-Version: 1.0\r\n"
        leaf = b"--b\r\nContent-Type: text/%s\r\nContent-Transfer-Encoding: %s\r\n\r\n"
        file = b"--b\r\nContent-Type: application/pdf\r\n\r\nx\r\n--b--\r\n"
        many = top + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        plan = replace(PLAN, footer_text="F\u00fc\u00dfe", open_url=lambda _: "https://t.example/o")
        for kind in (b"plain", b"html"):
            for encoding in (b"7bit", b"quoted-printable", b"base64"):
                message = of_content(many + leaf % (kind, encoding) + b"\r\n" + file)
                after = copied(message, plan)
                shown = ("[H]\r\n\r\nFüße",) if kind == b"plain" else ("[H]", "[F]", "<img")
                self.assertEqual([one in texts(after)[0] for one in shown], [True] * len(shown))
                self.assertTrue(after.endswith(b"\r\n" + file))
                spans = needed_spans(message.structure, plan)
                some = Excerpts({one: message.content[slice(*one)] for one in spans})
                made = prepare(message.head, some, message.structure, plan).copy(ANNA)
                joined = made.head + b"".join(
                    message.content[p.start : p.end] if isinstance(p, Span) else p
                    for p in made.body
                )
                self.assertEqual(joined, after)
        self.assertEqual(texts(copied(of_content(top + b"\r\n"), PLAN)), ["[H]\r\n\r\n[F]"])
        for content in (many + leaf % (b"plain", b"7bit") + file, top, top + b"Subject: x"):
            stays = prepared(of_content(content), PLAN)
            self.assertEqual([one.reason for one in stays.left_alone], ["it is empty"])
            self.assertEqual(stays.copy(ANNA).content, content)

    def test_format_flowed(self) -> None:
        plan = CopyPlan(footer_text="One \n> two\nFrom three\n-- \n")
        content = (
            b"From: a@b.example\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: text/plain; charset=us-ascii; format=flowed; delsp=yes\r\n\r\n"
            b"A flowed \r\nline \r\n"
        )
        made = split(copied(of_content(content), plan))[1]
        self.assertEqual(made, b"A flowed \r\nline \r\n\r\nOne\r\n > two\r\n From three\r\n-- \r\n")

    def test_a_link_that_goes_on_in_the_next_line_stays(self) -> None:
        content = (
            b"From: a@b.example\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\n"
            b"https://x.example/a \r\nbc and https://y.example/\r\n"
        )
        made = split(
            copied(of_content(content), CopyPlan(click_url=EVERYTHING.click_url, click_text=True))
        )[1]
        self.assertIn(b"https://x.example/a \r\nbc and https://t.example/", made)


class SwitchTest(SynchronousTestCase):
    """Parts that are too narrow for what is put in."""

    def made(self, head: bytes, body: bytes, footer: str, **values: str) -> tuple[bytes, str]:
        plan = CopyPlan(
            footer_text=footer,
            footer_html=footer,
            syntaxes=frozenset({MergeSyntax.BRACKETS}),
            names=frozenset(values) or frozenset({"first"}),
        )
        content = b"From: a@b.example\r\nSubject: x\r\n" + head + b"\r\n" + body
        fields = CopyFields(Address.parse("a@b.example"), "", values)
        message = of_content(content)
        copy = prepare(message.head, message.body, message.structure, plan).copy(fields)
        self.assertNotRegex(copy.content, rb"(?<!\r)\n|\r(?!\n)|[^\r\n]{999}")
        shown = texts(copy.content)[0]
        self.assertIsNotNone(scan(copy.content).complete)
        return copy.head, shown.replace("\r\n", "\n")

    def test_P4_ascii_becomes_utf8_where_it_must(self) -> None:
        for head in (
            b"",
            b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n",
            (
                b"Mime-Version: 1.0\r\nContent-Type: text/plain; charset=US-ASCII; format=fixed\r\n"
                b"Content-Transfer-Encoding: 7bit\r\n"
            ),
            b'Mime-Version: 1.0\r\nContent-Type: text/plain;\r\n\tcharset="us-ascii"\r\n',
        ):
            now, shown = self.made(head, b"Hi [first]\r\n", "Gr\u00fc\u00dfe")
            self.assertEqual(shown, "Hi [first]\n\nGrüße\n")
            self.assertIn(b"charset=utf-8", now)
            self.assertIn(b"Content-Transfer-Encoding: quoted-printable\r\n", now)
            self.assertEqual(now.lower().count(b"mime-version"), 1)
            kept, shown = self.made(head, b"Hi [first]\r\n", "Bye", first="Anna")
            self.assertEqual((kept[-len(head) - 2 : -2], shown), (head, "Hi Anna\n\nBye\n"))
            now, shown = self.made(head, b"Hi [first]\r\n", "Bye", first="Ännchen")
            self.assertEqual(shown, "Hi Ännchen\n\nBye\n")
            self.assertIn(b"charset=utf-8", now)

    def test_P4_a_header_that_is_told_of_a_charset_keeps_its_lines_short(self) -> None:
        kind = b"Content-Type: text/plain; x=" + b"y" * 960
        now, shown = self.made(b"MIME-Version: 1.0\r\n" + kind + b"\r\n", b"Hi\r\n", "Grüße")
        self.assertIn(kind + b";\r\n charset=utf-8\r\n", now)
        self.assertEqual(shown, "Hi\n\nGrüße\n")

    def test_P4_charsets_that_lack_a_letter(self) -> None:
        for charset, encoding in [
            ("iso-8859-1", "quoted-printable"),
            ("iso-8859-1", "base64"),
            ("iso-8859-1", "8bit"),
            ("iso-2022-jp", "7bit"),
            ("shift_jis", "8bit"),
        ]:
            message = wrap("<p>x</p>", text="Hi [first]\n", charset=charset, encoding=encoding)
            plan = CopyPlan(
                footer_text="F",
                syntaxes=frozenset({MergeSyntax.BRACKETS}),
                names=frozenset({"first"}),
            )
            made = prepare(message.head, message.body, message.structure, plan)
            fields = CopyFields(ANNA.address, "", {"first": "Łukasz"})
            after = made.copy(fields).content
            self.assertEqual(texts(after)[0], "Hi Łukasz\r\n\r\nF\r\n", charset)
            self.assertEqual(scan(after).parts[1].charset, "utf-8")
            self.assertEqual(scan(after).parts[2].charset, charset)

    def test_P4_html_says_it_with_references(self) -> None:
        message = wrap("<p>[first]</p>", charset="iso-8859-1", encoding="7bit")
        plan = CopyPlan(
            footer_html="Ł", syntaxes=frozenset({MergeSyntax.BRACKETS}), names=frozenset({"first"})
        )
        made = prepare(message.head, message.body, message.structure, plan)
        after = made.copy(CopyFields(ANNA.address, "", {"first": "Zoë"})).content
        self.assertIn(b"<p>Zo&#235;</p>\r\n&#321;\r\n", after)

    def test_P4_long_lines_become_quoted_printable(self) -> None:
        row = '<a href="https://x.example/">x</a>' * 20
        message = wrap(row, encoding="7bit")
        after = copied(message)
        self.assertEqual(scan(after).parts[0].encoding, "quoted-printable")
        self.assertEqual(texts(after)[0].count("https://t.example/t/c/1-"), 20)
        message = wrap("<p>[first]</p>", encoding="7bit")
        made = prepared(message)
        self.assertNotIn(b"quoted", made.copy(ANNA).content)
        long = CopyFields(ANNA.address, "", {"first": "x y " * 400})
        after = made.copy(long).content
        self.assertIn("x y " * 400, texts(after)[0])
        self.assertLess(max(map(len, after.split(b"\r\n"))), 999)

    def test_P4_a_long_line_of_octets_that_nobody_knows(self) -> None:
        line = b"Gr\xfc\xdfe \x81 [first] "
        for charset in (b"", b"; charset=us-ascii", b"; charset=windows-1252"):
            head = b"From: a@b.example\r\nContent-Type: text/plain%s\r\n\r\n" % charset
            for footer, first in [("x" * 1_200, "Anna"), ("Bye", "x" * 1_200), ("Bye", "Anna")]:
                message = of_content(head + line)
                plan = CopyPlan(
                    footer_text=footer,
                    syntaxes=frozenset({MergeSyntax.BRACKETS}),
                    names=frozenset({"first"}),
                )
                made = prepare(message.head, message.body, message.structure, plan)
                after = made.copy(CopyFields(ANNA.address, "", {"first": first})).content
                self.assertLess(max(map(len, after.split(b"\r\n"))), 999)
                part = scan(after).parts[0]
                is_long = max(len(footer), len(first)) > 998
                self.assertEqual(part.encoding, "quoted-printable" if is_long else "7bit")
                self.assertEqual(part.charset, charset.decode().rpartition("=")[2])
                shown = decoded(after, part).decode("latin-1")
                self.assertEqual(shown, f"Grüße \x81 {first} \r\n\r\n{footer}")

    def test_P4_a_long_line_under_a_header_that_cannot_be_retold(self) -> None:
        kind = b"text/plain (; charset=x); charset=us-ascii"
        head = b"From: a@b.example\r\nContent-Type: %s\r\n\r\n" % kind
        for footer, first in [("x" * 1_200, "Anna"), ("Bye", "x" * 1_200), ("Bye", "Anna")]:
            plan = CopyPlan(
                footer_text=footer,
                syntaxes=frozenset({MergeSyntax.BRACKETS}),
                names=frozenset({"first"}),
            )
            message = of_content(head + b"Hi [first]\r\n")
            made = prepare(message.head, message.body, message.structure, plan)
            after = made.copy(CopyFields(ANNA.address, "", {"first": first})).content
            is_long = max(len(footer), len(first)) > 998
            changed = b"Hi [first]\r\n" if is_long else b"Hi Anna\r\n\r\nBye\r\n"
            self.assertEqual(after, head + changed)


class CharsetTest(SynchronousTestCase):
    def test_M6_charsets_with_a_state_or_wide_characters(self) -> None:
        page_text = (
            '<html><body>日本語 [first]ごっこ<a href="https://x.example/">本</a>語</body></html>'
        )
        for charset, codec in [
            ("utf-16", "utf-16"),
            ("utf-16le", "utf-16-le"),
            ("utf-16be", "utf-16-be"),
            ("utf-32", "utf-32"),
            ("hz-gb-2312", "hz"),
            ("iso-2022-kr", "iso2022_kr"),
            ("iso-2022-jp", "iso2022_jp"),
            ("big5", "big5"),
        ]:
            shown = page_text.encode(codec, "xmlcharrefreplace")
            content = (
                f"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset={charset}\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n"
            ).encode() + base64.encodebytes(shown).replace(b"\n", b"\r\n")
            made = prepared(of_content(content))
            self.assertEqual(made.left_alone, ())
            after = made.copy(CopyFields(ANNA.address, "", {"first": "Än"})).content
            body = base64.b64decode(split(after)[1]).decode(codec)
            expected = shown.decode(codec).replace("[first]", "Än").split("<a href")
            self.assertIn(
                html.unescape(expected[0].split("<body>")[1]), html.unescape(body), charset
            )
            self.assertRegex(body, r'href="https://t.example/t/c/0-1/[0-9a-f]+">')
            self.assertRegex(body, r"<html><body>\r?\n<p>Header</p>\r?\n")
            self.assertTrue(body.endswith("</body></html>"), charset)

    def test_S2_wide_characters_in_name_alone_or_without_the_name(self) -> None:
        """What was put in would bring NUL and bare CR with it, or garble the text."""
        plan = replace(PLAN, click_url=lambda *_: "https://t.example/c", click_text=True)
        wide = "<p>Füße https://x.example/</p>\r\n".encode("utf-16")
        for charset, encoding, octets in [
            ("utf-16", "8bit", "Grüße xx".encode()),
            ("utf-16", "7bit", b"Hello xx"),
            ("utf-16le", "base64", "Grüße xx".encode()),
            ("utf-32", "7bit", b"Hello xx"),
            ("utf-16", "binary", wide),
            ("utf-16", "7bit", b""),
            ("utf-8", "base64", wide),
            ("iso-8859-1", "base64", wide),
        ]:
            body = base64.b64encode(octets) if encoding == "base64" else octets
            for kind in ("plain", "html"):
                head = (
                    f"From: a@b.example\r\nContent-Type: text/{kind}; charset={charset}\r\n"
                    f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
                )
                made = prepared(of_content(head.encode() + body), plan)
                self.assertEqual(made.copy(ANNA).content, head.encode() + body, charset)
                self.assertIn("not valid", made.left_alone[0].reason)
        for charset in ("utf-16", "utf-16le", "utf-32"):
            body = base64.b64encode("<body>Hi</body>\r\n".encode(charset))
            head = (
                f"Content-Type: text/html; charset={charset}\r\nContent-Transfer-Encoding: base64"
            )
            message = of_content(b"From: a@b.example\r\n%b\r\n\r\n%b" % (head.encode(), body))
            self.assertIn("<body>\r\n[H]\r\nHi", texts(copied(message, PLAN))[0])

    def test_P4_without_a_charset(self) -> None:
        for kind, body, after in [
            ("plain", b"Gr\xfc\xdfe [first]", b"Gr\xfc\xdfe Lukasz\r\n\r\nFusse"),
            ("html", b"<p>\xfc [first]", b"<p>\xfc L&#369;kasz\r\nFu&#223;e\r\n"),
        ]:
            content = f"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/{kind}\r\n\r\n"
            message = of_content(content.encode() + body)
            plan = CopyPlan(
                footer_text="Fuße",
                footer_html="Fuße",
                syntaxes=frozenset({MergeSyntax.BRACKETS}),
                names=frozenset({"first"}),
            )
            fields = CopyFields(ANNA.address, "", {"first": "Lűkasz"})
            self.assertEqual(split(copied(message, plan, fields))[1], after)

    def test_a_byte_order_mark_stays_first(self) -> None:
        for body in ("\ufeffHi\r\n", "\ufeff<p>Hi"):
            kind = "html" if "<" in body else "plain"
            head = (
                f"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
                "Content-Transfer-Encoding: 8bit\r\n\r\n"
            )
            made = split(copied(of_content((head + body).encode()), PLAN))[1].decode()
            self.assertRegex(made, r"\A\ufeff(\r\n)?\[H\]")

    def test_W2_links_are_the_ones_that_are_read_again(self) -> None:
        tokens = Tokens([b"s" * 32])
        facts = TokenFacts(1, 2, 3, 4)
        base, now = "https://t.example", 1_800_000_000.0

        def click(fields: CopyFields, number: int, target: LinkTarget) -> str:
            assert fields.facts is not None
            return click_url(base, tokens, fields.facts, now, target, number)

        plan = CopyPlan(
            click_url=click,
            open_url=lambda fields: open_url(base, tokens, facts, now),
            syntaxes=frozenset({MergeSyntax.BRACKETS}),
            names=frozenset({"first"}),
        )
        link = '<a href="https://x.example/?a=1&amp;n=[first]">x</a><a href="https://x.example/y">'
        fields = CopyFields(ANNA.address, "", {"first": "Än n"}, 4, facts)
        made = texts(copied(wrap(link), plan, fields))[0]
        found = re.findall(r'href="https://t.example/t/c/([a-z0-9]+)/([\w-]+)"', made)
        clicks = [read_click(tokens, token, segment, now) for token, segment in found]
        self.assertEqual(
            [(click.target, click.token.link) for click in clicks],
            [("https://x.example/?a=1&n=%C3%84n%20n", 1), ("https://x.example/y", 2)],
        )
        self.assertIn("/t/o/", made)
