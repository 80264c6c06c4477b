"""The head as spans: coverage, line ends, encoded words."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.headers import cut_spans, decode_words, head_length, parse_head
from tests.corpora import messages

HEADISH = st.lists(
    st.sampled_from(
        [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"From", b"To: a@b", b"x", b"\xff", b"\0", b"=?"]
    ),
    max_size=30,
).map(b"".join)


class HeadLengthTest(SynchronousTestCase):
    def test_table(self) -> None:
        for content, expected in [
            (b"", None),
            (b"\r\nbody", 2),
            (b"\nbody", 1),
            (b"\r", None),
            (b"A: b\r\n\r\nbody", 8),
            (b"A: b\r\n", None),
            (b"A: b\r\n\r", None),
            (b"A: b\n\nbody", 6),
            (b"A: b\r\rbody", 6),
            (b"A: b\n\r\nbody", 7),
            (b"A: b\r\n \r\nC: d\r\n\r\nbody", 17),
            (b"A: b\n\nx\r\n\r\n", 6),
        ]:
            self.assertEqual(head_length(content), expected, content)

    def test_growing_content_gives_the_same_answer_or_none(self) -> None:
        content = b"A: b\r\nC: d\r\n\r\nbody\r\n\r\n"
        for size in range(len(content) + 1):
            self.assertIn(head_length(content[:size]), (None, 14) if size < 14 else (14,))


class ParseHeadTest(SynchronousTestCase):
    @given(HEADISH)
    @settings(max_examples=300, deadline=None)
    def test_fields_cover_the_head(self, octets: bytes) -> None:
        length = head_length(octets)
        head = octets if length is None else octets[:length]
        fields = parse_head(head)
        covered = b"".join(head[field.start : field.end] for field in fields)
        self.assertTrue(head.startswith(covered))
        self.assertEqual(head[len(covered) :].strip(b"\r\n"), b"")

    def test_names_and_values(self) -> None:
        head = b"From : a\r\nSubject:one\r\n two\r\nno field\r\nX-\xc3\xa4: 1\r\n\r\n"
        fields = parse_head(head)
        self.assertEqual([f.name for f in fields], ["From", "Subject", "", ""])
        self.assertEqual(fields[1].unfolded, "one two")
        self.assertEqual(fields[1].value, b"one\r\n two")
        self.assertEqual(fields[2].value, b"no field")

    def test_M1_nothing_cut_is_the_same_octets_in_all_corpora(self) -> None:
        for name, content in messages("mime", "bounces"):
            length = head_length(content)
            head, body = content[:length], content[len(content) if length is None else length :]
            self.assertEqual(cut_spans(head, ()) + body, content, name)
            parts = [head[f.start : f.end] for f in parse_head(head)]
            rest = head[sum(map(len, parts)) :]
            self.assertEqual(b"".join(parts) + rest, head, name)
            self.assertIn(rest, {b"", b"\n", b"\r\n", b"\r"}, name)

    def test_M11_line_ends_do_not_matter(self) -> None:
        for name, content in messages("mime", "bounces"):
            unix = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            forms = [unix.replace(b"\n", end) for end in (b"\n", b"\r\n", b"\r")]
            read = [
                [(f.name, f.unfolded) for f in parse_head(form[: head_length(form)])]
                for form in forms
            ]
            self.assertEqual(read[0], read[1], name)
            self.assertEqual(read[0], read[2], name)

    def test_cut_spans(self) -> None:
        self.assertEqual(cut_spans(b"abcdef", ((0, 1), (3, 5))), b"bcf")


class DecodeWordsTest(SynchronousTestCase):
    def test_table(self) -> None:
        for value, expected in [
            ("plain", "plain"),
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=  =?UTF-8?Q?b?=", "ab"),
            ("x =?ISO-8859-1?Q?a_b?= y", "x a b y"),
            ("=?utf-8?b?w6Q=?=", "ä"),
            ("=?utf-8?b?w6Q?=", "ä"),  # padding missing
            ("=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),  # a character cut in two
            ("=?utf-8*de?q?=C3=A4?=", "ä"),
            ("=?gb2312?b?xOO6ww==?=", "你好"),
            ("=?iso-2022-jp?b?GyRCJUYlOSVIGyhC?=", "テスト"),
            ("=?nonsense?q?=E4?=", "ä"),
            ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
            ("=?utf-8?q?abc", "=?utf-8?q?abc"),
            ("=?idna?q?abc?= =?unicode_escape?q?=5Cx41?=", "abc\\x41"),
            ("=?utf-8?b?!!!?=", ""),
            ("=?utf-8?b?a?=", ""),
        ]:
            self.assertEqual(decode_words(value), expected, value)

    def test_S11_nothing_decoded_breaks_a_line(self) -> None:
        for word in [
            "=?utf-8?q?=0aBcc:x?=",
            "=?utf-8?q?a=0d=0ab?=",
            "=?utf-8?b?4oCo?=",
            "a\u2028b",
        ]:
            shown = decode_words(word)
            self.assertEqual(len(shown.splitlines()), 1, word)
        self.assertNotIn("\u202e", decode_words("=?utf-8?q?=E2=80=AEexe?="))

    @given(st.text(alphabet="=?utf-8bBqQ_ \x00\n\u2028aZ+/", max_size=80))
    @settings(max_examples=300, deadline=None)
    def test_never_raises(self, value: str) -> None:
        self.assertNotIn("\n", decode_words(value))

    def test_M4_encoded_word_bombs_are_quick(self) -> None:
        for bomb in [
            "=?utf-8?q?a?= " * 20_000,
            "=?" * 200_000,
            "=?utf-8?q?" * 40_000,
            "=?utf-8?q?" + "a" * 500_000,
            "=?u?b?YQ==?= x" * 20_000,
        ]:
            started = time.process_time()
            decode_words(bomb)
            self.assertLess(time.process_time() - started, 0.2)
