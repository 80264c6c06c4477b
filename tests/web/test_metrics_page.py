"""Who may read /metrics: networks, a token, and nobody behind a proxy that is not known."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from smtpplus.web.site import make_site
from tests.web.browser import Browser, PageTestCase


class MetricsPageTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        settings = replace(
            self.settings,
            metrics_networks=(ipaddress.ip_network("127.0.0.0/8"),),
            metrics_token="a token",
            trusted_proxies=(ipaddress.ip_network("127.0.0.9/32"),),
        )
        self.site = make_site(self.ports, settings, self.clock)

    def status(self, ip: str, **headers: str) -> int:
        answer = Browser(self.site, ip).get("/metrics", **headers)
        self.assertEqual(b"smtpplus_queue" in answer.body, answer.status == 200)
        return answer.status

    def test_networks(self) -> None:
        self.assertEqual(self.status("127.0.0.1"), 200)
        self.assertEqual(self.status("192.0.2.1"), 404)

    def test_a_token_opens_it_from_anywhere_and_a_wrong_one_closes_it(self) -> None:
        self.assertEqual(self.status("192.0.2.1", authorization="Bearer a token"), 200)
        self.assertEqual(self.status("192.0.2.1", authorization="Bearer another"), 404)
        self.assertEqual(self.status("127.0.0.1", authorization="Bearer \u00e9"), 404)

    def test_what_a_proxy_sends_on_is_judged_by_whom_it_is_from(self) -> None:
        self.assertEqual(self.status("127.0.0.1", x_forwarded_for="192.0.2.1"), 404)
        self.assertEqual(self.status("127.0.0.1", x_forwarded_for="127.0.0.1"), 404)
        self.assertEqual(self.status("127.0.0.1", via="1.1 proxy"), 404)
        self.assertEqual(self.status("127.0.0.9", x_forwarded_for="192.0.2.1"), 404)
        self.assertEqual(self.status("127.0.0.9", x_forwarded_for="127.0.0.1"), 200)

    def test_without_token_and_networks_nobody_reads_it(self) -> None:
        self.site = make_site(self.ports, self.settings, self.clock)
        self.assertEqual(self.status("127.0.0.1", authorization="Bearer "), 404)

    def test_the_operator_is_told_on_the_overview_when_the_service_was_late(self) -> None:
        self.delay = 1.25
        self.site = make_site(self.ports, self.settings, self.clock)
        self.assertIn("1.2 s late", self.browser(self.house.operator).get("/").text)
        self.assertNotIn("late", self.browser(self.house.tenants[0].owner).get("/").text)
