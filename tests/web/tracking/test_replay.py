"""W4, W5 over HTTP: the labelled cases asked for real, and what was recorded of each."""

from __future__ import annotations

import ipaddress

from smtpplus.message.token import TokenFacts
from smtpplus.message.tracking_urls import HONEYPOT_LINK
from smtpplus.rules.opens import Access, Observed
from smtpplus.web.tracking.recorder import GROUP_SECONDS
from tests.rules.open_cases import cases
from tests.web.house import NOW
from tests.web.tracking.rig import TrackingTestCase

_NOBODY = "198.51.100.7"


class ReplayTests(TrackingTestCase):
    trusted_proxies = (ipaddress.ip_network("10.0.0.0/8"),)
    number = 0
    links = 0

    def replay(self, seen: Observed) -> str:
        """Ask as the case says; the class of the last request."""
        self.number += 1
        self.clock.advance(0.5)
        facts = TokenFacts(1, self.list_id, self.number, self.number)
        if seen.delivered_at is not None:
            now = NOW + self.clock.seconds()
            self.kept.times[self.number] = now - (seen.at - seen.delivered_at)
        self.links = seen.links_in_message
        if seen.siblings.scanner:
            self.ask("HEAD", seen, self.click(7, facts))
        for link in sorted(seen.siblings.links):
            self.ask("GET", seen, self.click(link, facts))
        if seen.access is Access.OPEN:
            self.ask(seen.method, seen, self.open_path(facts))
        else:
            link = HONEYPOT_LINK if seen.honeypot else seen.link or 0
            self.ask(seen.method, seen, self.click(link, facts))
        self.clock.advance(GROUP_SECONDS)
        return self.kept.recorded[-1].by

    def click(self, link: int, facts: TokenFacts) -> str:
        return self.click_path(f"https://example.com/{link}", link, facts, self.links)

    def ask(self, method: str, seen: Observed, path: str, ip: str = "") -> None:
        headers = {name.replace("-", "_"): value for name, value in seen.headers.items()}
        headers |= {"user_agent": seen.agent, "x_forwarded_for": ip or seen.address or _NOBODY}
        answer = self.browser(ip="10.0.0.1").ask(method, path, b"", headers)
        self.assertIn(answer.status, {200, 302}, path)

    def test_W4_W5_the_labelled_cases_as_requests(self) -> None:
        replayed, wrong = 0, []
        for line, label, seen in cases():
            if seen.network_owner or seen.method in {"OPTIONS", "PROPFIND"}:
                continue  # owners of networks are not looked up; such methods are refused
            if seen.honeypot and seen.access is Access.OPEN:
                continue  # it is a link
            replayed += 1
            found = self.replay(seen)
            if found != label.value:
                wrong.append(f"{line}: {found}")
        self.assertEqual(wrong, [])
        self.assertGreaterEqual(replayed, 175)
