"""Control headers are found, left out, united; nothing hostile gets through."""

from __future__ import annotations

import contextlib
import json
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.charset import harmless
from smtpplus.message.controls import (
    Controls,
    ControlsError,
    may_have_controls,
    read_controls,
)
from smtpplus.message.headers import cut_spans, parse_head
from smtpplus.values.options import MergeSyntax
from tests.corpora import messages
from tests.message.controls.heads import FROM, TO, folded, head, options, read, refused, said

CONTROLS = (
    "X-SMTPAPI: {}",
    "x-smtpapi : {}",
    "X-SMTPPlus-Footer: no",
    "X-SMTPPlus-Misspelt: no",
    "X-Idempotency-Key: 5",
    "X-MC-Tags: a",
    "X-Mc-Misspelt: a",
    "X-Mailgun-Tag: a",
    "X-Mailgun-Variables: {}",
    "X-PM-Tag: a",
    "X-PM-Metadata-a: b",
    "X-SES-CONFIGURATION-SET: a",
    "X-MSYS-API: {}",
    "X-Postal-Tag: a",
    "X-AMP: skip",
    "X-Cuttlefish-Disable-Css-Inlining: true",
    "X-Schedule: {}",
    "X-Sending-Zone: a",
    "x-smtpeter-inlinecss: true",
    "x-mq-smarthost-ip: a",
)
NO_CONTROLS = (
    "X-Mailer: a",
    "X-AMP: yes",
    "X-Schedule: Mondays",
    "X-Postal-Address: Street 5",
    "X-Sending-Host: a",
    "X-MSYS-Other: a",
    "X-Smtpapi2: a",
    "X-MC: a",
    "X-MC-: a",
    "X-PM-: a",
    "X-MC-User: 5",
    "X-Mailgun-Sid: a",
    "X-Mailgun-Incoming: Yes",
    "X-SES-Outgoing: 2026.11.10-1.2.3.4",
    "X-PM-Message-Id: a",
    "X-Priority: 1",
    "XX-SMTPAPI: {}",
    "Subject: X-SMTPAPI: {}",
    "Subject: a\r\n X-SMTPAPI: {}",
)


class CutTests(SynchronousTestCase):
    def test_P2_controls_are_left_out(self) -> None:
        for field in CONTROLS:
            octets = head("Subject: x", field, "X-Mailer: y")
            cuts = read_controls(octets).cuts
            self.assertEqual(cut_spans(octets, cuts), head("Subject: x", "X-Mailer: y"), field)
        everything = head(*CONTROLS)
        self.assertEqual(cut_spans(everything, read_controls(everything).cuts), head())

    def test_what_is_no_control_stays(self) -> None:
        for field in NO_CONTROLS:
            self.assertEqual(read_controls(head(field)), Controls(), field)

    def test_at_every_place_and_line_end(self) -> None:
        field = b"X-PM-Tag: a"
        for octets in [
            field + b"\r\n" + FROM + b"\r\n",
            FROM + field + b"\r\n\r\n",
            FROM + field + b"\n\n",
            FROM + field,
            FROM.replace(b"\r\n", b"\r") + field + b"\r\r",
            FROM.replace(b"\r\n", b"\n") + b"x-pm-TAG:\n a\n\n",
            b"\xef\xbb\xbf" + FROM + field + b"\r\n\r\n",
        ]:
            found = read_controls(octets)
            self.assertEqual(found.options.tags, ("a",), octets)
            left = cut_spans(octets, found.cuts)
            self.assertNotIn(b"pm-t", left.lower())
        body = FROM + b"\r\n" + field + b"\r\n"
        self.assertEqual(read_controls(body).cuts, ())

    def test_the_quick_look_misses_nothing(self) -> None:
        for field in CONTROLS:
            self.assertTrue(may_have_controls(head(field)), field)
            self.assertTrue(may_have_controls(field.encode()), field)
        self.assertFalse(may_have_controls(head("X-Mailer: a", "Subject: X-SMTPAPI")))

    def test_known_fields_are_not_parsed_again(self) -> None:
        octets = head("X-PM-Tag: a")
        self.assertEqual(read_controls(octets, parse_head(octets)), read_controls(octets))

    def test_dialects_are_named(self) -> None:
        found = read(head(*CONTROLS, 'X-SMTPAPI: {"category": "a"}'))
        self.assertEqual(
            found.dialects,
            (
                "X-SMTPPlus",
                "SendGrid",
                "Mandrill",
                "Mailgun",
                "Postmark",
                "Amazon SES",
                "SparkPost",
                "Postal",
                "Cuttlefish",
                "SMTPeter",
                "MailerQ",
                "ZoneMTA",
                "KumoMTA",
            ),
        )

    def test_real_mail_has_no_controls_that_stop_it(self) -> None:
        for name, octets in messages("mime"):
            found = parse_head(octets)
            end = found[-1].end if found else 0
            try:
                read_controls(octets[:end])
            except ControlsError as error:  # pragma: no cover - the message says which
                self.fail(f"{name}: {error}")


class PrecedenceTests(SynchronousTestCase):
    def test_whoever_is_first_in_the_order_says_it(self) -> None:
        speakers = [
            'X-SMTPPlus-Options: {"tag": "own", "track_opens": "yes", "metadata": {"k": "own"}}',
            (
                'X-SMTPAPI: {"category": "sg", "unique_args": {"k": "sg"}, "filters":\r\n'
                ' {"opentrack": {"settings": {"enable": 0}}}}'
            ),
            'X-MC-Tags: mc\r\nX-MC-Track: opens\r\nX-MC-Metadata: {"k": "mc"}',
            'X-Mailgun-Tag: mg\r\nX-Mailgun-Track-Opens: no\r\nX-Mailgun-Variables: {"k": "mg"}',
            "X-PM-Tag: pm\r\nX-PM-TrackOpens: true\r\nX-PM-Metadata-k: pm",
            (
                'X-MSYS-API: {"tags": ["sp"], "options": {"open_tracking": false},'
                ' "metadata": {"k": "sp"}}'
            ),
        ]
        names = ("own", "sg", "mc", "mg", "pm", "sp")
        for first, name in enumerate(names):
            found = options(*reversed(speakers[first:]))  # their order in the head is nothing
            self.assertEqual(found.track_opens, first % 2 == 0, name)
            self.assertEqual(found.metadata, {"k": name})
            self.assertEqual(found.tags, names[first:])

    def test_fields_of_recipients_are_united(self) -> None:
        found = options(
            'X-MC-MergeVars: {"_rcpt": "a@example.com", "-n-": "no", "M": "m"}',
            'X-MC-MergeVars: {"_rcpt": "other@example.com", "M": "not mailed"}',
            'X-SMTPAPI: {"to": ["a@example.com", "b@example.com"], "sub": {"-n-": ["A", "B"]}}',
        )
        self.assertEqual(found.merge, (MergeSyntax.DASHES, MergeSyntax.MANDRILL))
        self.assertEqual(
            [(str(one.address), one.fields) for one in found.recipients],
            [("a@example.com", {"-n-": "A", "M": "m"}), ("b@example.com", {"-n-": "B"})],
        )

    def test_the_first_list_of_recipients_stands(self) -> None:
        found = options(
            'X-SMTPAPI: {"to": ["b@example.com"]}', 'X-SMTPPlus-Recipients: ["a@example.com"]'
        )
        self.assertEqual([str(one.address) for one in found.recipients], ["a@example.com"])


class HostileTests(SynchronousTestCase):
    def test_S11_hostile_json_is_refused_by_name(self) -> None:
        for text, reply in [
            ("{", "not JSON from character 2 on"),
            ('{"to": ["a@b.com"]', "not JSON from character"),
            ("{'to': 1}", "not JSON from character 2 on"),
            ('{"a": 1} x', "not JSON from character 10 on"),
            ("[" * 100_000, "the JSON is nested deeper than 32 levels"),
            ('{"a":' * 100_000, "the JSON is nested deeper than 32 levels"),
            ('{"a": "' + "[" * 5000 + '", "b": ' + "[" * 40, "the JSON is nested deeper"),
            ('{"to": 1, "to": 2}', "the key 'to' stands there twice"),
            ('{"a": {"b": 1, "c": 2, "c": 3}}', "the key 'c' stands there twice"),
            ('{"send_at": NaN}', "expected JSON; a number in it"),
            ('{"send_at": ' + "9" * 5000 + "}", "expected JSON; a number in it"),
            ("5", "expected a JSON object, got 5"),
            ("nothing", "not JSON from character 1 on"),
            ("=?utf-8?b?eyJ0?=", "not JSON from character"),
            ('{"a": "' + "x" * 4_200_000 + '"}', "the header is longer than"),
        ]:
            found = refused(f"X-SMTPAPI: {text}")
            self.assertEqual(found[: 21 + len(reply)], f"550 5.6.0 X-SMTPAPI: {reply}", text[:60])

    def test_brackets_in_texts_are_no_depth(self) -> None:
        text = json.dumps({"category": '[{"' * 60, "unique_args": {"a": "\\" * 60 + "[" * 60}})
        self.assertEqual(len(options(folded("X-SMTPAPI", text)).tags), 1)

    def test_S11_names_that_land_in_headers_are_on_one_line(self) -> None:
        found = options(
            'X-SMTPAPI: {"to": ["\\"A\\r\\nBcc: x\\" <a@b.com>"], "category": "a\\u0000b\\r\\nc",'
            ' "CampaignName": "\\u202eright", "ip_pool": "a\\u2028b"}',
            "X-Idempotency-Key: =?utf-8?q?a=0D=0Ab?=",
        )
        for text in [
            found.recipients[0].name,
            *found.tags,
            found.campaign_name,
            found.pool,
            found.idempotency_key,
        ]:
            assert text is not None
            self.assertTrue(text.isprintable(), text)

    def test_values_keep_lines_and_lose_controls(self) -> None:
        found = options('X-MC-MergeVars: {"a": "1\\r\\n\\t2\\u0000\\u001b", "b": "\\u200f\\u05d0"}')
        self.assertEqual(found.fields, {"a": "1\r\n\t2  ", "b": "\u200f\u05d0"})

    def test_addresses_are_checked(self) -> None:
        for address in [
            "a@b\\r\\n.com",
            "a@-b.com",
            "a@b..com",
            ".a@b.com",
            "a@1.2.3.4",
            "<a@b.com",
            "a@b.com>",
            "x a@b.com",
            "a@b.com\\u0000",
            "a\\ud800@b.com",
            "@b.com",
            "a@" + "b" * 64 + ".com",
            "a" * 65 + "@b.com",
            "g: a@b.com, c@d.com;",
            "a" * 2000,
        ]:
            text = refused(f'X-SMTPAPI: {{"to": ["{address}"]}}')
            self.assertEqual(text[:35], "550 5.6.0 X-SMTPAPI to 1: expected ", address)

    def test_M4_many_headers_take_linear_time(self) -> None:
        names = range(1000, 5950)
        for field in ("X-PM-Metadata-{}:", 'X-SMTPAPI: {{"sub": {{"{}": "1"}}}}'):
            fields = [field.format(name) for name in names]
            started = time.process_time()
            with contextlib.suppress(ControlsError):
                read_controls(head(*fields))
            self.assertLess(time.process_time() - started, 0.5, field)

    def test_R_numbers_are_bounded(self) -> None:
        for field in [
            "X-MC-Tags: " + ",".join(map(str, range(60))),
            folded("X-MC-Metadata", json.dumps({str(number): 1 for number in range(1001)})),
            folded("X-SMTPAPI", json.dumps({"sub": {str(number): ["1"] for number in range(201)}})),
            folded("X-SMTPAPI", json.dumps({"section": dict.fromkeys(map(str, range(101)), "")})),
            folded("X-MSYS-API", json.dumps({"bcc": [{"email": "a@b.com"}] * 101})),
            folded("X-MC-MergeVars", json.dumps({"a": "b" * 100_001})),
            folded("X-MC-Metadata", json.dumps({"a" * 101: 1})),
        ]:
            self.assertIn(" at most ", refused(field), field[:80])
        unknown = json.dumps(dict.fromkeys(("k" * 300 + str(number) for number in range(99)), 1))
        found = options(folded("X-SMTPAPI", unknown))
        self.assertLessEqual(len(found.unknown), 50)
        self.assertLessEqual(max(map(len, found.unknown)), 100)

    def test_R_merge_fields_have_so_many_names_whoever_brings_them(self) -> None:
        """A copy is prepared anew with each name that is new: quadratic work, of one message."""
        own = {f"u{number}@example.net": {f"n{number}": "v"} for number in range(1_001)}
        recipients = [{"address": address, "fields": fields} for address, fields in own.items()]
        vars_ = [json.dumps({"_rcpt": address, **fields}) for address, fields in own.items()]
        for fields in (
            [folded("X-Mailgun-Recipient-Variables", json.dumps(own))],
            [folded("X-SMTPPlus-Recipients", json.dumps(recipients))],
            [f"X-MC-MergeVars: {one}" for one in vars_],
        ):
            self.assertIn("at most 1,000 different names", refused(*fields))
        self.assertEqual(
            len(options(*(f"X-MC-MergeVars: {one}" for one in vars_[1:])).recipients), 1_000
        )

    def test_unicode_in_a_reply_is_ascii(self) -> None:
        found = refused('X-SMTPAPI: {"Priority": "h\u00f6ch\u202est", "sub": {}}')
        self.assertTrue(found.isascii(), found)

    def test_said_nothing(self) -> None:
        self.assertEqual(said("X-SMTPAPI: {}", "X-MC-Metadata:", "X-PM-Tag:"), {})


NAMES = [field.partition(":")[0].strip() for field in CONTROLS] + [
    "X-MC-MergeVars",
    "X-MC-Track",
    "X-MC-SendAt",
    "X-MC-BccAddress",
    "X-Mailgun-Recipient-Variables",
    "X-Mailgun-Deliver-By",
    "X-Mailgun-Deliver-Within",
    "X-SES-MESSAGE-TAGS",
    "X-SMTPPlus-Options",
    "X-SMTPPlus-Recipients",
    "X-SMTPPlus-Priority",
    "X-SMTPPlus-UTM",
]
WORDS = (
    "to sub section category unique_args filters send_at send_each_at settings enable opentrack"
    " Footer Priority Schedule DynamicFields CampaignCode N V options metadata cc email tags"
    " recipients address fields utm merge priority first_attempt replace footer text/html"
    " _rcpt a@b.com"
)
KEYS = st.sampled_from(WORDS.split())
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(max_size=8),
    st.sampled_from(["a@b.com", "A <a@b.com>", "-x-", "yes", "2026-11-10T08:00Z", "\ud800"]),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner),
    max_leaves=12,
)


class FuzzTests(SynchronousTestCase):
    def is_safe(self, octets: bytes) -> None:
        try:
            found = read_controls(octets)
        except ControlsError as error:
            self.assertTrue(str(error.reply).startswith("550 5.6.0 "), error)
            self.assertTrue(error.key)
            return
        position = 0
        for start, end in found.cuts:
            self.assertTrue(position <= start < end <= len(octets))
            position = end
        found.options.said()
        for text in (*found.options.unknown, *found.options.tags):
            self.assertEqual(text, harmless(text))

    @settings(max_examples=250, deadline=None)
    @given(st.sampled_from(NAMES), JSON)
    def test_any_json(self, name: str, value: object) -> None:
        self.is_safe(head(f"{name}: {json.dumps(value)}".encode("utf-8", "replace")))

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=60)), max_size=4),
    )
    def test_any_octets(self, fields: list[tuple[str, bytes]]) -> None:
        self.is_safe(head(*(name.encode() + b": " + value for name, value in fields)))

    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from(NAMES), st.text(max_size=60))
    def test_any_text(self, name: str, text: str) -> None:
        self.is_safe(FROM + f"{name}: {text}\r\n".encode("utf-8", "replace") + TO)
