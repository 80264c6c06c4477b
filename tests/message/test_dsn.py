"""Delivery status notifications: what they say, to programs and to people."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.dsn import Report, ReportedRecipient, build
from smtpplus.message.headers import head_length, parse_head
from smtpplus.message.preview import decoded_body
from smtpplus.message.structure import scan
from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.status_codes import EnhancedCode
from tests.message.payloads import INJECTIONS

NOW = 1_794_297_600.0
FAILED = ReportedRecipient(
    recipient=EnvelopeRecipient(Address("a", "b.com"), orcpt="rfc822;a+2Bx@b.com"),
    action="failed",
    status=EnhancedCode(5, 1, 1),
    diagnostic="550 5.1.1 No such user here",
    text="The server refused the recipient.",
    remote_mta="mx.b.com",
    last_attempt_at=NOW,
)
REPORT = Report(
    reporting_mta="relay.example",
    sender=Address("shop", "example.com"),
    message_id="0abc@relay.example",
    now=NOW,
    arrived_at=NOW - 60,
    envid="QQ+3D314159",
    recipients=(FAILED,),
    original_head=b"From: shop@example.com\r\nBcc: secret@b.com\r\nSubject: Hello\r\n\r\n",
    subject="Hello",
)


def parts(octets: bytes) -> list[tuple[str, bytes]]:
    return [
        (part.type, decoded_body(octets, part, 1 << 20))
        for part in scan(octets).parts
        if part.parent == 0
    ]


def groups(octets: bytes) -> list[dict[str, str]]:
    status = next(body for kind, body in parts(octets) if kind.endswith("delivery-status"))
    return [
        {field.name: field.unfolded for field in parse_head(group + b"\r\n")}
        for group in status.split(b"\r\n\r\n")
        if group.strip()
    ]


def is_fit(octets: bytes) -> bool:
    lines = octets.split(b"\r\n")
    return octets.isascii() and all(
        len(x) <= 998 and b"\r" not in x and b"\n" not in x for x in lines
    )


class DsnTest(SynchronousTestCase):
    def test_DR1_form(self) -> None:
        octets = build(REPORT)
        self.assertTrue(is_fit(octets))
        fields = parse_head(octets[: head_length(octets)])
        head = {field.name: field.unfolded for field in fields}
        self.assertEqual(len(head), len(fields))
        self.assertEqual(head["From"], "Mail Delivery System <MAILER-DAEMON@relay.example>")
        self.assertEqual(head["To"], "<shop@example.com>")
        self.assertEqual(head["Auto-Submitted"], "auto-replied")
        self.assertEqual(head["Message-ID"], "<0abc@relay.example>")
        self.assertEqual(head["MIME-Version"], "1.0")
        self.assertIn("multipart/report; report-type=delivery-status", head["Content-Type"])
        kinds = [kind for kind, _ in parts(octets)]
        self.assertEqual(kinds, ["text/plain", "message/delivery-status", "text/rfc822-headers"])

    def test_DR1_DS1_fields(self) -> None:
        message, recipient = groups(build(REPORT))
        self.assertEqual(
            message,
            {
                "Original-Envelope-Id": "QQ=314159",
                "Reporting-MTA": "dns; relay.example",
                "Arrival-Date": "Tue, 10 Nov 2026 07:59:00 +0000",
            },
        )
        self.assertEqual(
            recipient,
            {
                "Original-Recipient": "rfc822; a+x@b.com",
                "Final-Recipient": "rfc822; a@b.com",
                "Action": "failed",
                "Status": "5.1.1",
                "Remote-MTA": "dns; mx.b.com",
                "Diagnostic-Code": "smtp; 550 5.1.1 No such user here",
                "Last-Attempt-Date": "Tue, 10 Nov 2026 08:00:00 +0000",
            },
        )

    def test_people_are_told_what_happened_and_what_to_do(self) -> None:
        text = parts(build(REPORT))[0][1].decode()
        for said in [
            '"Hello"',
            "<a@b.com>",
            "550 5.1.1 No such user here",
            "mx.b.com",
            "typing mistake",
        ]:
            self.assertIn(said, text)

    def test_DR4_only_the_named_recipients(self) -> None:
        other = replace(FAILED, recipient=EnvelopeRecipient(Address("c", "d.com")))
        self.assertEqual(len(groups(build(REPORT))), 2)
        self.assertNotIn(b"d.com", build(REPORT))
        self.assertEqual(len(groups(build(replace(REPORT, recipients=(FAILED, other))))), 3)

    def test_delay(self) -> None:
        delayed = replace(
            FAILED, action="delayed", status=EnhancedCode(4, 4, 1), will_retry_until=NOW + 400_000
        )
        octets = build(replace(REPORT, recipients=(delayed,)))
        self.assertEqual(groups(octets)[1]["Action"], "delayed")
        self.assertEqual(groups(octets)[1]["Will-Retry-Until"], "Sat, 14 Nov 2026 23:06:40 +0000")
        self.assertIn(b"still being tried", octets)
        self.assertNotIn(b"Undelivered", octets)

    def test_original_header_or_all_of_a_small_one(self) -> None:
        octets = build(REPORT)
        self.assertIn(b"Subject: Hello\r\n", parts(octets)[2][1])
        self.assertNotIn(b"secret", octets)
        whole = REPORT.original_head + "grün\r\n".encode()
        octets = build(replace(REPORT, original_content=whole))
        self.assertTrue(is_fit(octets))
        self.assertEqual(scan(octets).parts[3].type, "message/rfc822")
        self.assertNotIn(b"secret", octets)
        octets = build(replace(REPORT, original_content=whole + b"x\r\n" * 50_000))
        self.assertEqual(parts(octets)[2][0], "text/rfc822-headers")
        self.assertEqual(len(parts(build(replace(REPORT, original_head=b"")))), 2)

    def test_A8_a_large_header_is_cut(self) -> None:
        octets = build(replace(REPORT, original_head=b"X: y\r\n" * 20_000 + b"\r\n"))
        self.assertLess(len(octets), 60_000)

    def test_utf8_addresses(self) -> None:
        recipient = replace(FAILED, recipient=EnvelopeRecipient(Address("jörg", "exämple.com")))
        octets = build(replace(REPORT, recipients=(recipient,)))
        self.assertTrue(is_fit(octets))
        self.assertEqual(parts(octets)[1][0], "message/global-delivery-status")
        self.assertEqual(groups(octets)[1]["Final-Recipient"], "utf-8; jörg@exämple.com")
        octets = build(replace(REPORT, sender=Address("x", "exämple.com")))
        self.assertIn(b"To: <x@xn--exmple-cua.com>", octets)

    def test_S11_O7_hostile_texts_stay_where_they_belong(self) -> None:
        expected = [set(group) for group in groups(build(REPORT))]
        for payload in INJECTIONS:
            hostile = replace(
                FAILED,
                diagnostic=f"550 {payload}",
                text=payload,
                remote_mta=f"mx{payload}",
                recipient=EnvelopeRecipient(Address("a", "b.com"), orcpt=f"rfc822;{payload}"),
            )
            octets = build(
                replace(
                    REPORT,
                    recipients=(hostile,),
                    envid=payload,
                    subject=payload,
                    reporting_mta=payload,
                )
            )
            self.assertTrue(is_fit(octets), payload)
            self.assertEqual(len(parse_head(octets[: head_length(octets)])), 8, payload)
            self.assertEqual([set(group) for group in groups(octets)], expected, payload)
            self.assertLess(len(octets), 30_000)

    def test_the_standard_library_reads_it_alike(self) -> None:
        read = email.message_from_bytes(build(REPORT), policy=email.policy.compat32)
        self.assertEqual(read.get_content_type(), "multipart/report")
        self.assertEqual(read.get_param("report-type"), "delivery-status")
        self.assertEqual(
            [part.get_content_type() for part in read.get_payload()],  # type: ignore[union-attr]
            ["text/plain", "message/delivery-status", "text/rfc822-headers"],
        )
