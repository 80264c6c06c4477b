"""List-Unsubscribe and its neighbours: UN4, CF1, CF3, DK3; what stays, what goes, what is added."""

from __future__ import annotations

from email import message_from_bytes

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message import dkim
from smtpplus.message.headers import cut_spans, parse_head
from smtpplus.message.list_fields import CfblPolicy, ListFields, ListPolicy, OwnField, plan
from smtpplus.message.token import Purpose, TokenFacts, Tokens
from smtpplus.message.tracking_urls import unsubscribe_url
from smtpplus.message.verp import local_part
from smtpplus.values.submission import Stream

NOW = 1_794_300_000.0
TOKENS = Tokens([b"s" * 32])
FACTS = TokenFacts(7, 12, 1 << 60, (1 << 60) + 1)
URL = unsubscribe_url("https://t.example.com", TOKENS, FACTS, NOW)
TOKEN = TOKENS.make(Purpose.UNSUBSCRIBE, FACTS, NOW)
MAILTO = local_part(Purpose.UNSUBSCRIBE, TOKEN) + "@bounce.example.com"
FEEDBACK = TOKENS.make(Purpose.FEEDBACK, FACTS, NOW)
CFBL = CfblPolicy("fbl@relay.example")

BASIC = b"From: a@example.com\r\nSubject: x\r\n"
OWN = b"List-Unsubscribe: <https://shop.example/u/1>,\r\n <mailto:u@shop.example>\r\n"
OWN_POST = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
EMPTY = b"List-Unsubscribe: \r\n"
OWN_CFBL = b"CFBL-Address: fbl@shop.example; report=arf\r\nCFBL-Feedback-ID: 1\r\n"

T, S = Stream.TRANSACTIONAL, Stream.SUBSCRIBED
KEEP, REPLACE = OwnField.KEEP, OwnField.REPLACE
OURS, THEIRS, NONE = "ours", "theirs", "none"

TABLE = (
    # what the sender wrote, stream, unsubscribe, own; whose List-Unsubscribe and Post go out
    (b"", T, False, KEEP, NONE, NONE),
    (b"", T, True, KEEP, OURS, OURS),
    (b"", S, False, KEEP, OURS, OURS),
    (b"", S, True, REPLACE, OURS, OURS),
    (OWN, T, False, KEEP, THEIRS, NONE),
    (OWN, T, False, REPLACE, THEIRS, NONE),  # nothing of ours: theirs is left alone
    (OWN + OWN_POST, T, False, REPLACE, THEIRS, THEIRS),
    (OWN, T, True, KEEP, THEIRS, NONE),
    (OWN, T, True, REPLACE, OURS, OURS),
    (OWN + OWN_POST, S, False, KEEP, THEIRS, THEIRS),
    (OWN + OWN_POST, S, False, REPLACE, OURS, OURS),
    (OWN_POST, S, True, KEEP, OURS, OURS),
    (OWN_POST + OWN, S, True, REPLACE, OURS, OURS),
    (EMPTY, S, True, KEEP, OURS, OURS),
    (OWN + OWN + OWN_POST, S, True, KEEP, THEIRS, THEIRS),
    # PG3: mail of a subscribed list has a way out by one click
    (OWN, S, True, KEEP, OURS, OURS),
    (b"List-Unsubscribe: no\r\n", S, True, KEEP, OURS, OURS),
    (OWN.replace(b"https:", b"http:") + OWN_POST, S, True, KEEP, OURS, OURS),
    (OWN + OWN + OWN_POST + OWN_POST, T, False, KEEP, THEIRS, THEIRS),
    (EMPTY + OWN + OWN_POST, S, True, KEEP, THEIRS, THEIRS),
    (OWN.upper(), S, True, REPLACE, OURS, OURS),
)


def outgoing(fields: ListFields, head: bytes) -> bytes:
    written = fields.write(url=URL, mailto=MAILTO, feedback_token=FEEDBACK)
    return written + cut_spans(head, fields.cuts)


class ListFieldsTests(SynchronousTestCase):
    def test_UN4_whose_fields_go_out_and_never_twice(self) -> None:
        for own, stream, unsubscribe, keep, expected, expected_post in TABLE:
            head = BASIC + own + b"To: b@example.com\r\n\r\n"
            policy = ListPolicy(stream, unsubscribe=unsubscribe, own=keep)
            fields = plan(parse_head(head), policy)
            message = message_from_bytes(outgoing(fields, head))
            case = (own, stream, unsubscribe, keep)
            for name, whose in (
                ("List-Unsubscribe", expected),
                ("List-Unsubscribe-Post", expected_post),
            ):
                values = message.get_all(name, [])
                self.assertEqual(len(values), 0 if whose == NONE else 1, case)
            value = (message["List-Unsubscribe"] or "").lower()
            self.assertEqual("t.example.com" in value, expected == OURS, case)
            self.assertEqual("shop.example" in value, expected == THEIRS, case)
            self.assertEqual(fields.kept_own, expected == THEIRS, case)
            self.assertEqual(fields.unsubscribe, expected == OURS, case)
            self.assertEqual(message["To"], "b@example.com")

    def test_UN4_https_first_then_mailto_on_one_short_line(self) -> None:
        fields = plan(parse_head(BASIC), ListPolicy(S, unsubscribe=True))
        lines = fields.write(url=URL, mailto=MAILTO).split(b"\r\n")
        expected = f"List-Unsubscribe: <{URL}>, <mailto:{MAILTO}?subject=unsubscribe>".encode()
        self.assertIn(expected, lines)
        self.assertIn(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click", lines)
        self.assertLess(max(map(len, lines)), 250)

    def test_no_line_over_998_octets(self) -> None:
        fields = plan(parse_head(BASIC), ListPolicy(T, unsubscribe=True))
        written = fields.write(url="https://t.example.com/" + "u" * 850, mailto=MAILTO)
        self.assertLessEqual(max(map(len, written.split(b"\r\n"))), 998)
        self.assertNotIn(b"mailto", written)

    def test_without_mailto(self) -> None:
        fields = plan(parse_head(BASIC), ListPolicy(T, unsubscribe=True))
        self.assertTrue(fields.write(url=URL).startswith(f"List-Unsubscribe: <{URL}>\r\n".encode()))

    def test_S11_nothing_breaks_out(self) -> None:
        fields = plan(parse_head(BASIC), ListPolicy(T, unsubscribe=True, cfbl=CFBL))
        bad_urls = ("", "http://t.example.com/u/1", "https://t/\r\nBcc: x", "https://t/>, <x",
                    "https://t/a b", "https://t/a,b", "javascript:1", "https://t/\u2028")  # fmt: skip
        for url in bad_urls:
            self.assertRaises(ValueError, fields.write, url=url, feedback_token=FEEDBACK)
        for mailto in ("a@b\r\nBcc: x@y", "a b@c", "a@b?cc=x@y", "a>@b", "@", "a", "\u00e9@b"):
            self.assertRaises(
                ValueError, fields.write, url=URL, mailto=mailto, feedback_token=FEEDBACK
            )
        for token in ("", "a b", "a\r\nX: y", "\u00e9"):
            self.assertRaises(ValueError, fields.write, url=URL, feedback_token=token)
        for address in ("", "fbl", "a@b\r\nX: y", "a@b; report=xarf"):
            policy = ListPolicy(T, cfbl=CfblPolicy(address))
            self.assertRaises(ValueError, plan, parse_head(BASIC), policy)
        for list_id in ("one", "a..b", "A.b", "a b.c", "x.y>\r\nBcc: z"):
            self.assertRaises(ValueError, plan, parse_head(BASIC), ListPolicy(S, list_id=list_id))

    def test_mailto_letters_with_a_meaning_are_encoded(self) -> None:
        fields = plan(parse_head(BASIC), ListPolicy(T, unsubscribe=True))
        self.assertIn(
            b"<mailto:a%25b%26c%3Fd@x.example?", fields.write(url=URL, mailto="a%b&c?d@x.example")
        )

    def test_Precedence_and_List_Id_only_on_subscribed_streams(self) -> None:
        policies = (
            (T, b"", b""),
            (S, b"", b'List-Id: "The shop s news" <news.shop.example>\r\nPrecedence: bulk\r\n'),
            (S, b"Precedence: list\r\n", b'List-Id: "The shop s news" <news.shop.example>\r\n'),
            (S, b"List-ID: <x.y>\r\n", b"Precedence: bulk\r\n"),
        )
        for stream, own, expected in policies:
            policy = ListPolicy(
                stream, list_id="news.shop.example", list_name="The shop's \u201cnews\u201d"
            )
            fields = plan(parse_head(BASIC + own), policy)
            self.assertEqual(fields.fixed, expected)
            self.assertEqual(fields.cuts, ())

    def test_CF1_once_and_the_senders_own_goes(self) -> None:
        head = BASIC + OWN_CFBL + b"\r\n"
        fields = plan(parse_head(head), ListPolicy(T, cfbl=CFBL))
        message = message_from_bytes(outgoing(fields, head))
        self.assertEqual(message.get_all("CFBL-Address"), ["fbl@relay.example; report=arf"])
        self.assertEqual(message.get_all("CFBL-Feedback-ID"), [FEEDBACK])

    def test_without_a_signature_for_it_the_senders_own_stays(self) -> None:
        head = BASIC + OWN_CFBL + b"\r\n"
        fields = plan(parse_head(head), ListPolicy(T))
        self.assertEqual(outgoing(fields, head), head)

    def test_CF2_the_token_resolves(self) -> None:
        self.assertEqual(TOKENS.read(Purpose.FEEDBACK, FEEDBACK, NOW).facts, FACTS)

    def test_DK3_all_of_them_are_signed(self) -> None:
        signed = {name.lower() for name in (*dkim.OVERSIGNED, *dkim.SIGNED)}
        for name in (
            "list-unsubscribe",
            "list-unsubscribe-post",
            "cfbl-address",
            "cfbl-feedback-id",
        ):
            self.assertIn(name, signed)
