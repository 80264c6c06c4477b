"""W1 in a real browser: hostile mail on the pages runs nothing, and nothing even tries."""

from __future__ import annotations

import re
import shutil
from typing import Any

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from smtpplus.store.store import run
from smtpplus.values.ids import show_id
from smtpplus.web.channel import PageRequest
from tests.web.browser import PageTestCase
from tests.web.house import BOUNCED, DEFERRED, Texts
from tests.web.payloads import PAYLOADS

_CHROMIUM = shutil.which("chromium")
_FIELDS = 11
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--virtual-time-budget=1500",
    "--dump-dom",
]


class ChromiumTests(TestCase):
    timeout = 120
    if _CHROMIUM is None:
        skip = "needs chromium in PATH"

    def setUp(self) -> None:
        self.pages = PageTestCase("run_now")
        self.pages.mktemp = self.mktemp  # type: ignore[method-assign]
        self.pages.alone = True
        self.pages.setUp()
        self.addCleanup(lambda: run(self.pages.house.store.close()))
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
        assert _CHROMIUM is not None
        arguments = [*_FLAGS, f"--user-data-dir={self.mktemp()}", url]
        out, err, _ = await getProcessOutputAndValue(_CHROMIUM, arguments)
        console = [line for line in err.decode().splitlines() if "CONSOLE" in line]
        return out.decode(), "\n".join(console)

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
