"""SendGrid's X-SMTPAPI, after the examples of its documentation (SMTP API, SMTP filters)."""

from __future__ import annotations

import json
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.controls import read_controls
from smtpplus.values.options import MergeSyntax, Utm
from tests.message.controls.heads import folded, head, json_head, options, read, refused, said

THANKS = "<p>Thanks,<br />The SendGrid Team<p>"
FILTERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "clicktrack",
        {"enable": 1, "enable_text": True},
        {"track_clicks_html": True, "track_clicks_text": True},
    ),
    ("clicktrack", {"enable": 1}, {"track_clicks_html": True}),
    ("clicktrack", {"enable": 0}, {"track_clicks_html": False, "track_clicks_text": False}),
    (
        "opentrack",
        {"enable": 1, "replace": "%opentrack%"},
        {"track_opens": True, "open_tag": "%opentrack%"},
    ),
    ("opentrack", {"enable": "0"}, {"track_opens": False}),
    (
        "footer",
        {"enable": 1, "text/html": THANKS, "text/plain": "Thanks,\n The SendGrid Team"},
        {"footer": True, "footer_html": THANKS, "footer_text": "Thanks,\n The SendGrid Team"},
    ),
    ("footer", {"enable": 0, "text/html": THANKS}, {"footer": False}),
    (
        "subscriptiontrack",
        {"text/html": "If you would like to <% click here %>.", "text/plain": "<% %>", "enable": 1},
        {
            "unsubscribe": True,
            "unsubscribe_html": "If you would like to <% click here %>.",
            "unsubscribe_text": "<% %>",
        },
    ),
    (
        "subscriptiontrack",
        {"enable": 1, "replace": "[unsubscribe_url]", "text/html": "not used"},
        {"unsubscribe": True, "unsubscribe_tag": "[unsubscribe_url]"},
    ),
    (
        "ganalytics",
        {
            "enable": 1,
            "utm_source": "Transactional Email",
            "utm_medium": "email",
            "utm_content": "Reset Your Password",
            "utm_campaign": "Redesigned Transactional Messaging",
        },
        {
            "utm": Utm(
                "Transactional Email",
                "email",
                "",
                "Reset Your Password",
                "Redesigned Transactional Messaging",
            )
        },
    ),
    ("ganalytics", {"enable": 0}, {"utm": Utm()}),
    ("bypass_list_management", {"enable": 1}, {"bypass_suppression": True}),
    (
        "clicktrack",
        {"enable": 0, "foo": 2},
        {
            "track_clicks_html": False,
            "track_clicks_text": False,
            "unknown": ("X-SMTPAPI filters.clicktrack.settings.foo",),
        },
    ),
    ("spamcheck", {"enable": 1, "maxscore": 3.5}, {"unknown": ("X-SMTPAPI filters.spamcheck",)}),
    (
        "templates",
        {"enable": 1, "template_id": "5997"},
        {"unknown": ("X-SMTPAPI filters.templates",)},
    ),
    ("bcc", {"enable": 1, "email": "a@b.com"}, {"unknown": ("X-SMTPAPI filters.bcc",)}),
    ("dkim", {"domain": "example.com"}, {"unknown": ("X-SMTPAPI filters.dkim",)}),
]
KEYS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"category": "newuser"}, {"tags": ("newuser",)}),
    ({"category": ["category1", "category2"]}, {"tags": ("category1", "category2")}),
    (
        {"unique_args": {"orderNumber": "12345", "eventID": 6789, "paid": True}},
        {"metadata": {"orderNumber": "12345", "eventID": "6789", "paid": "true"}},
    ),
    ({"send_at": 1409348513}, {"send_at": 1409348513.0}),
    ({"send_at": "1409348513"}, {"send_at": 1409348513.0}),
    ({"ip_pool": "pool_name"}, {"pool": "pool_name"}),
    ({"asm_group_id": 1}, {"unsubscribe": True}),
    (
        {"filters": {"opentrack": {"enable": 1}}},  # where its settings should be
        {"unknown": ("X-SMTPAPI filters.opentrack.enable",)},
    ),
    (
        {"asm_groups_to_display": [1, 2], "batch_id": "MWQx"},
        {"unknown": ("X-SMTPAPI asm_groups_to_display", "X-SMTPAPI batch_id")},
    ),
    ({"colour": "red", "category": "x"}, {"tags": ("x",), "unknown": ("X-SMTPAPI colour",)}),
    ({"category": None, "to": [], "sub": None, "filters": None}, {}),
]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"to": [5]}, "X-SMTPAPI to 1: expected an address"),
    ({"asm_group_id": "abc"}, "X-SMTPAPI asm_group_id: expected a number"),
    ({"to": ["a@b.com", "nobody"]}, "X-SMTPAPI to 2: expected an address, got 'nobody'"),
    ({"to": {"a": 1}}, "X-SMTPAPI to: expected a list, got an object"),
    ({"to": ["a@b.com, c@d.com"]}, "X-SMTPAPI to 1: expected one address"),
    ({"to": ["a@b.com"] * 10_001}, "X-SMTPAPI to: expected at most 10,000 entries, got 10,001"),
    ({"sub": ["-a-"]}, "X-SMTPAPI sub: expected an object"),
    ({"sub": {"": ["x"]}}, "X-SMTPAPI sub : a name is empty"),
    ({"section": "x"}, "X-SMTPAPI section: expected an object"),
    ({"send_at": "tomorrow"}, "X-SMTPAPI send_at: expected a time"),
    ({"send_at": 1409348513000}, "X-SMTPAPI send_at: expected a time"),
    ({"send_at": True}, "X-SMTPAPI send_at: expected a time"),
    ({"send_at": 1, "send_each_at": [1]}, "X-SMTPAPI send_each_at: expected it without send_at"),
    ({"send_each_at": ["x"]}, "X-SMTPAPI send_each_at 1: expected a time"),
    ({"category": {"a": 1}}, "X-SMTPAPI category: expected a text, got an object"),
    (
        {"filters": {"opentrack": {"settings": {"enable": 2}}}},
        "X-SMTPAPI filters.opentrack.settings.enable: expected true or false, got 2",
    ),
    ({"filters": {"opentrack": 1}}, "X-SMTPAPI filters.opentrack: expected an object"),
    ({"unique_args": "x"}, "X-SMTPAPI unique_args: expected an object"),
    ({"unique_args": {"a": "x" * 30_000}}, "X-SMTPAPI unique_args: metadata has at most"),
]


class SendGridTests(SynchronousTestCase):
    maxDiff = None

    def test_filters(self) -> None:
        for name, settings, expected in FILTERS:
            octets = json_head("X-SMTPAPI", {"filters": {name: {"settings": settings}}})
            self.assertEqual(read(octets).options.said(), expected, (name, settings))

    def test_keys(self) -> None:
        for value, expected in KEYS:
            self.assertEqual(read(json_head("X-SMTPAPI", value)).options.said(), expected, value)

    def test_P2_wrong_values_are_refused_by_name(self) -> None:
        for value, reply in WRONG:
            text = refused(folded("X-SMTPAPI", json.dumps(value)))
            self.assertEqual(text[: 10 + len(reply)], f"550 5.6.0 {reply}")

    def test_to_replaces_the_envelope_and_each_is_alone_in_to(self) -> None:
        found = options(
            'X-SMTPAPI: {"to": ["<ben@example.com>", "Joe Smith <joe@example.com>",'
            ' "\\"Smith, Ann\\" <ann@example.com>", "J\\u00f6rg <j@b\\u00fccher.example>"]}'
        )
        self.assertTrue(found.replaces_envelope)
        self.assertTrue(found.own_to)
        self.assertEqual(
            [(one.name, str(one.address)) for one in found.recipients],
            [
                ("", "ben@example.com"),
                ("Joe Smith", "joe@example.com"),
                ("Smith, Ann", "ann@example.com"),
                ("Jörg", "j@bücher.example"),
            ],
        )

    def test_substitutions_go_by_place(self) -> None:
        value = {
            "to": ["john@example.com", "jane@example.com", "jack@example.com"],
            "sub": {
                "-name-": ["John", "Jane"],
                "-customerID-": [1234, "5678", None, "nobody's"],
                "%time%": ["3:00pm", "5:15pm", "x"],
            },
        }
        found = read(json_head("X-SMTPAPI", value)).options
        self.assertEqual(found.merge, (MergeSyntax.DASHES,))
        self.assertEqual(
            [one.fields for one in found.recipients],
            [
                {"-name-": "John", "-customerID-": "1234", "%time%": "3:00pm"},
                {"-name-": "Jane", "-customerID-": "5678", "%time%": "5:15pm"},
                {"-customerID-": "", "%time%": "x"},
            ],
        )

    def test_sections_are_resolved_for_each(self) -> None:
        value = {
            "to": ["alice@example.com", "bob@bar.example", "casey@example.com", "d@example.com"],
            "sub": {
                ":salutation": [":female", ":male", ":neutral"],
                ":name": ["Alice", "Bob", "Casey"],
                ":event_details": [":event1", "the :event2!", ":event1"],
                ":event_date": ["Jan 1", "Feb 14", "Aug 11"],
            },
            "section": {
                ":male": "Mr. :name",
                ":female": "Ms. :name",
                ":neutral": ":name",
                ":event1": "New User Event on :event_date",
                ":event2": "Veteran User Appreciation on :event_date",
                ":event": "the shorter name does not win",
            },
        }
        found = read(json_head("X-SMTPAPI", value)).options.recipients
        self.assertEqual(
            [(one.fields.get(":salutation"), one.fields.get(":event_details")) for one in found],
            [
                ("Ms. Alice", "New User Event on Jan 1"),
                ("Mr. Bob", "the Veteran User Appreciation on Feb 14!"),
                ("Casey", "New User Event on Aug 11"),
                (None, None),
            ],
        )

    def test_a_section_cannot_swell_a_message(self) -> None:
        value = {
            "to": [f"a{number}@example.com" for number in range(1000)],
            "sub": {"-x-": ["-s-"] * 1000},
            "section": {"-s-": "long " * 2000},
        }
        self.assertIn(
            "X-SMTPAPI section: the merge fields", refused(folded("X-SMTPAPI", json.dumps(value)))
        )

    def test_R5_a_few_tags_for_everybody_do_not_become_megabytes_for_each(self) -> None:
        to = [f"u{number}@example.net" for number in range(10_000)]

        def with_tags(count: int) -> str:
            tags = {f"-{number:03}{'x' * 90}-": "y" for number in range(count)}
            return folded("X-SMTPAPI", json.dumps({"to": to, "sub": tags}))

        self.assertEqual(len(options(with_tags(16)).recipients), 10_000)
        self.assertIn(
            "550 5.6.0 X-SMTPAPI sub: 200 tags for 10,000 recipients are too many",
            refused(with_tags(200)),
        )

    def test_send_each_at(self) -> None:
        value = {"to": ["<ben@example.com>", "john@example.com"], "send_each_at": [1409348513]}
        found = read(json_head("X-SMTPAPI", value)).options
        self.assertEqual([one.send_at for one in found.recipients], [1409348513.0, None])
        self.assertIsNone(found.send_at)

    def test_without_to_the_places_are_the_envelopes(self) -> None:
        octets = json_head("X-SMTPAPI", {"sub": {"-name-": ["John", "Jane"]}})
        found = read(octets, ("john@example.com", "Jane@example.com")).options
        self.assertFalse(found.replaces_envelope)
        self.assertIsNone(found.own_to)
        self.assertEqual(found.by_key()["jane@example.com"].fields, {"-name-": "Jane"})
        alone = read(octets, ("john@example.com",)).options
        self.assertEqual((alone.fields, alone.recipients), ({"-name-": "John"}, ()))
        unknown = read(octets).options  # nobody gets what may be another's
        self.assertEqual((unknown.fields, unknown.recipients), ({}, ()))
        two = ("john@example.com", "jane@example.com")
        first = read(json_head("X-SMTPAPI", {"sub": {"-name-": ["John"]}}), two).options
        self.assertEqual([one.fields for one in first.recipients], [{"-name-": "John"}, {}])
        everybody = {"sub": {"-name-": "you"}}
        found = read(json_head("X-SMTPAPI", everybody), two).options
        self.assertEqual([one.fields for one in found.recipients], [{"-name-": "you"}] * 2)
        found = read(json_head("X-SMTPAPI", {**everybody, "to": [*two]})).options
        self.assertEqual([one.fields for one in found.recipients], [{"-name-": "you"}] * 2)

    def test_a_tag_that_a_section_stands_for_is_html(self) -> None:
        value = {
            "to": ["john@example.com"],
            "sub": {"-rows-": ["-section-"], "-name-": ["John"]},
            "section": {"-section-": "<b>-name-</b>"},
        }
        found = read(json_head("X-SMTPAPI", value)).options
        self.assertEqual(found.recipients[0].fields["-rows-"], "<b>John</b>")
        self.assertEqual(found.unescaped, ("-rows-",))

    def test_M6_values_in_a_section_with_markup_are_escaped_and_of_one_without_left_to_the_place(
        self,
    ) -> None:
        value = {
            "to": ["john@example.com", "jane@example.com"],
            "sub": {
                "-rows-": ["-html-", "<i>"],
                "-hi-": ["-plain-", "-plain-"],
                "-name-": ["<b>J & J</b>", "Jane"],
            },
            "section": {"-html-": "<b>-name-</b>", "-plain-": "Dear -name-"},
        }
        field = folded("X-SMTPAPI", json.dumps(value))
        found = options(field)
        rows = [(one.fields["-rows-"], one.fields["-hi-"]) for one in found.recipients]
        john = ("<b>&lt;b&gt;J &amp; J&lt;/b&gt;</b>", "Dear <b>J & J</b>")
        self.assertEqual(rows, [john, ("&lt;i&gt;", "Dear Jane")])
        self.assertEqual(found.unescaped, ("-rows-",))
        found = options(field, "X-SMTPPlus-Unescaped: -name-")
        self.assertEqual(found.recipients[0].fields["-rows-"], "<b><b>J & J</b></b>")

    def test_folded_encoded_and_escaped(self) -> None:
        value = {"category": ["Größe 🎉"], "unique_args": {"a": "x y"}}
        expected = {"tags": ("Größe 🎉",), "metadata": {"a": "x y"}}
        plain = json.dumps(value, ensure_ascii=False)
        for field in [
            f"X-SMTPAPI: {json.dumps(value)}",
            f"X-SMTPAPI: {plain}",
            f"x-SmtpApi : {json.dumps(value, indent=2)}".replace("\n", "\r\n "),
            f"X-SMTPAPI: {json.dumps(value, indent=1)}".replace("\n", "\r\n\t"),
            "X-SMTPAPI: " + Header(plain, "utf-8").encode(linesep="\r\n"),
            "X-SMTPAPI: " + Header(plain, "utf-8", maxlinelen=40).encode(linesep="\r\n"),
            (
                'X-SMTPAPI: {"category": =?UTF-8?Q?["Gr=C3=B6=C3=9Fe_=F0=9F?=\r\n'
                ' =?UTF-8?Q?=8E=89"],?= "unique_args": {"a": "x y"}}'
            ),
        ]:
            self.assertEqual(said(field), expected, field)

    def test_P2_a_long_word_that_a_client_encodes_within_a_text(self) -> None:
        url = "https://shop.example/orders/1042?token=" + "a1b2" * 25
        for value in (f"see {url} now", "an \u00e9" + "\u00e9" * 60 + " x", f"{url}"):
            for separators in ((", ", ": "), (",", ":")):
                mail = EmailMessage(policy=SMTP)
                mail["X-SMTPAPI"] = json.dumps({"unique_args": {"k": value}}, separators=separators)
                written = mail.as_bytes()
                self.assertIn(b"=?utf-8?", written)
                self.assertEqual(said(written.rstrip()), {"metadata": {"k": value}}, written)

    def test_P2_a_name_that_the_application_encoded_is_read_with_its_address(self) -> None:
        value = {"to": ["=?utf-8?q?Lee=2C_Zo=C3=AB?= <zoe@example.com>", '"=?x?=" <a@b.example>']}
        found = options(f"X-SMTPAPI: {json.dumps(value)}").recipients
        self.assertEqual([one.name for one in found], ["Lee, Zo\u00eb", "=?x?="])

    def test_half_a_character_is_replaced(self) -> None:
        found = options(
            'X-SMTPAPI: {"category": "x\\ud83d", "unique_args": {"\\udc00": "\\ud800"}}'
        )
        self.assertEqual(found.tags, ("x\ufffd",))
        self.assertEqual(found.metadata, {"\ufffd": "\ufffd"})

    def test_several_headers_the_first_word_stands(self) -> None:
        found = said(
            'X-SMTPAPI: {"send_at": 1, "category": "a"}',
            'X-SMTPAPI: {"send_at": 2, "category": "b", "ip_pool": "p"}',
            "X-SMTPAPI:",
        )
        self.assertEqual(found, {"send_at": 1.0, "tags": ("a", "b"), "pool": "p"})

    def test_P2_recipients_of_one_header_and_values_of_another_belong_together(self) -> None:
        headers = (
            'X-SMTPAPI: {"to": ["a@example.com", "b@example.com"], "sub": {"-x-": ["1"]}}',
            'X-SMTPAPI: {"sub": {"-n-": ["-s-", "Bob"], "-x-": ["7", "8"]}, "to": ["c@d.example"]}',
            'X-SMTPAPI: {"section": {"-s-": "Ann -x-"}, "send_each_at": [5, 6]}',
        )
        found = options(*headers, envelope=("somebody@example.net",))
        self.assertEqual(
            [(str(one.address), one.fields, one.send_at) for one in found.recipients],
            [
                ("a@example.com", {"-n-": "Ann 1", "-x-": "1"}, 5.0),
                ("b@example.com", {"-n-": "Bob"}, 6.0),
            ],
        )
        self.assertEqual(found.fields, {})  # nobody's values are everybody's
        refusal = refused(headers[0], 'X-SMTPAPI: {"sub": 1}')
        self.assertIn("X-SMTPAPI sub: expected an object", refusal)

    def test_P2_values_by_the_envelopes_place_are_nobody_elses(self) -> None:
        found = options(
            'X-SMTPPlus-Recipients: ["a@example.com", "b@example.com"]',
            'X-SMTPAPI: {"sub": {"-n-": ["Bob"]}}',
            envelope=("b@example.com",),
        )
        self.assertEqual([one.fields for one in found.recipients], [{}, {"-n-": "Bob"}])
        self.assertEqual(found.fields, {})

    def test_ten_thousand_recipients(self) -> None:
        count = 10_000
        value = {
            "to": [
                f"Customer {number} <c{number}@example{number % 90}.com>" for number in range(count)
            ],
            "sub": {"-name-": [f"Name {number}" for number in range(count)]},
        }
        octets = head(folded("X-SMTPAPI", json.dumps(value)))
        self.assertLess(max(map(len, octets.split(b"\r\n"))), 998)
        found = read_controls(octets).options.recipients
        self.assertEqual(len(found), count)
        self.assertEqual(
            (found[9999].name, str(found[9999].address), found[9999].fields),
            ("Customer 9999", "c9999@example9.com", {"-name-": "Name 9999"}),
        )
