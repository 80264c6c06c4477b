"""Feedback-ID: FI1, FI2."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message import dkim
from smtpplus.message.feedback_id import REPLACED, feedback_id, feedback_id_field, sender_id

FORM = re.compile(r"^[^:\s]{1,}(:[^:\s]+){0,2}:[A-Za-z0-9]{5,15}$")  # FI1, as it is written there

TABLE = (
    # campaign, own setting, expected
    ("2026-11", "", "c-2026-11:l12:a7:mailexample"),
    ("welcome", "shop", "c-welcome:shop:a7:mailexample"),
    ("welcome", "shop:eu", "c-welcome:shop:eu:mailexample"),
    ("welcome", "a:b:c", "a:b:c:mailexample"),
    ("welcome", "a:b:c:Sender01", "a:b:c:Sender01"),
    ("welcome", "a:b:c:no", "a:b:c:mailexample"),
    ("welcome", "a:b:c:d:e", "a:b:c:mailexample"),
    ("welcome", "::shop:", "c-welcome:shop:a7:mailexample"),
    ("welcome", "x y", "c-welcome:l12:a7:mailexample"),
    ("welcome", "a7", "c-welcome:a7:mailexample"),  # no identifier twice
    ("welcome", "mailexample", "c-welcome:a7:mailexample"),
    ("welcome", "x:x:x", "x:mailexample"),
    ("welcome", "caf\u00e9", "c-welcome:l12:a7:mailexample"),
    ("a:b c", "", "c-3df2467efd:l12:a7:mailexample"),
    ("", "", "c-e3b0c44298:l12:a7:mailexample"),
)


class FeedbackIdTests(SynchronousTestCase):
    def value(self, campaign: str, own: str = "", sender: str = "mailexample") -> str:
        return feedback_id(campaign=campaign, list_id=12, account_id=7, sender=sender, own=own)

    def test_FI2_campaign_list_account_sender(self) -> None:
        for campaign, own, expected in TABLE:
            value = self.value(campaign, own)
            self.assertTrue(FORM.match(value), value)
            self.assertEqual(value, expected)

    @settings(max_examples=500, deadline=None)
    @given(st.text(max_size=80), st.text(max_size=70), st.text(max_size=40))
    def test_FI1_the_form_holds_for_anything(self, campaign: str, own: str, sender: str) -> None:
        value = self.value(campaign, own, sender)
        self.assertTrue(FORM.fullmatch(value), value)
        self.assertTrue(value.isascii())
        parts = value.split(":")
        self.assertEqual(len(parts), len(set(parts)), value)
        field = feedback_id_field(value)
        self.assertEqual(field, b"Feedback-ID: " + value.encode() + b"\r\n")
        self.assertLess(len(field), 200)

    def test_FI1_the_senders_own_is_named_for_cutting(self) -> None:
        self.assertEqual(REPLACED, {"feedback-id"})

    def test_FI3_it_is_among_what_is_signed(self) -> None:
        self.assertIn("Feedback-ID", dkim.OVERSIGNED)

    def test_sender_ids(self) -> None:
        for domain in ("a.b", "", "mail.example.com", "x" * 300 + ".com", "m\u00fcnchen.example"):
            one = sender_id(domain)
            self.assertTrue(re.fullmatch(r"[A-Za-z0-9]{5,15}", one), one)
            self.assertEqual(one, sender_id(domain))
        first, second = (sender_id(f"mail.example-number-{n}.com") for n in (1, 2))
        self.assertNotEqual(first, second)
