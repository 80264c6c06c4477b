"""Recipients, times and names of submissions, without a socket."""

from __future__ import annotations

import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.headers import parse_head
from smtpplus.message.mailboxes import addresses
from smtpplus.submission.duplicates import KEY_SECONDS, once
from smtpplus.submission.recipients import names_in
from smtpplus.submission.schedule import MOST_AHEAD_SECONDS, schedule
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError, RefusedError

NOW = 1_800_000_000.0
DAY = 86_400.0


class NamesTests(SynchronousTestCase):
    def test_as_the_whole_grammar_has_them(self) -> None:
        """The quick way finds what the full reading finds, and nothing where that finds none."""
        for value in (
            "a@example.com",
            "Ada <a@example.com>",
            '"Lovelace, Ada" <A@Example.com>, Bob B. <b@example.net>',
            '"Ada" <a@example.com>, b@example.net, Zoë <z@example.net>',
            "=?utf-8?q?Zo=C3=AB?= <z@example.net>, Bob <b@example.net>",
            '"Quo\\"ted" <q@example.net>',
            "Friends: Ada <a@example.com>, Bob <b@example.net>;",
            "a@example.com (Ada)",
            "Ada <a@example.com>,, Bob <b@example.net>,",
            "Ada\t<a@example.com>",
            "Ada <a@example.com> Bob <b@example.net>",
            "Ada <a@example.com",
            "<a@example.com>",
            'Ada "the first" <a@example.com>',
            "Ada <@x,@y:a@example.com>",
            "a@b <a@example.com>",
            "",
        ):
            try:
                full = {one.address.key: one.display_name for one in addresses(value)}
            except AddressError:
                full = {}
            expected = {key: name for key, name in full.items() if name}
            found = names_in(parse_head(f"To: {value}\r\n\r\n".encode()))
            self.assertEqual(found, expected, value)

    def test_R_hostile_lists_take_linear_time(self) -> None:
        for value in (
            b" " * 100_000 + b"<",
            b"a" * 100_000 + b"<",
            b'"' + b"a " * 50_000 + b"<",
            b"a<" * 50_000,
            b"A <a@b.example>," * 8_000 + b"<",
            b"," * 100_000 + b"<",
        ):
            started = time.process_time()
            names_in(parse_head(b"To: " + value + b"\r\n\r\n"))
            self.assertLess(time.process_time() - started, 2.0, value[:10])


class ScheduleTests(SynchronousTestCase):
    def test_P10_times(self) -> None:
        cases: list[tuple[dict[str, Any], float, float]] = [
            ({}, NOW, NOW + DAY),
            ({"send_at": NOW - 5}, NOW, NOW + DAY),
            ({"send_at": NOW + 5}, NOW + 5, NOW + 5 + DAY),
            ({"recall": 60.0}, NOW + 60, NOW + 60 + DAY),
            ({"recall": 60.0, "send_at": NOW + 5}, NOW + 60, NOW + 60 + DAY),
            ({"expires_after": 60.0}, NOW, NOW + 60),
            ({"expires_after": 2 * DAY}, NOW, NOW + DAY),
            ({"expires_at": NOW + 9}, NOW, NOW + 9),
            ({"expires_at": NOW + 9, "expires_after": 3.0}, NOW, NOW + 3),
            ({"send_at": NOW + MOST_AHEAD_SECONDS}, NOW + 30 * DAY, NOW + 31 * DAY),
        ]
        for asked, due, end in cases:
            found = schedule(NOW, lifetime=DAY, **asked)
            self.assertEqual((found.due_at, found.expires_at, dict(found.own)), (due, end, {}))

    def test_P10_own_times(self) -> None:
        found = schedule(
            NOW,
            send_at=NOW + 10,
            recall=5.0,
            each_send_at=(None, NOW + 10, NOW - 7, NOW + 99),
            lifetime=DAY,
        )
        self.assertEqual(found.due_at, NOW + 10)
        self.assertEqual(found.own, {2: NOW + 5, 3: NOW + 99})
        self.assertEqual(found.expires_at, NOW + 99 + DAY)

    def test_what_cannot_be_kept_is_refused(self) -> None:
        cases: list[dict[str, Any]] = [
            {"send_at": NOW + MOST_AHEAD_SECONDS + 1},
            {"send_at": 1e300},
            {"expires_at": NOW},
            {"expires_at": NOW + 5, "send_at": NOW + 5},
        ]
        for asked in cases:
            with self.assertRaises(RefusedError) as caught:
                schedule(NOW, lifetime=DAY, **asked)
            self.assertEqual(str(caught.exception.reply)[:9], "550 5.6.0")


class OnceTests(SynchronousTestCase):
    def test_what_makes_a_submission_the_same(self) -> None:
        ada, bob = Address.parse("ada@example.org"), Address.parse("bob@example.net")

        def name(**changes: object) -> str:
            usual = {
                "user_id": 1,
                "key": "",
                "window": 60.0,
                "message_id": "<1@x>",
                "sender": ada,
                "recipients": [ada, bob],
            }
            return once(**(usual | changes))[0]  # type: ignore[arg-type]

        same = name()
        self.assertEqual(len(same), 64)
        self.assertEqual(name(recipients=[bob, Address.parse("ADA@example.ORG")]), same)
        for changes in (
            {"user_id": 2},
            {"message_id": "<2@x>"},
            {"sender": None},
            {"recipients": [ada]},
            {"key": "k"},
        ):
            self.assertNotEqual(name(**changes), same)
        self.assertEqual((name(window=0.0), name(message_id="")), ("", ""))
        self.assertEqual(name(key="k"), name(key="k", message_id="", recipients=[], window=0.0))

    def test_a_key_holds_for_a_day_at_least(self) -> None:
        for window, holds in ((0.0, KEY_SECONDS), (600.0, KEY_SECONDS), (2 * DAY, 2 * DAY)):
            _, seconds = once(
                user_id=1, key="k", window=window, message_id="", sender=None, recipients=()
            )
            self.assertEqual(seconds, holds)
