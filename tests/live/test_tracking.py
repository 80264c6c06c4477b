"""A tracked mail through the running service: a person in Chromium, scanners by curl, a kill."""

from __future__ import annotations

import contextlib
import http.server
import re
import smtplib
import subprocess
import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import folder_of
from tests.live.chromium import Chromium
from tests.live.installation import Installation
from tests.live.peers import Sink, needs, wait_for

_FROM = "shop@example.com"
_CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36"
)
_READ_AFTER = 2.5  # seconds after delivery: nobody reads sooner


class TrackingTests(SynchronousTestCase):
    """A list with everything on; its mail goes to a real sink."""

    def setUp(self) -> None:
        self.directory = folder_of(self)
        self.directory.mkdir(parents=True)
        self.sink = Sink(self, self.directory)
        self.shop = self.start_shop()
        self.service = Installation(
            self,
            self.directory,
            {
                "relay.routes": f'{{"*" = "127.0.0.1:{self.sink.port}"}}',
                "feedback.domain": "bounce.example.com",
            },
        )
        for key in ("track_opens", "track_clicks", "unsubscribe", "footer"):
            self.service.cli("list", "set", "default", key, "on")
        footer = '<p><a href="[unsubscribe]">Unsubscribe</a></p>'
        self.service.cli("list", "set", "default", "footer_html", footer)
        self.service.start()
        self.base = f"http://127.0.0.1:{self.service.web}"

    def start_shop(self) -> str:
        """The site that links lead to; its URL."""

        class Shop(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b"<!DOCTYPE html><title>The shop</title><p>Welcome"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return (
            f"http://localhost:{server.server_address[1]}"  # links to our own host are left alone
        )

    # ------------------------------------------------------------ what happens

    def send(self, to: str, links: int = 2) -> str:
        """A mail to `to`, delivered; its id."""
        body = "".join(f'<p><a href="{self.shop}/{n}">Link {n}</a></p>' for n in range(links))
        content = (
            f"From: Shop <{_FROM}>\r\nTo: {to}\r\nSubject: Order 4711\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/html; charset=utf-8\r\n\r\n"
            f"<!DOCTYPE html>\r\n<html><body><h1>Thanks</h1>\r\n{body}\r\n</body></html>\r\n"
        )
        before = self.sink.count()
        with self.service.client() as client:
            client.mail(_FROM)
            client.rcpt(to)
            code, text = client.data(content.encode())
            if code != 250:
                raise smtplib.SMTPResponseException(code, text)
        wait_for("the mail", lambda: self.sink.count() > before)
        return text.decode().split()[-1]

    def received(self, to: str) -> str:
        """The HTML that arrived at `to`."""
        (mail,) = [one for one in self.sink.mails() if f"To: {to}".encode() in one]
        html = mail.partition(b"\n\n")[2].decode()
        return re.sub(r"=\n", "", html).replace("=3D", "=")

    def links(self, html: str) -> list[str]:
        """The tracked links."""
        return re.findall(r'href="([^"]*/t/c/[^"]*)"', html)

    def events(self, message: str, *kinds: str) -> list[dict[str, Any]]:
        """What is on record of a message."""
        found = self.service.cli("message", "show", message)["events"]
        return [one for one in found if one["event"] in kinds]

    def recorded(self, message: str, number: int, *kinds: str) -> list[str]:
        """Who they were, as soon as so many are on record."""
        wait_for("events", lambda: len(self.events(message, *kinds)) >= number)
        return [one["detail"]["by"] for one in self.events(message, *kinds)]

    def curl(self, *arguments: str) -> str:
        """What it prints."""
        done = subprocess.run(
            [needs("curl"), "-sS", "--max-time", "10", *arguments],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    # ------------------------------------------------------------ the tests

    def test_W5_a_person_opens_and_clicks_in_a_browser(self) -> None:
        message = self.send("anna@example.net")
        arrived = time.monotonic()
        page = self.directory / "mail.html"
        page.write_text(self.received("anna@example.net"))
        browser = Chromium(self)
        browser.call("Network.setUserAgentOverride", userAgent=_CHROME)
        wait_for("a person", lambda: time.monotonic() - arrived > _READ_AFTER)
        browser.open(page.as_uri())
        self.assertEqual(browser.complaints, [])
        self.assertEqual(browser.ask("document.querySelector('img').naturalWidth"), 1)
        browser.press('a[href*="/t/c/"]')
        self.assertEqual(browser.ask("location.href"), f"{self.shop}/0")
        self.assertEqual(browser.ask("document.cookie + document.referrer"), "")
        self.assertEqual(self.recorded(message, 1, "opened"), ["person"])
        (clicked,) = self.events(message, "clicked")
        self.assertEqual(clicked["detail"]["by"], "person")
        self.assertEqual(clicked["detail"]["target"], f"{self.shop}/0")

    def test_UN4_a_mail_to_the_mailto_unsubscribes_the_same(self) -> None:
        message = self.send("anna@example.net")
        (mail,) = [one for one in self.sink.mails() if b"To: anna@example.net" in one]
        field = re.search(rb"(?m)^List-Unsubscribe: <http[^>]+>, <mailto:([^?>]+)\?", mail)
        assert field is not None, mail
        address = field[1].decode()
        with smtplib.SMTP("127.0.0.1", self.service.returns, timeout=30) as mailbox_provider:
            mailbox_provider.ehlo("mx.example.net")
            mailbox_provider.sendmail(
                "anna@example.net",
                address,
                f"From: anna@example.net\r\nTo: {address}\r\nSubject: unsubscribe\r\n\r\n",
            )
        (event,) = self.events(message, "unsubscribed")
        self.assertEqual(event["detail"]["reason"], "mail")
        (suppressed,) = self.service.cli("suppression", "list")
        self.assertEqual(
            (suppressed["address"], suppressed["reason"]), ("anna@example.net", "unsubscribe")
        )
        (shown,) = self.service.cli("recipient", "show", "anna@example.net")
        (subscription,) = shown["subscriptions"]
        self.assertEqual(subscription["state"], "unsubscribed")
        self.assertIn(
            'smtpplus_returns_total{kind="unsubscribed"} 1.0', self.curl(f"{self.base}/metrics")
        )

    def test_W4_scanners_unsubscribe_nobody_and_are_no_persons(self) -> None:
        message = self.send("bruno@example.net", links=6)
        html = self.received("bruno@example.net")
        wanted = self.links(html)
        self.assertEqual(len(wanted), 6)
        (unsubscribe,) = re.findall(r'href="([^"]*/u/[^"]*)"', html)
        for link in (*wanted, unsubscribe):
            self.assertRegex(self.curl("--head", link), r"\AHTTP/1.1 (302|200)")
        agent = ("--user-agent", _CHROME)
        for link in wanted:
            self.assertIn(f"location: {self.shop}/", self.curl("-i", *agent, link).lower())
        self.assertIn("<form", self.curl(*agent, unsubscribe))
        self.assertEqual(set(self.recorded(message, 6, "clicked")), {"scanner"})
        self.assertEqual(self.events(message, "unsubscribed"), [])

    def test_UN1_one_click_and_then_nothing_more_is_sent(self) -> None:
        message = self.send("carla@example.net")
        (link,) = re.findall(r'href="([^"]*/u/[^"]*)"', self.received("carla@example.net"))
        for form in (
            ("--data", "List-Unsubscribe=One-Click"),
            ("-F", "List-Unsubscribe=One-Click"),
        ):
            answer = self.curl("-i", *form, link)
            self.assertRegex(answer, r"\AHTTP/1.1 200 ")
            self.assertNotRegex(answer.lower(), r"\n(set-cookie|location):")
        self.assertEqual(len(self.events(message, "unsubscribed")), 1)
        before = self.sink.count()
        with contextlib.suppress(smtplib.SMTPException, AssertionError):
            self.send_only("carla@example.net")
        self.send("diana@example.net")
        self.assertEqual(self.sink.count(), before + 1)

    def send_only(self, to: str) -> None:
        """A mail that is not waited for."""
        with self.service.client() as client:
            client.sendmail(_FROM, [to], f"From: {_FROM}\r\nTo: {to}\r\nSubject: x\r\n\r\nx\r\n")

    def test_a_kill_loses_at_most_the_last_second(self) -> None:
        message = self.send("elena@example.net", links=40)
        wanted = self.links(self.received("elena@example.net"))
        for number, link in enumerate(wanted):
            self.curl("-o", "/dev/null", "--header", f"X-Number: {number}", link)
        asked = time.monotonic()
        wait_for("a second", lambda: time.monotonic() - asked > 1.0)
        self.service.kill()
        self.service.start()
        self.assertEqual(len(self.events(message, "clicked")), 40)

    def test_stopping_writes_what_was_answered(self) -> None:
        message = self.send("fabio@example.net")
        (link, _) = self.links(self.received("fabio@example.net"))
        self.curl(link)
        self.service.stop()
        self.service.start()
        self.assertEqual(len(self.events(message, "clicked")), 1)

    def test_the_page_at_two_widths_in_two_schemes(self) -> None:
        self.send("gina@example.net")
        (link,) = re.findall(r'href="([^"]*/u/[^"]*)"', self.received("gina@example.net"))
        browser = Chromium(self)
        for width, dark in ((1280, False), (390, True)):
            browser.look(width, dark=dark)
            browser.open(link)
            self.look_at(browser, f"ask-{width}-{dark}")
            browser.press("button.primary")
            self.look_at(browser, f"done-{width}-{dark}")
            self.assertIn("unsubscribed", browser.ask("document.body.innerText"))
            browser.press("section form button")
            self.look_at(browser, f"back-{width}-{dark}")
        self.assertEqual(self.service.tracebacks(), [])

    def look_at(self, browser: Chromium, name: str) -> None:
        """It is there, it fits, nothing is missing."""
        self.assertEqual((browser.status, browser.complaints), (200, []), name)
        wide = browser.ask("document.documentElement.scrollWidth")
        self.assertLessEqual(wide, browser.ask("innerWidth"), name)
        browser.screenshot(self.directory / f"{name}.png")
