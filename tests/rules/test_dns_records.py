from __future__ import annotations

import shlex

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.dns_records import (
    is_proven,
    ownership_record,
    records,
    return_records,
    zone_text,
)
from smtpplus.values.submission import DkimKey, DkimKeyState

SECRET = b"s" * 32


def _key(selector: str, state: DkimKeyState) -> DkimKey:
    return DkimKey(1, "example.com", selector, state, b"", "A" * 392, 0.0)


class DnsRecordTests(SynchronousTestCase):
    def test_ownership_is_bound_to_account_domain_and_installation(self) -> None:
        record = ownership_record(SECRET, 1, "example.com")
        self.assertEqual(record, ownership_record(SECRET, 1, "Example.com".lower()))
        for other in (
            ownership_record(SECRET, 2, "example.com"),
            ownership_record(SECRET, 1, "example.org"),
            ownership_record(b"t" * 32, 1, "example.com"),
        ):
            self.assertNotEqual(record.value, other.value)
            self.assertFalse(is_proven(record, [other.value]))

    def test_ownership_is_found_among_other_records(self) -> None:
        record = ownership_record(SECRET, 1, "example.com")
        self.assertTrue(is_proven(record, ["v=spf1 -all", f" {record.value} "]))
        self.assertFalse(is_proven(record, []))
        self.assertFalse(is_proven(record, [record.value[:-1], "\udce4"]))

    def test_DK_records_of_a_rotation(self) -> None:
        keys = [_key("sp2", DkimKeyState.NEXT), _key("sp1", DkimKeyState.ACTIVE)]
        found = records(
            "example.com", ownership_record(SECRET, 1, "example.com"), keys, "mail.example.net"
        )
        self.assertEqual(
            [(record.purpose, record.name) for record in found],
            [
                ("ownership", "_smtpplus.example.com"),
                ("dkim", "sp2._domainkey.example.com"),
                ("dkim", "sp1._domainkey.example.com"),
                ("spf", "example.com"),
                ("dmarc", "_dmarc.example.com"),
            ],
        )
        self.assertIn("a:mail.example.net", found[3].value)

    def test_SPF1_a_bounce_domain_leads_here_and_says_who_sends(self) -> None:
        exchange, spf = return_records("bounce.example.com", "mail.example.net")
        self.assertEqual(exchange.zone_line, "bounce.example.com. IN MX 10 mail.example.net.")
        self.assertEqual(
            spf.zone_line, 'bounce.example.com. IN TXT "v=spf1 a:mail.example.net -all"'
        )

    def test_DK_long_values_are_split_at_255_octets(self) -> None:
        text = zone_text("x" * 600 + '"\\')
        parts = shlex.split(text)
        self.assertEqual([len(part) for part in parts], [255, 255, 92])
        self.assertEqual("".join(parts), "x" * 600 + '"\\')
