"""MIME structure: spans, limits, bombs, mutations."""

from __future__ import annotations

import random
import time
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.preview import decoded_body, preview
from smtpplus.message.structure import MAX_DEPTH, MAX_PARTS, Structure, scan
from tests.corpora import messages

NESTED = (
    b"From: a@b.com\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="out"\r\n\r\npreamble\r\n--out\r\n'
    b"Content-Type: multipart/alternative; boundary=in\r\n\r\n"
    b"--in\r\n\r\nplain\r\n--in\r\nContent-Type: text/html; charset=UTF-8\r\n"
    b"Content-Transfer-Encoding: Quoted-Printable\r\n\r\n<p>=C3=A4</p>\r\n--in--\r\nepilogue\r\n"
    b"--out\r\nContent-Type: application/zip; name=x.zip\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: attachment; filename*0*=utf-8''gr%C3%BC; filename*1=n.zip\r\n\r\n"
    b"UEsDBA==\r\n--out\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nHi\r\n--out--\r\n"
)


def outline(structure: Structure) -> list[tuple[int, str]]:
    return [(part.parent, part.type) for part in structure.parts]


def bomb_depth(depth: int) -> bytes:
    boundaries = [b"b%d" % number for number in range(depth)]
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s\r\n" % (b, b) for b in boundaries
    )


def bombs() -> list[tuple[str, bytes]]:
    top = b'From: a@b.com\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    long = b"b" * 1_000_000
    html = b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    continued = b"; ".join(b"filename*%d*=utf-8''%%41" % number for number in range(5000))
    return [
        ("depth", bomb_depth(100_000)),
        ("rfc822 depth", b"Content-Type: message/rfc822\r\n\r\n" * 100_000),
        ("parts", top + b"--b\r\n\r\n\r\n" * 100_000),
        ("parts without empty line", top + b"--b\r\n" * 100_000),
        ("colliding", top + b"".join(b"--b%d\r\n" % number for number in range(1_000_000))),
        ("closing", top + b"--b--\r\n" * 200_000),
        (
            "long boundary",
            b"Content-Type: multipart/mixed; boundary=" + long + b"\r\n\r\n--" + long,
        ),
        ("dashes", top + b"-" * 5_000_000),
        ("fields", b"A: b\r\n" * 100_000 + b"\r\n"),
        ("content fields", b"Content-Type: a/b\r\n" * 100_000 + b"\r\n"),
        ("words", b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\r\n\r\n"),
        ("rfc2231", b"Content-Disposition: attachment; " + continued + b"\r\n\r\n"),
        ("quotes", b"Content-Type: text/plain; a=" + b'\\"' * 60_000 + b"\r\n\r\n"),
        ("comments", b"Content-Type: text/plain " + b"(" * 100_000 + b"\r\n\r\n"),
        ("no header", b"x" * 5_000_000),
        ("line ends", b"\r\n" * 500_000),
        ("html", html + b"PGI+" * 12_500_000),
    ]


class ScanTest(SynchronousTestCase):
    def test_nested(self) -> None:
        structure = scan(NESTED)
        self.assertTrue(structure.complete)
        self.assertEqual(
            outline(structure),
            [
                (-1, "multipart/mixed"),
                (0, "multipart/alternative"),
                (1, "text/plain"),
                (1, "text/html"),
                (0, "application/zip"),
                (0, "message/rfc822"),
                (5, "text/plain"),
            ],
        )
        bodies = [NESTED[part.body_start : part.body_end] for part in structure.parts]
        self.assertEqual(bodies[2:5], [b"plain", b"<p>=C3=A4</p>", b"UEsDBA=="])
        self.assertEqual(bodies[6], b"Hi")
        html, archive = structure.parts[3], structure.parts[4]
        self.assertEqual((html.charset, html.encoding), ("utf-8", "quoted-printable"))
        self.assertEqual((archive.disposition, archive.filename), ("attachment", "grün.zip"))
        self.assertEqual(decoded_body(NESTED, html, 100), "<p>ä</p>".encode())

    def test_M11_line_ends_do_not_matter(self) -> None:
        for name, content in [("nested", NESTED), *messages("mime", "bounces")]:
            unix = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            outlines = [outline(scan(unix.replace(b"\n", end))) for end in (b"\n", b"\r\n", b"\r")]
            self.assertEqual(outlines[0], outlines[1], name)
            self.assertEqual(outlines[0], outlines[2], name)

    def test_spans_are_in_order_and_inside(self) -> None:
        for name, content in messages("mime", "bounces"):
            for part in scan(content).parts:
                self.assertTrue(
                    0 <= part.header_start <= part.body_start <= part.body_end <= len(content), name
                )

    def test_quirks(self) -> None:
        for content, expected in [
            (b"", [(-1, "text/plain")]),
            (b"Content-Type: nonsense\r\n\r\n", [(-1, "text/plain")]),
            (b"Content-Type: multipart/mixed\r\n\r\n--\r\n", [(-1, "multipart/mixed")]),
            (
                b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: x\r\n\r\ny\r\n--b--",
                [(-1, "multipart/digest"), (0, "message/rfc822"), (1, "text/plain")],
            ),
            (  # the inner one repeats the outer boundary
                b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 2
                + b"\r\nx\r\n--b--\r\n",
                [(-1, "multipart/mixed"), (0, "multipart/mixed"), (0, "text/plain")],
            ),
            (  # blanks after the delimiter, and a prefix of it
                b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b \t\r\n\r\nx\r\n--bc\r\n--b--\t\r\n",
                [(-1, "multipart/mixed"), (0, "text/plain")],
            ),
        ]:
            self.assertEqual(outline(scan(content)), expected, content)

    def test_M4_bombs(self) -> None:
        for name, content in bombs():
            for read in (scan, preview):
                started = time.process_time()
                read(content)
                self.assertLess(time.process_time() - started, 0.5, (name, read))

    def test_M4_limits_are_told(self) -> None:
        deep, wide = scan(bomb_depth(1000)), scan(bombs()[2][1])
        self.assertEqual((deep.complete, len(deep.parts)), (False, MAX_DEPTH))
        self.assertEqual((wide.complete, len(wide.parts)), (False, MAX_PARTS))
        self.assertTrue(scan(bomb_depth(MAX_DEPTH - 1)).complete)

    def test_M5_archives_are_not_unpacked(self) -> None:
        bomb = zlib.compress(b"\0" * 10_000_000)
        content = b"Content-Type: application/zip; name=a.zip\r\n\r\n" + bomb
        self.assertEqual(preview(content).attachments[0].octets, len(bomb))

    def test_M12_mutations_never_raise(self) -> None:
        chance = random.Random(12)
        for name, content in messages("mime", "bounces"):
            mutated = bytearray(content[:50_000])
            for _ in range(10):
                if mutated:
                    mutated[chance.randrange(len(mutated))] = chance.randrange(256)
            started = time.process_time()
            preview(bytes(mutated))
            self.assertLess(time.process_time() - started, 0.3, name)

    @given(
        st.lists(
            st.sampled_from(
                [
                    b"--",
                    b"b",
                    b"\r\n",
                    b"\n",
                    b"\r",
                    b"--b\r\n",
                    b"--b--\r\n",
                    b"\r\n\r\n",
                    b"\xff",
                    b"Content-Type: multipart/mixed; boundary=b\r\n",
                    b"Content-Type: message/rfc822\r\n",
                ]
            ),
            max_size=40,
        ).map(b"".join)
    )
    @settings(max_examples=500, deadline=None)
    def test_any_octets(self, content: bytes) -> None:
        structure = scan(content)
        for index, part in enumerate(structure.parts):
            self.assertLess(part.parent, index)
            self.assertTrue(part.header_start <= part.body_start <= part.body_end <= len(content))
        preview(content)


class PreviewTest(SynchronousTestCase):
    def test_parts(self) -> None:
        seen = preview(NESTED)
        self.assertEqual((seen.text, seen.html), ("plain", "<p>ä</p>"))
        self.assertEqual(
            [(one.filename, one.type, one.octets) for one in seen.attachments],
            [("grün.zip", "application/zip", 4), ("", "text/plain", 2)],
        )

    def test_charsets_with_fallbacks(self) -> None:
        for charset, octets, text in [
            ("utf-8", "ä".encode(), "ä"),
            ("iso-8859-1", b"\xe4\x80", "ä€"),
            ("nonsense", b"\xe4", "ä"),
            ("us-ascii", "ä".encode(), "ä"),
            ("shift_jis", b"\x83e\x83X\x83g", "テスト"),
            ("utf-16", "ä".encode("utf-16"), "ä"),
            ("idna", b"xn--a", "xn--a"),
        ]:
            head = f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode()
            self.assertEqual(preview(head + octets).text, text, charset)

    def test_M13_names_and_headers_are_harmless(self) -> None:
        content = (
            b"Subject: =?utf-8?q?a=0aBcc:_b?=\r\nContent-Type: application/x-a;\r\n"
            b' name="../../etc/=?utf-8?q?pass=E2=80=AEwd=0a?="\r\n\r\n'
        )
        seen = preview(content)
        self.assertEqual(seen.attachments[0].filename, "passwd")
        self.assertEqual(dict(seen.headers)["Subject"], "a Bcc: b")

    def test_output_is_bounded(self) -> None:
        seen = preview(b"A: b\r\n" * 1000 + b"X: " + b"a" * 90_000 + b"\r\n\r\n" + b"x" * 3_000_000)
        self.assertLessEqual(len(seen.headers), 300)
        self.assertLessEqual(len(seen.text or ""), 512 * 1024)
