"""Tracking URLs: where a click leads, and that it leads nowhere else (W2)."""

from __future__ import annotations

import base64
import random
import string

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.token import Purpose, TokenError, TokenFacts, Tokens
from smtpplus.message.tracking_urls import (
    MAX_TARGET,
    LinkTarget,
    click_url,
    open_url,
    read_click,
    read_open,
    read_unsubscribe,
    unsubscribe_url,
)
from tests.message.test_token import mutated

NOW = 1_794_300_000.0
FACTS = TokenFacts(7, 12, 1_234_567_890_123_456_789, 1_234_567_890_123_456_790)
TOKENS = Tokens([b"s" * 32])
BASE = "https://t.example.com"
TARGET = "https://shop.example.com/orders/123?utm_source=a&x=%20y#part"
URL_LETTERS = string.ascii_letters + string.digits + "-_"

TARGETS = (
    ("http://example.com", "http://example.com"),
    ("HTTPS://Example.COM/Path", "HTTPS://example.com/Path"),
    (" \thttps://example.com/a\n", "https://example.com/a"),
    ("https://exam\nple.com/a\tb", "https://example.com/ab"),
    ("https://example.com/a b?c=d e", "https://example.com/a%20b?c=d%20e"),
    ("https://example.com/caf\u00e9?q=\u20ac", "https://example.com/caf%C3%A9?q=%E2%82%AC"),
    ("https://m\u00fcnchen.example/", "https://xn--mnchen-3ya.example/"),
    ("https://example.com/%41%", "https://example.com/%41%"),
    ("https://example.com:8443/?", "https://example.com:8443/?"),
    ("https://[2001:db8::1]:443/x", "https://[2001:db8::1]:443/x"),
    ("https://user:pw@example.com/", "https://user:pw@example.com/"),
    ("https://example.com?x=1", "https://example.com?x=1"),
    ("https://example.com/{{id}}|x^`", "https://example.com/{{id}}|x^`"),
    ('https://example.com/"><script>', "https://example.com/%22%3E%3Cscript%3E"),
    ("https://example.com/a\\b", "https://example.com/a\\b"),
    ("https://example.com/\ud800", "https://example.com/?"),
)
NO_TARGETS = (
    "", "#", "/", "//evil.example/", "\\\\evil.example", "\\evil", "/\\evil.example", "https:",
    "https://", "https:///x", "http:/evil", "http:evil.example", "http:\\\\evil.example/",
    "https://example.com\\@evil.example/", "https://exa mple.com/",
    "javascript:alert(1)", "JAVASCRIPT:alert(1)", "java\nscript:alert(1)", "data:text/html,x",
    "mailto:a@example.com", "tel:+390123", "cid:image1", "ftp://example.com/", "file:///etc/passwd",
    "vbscript:x", "https://example.com\r\nSet-Cookie: a=b", "https://-example.com/", "[name]",
    "https://exa\0mple.com/", "https://example.com:99999999/", "https://[name]/", "https://*|URL|*/",
    "https://example.com/" + "a" * MAX_TARGET,
)  # fmt: skip


class TargetTests(SynchronousTestCase):
    def test_W2_targets(self) -> None:
        for href, expected in TARGETS:
            target = LinkTarget.of(href)
            self.assertEqual(target.url if target else None, expected, repr(href))

    def test_W2_what_is_no_target(self) -> None:
        for href in NO_TARGETS:
            self.assertIsNone(LinkTarget.of(href), repr(href))

    @settings(max_examples=500, deadline=None)
    @given(st.text(max_size=60).map(lambda text: "https://" + text) | st.text(max_size=60))
    def test_W2_a_target_is_always_safe_in_a_header(self, href: str) -> None:
        target = LinkTarget.of(href)
        if target is not None:
            self.assertTrue(target.url.isascii())
            self.assertTrue(target.url.isprintable())
            self.assertNotIn(" ", target.url)
            self.assertEqual(target.url[:4].lower(), "http")
            again = LinkTarget.of(target.url)
            self.assertEqual(again, target)


class UrlTests(SynchronousTestCase):
    def setUp(self) -> None:
        target = LinkTarget.of(TARGET)
        assert target is not None
        self.target = target
        self.url = click_url(BASE, TOKENS, FACTS, NOW, target, 3)
        self.token, self.segment = self.url.removeprefix(BASE + "/t/c/").split("/")

    def test_a_click_comes_back(self) -> None:
        click = read_click(TOKENS, self.token, self.segment, NOW)
        self.assertEqual((click.target, click.token.link), (TARGET, 3))
        self.assertEqual(click.token.facts, FACTS)

    def test_W2_W3_a_token_in_another_case_is_refused(self) -> None:
        name = open_url(BASE, TOKENS, FACTS, NOW).removeprefix(BASE + "/t/o/")
        unsubscribe = unsubscribe_url(BASE, TOKENS, FACTS, NOW).removeprefix(BASE + "/u/")
        for change in (str.upper, str.title):
            wrong = change(self.token)
            self.assertRaises(TokenError, read_click, TOKENS, wrong, self.segment, NOW)
            self.assertRaises(TokenError, read_open, TOKENS, change(name[:-4]) + ".gif", NOW)
            self.assertRaises(TokenError, read_unsubscribe, TOKENS, change(unsubscribe), NOW)

    def test_opens_and_unsubscribes_come_back(self) -> None:
        name = open_url(BASE, TOKENS, FACTS, NOW).removeprefix(BASE + "/t/o/")
        self.assertEqual(read_open(TOKENS, name, NOW).facts, FACTS)
        token = unsubscribe_url(BASE, TOKENS, FACTS, NOW).removeprefix(BASE + "/u/")
        self.assertEqual(read_unsubscribe(TOKENS, token, NOW).facts, FACTS)
        for wrong in (name.removesuffix(".gif"), name + "x", name.replace("gif", "png"), ".gif"):
            self.assertRaises(TokenError, read_open, TOKENS, wrong, NOW)
        self.assertRaises(TokenError, read_unsubscribe, TOKENS, name.partition(".")[0], NOW)

    def test_the_url_holds_no_readable_id(self) -> None:
        self.assertNotIn(str(FACTS.message_id), self.url)
        self.assertTrue(self.url.isascii())

    def test_W2_2000_mutations_of_the_target_are_refused(self) -> None:
        dice = random.Random(4)
        for _ in range(2_000):
            changed = mutated(self.segment, dice, URL_LETTERS)
            self.assertRaises(TokenError, read_click, TOKENS, self.token, changed, NOW)

    def test_W2_2000_mutations_of_the_token_are_refused(self) -> None:
        dice = random.Random(5)
        for _ in range(2_000):
            changed = mutated(self.token, dice)
            self.assertRaises(TokenError, read_click, TOKENS, changed, self.segment, NOW)

    def test_W2_other_targets_under_this_token(self) -> None:
        targets = [url for url, _ in TARGETS] + list(NO_TARGETS) + ["https://evil.example/"]
        for other in targets:
            octets = other.encode("utf-8", "surrogatepass")
            segment = base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
            self.assertRaises(TokenError, read_click, TOKENS, self.token, segment, NOW)

    def test_W2_what_is_no_target_is_refused_even_when_signed(self) -> None:
        for other in NO_TARGETS:
            octets = other.encode("utf-8", "surrogatepass")
            segment = base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
            forced = LinkTarget(other, segment, octets)
            token = click_url(BASE, TOKENS, FACTS, NOW, forced, 1).split("/")[-2]
            self.assertRaises(TokenError, read_click, TOKENS, token, segment, NOW)

    def test_W2_other_spellings_of_the_same_base64_are_refused(self) -> None:
        spellings = (
            self.segment + "=", self.segment + "==", self.segment + "\n", " " + self.segment,
            self.segment + ".", self.segment + "%3D", self.segment.replace("_", "/"),
        )  # fmt: skip
        for segment in spellings:
            if segment != self.segment:
                self.assertRaises(TokenError, read_click, TOKENS, self.token, segment, NOW)
        for href in ("https://example.com/a", "https://example.com/ab", "https://example.com/abc"):
            target = LinkTarget.of(href)
            assert target is not None
            token = click_url(BASE, TOKENS, FACTS, NOW, target, 1).split("/")[-2]
            for letter in URL_LETTERS:  # the last letter has spare bits
                segment = target.segment[:-1] + letter
                if segment != target.segment:
                    self.assertRaises(TokenError, read_click, TOKENS, token, segment, NOW)

    def test_W2_another_accounts_or_messages_token(self) -> None:
        for facts in (
            TokenFacts(8, 12, FACTS.message_id, FACTS.delivery_id),
            TokenFacts(0, 0, 0, 0),
        ):
            other = LinkTarget.of("https://other.example/")
            assert other is not None
            token = click_url(BASE, TOKENS, facts, NOW, other, 1).split("/")[-2]
            self.assertRaises(TokenError, read_click, TOKENS, token, self.segment, NOW)

    def test_W2_an_open_token_does_not_redirect(self) -> None:
        for purpose in Purpose:
            if purpose is not Purpose.CLICK:
                text = TOKENS.make(purpose, FACTS, NOW, bound=self.target.signed)
                self.assertRaises(TokenError, read_click, TOKENS, text, self.segment, NOW)
