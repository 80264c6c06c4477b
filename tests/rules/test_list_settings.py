from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.list_settings import SETTINGS, effective, read
from smtpplus.values.errors import UsageError

ACCEPTED: list[tuple[str, str, Any]] = [
    ("footer_html", "<p>Bye</p>", "<p>Bye</p>"),
    ("footer", "on", True),
    ("track_opens", "False", False),
    ("aggregation", "Dynamic-Subject", "dynamic-subject"),
    ("notices", "a@example.com, b@example.com", ["a@example.com", "b@example.com"]),
    ("feedback_id", "shop:orders", "shop:orders"),
    ("suppressed_reply", "refuse", "refuse"),
    ("footer", "", None),
    ("utm_source", " shop & more ", "shop & more"),
    ("utm_domains", "Shop.example, bücher.example", ["shop.example", "xn--bcher-kva.example"]),
]
REFUSED = [
    ("nothing", "1"),
    ("footer", "maybe"),
    ("aggregation", "hour"),
    ("notices", "nobody"),
    ("notices", ",".join(["a@example.com"] * 21)),
    ("feedback_id", "a b"),
    ("feedback_id", "ä"),
    ("feedback_id", "a\r\nBcc: b"),
    ("header_text", "x" * 100_001),
    ("header_text", "\0"),
    ("utm_source", "a\r\nb"),
    ("utm_campaign", "x" * 201),
    ("utm_term", " "),
    ("utm_domains", "a b"),
    ("utm_domains", ",".join(["a.example"] * 51)),
]


class ListSettingsTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        for key, text, value in ACCEPTED:
            self.assertEqual(read(key, text), value, (key, text))

    def test_refused_with_what_was_expected(self) -> None:
        for key, text in REFUSED:
            error = self.assertRaises(UsageError, read, key, text)
            self.assertIn("expected", str(error))

    def test_a_text_that_is_too_long_is_told_how_long_it_may_be(self) -> None:
        for key in ("header_html", "header_text", "footer_html", "footer_text"):
            with self.assertRaisesRegex(UsageError, "expected .* of up to 100,000 characters, got"):
                read(key, "x" * 100_001)

    def test_a_time_zone_that_is_none_is_refused(self) -> None:
        self.assertEqual(read("timezone", "Europe/Rome"), "Europe/Rome")
        for text in ("Mars/X", "../etc/passwd"):
            self.assertRaises(UsageError, read, "timezone", text)

    def test_every_key_of_the_contract_is_there(self) -> None:
        contract = (
            "header_html header_text footer_html footer_text header footer track_opens "
            "track_clicks unsubscribe bcc_own_to aggregation notices feedback_id suppressed_reply "
            "track_clicks_text own_unsubscribe privacy timezone utm_source utm_medium utm_campaign "
            "utm_term utm_content utm_domains"
        )
        self.assertEqual(set(SETTINGS) - {"honeypot"}, set(contract.split()))

    def test_defaults_fill_what_was_not_set(self) -> None:
        found = effective({"footer": True, "aggregation": None})
        self.assertEqual((found["footer"], found["aggregation"]), (True, "month"))
        self.assertEqual(list(found), list(SETTINGS))
