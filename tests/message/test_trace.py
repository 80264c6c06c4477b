"""Fields we write: their form, and that nothing hostile adds a line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.headers import parse_head
from smtpplus.message.timestamp import is_valid_date, parse_date, write_date
from smtpplus.message.trace import date_field, message_id_field, protocol, received
from tests.message.payloads import INJECTIONS

NOW = 1_794_297_600.7


class TraceTest(SynchronousTestCase):
    def field(self, **changes: str | bool) -> bytes:
        arguments = {
            "hello": "client.example",
            "client_ip": "192.0.2.7",
            "host": "mx.example",
            "with_protocol": "ESMTPSA",
            "identifier": "0abc",
            "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384",
            "recipient": "a@b.com",
            **changes,
        }
        return received(now=NOW, **arguments)  # type: ignore[arg-type]

    def test_SU3_received(self) -> None:
        self.assertEqual(
            self.field(),
            b"Received: from client.example ([192.0.2.7])\r\n"
            b"\tby mx.example with ESMTPSA id 0abc\r\n"
            b"\t(using TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
            b"\tfor <a@b.com>;\r\n\tTue, 10 Nov 2026 08:00:00 +0000\r\n",
        )
        self.assertIn(b"([IPv6:2001:db8::1])", self.field(client_ip="2001:db8::1"))

    def test_SU3_client_hidden(self) -> None:
        hidden = self.field(show_client=False, tls="", recipient="")
        self.assertEqual(
            hidden,
            b"Received: by mx.example with ESMTPSA id 0abc;\r\n\tTue, 10 Nov 2026 08:00:00 +0000\r\n",
        )

    def test_protocols(self) -> None:
        for extended, tls, authenticated, smtputf8, name in [
            (False, True, False, False, "SMTP"),
            (True, False, False, False, "ESMTP"),
            (True, True, False, False, "ESMTPS"),
            (True, False, True, False, "ESMTPA"),
            (True, True, True, False, "ESMTPSA"),
            (True, True, True, True, "UTF8SMTPSA"),
        ]:
            self.assertEqual(
                protocol(
                    extended=extended, tls=tls, authenticated=authenticated, smtputf8=smtputf8
                ),
                name,
            )

    def test_S11_hostile_arguments_add_no_field(self) -> None:
        for payload in INJECTIONS:
            for name in ("hello", "client_ip", "host", "identifier", "tls", "recipient"):
                field = self.field(**{name: payload})
                self.assertEqual(len(parse_head(field)), 1, (name, payload))
                self.assertTrue(field.isascii())
                self.assertNotIn(b"\0", field)
                self.assertTrue(all(len(line) <= 998 for line in field.split(b"\r\n")))
            one = message_id_field(payload, payload)
            self.assertEqual(len(one.splitlines()), 1)
            self.assertRegex(one, rb"\AMessage-ID: <[!-~]+@[!-~]+>\r\n\Z")

    def test_dates(self) -> None:
        self.assertEqual(date_field(NOW), b"Date: Tue, 10 Nov 2026 08:00:00 +0000\r\n")
        self.assertEqual(parse_date(write_date(NOW)), int(NOW))
        self.assertEqual(parse_date("Tue, 10 Nov 2026 09:00:00 +0100 (CET)"), int(NOW))
        for text in ["", "10 Nov", "Tue, 10 Nov 2026 25:00:00 +0000", "10 Nov 2026 08:00:00 +0099"]:
            self.assertFalse(is_valid_date(text), text)
