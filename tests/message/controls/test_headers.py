"""Dialects of one header per option, after the examples of their documentations."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.values.options import MergeSyntax, Utm
from tests.message.controls.heads import options, refused, said

OFF = {"track_opens": False, "track_clicks_html": False, "track_clicks_text": False}
MANDRILL: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("X-MC-Tags: welcome-email, onboarding,,",), {"tags": ("welcome-email", "onboarding")}),
    (
        ("X-MC-Track: opens, clicks_htmlonly",),
        {"track_opens": True, "track_clicks_html": True, "track_clicks_text": False},
    ),
    (
        ("X-MC-Track: clicks_all",),
        {"track_opens": False, "track_clicks_html": True, "track_clicks_text": True},
    ),
    (
        ("X-MC-Track: opens,clicks_textonly",),
        {"track_opens": True, "track_clicks_html": False, "track_clicks_text": True},
    ),
    (("X-MC-Track: opens",), {**OFF, "track_opens": True}),
    (("X-MC-Track: none",), OFF),
    (("X-MC-Track:",), {}),
    (
        ('X-MC-MergeVars: {"var1": "global value 1", "n": 5, "list": ["a", "b"]}',),
        {
            "fields": {"var1": "global value 1", "n": "5", "list": '["a","b"]'},
            "merge": (MergeSyntax.MANDRILL,),
        },
    ),
    (("X-MC-MergeLanguage: mailchimp",), {"merge": (MergeSyntax.MANDRILL,)}),
    (("X-MC-MergeLanguage: handlebars",), {"unknown": ("X-MC-MergeLanguage",)}),
    (
        ("X-MC-GoogleAnalytics: example.com, Example.net", "X-MC-GoogleAnalyticsCampaign: march"),
        {"utm": Utm(medium="email", campaign="march", domains=("example.com", "example.net"))},
    ),
    (("X-MC-GoogleAnalyticsCampaign: march",), {}),
    (('X-MC-Metadata: {"user_id": 45829}',), {"metadata": {"user_id": "45829"}}),
    (
        ('X-MC-Metadata: {"site": "g"}', 'X-MC-Metadata: {"_rcpt": "a@example.com", "id": "A"}'),
        {"metadata": {"site": "g"}, "unknown": ("X-MC-Metadata _rcpt",)},
    ),
    (("X-MC-PreserveRecipients: false",), {"own_to": True}),
    (("X-MC-PreserveRecipients: true",), {"own_to": False}),
    (("X-MC-Important: true",), {"priority": 2}),
    (("X-MC-Important: false",), {}),
    (("X-MC-IpPool: Main Pool",), {"pool": "Main Pool"}),
    (("X-MC-SendAt: 2026-11-10 08:00:00",), {"send_at": 1794297600.0}),
    (
        ("X-MC-Template: welcome|main", "X-MC-InlineCSS: true", "X-MC-Subaccount: cust-123"),
        {"unknown": ("X-MC-Template", "X-MC-InlineCSS", "X-MC-Subaccount")},
    ),
]
MAILGUN: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (
        ("X-Mailgun-Tag: september newsletter", "X-Mailgun-Tag: newsletters, all"),
        {"tags": ("september newsletter", "newsletters, all")},
    ),
    (("X-Mailgun-Deliver-By: Fri, 14 Oct 2011 12:00:00 +0000",), {"send_at": 1318593600.0}),
    (("X-Mailgun-Deliver-By: Fri, 14 Oct 2011 12:00:00 0000",), {"send_at": 1318593600.0}),
    (("X-Mailgun-Deliver-By: 1318593600",), {"send_at": 1318593600.0}),
    (("X-Mailgun-Deliver-Within: 1h30m",), {"expires_after": 5400.0}),
    (("X-Mailgun-Drop-Message: yes",), {"drop": True}),
    (("X-Mailgun-Track: no",), OFF),
    (
        ("X-Mailgun-Track: yes", "X-Mailgun-Track-Opens: no", "X-Mailgun-Track-Clicks: htmlonly"),
        {"track_opens": False, "track_clicks_html": True, "track_clicks_text": False},
    ),
    (
        ("X-Mailgun-Track-Clicks: no",),
        {"track_clicks_html": False, "track_clicks_text": False},
    ),
    (("X-Mailgun-Require-TLS: True",), {"require_tls": True}),
    (("X-Mailgun-Sending-Ip-Pool: bulk",), {"pool": "bulk"}),
    (
        ('X-Mailgun-Variables: {"my-id": 1}', 'X-Mailgun-Variables: {"a": {"b": [1, null]}}'),
        {"metadata": {"my-id": "1", "a": '{"b":[1,null]}'}},
    ),
    (
        (
            "X-Mailgun-Dkim: yes",
            "X-Mailgun-Sending-Ip: 192.0.2.1",
            "X-Mailgun-Template-Name: welcome",
            "X-Mailgun-Delivery-Time-Optimize-Period: 24h",
            "X-Mailgun-Skip-Verification: yes",
        ),
        {
            "unknown": (
                "X-Mailgun-Dkim",
                "X-Mailgun-Sending-Ip",
                "X-Mailgun-Template-Name",
                "X-Mailgun-Delivery-Time-Optimize-Period",
                "X-Mailgun-Skip-Verification",
            )
        },
    ),
]
POSTMARK: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("X-PM-Tag: =?utf-8?q?gr=C3=BCn?=",), {"tags": ("grün",)}),
    (
        ("X-PM-Metadata-Color: blue", "X-PM-Metadata-client-id: 12345", "X-PM-Metadata-color: red"),
        {"metadata": {"color": "blue", "client-id": "12345"}},
    ),
    (("X-PM-TrackOpens: true",), {"track_opens": True}),
    (
        ("X-PM-TrackLinks: HtmlAndText",),
        {"track_clicks_html": True, "track_clicks_text": True},
    ),
    (("X-PM-TrackLinks: HtmlOnly",), {"track_clicks_html": True, "track_clicks_text": False}),
    (("X-PM-TrackLinks: TextOnly",), {"track_clicks_html": False, "track_clicks_text": True}),
    (("X-PM-TrackLinks: None",), {"track_clicks_html": False, "track_clicks_text": False}),
    (("X-PM-KeepID: true",), {}),
    (("X-PM-Message-Stream: broadcast",), {"unknown": ("X-PM-Message-Stream",)}),
]
SES: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (
        ("X-SES-MESSAGE-TAGS: campaign=book, tagName2=tag Value2", "X-SES-MESSAGE-TAGS: a=b=c"),
        {
            "campaign_code": "book",
            "metadata": {"campaign": "book", "tagName2": "tag Value2", "a": "b=c"},
        },
    ),
    (
        ("X-SES-LIST-MANAGEMENT-OPTIONS: MyContactList; topic=MyTopic",),
        {"unsubscribe": True},
    ),
    (
        ("X-SES-CONFIGURATION-SET: KBSet", "X-SES-SOURCE-ARN: arn:aws:ses:x"),
        {"unknown": ("X-SES-CONFIGURATION-SET", "X-SES-SOURCE-ARN")},
    ),
]
SPARKPOST: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (
        (
            (
                'X-MSYS-API: {"options" : {"open_tracking" : false, "click_tracking" : true},\r\n'
                '   "metadata" : {"key" : "value"}, "tags" : ["cat", "dog"], "campaign_id" :\r\n'
                '   "my_campaign"}'
            ),
        ),
        {
            "track_opens": False,
            "track_clicks_html": True,
            "track_clicks_text": True,
            "metadata": {"key": "value"},
            "tags": ("cat", "dog"),
            "campaign_code": "my_campaign",
        },
    ),
    (
        (
            (
                'X-MSYS-API: {"options": {"transactional": true, "sandbox": false,'
                ' "skip_suppression": true, "ip_pool": "sp_shared", "inline_css": false,'
                ' "start_time": "2015-02-11T08:00:00-04:00"}, "substitution_data": {}}'
            ),
        ),
        {
            "unsubscribe": False,
            "drop": False,
            "bypass_suppression": True,
            "pool": "sp_shared",
            "send_at": 1423656000.0,
            "unknown": ("X-MSYS-API options.inline_css", "X-MSYS-API substitution_data"),
        },
    ),
    (('X-MSYS-API: {"options": {"start_time": "now", "transactional": false}}',), {}),
]
SMALLER: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("X-Postal-Tag: onboarding", "X-AMP: skip"), {"tags": ("onboarding",), **OFF}),
    (
        ("X-Cuttlefish-Ignore-Deny-List: true", "X-Cuttlefish-Metadata-comment-id: 7"),
        {"bypass_suppression": True, "metadata": {"comment-id": "7"}},
    ),
    (
        ("x-smtpeter-trackclicks: true", "x-smtpeter-trackopens: false", "x-smtpeter-tags: a, b"),
        {
            "track_clicks_html": True,
            "track_clicks_text": True,
            "track_opens": False,
            "tags": ("a", "b"),
        },
    ),
    (
        ("x-mq-tag: t", "x-mq-maxdelivertime: 2016-02-10 00:00:00", "x-mq-pool: p", "x-mq-ip: x"),
        {"tags": ("t",), "expires_at": 1455062400.0, "pool": "p", "unknown": ("x-mq-ip",)},
    ),
    (("x-mq-delayed: 2016-02-10 00:00:00",), {"send_at": 1455062400.0}),
    (("X-Sending-Zone: default",), {"pool": "default"}),
    (
        (
            (
                'X-Schedule: {"first_attempt": "2023-03-20T16:05:24-07:00",'
                ' "expires": "2023-03-23T16:05:24-07:00", "dow": "Mon", "tz": "Europe/Rome"}'
            ),
        ),
        {
            "send_at": 1679353524.0,
            "expires_at": 1679612724.0,
            "unknown": ("X-Schedule dow", "X-Schedule tz"),
        },
    ),
]
WRONG = [
    ("X-MC-Track: everything", "X-MC-Track: expected some of opens"),
    ("X-MC-PreserveRecipients: perhaps", "X-MC-PreserveRecipients: expected true or false"),
    ("X-MC-SendAt: tomorrow", "X-MC-SendAt: expected a time in UTC"),
    ("X-MC-Metadata: user=1", "X-MC-Metadata: not JSON from character 1 on"),
    ("X-MC-Metadata: [1]", "X-MC-Metadata: expected a JSON object, got a list"),
    ('X-MC-MergeVars: {"_rcpt": "nobody"}', "X-MC-MergeVars _rcpt: expected an address"),
    ("X-MC-BccAddress: a@b.com, c@d.com", "X-MC-BccAddress: expected one address"),
    ("X-Mailgun-Track: sometimes", "X-Mailgun-Track: expected true or false"),
    ("X-Mailgun-Deliver-By: 14.10.2011", "X-Mailgun-Deliver-By: expected a time"),
    ("X-Mailgun-Deliver-Within: 90", "X-Mailgun-Deliver-Within: expected a span"),
    ('X-Mailgun-Recipient-Variables: {"x": {}}', "X-Mailgun-Recipient-Variables: expected an add"),
    ("X-PM-TrackLinks: Html", "X-PM-TrackLinks: expected None, HtmlAndText"),
    ("X-PM-Tag: " + "x" * 201, "X-PM-Tag: expected at most 200 characters"),
    ("X-SES-MESSAGE-TAGS: campaign", "X-SES-MESSAGE-TAGS: expected name=value pairs"),
    ('X-MSYS-API: {"tags": "cat"}', "X-MSYS-API tags: expected a list"),
    ('X-MSYS-API: {"cc": [{"name": "x"}]}', "X-MSYS-API cc 1 email: expected an address, got null"),
    ('X-MSYS-API: {"options": {"sandbox": "x"}}', "X-MSYS-API options.sandbox: expected true"),
]


class HeaderDialectTests(SynchronousTestCase):
    maxDiff = None

    def check(self, table: list[tuple[tuple[str, ...], dict[str, Any]]]) -> None:
        for fields, expected in table:
            self.assertEqual(said(*fields), expected, fields)

    def test_mandrill(self) -> None:
        self.check(MANDRILL)

    def test_mailgun(self) -> None:
        self.check(MAILGUN)

    def test_postmark(self) -> None:
        self.check(POSTMARK)

    def test_amazon_ses(self) -> None:
        self.check(SES)

    def test_sparkpost(self) -> None:
        self.check(SPARKPOST)

    def test_smaller_ones(self) -> None:
        self.check(SMALLER)

    def test_P2_wrong_values_are_refused_by_name(self) -> None:
        for field, reply in WRONG:
            self.assertEqual(refused(field)[: 10 + len(reply)], f"550 5.6.0 {reply}")

    def test_mandrill_merge_vars_of_recipients(self) -> None:
        found = options(
            'X-MC-MergeVars: {"_rcpt": "Emailaddress1@example.com", "fname": "John"}',
            'X-MC-MergeVars: {"_rcpt": "emailaddress2@example.com", "fname": "Jane"}',
            'X-MC-MergeVars: {"_rcpt": "emailaddress1@EXAMPLE.com", "fname": "no", "x": 1}',
            'X-MC-MergeVars: {"fname": "you"}',
        )
        self.assertFalse(found.replaces_envelope)
        self.assertEqual(found.fields, {"fname": "you"})
        fields = {key: one.fields for key, one in found.by_key().items()}
        self.assertEqual(
            fields,
            {
                "emailaddress1@example.com": {"fname": "John", "x": "1"},
                "emailaddress2@example.com": {"fname": "Jane"},
            },
        )

    def test_mailgun_recipient_variables_make_a_batch(self) -> None:
        found = options(
            'X-Mailgun-Recipient-Variables: {"bob@example.com": {"first":"Bob", "id":1},\r\n'
            ' "alice@example.com": {"first":"Alice", "id": 2}}'
        )
        self.assertTrue(found.own_to)
        self.assertFalse(found.replaces_envelope)
        self.assertEqual(found.merge, (MergeSyntax.PERCENT,))
        self.assertEqual(found.by_key()["alice@example.com"].fields, {"first": "Alice", "id": "2"})

    def test_further_recipients(self) -> None:
        found = options(
            'X-MSYS-API: {"cc": [{"email": "cc_recip_1@gmail.example", "name": "CC 1"}],'
            ' "archive": [{"email": "archive@gmail.example"}]}',
            "X-MC-BccAddress: Copy <copy@example.com>",
        ).extra_recipients
        self.assertEqual(
            [(one.name, str(one.address)) for one in found],
            [
                ("Copy", "copy@example.com"),
                ("CC 1", "cc_recip_1@gmail.example"),
                ("", "archive@gmail.example"),
            ],
        )
