"""The pages of the running service in a real browser: W1, and that they are fit to be looked at."""

from __future__ import annotations

import smtplib
from email.header import Header

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import folder_of
from tests.live.chromium import Chromium
from tests.live.installation import Installation
from tests.live.peers import wait_for
from tests.web.payloads import PAYLOADS

_FROM = "shop@example.com"
_HTML = (
    "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\n"
)


class PagesTests(SynchronousTestCase):
    """A browser that came in by the one-time link."""

    def setUp(self) -> None:
        self.directory = folder_of(self)
        self.directory.mkdir(parents=True)
        self.browser = Chromium(self)
        self.service = Installation(self, self.directory, {"relay.retry": '["1h"]'})
        self.base = f"http://127.0.0.1:{self.service.web}"
        self.service.start()

    def sign_in(self) -> None:
        self.browser.open(self.base + self.service.sign_in_path)
        self.assertEqual(self.browser.status, 200)
        self.browser.press("main form button")
        self.assertEqual(self.browser.ask("location.pathname"), "/")

    def submit(self, client: smtplib.SMTP, to: str, subject: str, name: str, body: str) -> str:
        """A message; its id."""
        client.mail(_FROM, ["BODY=8BITMIME"])
        code, text = client.rcpt(to)
        if code < 400:
            author = f"{_encoded(name)} <{_FROM}>"
            content = f"From: {author}\r\nSubject: {_encoded(subject)}\r\n{_HTML}{body}\r\n"
            code, text = client.data(content.encode("utf-8", "replace"))
        if code >= 400:
            client.rset()
            raise smtplib.SMTPResponseException(code, text)
        return text.decode().split()[-1]

    def settled(self, waiting: int) -> None:
        """Until all but so many deliveries are over."""

        def is_so() -> bool:
            rows = self.service.cli("queue", "list", "--most", "1000")
            return len(rows) == waiting and all(row["attempts"] for row in rows)

        wait_for("deliveries", is_so)

    def mails(self) -> list[str]:
        """The paths of the sandbox's mails."""
        return self.links("/sandbox", "/sandbox/")

    def links(self, path: str, start: str) -> list[str]:
        """What the page at `path` links to, of what begins so."""
        self.browser.open(self.base + path)
        paths = self.browser.ask(
            f"[...document.querySelectorAll('main a[href^=\"{start}\"]')]"
            ".map(link => link.getAttribute('href'))"
        )
        return list(dict.fromkeys(paths))

    def test_every_page_at_two_widths_in_two_schemes(self) -> None:
        ids = []
        with self.service.client() as client:
            for to in ("you", "bounce-5.1.1", "full", "a.very.long.local.part.of.an.address" * 2):
                subject = f"Order 4711 for {to}"
                body = "<p>Gr\u00fc\u00dfe</p>"
                ids.append(self.submit(client, f"{to[:64]}@example.net", subject, "Shop", body))
        self.settled(1)
        self.browser.open(self.base + "/sign-in")
        self.sign_in()
        (mail, *_) = self.mails()
        paths = ["/", "/messages", "/messages?q=Order", "/queue", "/sandbox", "/settings"]
        paths += ["/recipients", "/recipient?address=you@example.net", "/suppressions"]
        paths += ["/suppressions/lift?address=bounce-5.1.1@example.net&reason=hard+bounce"]
        paths += ["/campaigns", *self.links("/campaigns", "/campaign?")[:1]]
        paths += [f"/statistics?by={by}" for by in ("campaign", "provider", "day")]
        paths += ["/lists", "/lists/1", *(f"/messages/{one}" for one in ids)]
        paths += [mail, f"{mail}?view=text", f"{mail}?view=headers", f"{mail}?view=source"]
        self.assertEqual(self.browser.complaints, [])
        for width, dark in ((1280, False), (390, True)):
            self.browser.look(width, dark=dark)
            for path in paths:
                self._look_at(path, width, dark=dark)
        self.assertEqual(self.service.tracebacks(), [])

    def _look_at(self, path: str, width: int, *, dark: bool) -> None:
        browser, where = self.browser, f"{path} at {width}"
        browser.open(self.base + path)
        self.assertEqual(browser.status, 200, where)
        self.assertEqual(browser.complaints, [], where)
        wide = browser.ask("document.documentElement.scrollWidth")
        self.assertLessEqual(wide, browser.ask("innerWidth"), where)
        self.assertEqual(browser.ask("matchMedia('(prefers-color-scheme: dark)').matches"), dark)
        name = "".join(letter if letter.isalnum() else "-" for letter in path).strip("-")
        scheme = "dark" if dark else "light"
        browser.screenshot(self.directory / f"{name or 'overview'}-{width}-{scheme}.png")

    def test_W1_hostile_texts_through_smtp_are_inert(self) -> None:
        self.sign_in()
        self.browser.open(f"data:text/html,<script>{_ALARM}</script>")
        self.assertEqual(len(self.browser.dialogs), 1)  # the alarm works
        self.browser.dialogs.clear()
        ids, hellos = [], 0
        payloads = [text.replace("document.documentElement.dataset.pwned=1", _ALARM)
                    for text in PAYLOADS]  # fmt: skip
        # Two a message: each is what some say in EHLO and Subject, or in the name and the body.
        for number, (payload, other) in enumerate(zip(payloads[::2], payloads[1::2], strict=True)):
            with self.service.client() as client:
                first_line = payload.encode("utf-8").splitlines()[0]
                client.send(b"EHLO " + first_line + b"\r\n")
                hellos += client.getreply()[0] == 250
                local = payload.encode("ascii", "ignore").decode()
                local = "".join(one for one in local if one.isprintable())[:40]
                quoted = local.replace("\\", "").replace('"', '\\"')
                outcome = ("", "bounce-5.1.1", "full")[number % 3]
                to = f"{outcome}@example.net" if outcome else f'"{quoted}"@example.net'
                subject, name = (
                    one.encode("utf-8", "replace").decode() for one in (payload, other)
                )
                ids.append(self.submit(client, to, subject, name, name))
        self.assertGreater(hellos, 5)
        self.settled(len(ids) // 3)
        paths = ["/", "/messages", "/queue", "/sandbox", "/settings", "/recipients"]
        paths += ["/suppressions", "/campaigns", "/statistics", "/statistics?by=campaign"]
        paths += self.links("/recipients", "/recipient?")[::4]
        paths += self.links("/campaigns", "/campaign?")[:3]
        paths += [f"/messages?before={ids[5]}", *(f"/messages/{one}" for one in ids)]
        mails = self.mails()
        paths += mails + [f"{one}/html" for one in mails[::4]] + [f"{mails[0]}?view=source"]
        for path in paths:
            self.browser.open(self.base + path)
            self.assertEqual(self.browser.status, 200, path)
            self.assertEqual(self.browser.dialogs, [], path)
            self.assertEqual(self.browser.ask("location.origin"), self.base, path)
            wide = self.browser.ask("document.documentElement.scrollWidth - innerWidth")
            self.assertLessEqual(wide, 0, path)
        self.assertEqual(self.service.tracebacks(), [])


_ALARM = "alert(1)"


def _encoded(text: str) -> str:
    """As it stands where it can, else in encoded words."""
    plain = text.isascii() and text.isprintable() and "(" not in text and "," not in text
    if plain and not set(text) & set('<>"@;:\\[].'):
        return text
    return Header(text, "utf-8", maxlinelen=200).encode(linesep="\r\n")
