"""W1 in a real browser: hostile mail on the pages runs nothing, and nothing even tries."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from smtpplus.store.store import run
from smtpplus.values.ids import show_id
from smtpplus.web.channel import PageRequest
from tests.live.chromium import Chromium
from tests.web.browser import PageTestCase
from tests.web.house import BOUNCED, DEFERRED, Texts
from tests.web.payloads import PAYLOADS

_FIELDS = 11
_MILLISECONDS = 1500


class ChromiumTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.browser = Chromium(self)
        self.pages = PageTestCase("run_now")
        self.pages.mktemp = self.mktemp  # type: ignore[method-assign]
        self.pages.addCleanup = self.addCleanup  # type: ignore[method-assign]
        self.pages.alone = True
        self.pages.setUp()
        cookies = self.pages.browser(self.pages.house.operator).cookies

        class SignedIn(PageRequest):
            """A request that always carries the session."""

            def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
                for name, value in cookies.items():
                    self.received_cookies[name.encode()] = value.encode()
                super().requestReceived(command, path, version)

        self.pages.site.requestFactory = SignedIn
        site: Any = self.pages.site
        port: Any = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.base = f"http://127.0.0.1:{port.getHost().port}"
        self.addCleanup(port.stopListening)
        self.addCleanup(self.pages.site.close_connections)

    async def dom(self, url: str) -> tuple[str, str]:
        """The page after its scripts ran, and what the browser's console said."""
        browser = self.browser
        browser.complaints.clear()
        page = await deferToThread(browser.linger, url, _MILLISECONDS)
        return page, "\n".join(browser.complaints + browser.dialogs)

    async def test_the_alarm_works(self) -> None:
        page, _ = await self.dom(f"data:text/html,{PAYLOADS[0]}")
        self.assertRegex(page, r"<html[^>]*data-pwned")

    async def test_W1_no_payload_runs_on_any_page(self) -> None:
        house, paths = self.pages.house, ["/messages", "/queue", "/sandbox"]
        for start in range(0, len(PAYLOADS), _FIELDS):
            chosen = (PAYLOADS + PAYLOADS)[start : start + _FIELDS]
            texts = Texts(*chosen)
            message = run(house.send(house.tenants[0], (DEFERRED, BOUNCED), texts))
            html = f"Subject: x\r\nContent-Type: text/html\r\n\r\n{'<hr>'.join(chosen)}"
            mail = run(house.keep(html.encode(), texts))
            if start in {0, 3 * _FIELDS}:
                paths += [f"/messages/{show_id(message)}", f"/sandbox/{show_id(mail)}?view=text"]
        for path in paths:
            page, console = await self.dom(self.base + path)
            self.assertIn("</html>", page, path)
            self.assertIsNone(re.search(r"<html[^>]*data-pwned", page), path)
            self.assertEqual(console, "", path)

    async def test_W1_a_hostile_mail_is_shown_in_a_frame_that_runs_nothing(self) -> None:
        html = "Subject: x\r\nContent-Type: text/html\r\n\r\n" + "<hr>".join(PAYLOADS[:50])
        mail = show_id(run(self.pages.house.keep(html.encode())))
        for path in (f"/sandbox/{mail}", f"/sandbox/{mail}/html"):
            page, _ = await self.dom(self.base + path)
            self.assertIsNone(re.search(r"<html[^>]*data-pwned", page), path)
