"""Address lists, and the one From that decisions rest on."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.mailboxes import addresses, single_mailbox
from smtpplus.values.errors import AddressError


def read(value: str) -> list[tuple[str, str]] | None:
    try:
        return [(m.display_name, str(m.address)) for m in addresses(value)]
    except AddressError:
        return None


class AddressesTest(SynchronousTestCase):
    def test_table(self) -> None:
        for value, expected in [
            ("", []),
            ("a@b.com", [("", "a@b.com")]),
            ('"X, Y" <a@b.com>', [("X, Y", "a@b.com")]),
            ("a@b.com, c@d.com", [("", "a@b.com"), ("", "c@d.com")]),
            ("G: a@b.com, c@d.com;, e@f.com", [("", "a@b.com"), ("", "c@d.com"), ("", "e@f.com")]),
            ("undisclosed-recipients:;", []),
            ("<@one,@two:a@b.com>", [("", "a@b.com")]),
            ("a@b.com (Name)", [("Name", "a@b.com")]),
            ("((a)b) a@b.com", [("(a)b", "a@b.com")]),
            ("John Q. Public <a@b.com>", [("John Q. Public", "a@b.com")]),
            ("=?utf-8?q?J=C3=B6?= =?utf-8?q?rg?= <a@b.com>", [("Jörg", "a@b.com")]),
            ('"\\"x\\\\" <a@b.com>', [('"x\\', "a@b.com")]),
            ('x <"a b"@c.com>', [("x", '"a b"@c.com')]),
            ("a @ b.com", [("", "a@b.com")]),
            ("x@y.com <a@b.com>", None),
            ("a@b.com c@d.com", None),
            ("<a@b.com", None),
            ("a@b.com>", None),
            ("(((", None),
            ("Re: x <a@b.com>", None),
            ("a@b.com\0", None),
        ]:
            self.assertEqual(read(value), expected, value)

    @given(st.text(alphabet='ab@.,;:<>()"\\[] =?\t\0ä', max_size=40))
    @settings(max_examples=500, deadline=None)
    def test_any_text_is_read_or_refused(self, value: str) -> None:
        read(value)

    def test_hostile_lists_are_quick(self) -> None:
        for value in [
            "(" * 100_000,
            '"' * 100_001,
            "a@b.c," * 15_000,
            "<" * 100_000,
            "\\" * 99_999,
        ]:
            started = time.process_time()
            read(value)
            self.assertLess(time.process_time() - started, 2)


class SingleMailboxTest(SynchronousTestCase):
    def test_A7_what_could_be_read_in_two_ways_is_refused(self) -> None:
        for value in [
            "",
            "a@b.com, c@d.com",
            ",a@b.com",
            "G: a@b.com;",
            "G:;",
            "<@evil.com:a@b.com>",
            "a(c)@b.com",
            "<a@b.com(c)>",
            "a @ b.com",
            "a@b.com (<x@evil.com>)",
            "x@evil.com <a@b.com>",
            "<x@evil.com> <a@b.com>",
            "[x@evil.com] <a@b.com>",
            "a@b.com <x@evil.com> ",
            '"x@evil.com>"@b.com',
            "=?x?q?a=40evil.com=3e?=@b.com",
            "=?utf-8?q?a=40b.com?=",
            "a@b.com\nBcc: x",
            "a" * 5000 + "@b.com",
        ]:
            with self.assertRaises(AddressError, msg=value):
                single_mailbox(value)

    def test_ordinary_ones_are_taken(self) -> None:
        for value in [
            "a@b.com",
            "Shop <a@b.com>",
            '"Shop, Inc." <a@b.com>',
            "a@b.com <A@b.com>",
            "a@b.com (Shop)",
            "=?utf-8?q?x=40evil.com?= <a@b.com>",
            "[Shop] order <a@b.com>",  # needs quotes by RFC 5322, but nobody reads it otherwise
            "John Q. Public <a@b.com>",
        ]:
            self.assertEqual(single_mailbox(value).address.key, "a@b.com", value)
