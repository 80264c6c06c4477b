"""The site: headers of every answer, methods, limits, hosts, proxies, failures."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

from zope.interface import implementer

from smtpplus.ports import IHistory
from smtpplus.values.errors import StoreUnavailableError
from smtpplus.values.ids import show_id
from smtpplus.web.channel import IDLE_SECONDS, REQUEST_SECONDS
from smtpplus.web.routes import all_routes
from smtpplus.web.shell import Shell
from smtpplus.web.site import make_site
from tests.web.browser import Browser, PageTestCase, parse
from tests.web.house import DELIVERED

_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: mail.example.com\r\n\r\n"


class HeaderTests(PageTestCase):
    alone = True

    def paths(self) -> list[str]:
        message = show_id(self.run_now(self.house.send(self.house.tenants[0], (DELIVERED,))))
        content = b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p>x"
        mail = show_id(self.run_now(self.house.keep(content)))
        return [
            route.pattern.replace("{id}", mail if "sandbox" in route.pattern else message)
            .replace("{name}", "smtpplus.js")
            .replace("{token}", "x")
            for route in all_routes(Shell(self.ports, self.settings))
            if route.method == "GET"
        ] + ["/no/such/page", "/static/../secret", "/messages/x"]

    def test_W1_security_headers_are_on_every_answer(self) -> None:
        browser = self.browser(self.house.operator)
        for path in self.paths():
            answer = browser.get(path)
            policy = answer.header("content-security-policy")
            self.assertIn("default-src 'none'", policy, path)
            self.assertIn("frame-ancestors '", policy, path)
            scripts = policy.partition("script-src")[2].partition(";")[0]
            self.assertNotIn("unsafe", scripts, path)
            self.assertEqual(answer.header("x-content-type-options"), "nosniff", path)
            self.assertEqual(answer.header("referrer-policy"), "no-referrer", path)
            self.assertIn(answer.header("x-frame-options"), {"DENY", "SAMEORIGIN"}, path)
            self.assertEqual(answer.header("server"), "", path)
            if not path.startswith(("/static/smtpplus", "/favicon")):
                self.assertEqual(answer.header("cache-control"), "no-store", path)

    def test_pages_hold_no_inline_code_and_load_nothing_from_elsewhere(self) -> None:
        browser = self.browser(self.house.operator)
        for path in self.paths():
            answer = browser.get(path)
            if "html" not in answer.header("content-type") or path.endswith("/html"):
                continue
            self.assertNotRegex(answer.text, r"<script(?![^>]* src=\"/static/)", path)
            self.assertNotRegex(answer.text, r"<style|\sstyle=|\son[a-z]+=", path)
            self.assertNotRegex(answer.text, r"(?:src|href|action)=\"(?!/|#)", path)

    def test_HEAD_is_GET_without_the_body(self) -> None:
        browser = self.browser(self.house.operator)
        for path in self.paths():
            got, asked = browser.get(path), browser.ask("HEAD", path)
            self.assertEqual((asked.status, asked.body), (got.status, b""), path)
            self.assertEqual(asked.header("content-type"), got.header("content-type"), path)
            if path != "/":  # its times go on
                self.assertEqual(asked.header("content-length"), got.header("content-length"))

    def test_static_files_are_kept_by_their_hash_and_found_by_their_tag(self) -> None:
        browser = self.browser()
        url = Shell(self.ports, self.settings).static.url("smtpplus.css")
        answer = browser.get(url)
        self.assertIn("immutable", answer.header("cache-control"))
        self.assertIn("no-cache", browser.get("/static/smtpplus.css").header("cache-control"))
        tag = answer.header("etag")
        again = browser.get(url, if_none_match=f'"x", W/{tag}')
        self.assertEqual((again.status, again.body), (304, b""))
        self.assertEqual(browser.get("/static/none.css").status, 404)


class MethodTests(PageTestCase):
    def test_unknown_pages_and_methods_get_their_status(self) -> None:
        browser = self.browser(self.house.operator)
        self.assertEqual(browser.get("/nowhere").status, 404)
        self.assertEqual(browser.get("//").status, 404)
        self.assertEqual(browser.get("/messages/").status, 404)
        refused = browser.ask("DELETE", "/messages")
        self.assertEqual((refused.status, refused.header("allow")), (405, "GET, HEAD"))
        self.assertEqual(browser.get("/sign-out").header("allow"), "POST")
        self.assertEqual(browser.ask("BREW", "/").status, 501)

    def test_unreadable_addresses_are_400(self) -> None:
        browser = self.browser()
        for path in ("/%ff", "/sign-in?next=%ff", "/" + "x" * 3000, "/sign-in?" + "a=1&" * 60):
            self.assertEqual(browser.get(path).status, 400, path[:20])

    def test_hostile_ids_are_not_found(self) -> None:
        browser = self.browser(self.house.operator)
        for text in ("1", "x" * 13, "zzzzzzzzzzzzz", "%00", "0samk7d92qw0'", "..", "é"):
            path = "".join(f"%{octet:02x}" for octet in text.encode())
            self.assertEqual(browser.get(f"/messages/{path}").status, 404, text)

    def test_probes_need_neither_session_nor_host(self) -> None:
        browser = self.browser()
        self.assertEqual(browser.get("/healthz", host="10.1.2.3").body, b"ok\n")
        self.assertEqual(browser.get("/readyz", host="whatever").status, 200)
        self.assertEqual(browser.get("/readyz").text, '{"ready": true, "missing": {}}\n')
        self.missing = {"relay": "stopping"}
        answer = browser.get("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.text, '{"ready": false, "missing": {"relay": "stopping"}}\n')


class LimitTests(PageTestCase):
    def test_R9_a_body_over_one_mebibyte_is_refused_by_its_declared_length(self) -> None:
        head = (
            b"POST /sign-in HTTP/1.1\r\nHost: mail.example.com\r\nContent-Length: 1048577\r\n\r\n"
        )
        answer = self.browser().raw(head)
        self.assertEqual((answer.status, answer.closed), (413, True))
        self.assertEqual(int(answer.header("content-length")), len(answer.body))

    def test_R9_a_chunked_body_is_refused_when_it_gets_too_long(self) -> None:
        transport = self.browser().connect()
        transport.protocol.dataReceived(
            b"POST /sign-in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        for _ in range(17):
            transport.protocol.dataReceived(chunk)
        answer = parse(transport.value(), closed=transport.disconnecting)
        self.assertEqual((answer.status, answer.closed), (413, True))

    def test_R9_a_trickling_request_ends_at_its_deadline(self) -> None:
        transport = self.browser().connect()
        for number in range(int(REQUEST_SECONDS)):
            self.assertFalse(transport.disconnecting, number)
            transport.protocol.dataReceived(_REQUEST[number : number + 1])
            self.clock.advance(1.0)
        self.assertTrue(transport.disconnecting)

    def test_an_idle_connection_is_kept_and_then_closed(self) -> None:
        transport = self.browser().connect()
        for _ in range(3):
            transport.clear()
            transport.protocol.dataReceived(_REQUEST)
            self.assertIn(b"200 OK", transport.value())
            self.clock.advance(IDLE_SECONDS - 1)
            self.assertFalse(transport.disconnecting)
        self.clock.advance(2)
        self.assertTrue(transport.disconnecting)

    def test_W10_ambiguous_framing_is_refused(self) -> None:
        head = b"POST /sign-in HTTP/1.1\r\nHost: mail.example.com\r\n"
        for lines in (
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            b"Content-Length: 5\r\nContent-Length: 6\r\n",
            b"Content-Length: +5\r\n",
            b"Transfer-Encoding: gzip\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"X: a\rb\r\n",
        ):
            answer = self.browser().raw(head + lines + b"\r\n0\r\n\r\n")
            self.assertEqual(answer.status, 400, lines)

    def test_two_hosts_or_none_are_refused(self) -> None:
        browser = self.browser()
        two = b"GET /sign-in HTTP/1.1\r\nHost: mail.example.com\r\nHost: evil.example\r\n\r\n"
        self.assertEqual(browser.raw(two).status, 400)
        self.assertEqual(browser.raw(b"GET /sign-in HTTP/1.1\r\n\r\n").status, 400)
        self.assertEqual(browser.raw(b"GET /sign-in HTTP/1.0\r\n\r\n").status, 200)


class HostTests(PageTestCase):
    trusted_proxies = (ipaddress.ip_network("10.0.0.0/8"),)

    def test_W13_a_foreign_host_is_refused(self) -> None:
        browser = self.browser()
        table = {
            "mail.example.com": 200,
            "MAIL.example.com:8025": 200,
            "localhost:8025": 200,
            "127.0.0.1": 200,
            "[::1]:8025": 200,
            "evil.example": 421,
            "mail.example.com.evil.example": 421,
            "user@evil.example": 421,
        }
        for host, wanted in table.items():
            self.assertEqual(browser.get("/sign-in", host=host).status, wanted, host)

    def test_W13_forwarded_headers_count_from_trusted_proxies_alone(self) -> None:
        forwarded = {"host": "evil.example", "x_forwarded_host": "mail.example.com"}
        self.assertEqual(self.browser().get("/sign-in", **forwarded).status, 421)
        proxy = self.browser(ip="10.0.0.1")
        self.assertEqual(proxy.get("/sign-in", **forwarded).status, 200)

    def test_W13_a_client_cannot_choose_the_address_it_is_throttled_by(self) -> None:
        def tries(browser: Browser, forwarded: str) -> list[int]:
            fields = {"email": "x@example.com", "password": "x"}
            return [
                browser.submit(
                    "/sign-in",
                    "/sign-in",
                    {**fields, "email": f"x{number}{forwarded[:9]}@example.com"},
                    x_forwarded_for=forwarded.replace("N", str(number)),
                ).status
                for number in range(7)
            ]

        direct = tries(self.browser(ip="192.0.2.1"), "203.0.113.N")
        self.assertEqual(direct[-2:], [429, 429])
        spoofed = tries(self.browser(ip="10.0.0.1"), "203.0.113.N, 198.51.100.7, 10.0.0.2")
        self.assertEqual(spoofed[-2:], [429, 429])
        apart = tries(self.browser(ip="10.0.0.1"), "203.0.113.N")
        self.assertEqual(apart, [403] * 7)


class PrefixTests(PageTestCase):
    public_url = "https://example.com/mail/"

    def test_links_stand_below_the_path_of_the_public_url(self) -> None:
        browser = self.browser(self.house.operator)
        for path in ("/messages", "/mail/messages"):
            page = browser.get(path, host="example.com")
            self.assertEqual(page.status, 200)
            self.assertNotRegex(page.text, r"(?:src|href|action)=\"/(?!mail/)")
        self.assertEqual(self.browser().get("/").header("location"), "/mail/sign-in")


@implementer(IHistory)
class _BrokenHistory:
    """Raises what it was given, with a secret in the traceback."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


class FailureTests(PageTestCase):
    def broken(self, error: Exception) -> Browser:
        history: Any = _BrokenHistory(error)
        ports = replace(self.ports, history=history)
        site = make_site(ports, self.settings, self.clock)
        browser = self.browser(self.house.operator)
        browser.site = site
        return browser

    def test_no_traceback_reaches_a_browser(self) -> None:
        answer = self.broken(RuntimeError("secret detail")).get("/messages")
        self.assertEqual(answer.status, 500)
        self.assertIn("reference", answer.text)
        for word in ("secret", "Traceback", "RuntimeError", ".py"):
            self.assertNotIn(word, answer.text)
        (logged,) = self.flushLoggedErrors(RuntimeError)
        self.assertIn("secret detail", str(logged.value))

    def test_a_store_that_cannot_be_reached_is_503(self) -> None:
        answer = self.broken(StoreUnavailableError("locked")).get("/queue")
        self.assertEqual((answer.status, answer.header("retry-after")), (503, "5"))
        self.flushLoggedErrors(StoreUnavailableError)
