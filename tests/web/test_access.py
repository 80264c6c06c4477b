"""W9: every route times every kind of person, exactly as this table says."""

from __future__ import annotations

from smtpplus.values.ids import show_id
from smtpplus.web.routes import all_routes
from smtpplus.web.shell import Shell
from tests.web.browser import Browser, PageTestCase
from tests.web.house import DEFERRED, DELIVERED, Texts

WHO = ("nobody", "owner A", "analyst A", "owner B", "operator", "no account")

# Mail and message belong to account A. 303 for nobody leads to the sign-in page.
TABLE: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "/healthz"): (200, 200, 200, 200, 200, 200),
    ("GET", "/readyz"): (200, 200, 200, 200, 200, 200),
    ("GET", "/metrics"): (404, 404, 404, 404, 404, 404),
    ("GET", "/robots.txt"): (200, 200, 200, 200, 200, 200),
    ("GET", "/favicon.svg"): (200, 200, 200, 200, 200, 200),
    ("GET", "/static/{name}"): (200, 200, 200, 200, 200, 200),
    ("GET", "/sign-in"): (200, 303, 303, 303, 303, 303),
    ("POST", "/sign-in"): (403, 403, 403, 403, 403, 403),
    ("GET", "/sign-in/{token}"): (200, 200, 200, 200, 200, 200),
    ("POST", "/sign-in/{token}"): (403, 403, 403, 403, 403, 403),
    ("POST", "/sign-out"): (403, 403, 403, 403, 403, 403),
    ("GET", "/settings"): (303, 200, 200, 200, 200, 200),
    ("POST", "/settings/password"): (403, 403, 403, 403, 403, 403),
    ("GET", "/"): (303, 200, 200, 200, 200, 403),
    ("GET", "/messages"): (303, 200, 200, 200, 200, 403),
    ("GET", "/messages/{id}"): (303, 200, 200, 404, 200, 403),
    ("GET", "/recipients"): (303, 200, 200, 200, 200, 403),
    ("GET", "/recipient"): (303, 200, 200, 404, 200, 403),
    ("GET", "/suppressions"): (303, 200, 200, 200, 200, 403),
    ("POST", "/suppressions"): (403, 403, 403, 403, 403, 403),
    ("POST", "/suppressions/bypass"): (403, 403, 403, 403, 403, 403),
    ("GET", "/suppressions/lift"): (303, 400, 403, 400, 400, 403),
    ("POST", "/suppressions/lift"): (403, 403, 403, 403, 403, 403),
    ("GET", "/campaigns"): (303, 200, 200, 200, 200, 403),
    ("GET", "/campaign"): (303, 200, 200, 404, 200, 403),
    ("POST", "/campaign/rename"): (403, 403, 403, 403, 403, 403),
    ("POST", "/campaign/merge"): (403, 403, 403, 403, 403, 403),
    ("GET", "/statistics"): (303, 200, 200, 200, 200, 403),
    ("GET", "/statistics.csv"): (303, 200, 200, 200, 200, 403),
    ("GET", "/lists"): (303, 200, 200, 200, 200, 403),
    ("GET", "/lists/{id}"): (303, 200, 200, 404, 200, 403),
    ("POST", "/lists/{id}"): (403, 403, 403, 403, 403, 403),
    ("GET", "/lists/{id}/preview"): (303, 200, 200, 404, 200, 403),
    ("POST", "/lists/{id}/preview"): (403, 403, 403, 403, 403, 403),
    ("GET", "/queue"): (303, 200, 200, 200, 200, 403),
    ("GET", "/queue/change"): (303, 400, 403, 400, 400, 403),
    ("POST", "/queue/change"): (403, 403, 403, 403, 403, 403),
    ("GET", "/sandbox"): (303, 404, 404, 404, 200, 404),
    ("GET", "/sandbox/{id}"): (303, 404, 404, 404, 200, 404),
    ("GET", "/sandbox/{id}/html"): (303, 404, 404, 404, 200, 404),
    ("GET", "/sandbox/{id}/source"): (303, 404, 404, 404, 200, 404),
}
_SECRET = "only for account A"


class MatrixTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        a, b = self.house.tenants
        texts = Texts(subject=_SECRET)
        self.message = self.run_now(self.house.send(a, (DELIVERED, DEFERRED), texts))
        content = b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p>" + _SECRET.encode()
        self.mail = self.run_now(self.house.keep(content, texts))
        from smtpplus.values.submission import Role

        lost = self.run_now(
            self.ports.people.add_person("lost@example.org", Role.OWNER, None, None, 0.0)
        )
        people = (None, a.owner, a.analyst, b.owner, self.house.operator, lost)
        self.browsers = {who: self.browser(person) for who, person in zip(WHO, people, strict=True)}

    def path(self, pattern: str) -> str:
        if pattern == "/recipient":
            return "/recipient?address=anna@example.net"
        if pattern == "/campaign":
            return f"/campaign?list={self.house.tenants[0].mail_list.id}&key=orders"
        if "/lists/" in pattern:
            return pattern.replace("{id}", str(self.house.tenants[0].mail_list.id))
        identifier = self.mail if "sandbox" in pattern else self.message
        return (
            pattern.replace("{id}", show_id(identifier))
            .replace("{name}", "smtpplus.css")
            .replace("{token}", "x" * 43)
        )

    def test_W9_every_route_is_in_the_table(self) -> None:
        routes = all_routes(Shell(self.ports, self.settings))
        self.assertEqual({(route.method, route.pattern) for route in routes}, set(TABLE))

    def test_W9_every_route_for_everybody(self) -> None:
        for (method, pattern), statuses in TABLE.items():
            for who, wanted in zip(WHO, statuses, strict=True):
                browser, path = self.browsers[who], self.path(pattern)
                answer = browser.get(path) if method == "GET" else browser.post(path, {})
                self.assertEqual(answer.status, wanted, f"{who}: {method} {path}")
                if who in {"nobody", "owner B", "no account"}:
                    self.assertNotIn(_SECRET, answer.text, f"{who}: {path}")

    def test_W9_the_live_part_is_no_way_around(self) -> None:
        for (method, pattern), statuses in TABLE.items():
            if method == "POST":
                continue
            for who, wanted in zip(WHO, statuses, strict=True):
                answer = self.browsers[who].get(self.path(pattern), x_smtpplus_live="1")
                if who == "nobody" and wanted == 303:
                    self.assertEqual(answer.status, 403, pattern)
                if who in {"nobody", "owner B", "no account"}:
                    self.assertNotIn(_SECRET, answer.text, pattern)

    def test_W9_searches_and_filters_stay_in_the_account(self) -> None:
        user = self.house.tenants[0].users[0].username
        for query in (f"q={show_id(self.message)}", "q=anna@example.net", f"user={user}", "q=only"):
            self.assertIn(_SECRET, self.browsers["owner A"].get(f"/messages?{query}").text)
            other = self.browsers["owner B"]
            self.assertNotIn(_SECRET, other.get(f"/messages?{query}").text)
            self.assertNotIn(_SECRET, other.get(f"/queue?{query}").text)
            self.assertNotIn(user, other.get("/").text)

    def test_W9_posts_do_nothing_for_whoever_is_signed_out(self) -> None:
        browser = self.browsers["nobody"]
        browser.get("/sign-in")
        for path in ("/sign-out", "/settings/password"):
            answer = browser.submit("/sign-in", path, {"new": "a long password"})
            self.assertEqual(answer.status, 403)


class SandboxOfOneAccountTests(PageTestCase):
    alone = True

    def test_W9_where_there_is_one_account_its_people_see_the_sandbox(self) -> None:
        tenant = self.house.tenants[0]
        for person in (tenant.owner, tenant.analyst, self.house.operator):
            browser: Browser = self.browser(person)
            self.assertEqual(browser.get("/sandbox").status, 200)
            self.assertIn('href="/sandbox"', browser.get("/messages").text)
