"""7-bit copies: fit, the same meaning, and only what must change is changed."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.headers import decode_words, head_length, parse_head
from smtpplus.message.preview import decoded_body
from smtpplus.message.structure import scan
from smtpplus.message.transfer import NotConvertibleError, to_seven_bit
from tests.corpora import messages

MOST = 1 << 30
TOP = b"From: a@b.com\r\nMIME-Version: 1.0\r\n"


def is_fit(content: bytes) -> bool:
    return content.isascii() and all(len(line) <= 998 for line in content.split(b"\r\n"))


def meaning(content: bytes) -> list[tuple[str, str, str, bytes]]:
    """Type, charset, file name and decoded octets of each leaf."""
    return [
        (part.type, part.charset, part.filename, decoded_body(content, part, MOST))
        for part in scan(content).leaves
    ]


def fields(content: bytes) -> list[tuple[str, str]]:
    head = content[: head_length(content)]
    return [(f.lower, " ".join(decode_words(f.unfolded).split())) for f in parse_head(head)]


class ToSevenBitTest(SynchronousTestCase):
    def test_fit_content_is_the_same_object(self) -> None:
        content = TOP + b"\r\nHello\r\n"
        self.assertIs(to_seven_bit(content), content)

    def test_S16_text_becomes_quoted_printable(self) -> None:
        content = TOP + (
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            + "grün = \t\r\n.\r\nFrom x \r\n".encode()
        )
        made = to_seven_bit(content)
        self.assertEqual(
            made,
            TOP + b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
            b"gr=C3=BCn =3D =09\r\n=2E\r\nFrom x=20\r\n",
        )
        self.assertEqual(meaning(made), meaning(content))

    def test_S16_missing_fields_are_added(self) -> None:
        made = to_seven_bit("From: a@b.com\r\n\r\ngrün\r\n".encode())
        self.assertEqual(
            made,
            b"From: a@b.com\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BCn\r\n",
        )
        self.assertIn(b"unknown-8bit", to_seven_bit(b"From: a@b.com\r\n\r\ngr\xfcn\r\n"))

    def test_S4_long_lines(self) -> None:
        html = TOP + b"Content-Type: text/html\r\n\r\n" + b"<p>" * 5000 + b"\r\n"
        binary = TOP + b"Content-Type: image/png\r\n\r\n" + bytes(range(14, 256)) * 20 + b"\r\n"
        one_line = TOP + (
            b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + b"QUJD" * 1000
            + b"\r\n"
        )
        for content in (html, one_line):
            made = to_seven_bit(content)
            self.assertTrue(is_fit(made))
            self.assertTrue(made.endswith(b"\r\n"))
            self.assertEqual(meaning(made), meaning(content))
        made = to_seven_bit(binary)
        self.assertTrue(is_fit(made))
        self.assertIn(b"Content-Transfer-Encoding: base64\r\n", made)
        self.assertEqual(meaning(made)[0][3], meaning(binary)[0][3])

    def test_only_the_needed_part_changes(self) -> None:
        untouched = (
            b"\r\n--b\r\nContent-Type: text/html\r\nX-Odd :  1\r\n\r\n<p>  x</p>\r\n--b--\r\n"
        )
        content = TOP + (
            b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            b"pre\xc3\xa4mble\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa4"
            + untouched
        )
        made = to_seven_bit(content)
        self.assertTrue(made.endswith(b"\r\n\r\n=C3=A4" + untouched))
        self.assertIn(b"Content-Transfer-Encoding: 7bit\r\n\r\npre??mble\r\n--b\r\n", made)
        self.assertEqual(meaning(made), meaning(content))

    def test_misspelt_encodings_are_understood(self) -> None:
        content = TOP + b"Content-Type: text/plain; charset=utf-8\r\n"
        made = to_seven_bit(content + b"Content-Transfer-Encoding: 8bits\r\n\r\n\xc3\xa4\r\n")
        self.assertEqual(
            made, content + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n"
        )

    def test_messages_inside_messages(self) -> None:
        content = TOP + (
            b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            + "From: x@y.com\r\nSubject: grün\r\n\r\ngrün\r\n".encode()
        )
        made = to_seven_bit(content)
        self.assertTrue(is_fit(made))
        self.assertIn(
            b"message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nFrom: x@y.com", made
        )
        self.assertEqual(meaning(made)[0][3], "grün\r\n".encode())

    def test_header_fields(self) -> None:
        for field, expected in [
            ("Subject: grün blau", "Subject: =?utf-8?b?Z3LDvG4=?= blau"),
            ("From: Jörg Müller <a@b.com>", "From: =?utf-8?b?SsO2cmcgTcO8bGxlcg==?= <a@b.com>"),
            ('From: "Müller, J" <a@b.com>', "From: =?utf-8?b?TcO8bGxlciwgSg==?= <a@b.com>"),
            ("To: a@exämple.com, B <b@c.d>", "To: a@xn--exmple-cua.com, B <b@c.d>"),
            ("Cc: a@b.com (Jörg)", "Cc: a@b.com (=?utf-8?b?SsO2cmc=?=)"),
            (
                'Content-Disposition: attachment; filename="grün.zip"; size=3',
                "Content-Disposition: attachment; filename*=utf-8''gr%C3%BCn.zip; size=3",
            ),
        ]:
            made = to_seven_bit(TOP + field.encode() + b"\r\n\r\nx\r\n")
            line = re.sub(r"\r\n(?=[ \t])", "", made.decode("ascii")).split("\r\n")[2]
            self.assertEqual(line, expected, field)

    def test_header_meaning_is_kept(self) -> None:
        for value in [
            "ä " * 400,
            "x " * 300 + "ä",
            "ä" + " y" * 600,
            "=?utf-8?q?=C3=BC?= ä",
            "\U0001f600" * 90,
        ]:
            content = TOP + f"Subject: {value}\r\n\r\nx\r\n".encode()
            made = to_seven_bit(content)
            self.assertTrue(is_fit(made))
            self.assertEqual(fields(made), fields(content), value[:20])

    def test_header_without_body(self) -> None:
        made = to_seven_bit("From: a@b.com\r\nSubject: grün\r\n".encode())
        self.assertIsNotNone(head_length(made))

    def test_what_cannot_be_converted(self) -> None:
        for content in [
            TOP
            + b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xa4\r\n--b--\r\n",
            TOP
            + b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n\xff\r\n--b--\r\n",
            TOP + b"Content-Transfer-Encoding: x-uue\r\n\r\n\xff\r\n",
            "From: jörg@example.com\r\n\r\nx\r\n".encode(),
            TOP + b"X: " + b"a" * 2000 + b"\r\n\r\n",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n\xff\r\n" * 5000,
        ]:
            with self.assertRaises(NotConvertibleError, msg=content[:90]):
                to_seven_bit(content)

    def test_a_signed_part_that_is_fit_is_not_touched(self) -> None:
        signed = (
            b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\nfit\r\n--b--\r\n"
        )
        made = to_seven_bit("From: Jörg <a@b.com>\r\n".encode() + signed)
        self.assertTrue(made.endswith(signed))

    def test_M1_real_messages_keep_their_meaning(self) -> None:
        converted = refused = 0
        for name, content in messages("mime", "bounces"):
            crlf = re.sub(rb"\r\n|\r|\n", b"\r\n", content).replace(b"\0", b"")
            if is_fit(crlf):
                self.assertIs(to_seven_bit(crlf), crlf, name)
                continue
            try:
                made = to_seven_bit(crlf)
            except NotConvertibleError:
                refused += 1
                continue
            converted += 1
            self.assertTrue(is_fit(made), name)
            before, after = meaning(crlf), meaning(made)
            self.assertEqual([one[3] for one in before], [one[3] for one in after], name)
            self.assertEqual([one[0] for one in before], [one[0] for one in after], name)
        self.assertGreater(converted, refused)

    @given(
        st.lists(
            st.sampled_from(
                [
                    b"--b\r\n",
                    b"--b--\r\n",
                    b"\r\n",
                    b"\r\n\r\n",
                    b"\xff",
                    "ä".encode(),
                    b"x" * 999,
                    b"Content-Type: multipart/mixed; boundary=b\r\n",
                    b"Content-Type: message/rfc822\r\n",
                    b"Content-Transfer-Encoding: base64\r\n",
                    b"Subject: ",
                    b"From: ",
                    b'"',
                    b"<",
                    b"@",
                ]
            ),
            max_size=30,
        ).map(b"".join)
    )
    @settings(max_examples=500, deadline=None)
    def test_any_content_is_made_fit_or_refused(self, content: bytes) -> None:
        try:
            made = to_seven_bit(content)
        except NotConvertibleError:
            return
        self.assertTrue(is_fit(made))
