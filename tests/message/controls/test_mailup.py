"""MailUp's X-SMTPAPI (SMTP+), after what its public clients send."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.values.options import MergeSyntax
from tests.message.controls.heads import folded, json_head, read, refused, said

NULLS: dict[str, Any] = {
    "ClickTracking": None,
    "ViewTracking": None,
    "Priority": None,
    "Schedule": None,
    "DynamicFields": [],
    "CampaignReport": None,
    "SkipDynamicFields": None,
}
CAMPAIGN = {"CampaignName": "Test Campaign", "CampaignCode": "1001"}
READ: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {**CAMPAIGN, "Header": False, "Footer": True, **NULLS},
        {
            "campaign_name": "Test Campaign",
            "campaign_code": "1001",
            "header": False,
            "footer": True,
        },
    ),
    (
        {
            "ClickTracking": "true",
            "ViewTracking": "False",
            "Priority": "1",
            "SkipDynamicFields": "",
            "CampaignCode": 1001,
        },
        {
            "track_clicks_html": True,
            "track_clicks_text": True,
            "track_opens": False,
            "priority": 1,
            "campaign_code": "1001",
        },
    ),
    ({"Schedule": "2021-09-14T17:58+02:00"}, {"send_at": 1631635080.0}),
    (
        {
            "DynamicFields": [
                {"N": "firstname", "V": "Christian Alessandro"},
                {"N": "lastname", "V": None},
                {"n": "points", "v": 7},
            ]
        },
        {
            "fields": {"firstname": "Christian Alessandro", "lastname": "", "points": "7"},
            "merge": (MergeSyntax.BRACKETS,),
        },
    ),
    ({"skipDynamicFields": True}, {"skip_merge": True}),
    (
        {"DynamicFields": [{"N": "a", "V": "1", "X": 2}]},
        {
            "fields": {"a": "1"},
            "merge": (MergeSyntax.BRACKETS,),
            "unknown": ("X-SMTPAPI DynamicFields X",),
        },
    ),
    ({"CampaignReport": "x"}, {"unknown": ("X-SMTPAPI CampaignReport",)}),
    ({"TriggerSend": 1, "Footer": 0}, {"footer": False, "unknown": ("X-SMTPAPI TriggerSend",)}),
    ({"CampaignCode": " a\r\nBcc: b@c.de\u2028 "}, {"campaign_code": "a  Bcc: b@c.de"}),
    ({"CampaignCode": "", "CampaignName": ""}, {}),
]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"Footer": "maybe"}, "X-SMTPAPI Footer: expected true or false, got 'maybe'"),
    ({"Footer": {}}, "X-SMTPAPI Footer: expected true or false, got an object"),
    ({"Priority": 6}, "X-SMTPAPI Priority: expected a number from 1 to 5, got 6"),
    ({"Priority": 0}, "X-SMTPAPI Priority: expected a number from 1 to 5, got 0"),
    ({"Priority": 1.5}, "X-SMTPAPI Priority: expected a number from 1 to 5, got 1.5"),
    ({"Priority": True}, "X-SMTPAPI Priority: expected a number from 1 to 5, got true"),
    ({"Priority": 10**400}, "X-SMTPAPI Priority: expected a number from 1 to 5, got a huge number"),
    ({"Schedule": "2021-09-14T17:58"}, "X-SMTPAPI Schedule: expected a time"),
    ({"Schedule": "2021-13-14T17:58+02:00"}, "X-SMTPAPI Schedule: expected a time"),
    ({"CampaignCode": ["x"]}, "X-SMTPAPI CampaignCode: expected a text, got a list"),
    ({"CampaignCode": "x" * 101}, "X-SMTPAPI CampaignCode: expected at most 100 characters"),
    ({"DynamicFields": {"N": "a"}}, "X-SMTPAPI DynamicFields: expected a list, got an object"),
    ({"DynamicFields": [5]}, "X-SMTPAPI DynamicFields 1: expected an object, got 5"),
    ({"DynamicFields": [{"V": 1}]}, "X-SMTPAPI DynamicFields 1 N: a name is empty"),
    ({"Footer": True, "footer": False}, "X-SMTPAPI: a key stands there twice"),
]


class MailUpTests(SynchronousTestCase):
    def test_P2_read(self) -> None:
        for value, expected in READ:
            self.assertEqual(read(json_head("X-SMTPAPI", value)).options.said(), expected, value)

    def test_P2_wrong_values_are_refused_by_name(self) -> None:
        for value, reply in WRONG:
            octets = json_head("X-SMTPAPI", value).decode().split("\r\n", 1)[1]
            text = refused(octets.split("\r\nTo:")[0])
            self.assertEqual(text[: 10 + len(reply)], f"550 5.6.0 {reply}")

    def test_a_past_schedule_is_kept(self) -> None:
        self.assertEqual(
            said('X-SMTPAPI: {"Schedule": "1999-12-31T00:00Z"}')["send_at"], 946598400.0
        )

    def test_the_keys_tell_the_services_apart(self) -> None:
        both = folded("X-SMTPAPI", '{"CampaignCode": "m", "category": "s", "Footer": true}')
        found = read(b"From: a@b.com\r\n" + both.encode() + b"\r\n\r\n")
        self.assertEqual(found.dialects, ("MailUp", "SendGrid"))
        self.assertEqual(
            found.options.said(), {"campaign_code": "m", "tags": ("s",), "footer": True}
        )
