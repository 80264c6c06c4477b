"""Parts that come again: the copy is the same as if each had been looked at anew (M1, M6)."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.copy_plan import CopyPlan
from smtpplus.message.encoded_body import body_of
from smtpplus.message.part_memory import MAX_REMEMBERED, PartMemory
from smtpplus.message.recipient_copy import Prepared
from tests.corpora import messages
from tests.message.test_recipient_copy import ANNA, EVERYTHING, of_content, pages, prepared
from tests.message.wrapped import Wrapped, wrap

_HEAD = b"From: a@example.com\r\nTo: anna@example.net\r\nSubject: %d\r\n%bMIME-Version: 1.0\r\n"
_TWO = (
    b'Content-Type: multipart/alternative; boundary="%b"\r\n\r\n--%b\r\n'
    b"Content-Type: text/plain%b\r\n\r\n%b\r\n--%b\r\nContent-Type: text/html\r\n\r\n"
    b"%b\r\n--%b--\r\n"
)
_HTML = b'<p>[first] [what]</p><a href="https://shop.example/1?a=b">look</a>'
_TEXT = b"[first], https://shop.example/2 and [else]"


def two(
    number: int,
    text: bytes = _TEXT,
    page: bytes = _HTML,
    *,
    fields: bytes = b"",
    parameters: bytes = b"",
) -> Wrapped:
    """A message of two parts, with a boundary of its own."""
    mark = b"=_%d" % number
    head = _HEAD % (number, fields)
    return of_content(head + _TWO % (mark, mark, parameters, text, mark, page, mark))


class PartMemoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.memory = PartMemory()
        self.plan = replace(EVERYTHING, parts=self.memory)

    def same(self, message: Wrapped, plan: CopyPlan | None = None) -> Prepared:
        """Prepared with the memory, and what came out compared with what does without it."""
        made = prepared(message, self.plan if plan is None else plan)
        alone = prepared(message, replace(self.plan if plan is None else plan, parts=None))
        self.assertEqual(made.copy(ANNA), alone.copy(ANNA))
        for name in ("left_alone", "unknown_tags", "links", "has_unsubscribe_link", "has_pixel"):
            self.assertEqual(getattr(made, name), getattr(alone, name), name)
        return made

    def looked_at(self, message: Wrapped) -> int:
        """How many of its parts are decoded."""
        with mock.patch("smtpplus.message.recipient_copy.body_of", side_effect=body_of) as counted:
            self.same(message)
        return counted.call_count - len([p for p in message.structure.leaves if p.is_text])

    def test_what_comes_for_the_third_time_is_not_looked_at(self) -> None:
        self.assertEqual([self.looked_at(two(n)) for n in range(4)], [2, 2, 0, 0])

    def test_what_is_different_each_time_is_not_kept(self) -> None:
        for number in range(20):
            self.same(two(number, b"order %d" % number, b"<p>order %d</p>" % number))
        self.assertEqual(self.memory.octets, 0)

    def test_M6_everything_of_the_corpora_again_and_again(self) -> None:
        wrapped = [wrap(page, encoding="quoted-printable") for _, page in pages()[::3]]
        found = [of_content(content) for _, content in messages("mime")]
        for _ in range(3):
            for message in (*wrapped, *found):
                self.same(message)
        self.assertGreater(self.memory.octets, 0)

    def test_links_are_numbered_by_what_stands_before_them(self) -> None:
        for number in range(3):
            self.same(two(number))
        more = b"https://shop.example/a https://shop.example/b"
        for number in range(3):
            self.assertEqual(len(self.same(two(number, more)).links), 3)

    def test_what_the_message_says_beside_its_parts_counts(self) -> None:
        own = b"List-Unsubscribe: <https://shop.example/2>\r\n"
        for fields in (b"", own, b"In-Reply-To: <1@example.com>\r\n", b""):
            for number in range(3):
                self.same(two(number, fields=fields))
        for parameters in (b"", b"; format=flowed", b"; format=flowed; delsp=yes", b"; charset=x"):
            for number in range(3):
                self.same(two(number, b"> quoted \r\nFrom here \r\non", parameters=parameters))

    def test_unknown_tags_of_a_part_are_told_again_where_another_had_them_first(self) -> None:
        for number in range(3):
            self.same(two(number, b"[what]"))
        self.assertEqual(self.same(two(9, b"none")).unknown_tags, ("[what]",))

    def test_plans_do_not_mix(self) -> None:
        other = replace(self.plan, footer_html="<p>Another</p>", click_url=None)
        for number in range(4):
            self.same(two(number))
            self.same(two(number), other)
            self.same(two(number), replace(other))

    def test_a_tag_for_the_pixel_in_an_earlier_part(self) -> None:
        plan = replace(self.plan, open_tag="%open%")
        for number in range(3):
            self.same(two(number, page=_HTML + b"%open%"), plan)
            self.same(two(number), plan)

    def test_R_memory_is_bounded(self) -> None:
        self.memory = PartMemory(100_000)
        self.plan = replace(EVERYTHING, parts=self.memory)
        for number in range(40):
            page = b"<p>%d</p>" % number * 1_000
            for again in range(2):
                self.same(two(again, page=page))
            self.assertLessEqual(self.memory.octets, 100_000)
        for number in range(5_000):
            self.same(two(number, b"", b"%d" % number))
        self.assertLess(len(self.memory._seen), 5_000)
        kept = self.memory.octets
        for again in range(3):
            self.same(two(again, b"", b"[first] " * 600))  # little text, many places
        for again in range(3):
            self.same(two(again, b"", b"x " * MAX_REMEMBERED))
        self.assertEqual(self.memory.octets, kept)
