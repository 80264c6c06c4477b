"""A browser for page tests: it speaks HTTP to the real site, in memory, and keeps cookies."""

from __future__ import annotations

import html
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, TypeVar
from urllib.parse import urlencode

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.net.spawn import Spawn
from smtpplus.net.workers import InlineWorkers
from smtpplus.store.store import run
from smtpplus.values.submission import Person
from smtpplus.web.context import WebPorts, WebSettings
from smtpplus.web.sessions import issue_sign_in
from smtpplus.web.site import PageSite, make_site
from tests.folders import folder_of
from tests.web.house import NOW, House, furnish

__all__ = ["Answer", "Browser", "PageTestCase", "Structure", "parse", "structure"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    closed: bool

    def header(self, name: str) -> str:
        """The value of a header that comes once; "" where it does not come."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, values
        return values[0] if values else ""

    @property
    def cookies(self) -> list[str]:
        """Set-Cookie values."""
        return [value for key, value in self.headers if key == "set-cookie"]

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode("utf-8")


class Browser:
    """One person's cookies and address; each request has its own connection."""

    def __init__(self, site: PageSite, ip: str = "192.0.2.10") -> None:
        self.site = site
        self.ip = ip
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Answer:
        """GET, redirects not followed."""
        return self.ask("GET", path, b"", headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        """POST of a form, without any token unless `fields` has it."""
        return self.ask(
            "POST",
            path,
            urlencode(fields).encode(),
            {"content_type": "application/x-www-form-urlencoded", **headers},
        )

    def submit(self, page: str, path: str, fields: dict[str, str], **headers: str) -> Answer:
        """POST with the token found on `page`."""
        token = re.search(r'name="csrf" value="([^"]*)"', self.get(page).text)
        assert token is not None, f"no form on {page}"
        return self.post(path, {"csrf": html.unescape(token[1]), **fields}, **headers)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """Any request; header names with _ for -."""
        lines = [f"{method} {path} HTTP/1.1"]
        given = {"host": "mail.example.com", **(headers or {})}
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
        if self.cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            lines.append(f"Cookie: {pairs}")
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def raw(self, octets: bytes) -> Answer:
        """Octets on a new connection, and the answer to them."""
        transport = self.connect()
        transport.protocol.dataReceived(octets)
        answer = parse(transport.value(), closed=transport.disconnecting)
        for cookie in answer.cookies:
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return answer

    def connect(self) -> Any:
        """A new connection, before anything is sent."""
        transport: Any = StringTransport(peerAddress=IPv4Address("TCP", self.ip, 40_000))
        transport.protocol = self.site.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        return transport


def parse(octets: bytes, *, closed: bool) -> Answer:
    """One HTTP response."""
    head, _, body = octets.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = tuple(
        (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
    )
    return Answer(int(status.split()[1]) if status else 0, headers, body, closed)


class PageTestCase(SynchronousTestCase):
    """A furnished installation and its site."""

    public_url = "http://mail.example.com:8025"
    alone = False
    trial = False
    trusted_proxies: tuple[Any, ...] = ()

    def setUp(self) -> None:
        self.clock = Clock()
        folder = folder_of(self)
        folder.mkdir()
        self.house: House = run(furnish(folder, self.clock, alone=self.alone))
        self.addCleanup(lambda: run(self.house.store.close()))
        store = self.house.store
        clock = ReactorClock(self.clock, lambda: NOW + self.clock.seconds())
        self.numbers = 0
        self.missing: dict[str, str] = {}
        self.delay = 0.0
        self.ports = WebPorts(
            accounts=store.accounts,
            people=store.people,
            history=store.history,
            queue=store.queue,
            recipients=store.recipients,
            suppressions=store.suppressions,
            campaigns=store.campaigns,
            sandbox=store.sandbox,
            clock=clock,
            spawn=Spawn(clock),
            workers=InlineWorkers(),
            random=self.random,
            unready=self._unready,
            metrics=self._metrics,
            worst_delay=lambda: self.delay,
        )
        self.settings = WebSettings(
            public_url=self.public_url,
            hostname="mail.example.com",
            trial=self.trial,
            trusted_proxies=self.trusted_proxies,
        )
        self.site = make_site(self.ports, self.settings, self.clock)

    async def _unready(self) -> dict[str, str]:
        return self.missing

    async def _metrics(self) -> bytes:
        return b"smtpplus_queue 1\n"

    def random(self, octets: int) -> bytes:
        """Never the same twice, always the same in each run."""
        self.numbers += 1
        return self.numbers.to_bytes(octets, "big")

    def browser(self, person: Person | None = None, ip: str = "192.0.2.10") -> Browser:
        """A browser, signed in by a one-time link where a person is given."""
        browser = Browser(self.site, ip)
        if person is not None:
            link = self.link(person)
            self.assertEqual(browser.submit(link, link, {}).status, 303)
        return browser

    def link(self, person: Person) -> str:
        """A one-time link."""
        return run(issue_sign_in(self.ports.people, person, NOW, self.random))

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work on the store."""
        return run(work)


Structure = list[tuple[str, tuple[str, ...]]]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Structure = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", ()))


def structure(page: str) -> tuple[Structure, str]:
    """A page's elements with the names of their attributes, and its text."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.elements, "".join(reader.words)
