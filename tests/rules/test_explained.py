"""P3 for people: each answer has a row, and the row says who gave it."""

from __future__ import annotations

from dataclasses import fields, replace

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.effective import Effective, Level, settle
from smtpplus.rules.explained import Explained, as_of, explained
from smtpplus.values.options import NOTHING_SAID, Options, Utm
from smtpplus.values.submission import MailList, ScramVerifier, SmtpUser, Stream

_USER = SmtpUser(1, 1, 1, "s1_01", ScramVerifier(b"", 1, b"", b""), campaign="shop", recall=30.0)
_LIST = MailList(1, 1, "default", Stream.TRANSACTIONAL, {"footer": True}, 0.0)


def rows(options: Options) -> dict[str, Explained]:
    return {one.key: one for one in explained(settle(options, _USER, _LIST), lambda at: f"at {at}")}


class ExplainedTests(SynchronousTestCase):
    def test_P3_each_answer_names_who_gave_it(self) -> None:
        found = rows(Options(track_opens=True, send_at=5.0, utm=Utm(source="mail")))
        for key, text, level in (
            ("track_opens", "on", Level.MESSAGE),
            ("send_at", "at 5.0", Level.MESSAGE),
            ("utm", "source=mail", Level.MESSAGE),
            ("campaign_code", "shop", Level.USER),
            ("recall", "30 s", Level.USER),
            ("footer", "on", Level.LIST),
            ("header", "off", Level.DEFAULT),
            ("priority", "3", Level.DEFAULT),
        ):
            self.assertEqual((found[key].text, found[key].level), (text, level), key)

    def test_P3_a_footer_that_the_message_brings_is_there_by_its_word(self) -> None:
        found = rows(Options(footer_text="Shop Ltd"))
        for key, text in (("footer", "on"), ("footer_text", "Shop Ltd")):
            self.assertEqual((found[key].text, found[key].level), (text, Level.MESSAGE), key)

    def test_of_when_the_answers_are(self) -> None:
        now = "As SMTP user and list are set now"
        for user_at, list_at, told in (
            (None, None, ""),
            (5.0, 10.0, ""),
            (None, 10.5, "; the list was changed since (at 10.5)"),
            (11.0, 9.0, "; the SMTP user was changed since (at 11.0)"),
        ):
            user, mails = replace(_USER, changed_at=user_at), replace(_LIST, changed_at=list_at)
            found = as_of(user, mails, 10.0, lambda at: f"at {at}")
            self.assertEqual(found, f"{now}{told}.")

    def test_what_nobody_asked_for_has_no_row(self) -> None:
        found = rows(NOTHING_SAID)
        for key in ("drop", "utm", "metadata", "send_at", "own_to", "footer_html"):
            self.assertNotIn(key, found)

    def test_long_and_many_are_cut(self) -> None:
        many = {f"name{number}": "x" * 50 for number in range(100)}
        text = rows(Options(metadata=many))["metadata"].text
        self.assertLess(len(text), 250)
        self.assertIn("and 80 more", text)
        self.assertEqual(len(rows(Options(tags=("y" * 500,)))["tags"].text), 201)

    def test_every_row_is_an_answer_of_effective(self) -> None:
        names = {one.name for one in fields(Effective)}
        everything = Options(
            drop=True, own_to=True, merge=(), metadata={"a": "b"}, pool="x", tags=("t",)
        )
        self.assertLessEqual(set(rows(everything)), names)
