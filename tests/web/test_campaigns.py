"""Campaigns on the pages: numbers, links, renamed and merged by whoever may."""

from __future__ import annotations

from urllib.parse import urlencode

from smtpplus.values.response import ResponseKind
from tests.web.browser import Answer, Browser, PageTestCase, structure
from tests.web.house import BOUNCED, DELIVERED, NOW, Texts
from tests.web.payloads import PAYLOADS


def words(page: str) -> str:
    return " ".join(structure(page)[1].split())


class CampaignTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.house.tenants
        self.owner = self.browser(self.a.owner)
        texts = Texts(campaign="code:orders", campaign_name="Orders")
        self.sent = self.run_now(self.house.send(self.a, (DELIVERED, DELIVERED, BOUNCED), texts))
        more = Texts(campaign="code:more", campaign_name="More orders", local="max")
        self.run_now(self.house.send(self.a, (DELIVERED,), more, NOW - 9000))
        foreign = Texts(campaign="code:theirs", campaign_name="Theirs")
        self.run_now(self.house.send(self.b, (DELIVERED,), foreign))

    def path(self, key: str = "code:orders") -> str:
        return f"/campaign?{urlencode({'list': self.a.mail_list.id, 'key': key})}"

    def do(self, browser: Browser, what: str, **fields: str) -> Answer:
        about = {"list": str(self.a.mail_list.id), "key": "code:orders"}
        return browser.submit("/settings", f"/campaign/{what}", {**about, **fields})

    def test_numbers_with_machines_beside(self) -> None:
        for by in ("person", "person", "scanner", "prefetch"):
            self.run_now(self.house.respond(self.sent, ResponseKind.OPENED, by))
        for target, by in (("https://a.example/", "person"), ("https://b.example/", "scanner")):
            self.run_now(self.house.respond(self.sent, ResponseKind.CLICKED, by, target=target))
        text = words(self.owner.get(self.path()).text)
        self.assertIn("Accepted3recipients of 1 message", text)
        self.assertIn("Delivered266.7 % of what ended; 1 bounced", text)
        self.assertIn("Opened150.0 %, by persons; 2 opens by machines", text)
        self.assertIn("Clicked150.0 %, by persons; 1 clicks by machines", text)
        self.assertIn("https://a.example/10", text.replace(" ", ""))
        self.assertIn("https://b.example/01", text.replace(" ", ""))

    def test_all_by_their_last_message(self) -> None:
        page = self.owner.get("/campaigns").text
        self.assertLess(page.index("<bdi>Orders"), page.index("<bdi>More orders"))
        self.assertNotIn("Theirs", page)
        self.assertIn("Theirs", self.browser(self.house.operator).get("/campaigns").text)
        self.assertNotIn("More orders", self.owner.get("/campaigns?q=nothing").text)

    def test_renamed_and_merged_and_apart_again(self) -> None:
        answer = self.do(self.owner, "rename", name="Orders of autumn")
        page = self.owner.get(answer.header("location")).text
        self.assertIn("Renamed.", page)
        self.assertIn("Orders of autumn", self.owner.get("/campaigns").text)
        self.assertEqual(self.do(self.owner, "rename", name=" ").status, 400)
        self.assertIn('<option value="code:orders">', self.owner.get(self.path("code:more")).text)
        answer = self.do(self.owner, "merge", key="code:more", into="code:orders")
        text = words(self.owner.get(answer.header("location")).text)
        self.assertIn("Accepted4recipients", text)
        self.assertIn("Merged into it", text)
        self.assertNotIn("<bdi>More orders", self.owner.get("/campaigns").text)
        self.assertIn("It is counted in", self.owner.get(self.path("code:more")).text)
        self.do(self.owner, "merge", key="code:more", into="")
        self.assertIn("<bdi>More orders", self.owner.get("/campaigns").text)
        self.assertEqual(self.do(self.owner, "merge", into="code:nothing").status, 400)
        self.assertEqual(self.do(self.owner, "merge", into="code:orders").status, 400)

    def test_W9_who_may(self) -> None:
        analyst, other = self.browser(self.a.analyst), self.browser(self.b.owner)
        self.assertNotIn("Rename", analyst.get(self.path()).text)
        self.assertEqual(self.do(analyst, "rename", name="x").status, 403)
        self.assertEqual(other.get(self.path()).status, 404)
        for what in ("rename", "merge"):
            self.assertEqual(self.do(other, what, name="x", into="code:theirs").status, 404)
        theirs = urlencode({"list": self.b.mail_list.id, "key": "code:theirs"})
        self.assertEqual(self.owner.get(f"/campaign?{theirs}").status, 404)
        self.assertIn("Orders", self.owner.get(self.path()).text)

    def test_W1_names_keys_and_links_are_text(self) -> None:
        wanted = None
        for number, payload in enumerate(["plain", *PAYLOADS]):
            key = f"{number}{payload}"[:120]
            texts = Texts(campaign=key, campaign_name=payload)
            sent = self.run_now(self.house.send(self.b, (DELIVERED,), texts, NOW - 60))
            self.run_now(self.house.respond(sent, ResponseKind.CLICKED, target=payload))
            query = urlencode({"list": self.b.mail_list.id, "key": key})
            page = self.browser(self.b.analyst).get(f"/campaign?{query}")
            if page.status == 404:  # a key that the store had to change: it is in the list
                continue
            elements, _ = structure(page.text)
            wanted = wanted or elements
            self.assertEqual(elements, wanted, payload)
        tags = {tag for tag, _ in structure(self.browser(self.b.owner).get("/campaigns").text)[0]}
        self.assertFalse(tags & {"img", "iframe", "video", "marquee"})

    def test_nonsense_is_not_found(self) -> None:
        for query in ("", "list=1", "list=x&key=y", "list=1&key=" + "x" * 300, "list=99&key=a"):
            self.assertEqual(self.owner.get(f"/campaign?{query}").status, 404, query)
        for query in ("skip=-1", "skip=x", "skip=999999999", "skip=\u0663"):
            answer = self.owner.get(f"/campaigns?{urlencode(dict([query.split('=')]))}")
            self.assertEqual(answer.status, 200)
