from __future__ import annotations

from dataclasses import fields
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.effective import Effective, Level, settle
from smtpplus.rules.list_settings import SETTINGS, effective
from smtpplus.values.address import Address
from smtpplus.values.options import MergeSyntax, Options, RecipientOptions, Utm
from smtpplus.values.submission import MailList, ScramVerifier, SmtpUser, Stream

NOBODY = ScramVerifier(b"", 1, b"", b"")
ADA = Address.parse("ada@example.com")


def user(**changes: Any) -> SmtpUser:
    return SmtpUser(1, 1, 1, "s00001_01", NOBODY, **changes)


def mail_list(stream: Stream = Stream.TRANSACTIONAL, **settings: Any) -> MailList:
    return MailList(1, 1, "default", stream, settings, 0.0)


def settled(options: Options, of_user: SmtpUser | None = None, **settings: Any) -> Effective:
    return settle(options, of_user or user(), mail_list(**settings))


# options, settings of the list, question, answer, who gave it
TABLE: list[tuple[dict[str, Any], dict[str, Any], str, Any, Level]] = [
    ({}, {}, "footer", effective({})["footer"], Level.DEFAULT),
    ({}, {"footer": True}, "footer", True, Level.LIST),
    ({"footer": False}, {"footer": True}, "footer", False, Level.MESSAGE),
    ({}, {"footer": True, "footer_html": "<p>"}, "footer_html", "<p>", Level.LIST),
    ({}, {"footer": False, "footer_html": "<p>"}, "footer_html", "", Level.LIST),
    ({"footer": False}, {"footer": True, "footer_html": "<p>"}, "footer_html", "", Level.MESSAGE),
    (
        {"footer": True, "footer_text": "bye"},
        {"footer": True, "footer_html": "<p>"},
        "footer_html",
        "",
        Level.MESSAGE,
    ),
    ({"footer": True, "footer_text": "bye"}, {}, "footer_text", "bye", Level.MESSAGE),
    ({"footer_text": "bye"}, {"footer": False}, "footer_text", "bye", Level.MESSAGE),
    (
        {"footer_text": "bye"},
        {"footer": False, "footer_html": "x"},
        "footer_html",
        "",
        Level.MESSAGE,
    ),
    ({"footer_html": "<p>"}, {}, "footer", True, Level.MESSAGE),
    ({"footer_html": "<p>"}, {"footer": True}, "footer", True, Level.MESSAGE),
    ({"footer": False, "footer_text": "bye"}, {"footer": True}, "footer", False, Level.MESSAGE),
    ({"footer": False, "footer_text": "bye"}, {"footer": True}, "footer_text", "", Level.MESSAGE),
    ({"footer_html": "", "footer_text": ""}, {"footer": False}, "footer", False, Level.LIST),
    ({"header": True}, {"header": False, "header_text": "hi"}, "header_text", "hi", Level.LIST),
    ({}, {"header": False, "header_text": "hi"}, "header_text", "", Level.LIST),
    ({}, {"track_opens": True}, "track_opens", True, Level.LIST),
    ({"track_opens": False}, {"track_opens": True}, "track_opens", False, Level.MESSAGE),
    ({"open_tag": "%o%"}, {"track_opens": True}, "open_tag", "%o%", Level.MESSAGE),
    ({"open_tag": "%o%", "track_opens": False}, {}, "open_tag", "", Level.MESSAGE),
    ({}, {"track_clicks": True}, "track_clicks_html", True, Level.LIST),
    ({}, {"track_clicks": True}, "track_clicks_text", False, Level.DEFAULT),
    ({"track_clicks_text": True}, {}, "track_clicks_text", True, Level.MESSAGE),
    ({}, {"unsubscribe": True}, "unsubscribe", True, Level.LIST),
    ({"unsubscribe": False}, {"unsubscribe": True}, "unsubscribe", False, Level.MESSAGE),
    ({"unsubscribe_tag": "[u]", "unsubscribe": True}, {}, "unsubscribe_tag", "[u]", Level.MESSAGE),
    ({"unsubscribe": False}, {"stream": Stream.SUBSCRIBED}, "unsubscribe", True, Level.STREAM),
    ({}, {"stream": Stream.SUBSCRIBED}, "unsubscribe", True, Level.STREAM),
    ({"own_to": True}, {}, "own_to", True, Level.MESSAGE),
    ({}, {"bcc_own_to": True}, "bcc_own_to", True, Level.LIST),
    ({"own_to": False}, {"bcc_own_to": True}, "bcc_own_to", True, Level.LIST),
    ({}, {"aggregation": "subject"}, "campaign_code", "", Level.LIST),
    ({}, {}, "campaign_code", "", Level.DEFAULT),
    ({"tags": ("a", "b")}, {}, "campaign_code", "a", Level.MESSAGE),
    ({"tags": ("a", "b"), "campaign_code": "c"}, {}, "campaign_code", "c", Level.MESSAGE),
    ({}, {}, "send_at", 0.0, Level.DEFAULT),
    ({"send_at": 5.0}, {}, "send_at", 5.0, Level.MESSAGE),
    ({}, {}, "utm", Utm(), Level.DEFAULT),
    (
        {},
        {"utm_source": "shop", "utm_campaign": "orders", "utm_domains": ["a.example"]},
        "utm",
        Utm(source="shop", campaign="orders", domains=("a.example",)),
        Level.LIST,
    ),
    ({}, {"utm_domains": ["a.example"]}, "utm", Utm(), Level.DEFAULT),
    ({"utm": Utm(medium="m")}, {"utm_source": "x"}, "utm", Utm(medium="m"), Level.MESSAGE),
    ({"utm": Utm()}, {"utm_source": "x"}, "utm", Utm(), Level.MESSAGE),
    ({"skip_merge": True, "merge": tuple(MergeSyntax)}, {}, "merge", frozenset(), Level.MESSAGE),
    ({}, {}, "merge", frozenset(), Level.DEFAULT),
    ({"merge": (MergeSyntax.DASHES,)}, {}, "merge", {MergeSyntax.DASHES}, Level.MESSAGE),
    ({"fields": {"a": "b"}}, {}, "merge", set(MergeSyntax), Level.MESSAGE),
    (
        {"recipients": (RecipientOptions(ADA, fields={"a": "b"}),)},
        {},
        "merge",
        set(MergeSyntax),
        Level.MESSAGE,
    ),
    ({"unescaped": ("a",)}, {}, "unescaped", frozenset({"a"}), Level.MESSAGE),
    ({}, {"notices": ["a@example.com"]}, "notices", ("a@example.com",), Level.LIST),
    ({}, {"suppressed_reply": "refuse"}, "suppressed_reply", "refuse", Level.LIST),
    ({}, {"feedback_id": "shop"}, "feedback_id", "shop", Level.LIST),
]
OF_USER: list[tuple[dict[str, Any], dict[str, Any], str, Any, Level]] = [
    ({}, {"campaign": "orders"}, "campaign_code", "orders", Level.USER),
    ({"campaign_code": "c"}, {"campaign": "orders"}, "campaign_code", "c", Level.MESSAGE),
    ({}, {"priority": 1}, "priority", 1, Level.USER),
    ({}, {}, "priority", 3, Level.DEFAULT),
    ({"priority": 5}, {"priority": 1}, "priority", 5, Level.MESSAGE),
    ({}, {"recall": 30.0}, "recall", 30.0, Level.USER),
    ({}, {"duplicates": 600.0}, "duplicates", 600.0, Level.USER),
]


class EffectiveTests(SynchronousTestCase):
    def test_P3_the_message_before_the_list(self) -> None:
        for said, settings, question, answer, level in TABLE:
            found = settled(Options(**said), **settings)
            self.assertEqual(getattr(found, question), answer, (said, settings, question))
            self.assertEqual(found.why[question], level, (said, settings, question))

    def test_P3_the_message_before_the_user_before_the_list(self) -> None:
        for said, of_user, question, answer, level in OF_USER:
            found = settled(Options(**said), user(**of_user), aggregation="subject")
            self.assertEqual(getattr(found, question), answer, (said, of_user))
            self.assertEqual(found.why[question], level, (said, of_user))

    def test_P3_a_users_own_setting_stands_before_the_lists(self) -> None:
        table: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str, Any, Level]] = [
            ({}, {"footer": True}, {}, "footer", True, Level.USER),
            (
                {},
                {"footer": False},
                {"footer": True, "footer_text": "x"},
                "footer_text",
                "",
                Level.USER,
            ),
            (
                {},
                {"footer_text": "y"},
                {"footer": True, "footer_text": "x"},
                "footer_text",
                "y",
                Level.USER,
            ),
            ({}, {}, {"track_opens": True}, "track_opens", True, Level.LIST),
            ({}, {"track_opens": False}, {"track_opens": True}, "track_opens", False, Level.USER),
            ({"track_opens": True}, {"track_opens": False}, {}, "track_opens", True, Level.MESSAGE),
            ({}, {"track_clicks": True}, {}, "track_clicks_html", True, Level.USER),
            (
                {},
                {"utm_source": "erp"},
                {"utm_medium": "mail"},
                "utm",
                Utm(source="erp", medium="mail"),
                Level.USER,
            ),
            (
                {},
                {"aggregation": "user"},
                {"aggregation": "week"},
                "aggregation",
                "user",
                Level.USER,
            ),
            (
                {},
                {"unsubscribe": False},
                {"stream": Stream.SUBSCRIBED},
                "unsubscribe",
                True,
                Level.STREAM,
            ),
        ]
        for said, own, settings, question, answer, level in table:
            found = settled(Options(**said), user(settings=own), **settings)
            self.assertEqual(getattr(found, question), answer, (said, own, settings))
            self.assertEqual(found.why[question], level, (said, own, settings))

    def test_every_question_is_answered_and_signed(self) -> None:
        for options in (Options(), Options(footer=True, unsubscribe=True, track_opens=True)):
            found = settled(options)
            for field in fields(Effective):
                self.assertIsNotNone(getattr(found, field.name), field.name)
            questions = {field.name for field in fields(Effective)} - {"why", "stream"}
            self.assertEqual(questions - found.why.keys(), set())

    def test_every_setting_of_a_list_counts(self) -> None:
        for key in SETTINGS:
            name = {"track_clicks": "track_clicks_html"}.get(key, key)
            name = "utm" if key.startswith("utm_") else name
            self.assertTrue(hasattr(settled(Options()), name), key)
