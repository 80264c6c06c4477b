from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.user_settings import OWN, SETTINGS, read
from smtpplus.values.errors import UsageError
from smtpplus.values.submission import UserStatus

ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ("networks", "192.0.2.7, 2001:db8::/32", {"networks": ("192.0.2.7/32", "2001:db8::/32")}),
    ("networks", "none", {"networks": ()}),
    (
        "domains",
        "Example.com,bücher.example",
        {"domains": ("example.com", "xn--bcher-kva.example")},
    ),
    ("domains", "", {"domains": ()}),
    ("senders", "a@example.com, a@example.com", {"senders": ("a@example.com",)}),
    ("priority", "1", {"priority": 1}),
    ("campaign", "orders", {"campaign": "orders"}),
    ("campaign", "none", {"campaign": ""}),
    ("limit_hour", "100", {"limit_hour": 100}),
    ("limit_day", "none", {"limit_day": None}),
    ("duplicates", "10m", {"duplicates": 600.0}),
    ("recall", "none", {"recall": 0.0}),
    ("recall", "2m", {"recall": 120.0}),
    ("status", "off", {"status": UserStatus.OFF}),
    ("status", "active", {"status": UserStatus.ACTIVE, "blocked_until": None, "block_reason": ""}),
]
REFUSED = [
    ("username", "x"),
    ("networks", "0.0.0.0/0"),
    ("networks", "::/0"),
    ("networks", "192.0.2.1/24"),
    ("networks", "example.com"),
    ("domains", "exa mple"),
    ("domains", ",".join(["a.example"] * 201)),
    ("senders", "nobody"),
    ("priority", "6"),
    ("limit_hour", "0"),
    ("limit_hour", "-1"),
    ("limit_hour", "²"),
    ("limit_day", "9" * 400),
    ("duplicates", "10"),
    ("duplicates", "31d"),
    ("recall", "121s"),
    ("status", "on"),
    ("campaign", "a\nb"),
]


class UserSettingsTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        for key, text, changes in ACCEPTED:
            self.assertEqual(read(key, text), changes, (key, text))

    def test_what_is_written_can_be_typed(self) -> None:
        for key, text, changes in ACCEPTED:
            written = SETTINGS[key].written(changes[key])
            self.assertEqual(read(key, written), changes, (key, text, written))
        for key, value, written in (
            ("domains", (), "none"),
            ("senders", ("a@example.com", "b@example.com"), "a@example.com, b@example.com"),
            ("limit_hour", None, "none"),
            ("limit_hour", 5, "5"),
            ("duplicates", 1_234_567.0, "1234567s"),
            ("recall", 0.0, "none"),
            ("recall", 0.25, "0.25s"),
            ("status", UserStatus.OFF, "off"),
            ("campaign", "", "none"),
        ):
            self.assertEqual(SETTINGS[key].written(value), written)

    def test_refused_with_what_was_expected(self) -> None:
        for key, text in REFUSED:
            self.assertIn("expected", str(self.assertRaises(UsageError, read, key, text)))

    def test_every_key_of_the_contract_is_there(self) -> None:
        contract = "networks domains senders priority campaign limit_hour limit_day duplicates recall status"
        self.assertEqual([key for key in SETTINGS if key not in OWN], contract.split())

    def test_P3_settings_of_the_list_may_be_the_users_own(self) -> None:
        self.assertLessEqual({"footer", "footer_html", "track_opens", "unsubscribe"}, OWN.keys())
        self.assertFalse({"privacy", "notices", "suppressed_reply", "timezone"} & OWN.keys())
        for key, text, value in (
            ("footer", "on", True),
            ("footer", "as the list", None),
            ("footer_html", "<p>", "<p>"),
            ("footer_html", "", None),
            ("aggregation", "week", "week"),
        ):
            self.assertEqual(read(key, text), {"settings": {key: value}})
            written = SETTINGS[key].written(value)
            self.assertEqual(read(key, written), {"settings": {key: value}}, written)
        self.assertIn("expected", str(self.assertRaises(UsageError, read, "footer", "maybe")))
