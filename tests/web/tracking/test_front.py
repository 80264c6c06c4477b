"""Opens and clicks over HTTP: what is answered, and what never is."""

from __future__ import annotations

import ipaddress
import random
import string
from dataclasses import replace

from smtpplus.message.token import Purpose, TokenFacts, token_length
from smtpplus.values.response import Response, ResponseKind
from smtpplus.web.tracking.recorder import GROUP_SECONDS
from tests.web.browser import Answer, parse
from tests.web.tracking.rig import TrackingTestCase

_TARGET = "https://shop.example.com/orders/4711?a=1&b=%C3%A9#items"


class OpenTests(TrackingTestCase):
    def test_an_open_is_answered_with_a_pixel_and_recorded_after_it(self) -> None:
        answer = self.browser().get(self.open_path(), user_agent="Mozilla/5.0 (X11) Firefox/128.0")
        self.assertEqual((answer.status, answer.header("content-type")), (200, "image/gif"))
        self.assertTrue(answer.body.startswith(b"GIF89a\x01\x00\x01\x00"))
        self.assertEqual(self.kept.groups, [])
        self.clock.advance(GROUP_SECONDS)
        ((one,),) = self.kept.groups
        self.assertEqual(one.kind, ResponseKind.OPENED)
        named = TokenFacts(one.account_id, one.list_id, one.message_id, one.delivery_id)
        self.assertEqual(named, self.facts)
        self.assertEqual(one.client_ip, "192.0.2.10")
        self.assertEqual(one.agent, "Mozilla/5.0 (X11) Firefox/128.0")

    def test_a_pixel_is_not_kept_and_may_stand_in_any_page(self) -> None:
        answer = self.browser().get(self.open_path())
        self.assertIn("no-store", answer.header("cache-control"))
        self.assertEqual(answer.header("cross-origin-resource-policy"), "cross-origin")
        self.assertEqual(answer.header("x-content-type-options"), "nosniff")
        self.assertEqual(answer.header("server"), "")

    def test_an_agent_of_any_octets_is_fit_to_be_stored(self) -> None:
        agent = b"User-Agent: x\x07\x1b[1m\xff\xed\xa0\x80" + b"y" * 5000
        head = f"GET {self.open_path()} HTTP/1.1\r\nHost: x\r\n".encode()
        self.assertEqual(self.browser().raw(head + agent + b"\r\n\r\n").status, 200)
        self.clock.advance(GROUP_SECONDS)
        (one,) = self.kept.recorded
        one.agent.encode()
        self.assertLessEqual(len(one.agent), 400)
        self.assertTrue(one.agent.startswith("x [1m\ufffd"), one.agent[:20])


class ClickTests(TrackingTestCase):
    def test_a_click_is_redirected_to_what_was_signed(self) -> None:
        answer = self.browser().get(self.click_path(_TARGET, 3))
        self.assertEqual((answer.status, answer.header("location")), (302, _TARGET))
        self.assertEqual(answer.body, b"")
        self.assertIn("no-store", answer.header("cache-control"))
        self.assertEqual(answer.header("referrer-policy"), "no-referrer")
        self.clock.advance(GROUP_SECONDS)
        (one,) = self.kept.recorded
        self.assertEqual((one.kind, one.link, one.target), (ResponseKind.CLICKED, 3, _TARGET))

    def test_what_clients_add_or_change_on_the_way_is_forgiven(self) -> None:
        browser, path = self.browser(), self.click_path(_TARGET)
        token, segment = path.split("/")[3:]
        for one in (
            f"{path}?fbclid=x&utm_source=y",
            f"/t/c/{token}/%{ord(segment[0]):02x}{segment[1:]}",
        ):
            self.assertEqual(browser.get(one).header("location"), _TARGET, one)

    def test_HEAD_is_answered_as_GET_and_nobody_reads_by_it(self) -> None:
        for path in (self.open_path(), self.click_path(_TARGET)):
            got, asked = self.browser().get(path), self.browser().ask("HEAD", path)
            self.assertEqual(asked.status, got.status)
            self.assertEqual(asked.body, b"")
            self.assertEqual(_headers(asked), _headers(got))
        self.clock.advance(GROUP_SECONDS)
        self.assertIn("scanner", {one.by for one in self.kept.recorded})

    def test_W2_none_of_2000_mutations_redirects_anywhere(self) -> None:
        chance = random.Random(4711)
        browser, path = self.browser(), self.click_path(_TARGET, 3)
        other = self.click_path("https://evil.example/", 4).rpartition("/")[2]
        done = 0
        while done < 2000:
            mutated = _mutation(path, other, chance)
            if mutated == path or mutated.startswith(f"{path}?"):
                continue
            done += 1
            answer = browser.get(mutated)
            self.assertIn(answer.status, {400, 404}, mutated)
            self.assertEqual(answer.header("location"), "", mutated)
        self.clock.advance(GROUP_SECONDS)
        self.assertEqual(self.kept.recorded, [])


class AtOnceTests(TrackingTestCase):
    """What comes as one whole simple request is answered without Twisted's parser: alike."""

    def in_pieces(self, octets: bytes) -> Answer:
        transport = self.browser().connect()
        for start in range(0, len(octets), 7):
            transport.protocol.dataReceived(octets[start : start + 7])
        return parse(transport.value(), closed=transport.disconnecting)

    def recorded(self) -> list[Response]:
        self.clock.advance(GROUP_SECONDS)
        found, self.kept.groups = self.kept.recorded, []
        return [replace(one, at=0.0) for one in found]

    def test_it_is_what_the_parser_would_have_answered_and_recorded(self) -> None:
        click = self.click_path(_TARGET, 3)
        for path in (self.open_path(), click, f"{click}?fbclid=x", "/t/o/x", "/t/x/y", "/t/"):
            for fields in (
                "Host: x",
                "host: x\r\nUSER-AGENT:Mozilla/5.0 (X11)\t\r\nuser-agent: Other/1.0",
                "Host: x\r\nSec-Purpose: prefetch\r\nCookie: a=b",
                "Host: x\r\nConnection: Keep-Alive\r\nUser-Agent:",
                "Host: x\r\nUser-Agent: \xe9",
                "Host: x\r\nX-Forwarded-For: 203.0.113.9",
            ):
                octets = f"GET {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode("latin-1")
                self.assertIsNotNone(self.site.answered(octets, "192.0.2.99"))
                self.recorded()
                whole, recorded = self.browser().raw(octets), self.recorded()
                pieces = self.in_pieces(octets)
                self.assertEqual(_headers(whole), _headers(pieces), octets)
                self.assertEqual((whole.status, whole.body), (pieces.status, pieces.body), octets)
                self.assertEqual(whole.closed, pieces.closed)
                self.assertEqual(recorded, self.recorded(), octets)

    def test_what_is_not_simple_is_left_to_the_parser(self) -> None:
        path, host = self.open_path(), "Host: x\r\n"
        for octets in (
            f"HEAD {path} HTTP/1.1\r\n{host}\r\n",
            f"GET {path} HTTP/1.0\r\n{host}\r\n",
            f"GET {path} HTTP/1.1\r\n\r\n",
            f"GET {path} HTTP/1.1\r\n{host}",
            f"GET {path} HTTP/1.1\r\n{host}\r\nGET",
            f"GET  {path} HTTP/1.1\r\n{host}\r\n",
            f"GET {path} HTTP/1.1\n{host}\r\n",
            f"GET http://x{path} HTTP/1.1\r\n{host}\r\n",
            f"GET /messages HTTP/1.1\r\n{host}\r\n",
            *(
                f"GET {path} HTTP/1.1\r\n{host}{field}\r\n\r\n"
                for field in (
                    "Content-Length: 0", "content-length: 5", "Transfer-Encoding: chunked",
                    "Connection: close", "Connection: upgrade", "Expect: 100-continue",
                    "Upgrade: h2c", "A b: c", "A : b", " folded", "nothing", ": x", "A: \0",
                    "A: \r", "A: " + "x" * 9000, "\r\n".join(["A: b"] * 100),
                )
            ),
        ):  # fmt: skip
            self.assertIsNone(self.site.answered(octets.encode(), "192.0.2.99"), octets)

    def test_requests_follow_each_other_on_a_connection_in_either_way(self) -> None:
        simple = f"GET {self.open_path()} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        closing = simple.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        transport = self.browser().connect()
        for octets in (simple, simple[:50], simple[50:], simple, simple + simple, simple, closing):
            transport.protocol.dataReceived(octets)
        self.assertEqual(transport.value().count(b"HTTP/1.1 200 OK\r\n"), 7)
        self.assertTrue(transport.disconnecting)

    def test_a_request_is_not_overtaken_by_a_simple_one(self) -> None:
        simple = f"GET {self.open_path()} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        transport = self.browser().connect()
        transport.protocol.dataReceived(b"POST /sign-in HTTP/1.1\r\nContent-Length: 9999\r\n\r\n")
        transport.protocol.dataReceived(simple)
        self.assertEqual(transport.value(), b"")


class RefusalTests(TrackingTestCase):
    def check_plain(self, answer: Answer, status: int) -> None:
        self.assertEqual(answer.status, status)
        for word in ("smtpplus", "Sign in", "mail.example.com"):
            self.assertNotIn(word, answer.text)
        self.assertEqual(answer.cookies, [])
        self.assertNotIn("unsafe", answer.header("content-security-policy"))
        self.assertIn("no-store", answer.header("cache-control"))

    def test_what_was_not_signed_gets_a_plain_page(self) -> None:
        token = "a" * token_length(Purpose.OPEN)
        for path in ("/t/", "/t/o/", "/t/c/", "/t/c/x", "/t/c/x/y/z", f"/t/o/{token}.gif",
                     "/t/o/%ff.gif", "/t/x", f"/t/o/{token}.png", "/t/c//", "/t/../x",
                     "/t/" + "x" * 9000):  # fmt: skip
            self.check_plain(self.browser().get(path), 404)

    def test_a_token_of_another_purpose_is_not_taken(self) -> None:
        unsubscribe = self.unsubscribe_path().removeprefix("/u/")
        self.check_plain(self.browser().get(f"/t/o/{unsubscribe}.gif"), 404)
        opened = self.open_path().removeprefix("/t/o/").removesuffix(".gif")
        self.check_plain(self.browser().get(f"/u/{opened}"), 404)

    def test_other_methods_are_refused(self) -> None:
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = self.browser().ask(method, self.click_path(_TARGET))
            self.check_plain(answer, 405)
            self.assertEqual(answer.header("allow"), "GET, HEAD")

    def test_a_flood_from_one_address_is_slowed_down_and_others_are_not(self) -> None:
        browser, path = self.browser(ip="192.0.2.66"), self.open_path()
        statuses = [browser.get(path).status for _ in range(5100)]
        self.assertEqual(statuses.count(429), 100)
        self.assertEqual(browser.get(path).header("retry-after"), "5")
        self.assertEqual(self.browser(ip="192.0.2.67").get(path).status, 200)

    def test_no_answer_sets_a_cookie_or_needs_a_host(self) -> None:
        for path in (self.open_path(), self.click_path(_TARGET), "/t/o/x", self.unsubscribe_path()):
            answer = self.browser().get(path, host="links.shop.example")
            self.assertNotEqual(answer.status, 421)
            self.assertEqual(answer.cookies, [])


class TrackingHostTests(TrackingTestCase):
    tracking_url = "https://links.example.org/x"

    def test_a_tracking_host_serves_no_page_of_the_administration(self) -> None:
        browser = self.browser(self.house.operator)
        for host in ("links.example.org", "links.shop.example"):
            for path in ("/", "/sign-in", "/messages", "/queue", "/settings"):
                answer = browser.get(path, host=host)
                self.assertEqual(answer.status, 421, path)
                self.assertNotIn("mail.example.com:8025", answer.text)
                self.assertNotIn('href="/sign-in"', answer.text)
            self.assertNotIn('href="/sign-in"', self.browser().get("/no/page", host=host).text)

    def test_the_path_of_the_tracking_url_may_stand_before(self) -> None:
        for base in ("", "/x"):
            for path in (self.open_path(), self.unsubscribe_path()):
                answer = self.browser().get(base + path, host="links.example.org")
                self.assertEqual(answer.status, 200, base + path)


class ProxyTests(TrackingTestCase):
    trusted_proxies = (ipaddress.ip_network("10.0.0.0/8"),)

    def test_W13_the_address_is_the_clients_behind_our_proxy_alone(self) -> None:
        table = {
            ("10.0.0.1", "203.0.113.5"): "203.0.113.5",
            ("10.0.0.1", "1.1.1.1, 203.0.113.5, 10.9.9.9"): "203.0.113.5",
            ("192.0.2.1", "203.0.113.5"): "192.0.2.1",
            ("10.0.0.1", "<script>"): "",
        }
        for number, ((ip, forwarded), wanted) in enumerate(table.items()):
            facts = TokenFacts(1, self.list_id, 1, number)
            self.browser(ip=ip).get(self.open_path(facts), x_forwarded_for=forwarded)
            self.clock.advance(GROUP_SECONDS)
            self.assertEqual(self.kept.recorded[-1].client_ip, wanted, forwarded)


def _mutation(path: str, other: str, chance: random.Random) -> str:
    """A click's path, changed as somebody would who wants to be sent elsewhere."""
    start, _, segment = path.rpartition("/")
    place = chance.randrange(5, len(path))
    letter = chance.choice(string.ascii_letters + string.digits + "-_.~!@:/%=+")
    letters = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz234567", k=70))
    return chance.choice(
        [
            path[:place] + letter + path[place + 1 :],
            path[:place] + letter + path[place:],
            path[:place] + path[place + 1 :],
            path[:place],
            path + letter,
            path + "=" * chance.randrange(1, 4),
            f"{start}/{other}",
            f"{start}/{segment[::-1]}",
            f"{start}/{chance.choice(_ELSEWHERE)}",
            f"{start}/{segment}/{chance.choice(_ELSEWHERE)}",
            path + chance.choice(["%0d%0aLocation:%20https://evil.example", "%00", "%0a", "%20"]),
            f"/t/c/{letters}/{other}",
            f"/t/c//{segment}",
            f"/t/c/{segment}",
            f"{start}//evil.example",
            f"{start}\\{segment}",
        ]
    )


_ELSEWHERE = (
    "https://evil.example/",
    "//evil.example",
    "%2F%2Fevil.example",
    "\\\\evil.example",
    "javascript:alert(1)",
    "amF2YXNjcmlwdDphbGVydCgxKQ",
    "aHR0cHM6Ly9ldmlsLmV4YW1wbGUv",
    "aHR0cHM6Ly9ldmlsLmV4YW1wbGUv==",
    "..",
    "?https://evil.example",
)


def _headers(answer: Answer) -> list[tuple[str, str]]:
    return sorted(one for one in answer.headers if one[0] != "date")
