"""The name of tracked links."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.tracking_hosts import (
    fault_of,
    host_of,
    read_tracking_host,
    tracking_base,
)
from smtpplus.values.errors import UsageError
from smtpplus.values.submission import SenderDomain


def _domain(host: str) -> SenderDomain:
    return SenderDomain(1, 1, "example.com", 0.0, 0.0, host)


class TrackingHostTests(SynchronousTestCase):
    def test_a_domain_without_a_host_of_its_own_has_the_installations(self) -> None:
        for domain in (None, _domain("")):
            self.assertEqual(
                tracking_base("https://t.example.org/", domain), "https://t.example.org"
            )

    def test_scheme_port_and_path_are_the_installations(self) -> None:
        table = {
            "https://t.example.org": "https://links.example.com",
            "http://127.0.0.1:8025": "http://links.example.com:8025",
            "https://example.org/mail/": "https://links.example.com/mail",
            "https://[::1]:8443": "https://links.example.com:8443",
        }
        for url, wanted in table.items():
            self.assertEqual(tracking_base(url, _domain("links.example.com")), wanted)

    def test_the_host_of_a_url(self) -> None:
        self.assertEqual(host_of("https://T.Example.org:8443/mail"), "t.example.org")

    def test_a_host_is_read(self) -> None:
        table = {
            "": "",
            " ": "",
            "links.example.com": "links.example.com",
            "Links.Example.COM.": "links.example.com",
            "m\u00fcnchen.example.com": "xn--mnchen-3ya.example.com",
        }
        for text, wanted in table.items():
            self.assertEqual(read_tracking_host(text, "example.com"), wanted)

    def test_what_is_no_host_below_the_domain_is_refused(self) -> None:
        for text in ("example.com", "links.example.org", "evilexample.com", "a b.example.com",
                     "[127.0.0.1]", "x@links.example.com", "https://links.example.com",
                     "links.example.com/x", "links.example.com:80", "-.example.com"):  # fmt: skip
            with self.assertRaises(UsageError, msg=text):
                read_tracking_host(text, "example.com")


class FaultTests(SynchronousTestCase):
    def test_a_link_that_recipients_cannot_follow_is_told(self) -> None:
        for url, said in (
            ("http://127.0.0.1:8025", "would lead to 127.0.0.1"),
            ("https://localhost/x", "would lead to localhost"),
            ("http://[::1]:8025", "would lead to ::1"),
            ("http://links.example.com", "needs https"),
            ("https://links.example.com", ""),
        ):
            self.assertIn(said, fault_of(url), url)
            self.assertEqual(bool(said), bool(fault_of(url)), url)
