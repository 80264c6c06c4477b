"""Our own headers: X-SMTPPlus-* and X-Idempotency-Key."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.controls.own import _TAKE
from smtpplus.message.controls.read import control_spans
from smtpplus.values.options import MergeSyntax, Options, Utm
from tests.message.controls.heads import folded, options, read, refused, said

NOT_ASKED_FOR = {"unknown", "replaces_envelope", "extra_recipients"}
BOTH: list[tuple[str, str, Any, dict[str, Any]]] = [
    ("Campaign", "orders", "orders", {"campaign_code": "orders"}),
    ("Campaign-Name", "Orders", "Orders", {"campaign_name": "Orders"}),
    ("Tags", "a, b", ["a", "b"], {"tags": ("a", "b")}),
    ("Header", "yes", True, {"header": True}),
    ("Footer", "0", 0, {"footer": False}),
    ("Footer-HTML", "<p>x</p>", "<p>x</p>", {"footer_html": "<p>x</p>"}),
    ("Track-Opens", "off", False, {"track_opens": False}),
    ("Track-Clicks", "html", "html", {"track_clicks_html": True, "track_clicks_text": False}),
    ("Track-Clicks", "yes", True, {"track_clicks_html": True, "track_clicks_text": True}),
    ("Track-Clicks-Text", "yes", True, {"track_clicks_text": True}),
    ("Open-Tag", "%o%", "%o%", {"open_tag": "%o%"}),
    ("Unsubscribe", "true", True, {"unsubscribe": True}),
    ("Unsubscribe-Tag", "[u]", "[u]", {"unsubscribe_tag": "[u]"}),
    ("Own-To", "yes", True, {"own_to": True}),
    ("Priority", "1", 1, {"priority": 1}),
    ("Send-At", "2026-11-10T08:00:00+01:00", 1794294000, {"send_at": 1794294000.0}),
    ("Send-At", "Tue, 10 Nov 2026 08:00:00 +0100", "1794294000", {"send_at": 1794294000.0}),
    ("Expires-At", "2026-11-10T07:00Z", 1794294000.0, {"expires_at": 1794294000.0}),
    ("Expires-After", "1h30m", 5400, {"expires_after": 5400.0}),
    (
        "Fields",
        '{"name": "Ada"}',
        {"name": "Ada"},
        {"fields": {"name": "Ada"}, "merge": (MergeSyntax.BRACKETS,)},
    ),
    (
        "Merge",
        "mandrill, percent",
        ["mandrill", "percent"],
        {"merge": (MergeSyntax.MANDRILL, MergeSyntax.PERCENT)},
    ),
    ("Skip-Merge", "yes", True, {"skip_merge": True}),
    ("Metadata", '{"order": 7}', {"order": 7}, {"metadata": {"order": "7"}}),
    (
        "UTM",
        '{"source": "shop", "domains": ["Example.com"]}',
        {"source": "shop", "domains": "example.com"},
        {"utm": Utm(source="shop", domains=("example.com",))},
    ),
    ("Require-TLS", "yes", True, {"require_tls": True}),
    ("Bypass-Suppression", "yes", True, {"bypass_suppression": True}),
    ("Drop", "yes", True, {"drop": True}),
    ("Pool", "fast", "fast", {"pool": "fast"}),
    ("Unescaped", "a, b", ["a", "b"], {"unescaped": ("a", "b")}),
    ("Unescaped", '["a", "b"]', ["a", "b"], {"unescaped": ("a", "b")}),
    ("Idempotency-Key", "order-7", "order-7", {"idempotency_key": "order-7"}),
]


class OwnTests(SynchronousTestCase):
    maxDiff = None

    def test_behind_a_byte_order_mark(self) -> None:
        octets = b"\xef\xbb\xbfX-SMTPPlus-Tags: a\r\nFrom: a@example.com\r\n\r\n"
        self.assertEqual(control_spans(octets), ((3, 23),))
        self.assertEqual(read(octets).options.tags, ("a",))

    def test_a_list_between_commas_or_in_json(self) -> None:
        for text in ("a, b c", '["a", "b c"]'):
            self.assertEqual(said(f"X-SMTPPlus-Tags: {text}"), {"tags": ("a", "b c")})

    def test_a_day_without_hyphens_is_no_unix_time(self) -> None:
        self.assertIn(
            "X-SMTPPlus-Send-At: expected a time", refused("X-SMTPPlus-Send-At: 20261210")
        )
        self.assertEqual(said("X-SMTPPlus-Send-At: 1794294000"), {"send_at": 1794294000.0})

    def test_a_header_or_a_key(self) -> None:
        for name, text, value, expected in BOTH:
            self.assertEqual(said(f"X-SMTPPlus-{name}: {text}"), expected, name)
            key = name.lower().replace("-", "_")
            self.assertEqual(
                said(folded("X-SMTPPlus-Options", json.dumps({key: value}))), expected, name
            )

    def test_every_option_can_be_asked_for(self) -> None:
        names = {one.name for one in fields(Options)} - NOT_ASKED_FOR
        self.assertEqual(names - _TAKE.keys(), set())

    def test_the_header_stands_before_the_key(self) -> None:
        found = said('X-SMTPPlus-Options: {"footer": true, "tag": "a"}', "X-SMTPPlus-Footer: no")
        self.assertEqual(found, {"footer": False, "tags": ("a",)})

    def test_metadata_one_by_one(self) -> None:
        self.assertEqual(said("X-SMTPPlus-Metadata-Order-ID: 7")["metadata"], {"order-id": "7"})

    def test_recipients(self) -> None:
        value = [
            {"address": "Ada <ada@example.com>", "fields": {"n": 1}, "send_at": 5},
            {"address": "b@example.com", "name": "Bob", "colour": "red"},
            "c@example.com",
        ]
        found = options(folded("X-SMTPPlus-Recipients", json.dumps(value)))
        self.assertTrue(found.replaces_envelope)
        self.assertIsNone(found.own_to)
        self.assertEqual(
            [(one.name, str(one.address), one.fields, one.send_at) for one in found.recipients],
            [
                ("Ada", "ada@example.com", {"n": "1"}, 5.0),
                ("Bob", "b@example.com", {}, None),
                ("", "c@example.com", {}, None),
            ],
        )
        self.assertEqual(found.unknown, ("X-SMTPPlus-Recipients colour",))

    def test_idempotency_key(self) -> None:
        found = said("X-Idempotency-Key: 7f4c", "X-SMTPPlus-Colour: red")
        self.assertEqual(found, {"idempotency_key": "7f4c", "unknown": ("X-SMTPPlus-Colour",)})

    def test_refused(self) -> None:
        for field, reply in [
            ("X-SMTPPlus-Footer: maybe", "X-SMTPPlus-Footer: expected true or false"),
            ("X-SMTPPlus-Priority: high", "X-SMTPPlus-Priority: expected a number from 1 to 5"),
            ("X-SMTPPlus-Merge: jinja", "X-SMTPPlus-Merge: expected some of brackets"),
            ("X-SMTPPlus-Fields: a=b", "X-SMTPPlus-Fields: not JSON from character 1 on"),
            ('X-SMTPPlus-Options: {"send_at": "soon"}', "X-SMTPPlus-Options send_at: expected a t"),
            ('X-SMTPPlus-Options: "x"', "X-SMTPPlus-Options: expected a JSON object"),
            ('X-SMTPPlus-Recipients: [{"name": "x"}]', "X-SMTPPlus-Recipients 1 address: expected"),
            ("X-SMTPPlus-Expires-After: soon", "X-SMTPPlus-Expires-After: expected a span"),
        ]:
            self.assertEqual(refused(field)[: 10 + len(reply)], f"550 5.6.0 {reply}")
