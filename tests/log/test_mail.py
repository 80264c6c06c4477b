from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.log import LeastLevel, MailLog, UserNames
from smtpplus.net.clock import ReactorClock
from smtpplus.net.spawn import Spawn
from smtpplus.values.errors import StoreUnavailableError
from smtpplus.values.ids import IdSource, show_id
from smtpplus.values.message import DeliveryState
from smtpplus.values.reply import Reply
from tests.log.payloads import payloads
from tests.store.samples import NOW, TO_BOB, TO_ZOE, accepted, delivery_of, settlement


class MailLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []
        self.reads: list[Deferred[Sequence[Any]]] = []
        self.least = LeastLevel("info")
        names = UserNames(self.read, Spawn(ReactorClock(Clock())))
        self.log = MailLog(self.lines.append, self.least, names)
        self.ids = IdSource(0)

    def read(self) -> Deferred[Sequence[Any]]:
        self.reads.append(Deferred())
        return self.reads[-1]

    def know(self, *users: tuple[int, str]) -> None:
        found = [SimpleNamespace(id=number, username=name) for number, name in users]
        self.reads[-1].callback(found)

    def written(self) -> list[dict[str, Any]]:
        for line in self.lines:
            self.assertTrue(line.endswith("\n") and line.count("\n") == 1 and line.isascii())
            self.assertEqual([c for c in line[:-1] if c < " " or c == "\x7f"], [])
        return [json.loads(line) for line in self.lines]

    def test_S17_a_message_is_one_line(self) -> None:
        item = accepted(self.ids, TO_BOB, TO_ZOE)
        self.log.accepted(item)
        self.know((7, "s1_01"))
        [line] = self.written()
        self.assertEqual(
            (line["level"], line["source"], line["event"]), ("info", "smtpplus.mail", "accepted")
        )
        self.assertEqual(line["time"], "2026-05-28T20:26:40.000Z")
        self.assertEqual(
            line["text"], "accepted from alice@example.com for Bob@Example.net and 1 more"
        )
        self.assertEqual((line["message_id"], line["user"]), (show_id(item.message.id), "s1_01"))
        self.assertEqual((line["recipients"], line["octets"]), (2, item.message.octets))

    def test_S17_an_outcome_is_one_line(self) -> None:
        item = accepted(self.ids, TO_BOB, TO_ZOE)
        later = settlement(delivery_of(item, 1), DeliveryState.QUEUED, due_at=NOW + 90)
        self.log.settled([settlement(delivery_of(item)), later])
        self.know((7, "s1_01"))
        first, second = self.written()
        self.assertEqual((first["event"], second["event"]), ("delivered", "deferred"))
        self.assertEqual(first["host"], later.attempt.host if later.attempt else None)
        self.assertEqual(second["next_at"], "2026-05-28T20:28:10.000Z")
        for name in ("sender", "recipient", "reply", "status", "delay_seconds", "tls", "took_ms"):
            self.assertIn(name, first)

    def test_a_report_says_what_it_reports(self) -> None:
        self.log.accepted(accepted(self.ids, reports_on=5, sender=None))
        self.know()
        [line] = self.written()
        self.assertEqual((line["sender"], line["reports_on"]), ("<>", show_id(5)))

    def test_names_are_read_once_and_lines_keep_their_order(self) -> None:
        for user_id in (7, 8, 7):
            self.log.accepted(accepted(self.ids, user_id=user_id))
        self.assertEqual((self.lines, len(self.reads)), ([], 1))
        self.know((7, "seven"), (8, "eight"))
        self.log.accepted(accepted(self.ids, user_id=8))
        users = [line["user"] for line in self.written()]
        self.assertEqual((users, len(self.reads)), (["seven", "eight", "seven", "eight"], 1))

    def test_users_that_are_gone_or_cannot_be_read_have_no_name(self) -> None:
        self.log.accepted(accepted(self.ids))
        self.reads[-1].errback(StoreUnavailableError("away"))
        self.log.accepted(accepted(self.ids))
        self.know()
        self.log.accepted(accepted(self.ids))
        self.assertEqual([line["user"] for line in self.written()], ["", "", ""])
        self.assertEqual(len(self.reads), 2)

    def test_nothing_where_the_level_is_above_info(self) -> None:
        self.least.set("warn")
        self.log.accepted(accepted(self.ids))
        self.log.settled([settlement(delivery_of(accepted(self.ids)))])
        self.assertEqual((self.lines, self.reads), ([], []))

    def test_S17_no_reply_forges_a_line(self) -> None:
        outcome = settlement(delivery_of(accepted(self.ids)))
        for payload in payloads(200):
            said = replace(outcome.outcome, reply=Reply(550, None, (payload,)))
            self.log.settled([replace(outcome, outcome=said)])
        self.know((7, "s1_01"))
        lines = self.written()
        self.assertEqual(len(lines), 200)
        self.assertEqual({line["source"] for line in lines}, {"smtpplus.mail"})
        self.assertEqual([line for line in lines if "forged" in line], [])
        self.assertLess(max(map(len, self.lines)), 30_000)
