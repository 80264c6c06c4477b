"""Recipients on the pages: who was mailed, and why she did not get it."""

from __future__ import annotations

from dataclasses import replace

from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.values.ids import show_id
from smtpplus.values.response import ResponseKind
from tests.web.browser import PageTestCase, structure
from tests.web.house import BOUNCED, DELIVERED, NOW, WAITING, Texts
from tests.web.payloads import PAYLOADS

_ANNA = "/recipient?address=anna%40example.net"


def words(page: str) -> str:
    return " ".join(structure(page)[1].split())


class RecipientListTests(PageTestCase):
    def test_pages_follow_each_other_without_gap_or_overlap(self) -> None:
        tenant = self.house.tenants[0]
        self.run_now(self.house.send(tenant, (WAITING,) * 120))
        browser = self.browser(tenant.owner)
        seen: list[str] = []
        path = "/recipients"
        while path:
            page = browser.get(path).text
            seen += [part.partition("&")[0] for part in page.split('href="/recipient?')[1:]]
            path = page.partition('push" href="')[2].partition('"')[0].replace("&amp;", "&")
        self.assertEqual((len(seen), len(set(seen))), (120, 120))

    def test_a_search_finds_address_and_name(self) -> None:
        tenant = self.house.tenants[0]
        self.run_now(self.house.send(tenant, (DELIVERED,), Texts(name="Anna Rossi")))
        self.run_now(self.house.send(tenant, (DELIVERED,), Texts(local="bruno")))
        browser = self.browser(tenant.owner)
        for query, found in (("anna", True), ("Rossi", True), ("bruno", False)):
            page = browser.get(f"/recipients?q={query}").text
            self.assertEqual("anna@example.net" in page, found, query)
        self.assertIn("No recipient matches", browser.get("/recipients?q=nobody").text)

    def test_a_search_goes_further_back_when_asked_to(self) -> None:
        tenant = self.house.tenants[0]
        self.house.store.recipients.looked_through = 10
        for number in range(25):
            local = "bruno" if number == 0 else f"anna{number}"
            self.run_now(self.house.send(tenant, (DELIVERED,), Texts(local=local)))
        browser = self.browser(tenant.owner)
        self.assertNotIn("further back", browser.get("/recipients").text)
        path, pages = "/recipients?q=bruno", []
        while path:
            pages.append(browser.get(path).text)
            path = pages[-1].partition('push" href="')[2].partition('"')[0].replace("&amp;", "&")
        self.assertEqual(["/recipient?" in page for page in pages], [False, False, True])
        self.assertEqual(["so far" in page for page in pages], [True, True, False])

    def test_W9_accounts_are_separate(self) -> None:
        a, b = self.house.tenants
        self.run_now(self.house.send(a, (DELIVERED,), Texts(subject="only for A")))
        self.run_now(self.house.send(b, (DELIVERED,), Texts(subject="only for B")))
        page = self.browser(b.owner).get(_ANNA).text
        self.assertIn("only for B", page)
        self.assertNotIn("only for A", page)
        other = f"{_ANNA}&account={a.account.id}"
        self.assertNotIn("only for A", self.browser(b.owner).get(other).text)
        operator = self.browser(self.house.operator)
        self.assertIn("only for A", operator.get(other).text)
        self.assertIn("Also mailed by Other Ltd", words(operator.get(other).text))


class RecipientTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tenant = self.house.tenants[0]
        self.owner = self.browser(self.tenant.owner)

    def test_who_it_is_and_what_became_of_each_mail(self) -> None:
        texts = Texts(name="Anna Rossi")
        sent = self.run_now(self.house.send(self.tenant, (DELIVERED,), texts, NOW - 5000))
        self.run_now(self.house.respond(sent, ResponseKind.OPENED, agent="Thunderbird"))
        self.run_now(self.house.respond(sent, ResponseKind.OPENED, "scanner"))
        target = "https://shop.example.com/orders"
        self.run_now(self.house.respond(sent, ResponseKind.CLICKED, target=target))
        page = self.owner.get(_ANNA).text
        text = words(page)
        for wanted in (
            "Anna Rossi",
            "nothing stands against the next one",
            "The mail server of example.net accepted the message.",
            "opened",
            "1 time fetched by machines",
            target,
            "Thunderbird",
            "1 field from merge data",
        ):
            self.assertIn(wanted, text)
        self.assertIn(f'href="/messages/{show_id(sent)}"', page)

    def test_why_did_she_not_get_it(self) -> None:
        self.run_now(self.house.send(self.tenant, (BOUNCED,)))
        text = words(self.owner.get(_ANNA).text)
        self.assertIn(
            "All mail to this address is held back: its server said that it does not exist", text
        )
        self.assertIn("The mailbox does not exist at example.net.", text)

    def test_an_owner_undoes_an_unsubscribe(self) -> None:
        sent = self.run_now(self.house.send(self.tenant, (DELIVERED,)))
        self.run_now(self.house.respond(sent, ResponseKind.UNSUBSCRIBED, reason="one-click"))
        page = self.owner.get(_ANNA).text
        self.assertIn("unsubscribed", words(page))
        self.assertIn("one-click", words(page))
        href = page.partition('class="button small" href="/suppressions/lift')[2]
        ask = "/suppressions/lift" + href.partition('"')[0].replace("&amp;", "&")
        self.assertIn("Subscribe again?", self.owner.get(ask).text)
        analyst = self.browser(self.tenant.analyst)
        self.assertNotIn("/suppressions/lift", analyst.get(_ANNA).text)
        fields = {
            "address": "anna@example.net",
            "list": str(self.tenant.mail_list.id),
            "reason": "unsubscribe",
            "back": "recipient",
        }
        refused = analyst.submit("/settings", "/suppressions/lift", fields)
        self.assertEqual(refused.status, 403)
        answer = self.owner.submit(ask, "/suppressions/lift", fields)
        text = words(self.owner.get(answer.header("location")).text)
        self.assertIn("Subscribed again.", text)
        self.assertIn("lifted", text)
        self.assertIn(f"by {self.tenant.owner.email}", text)
        self.assertNotIn("unsubscribed since", text)

    def test_mails_are_shown_a_page_at_a_time(self) -> None:
        for number in range(45):
            texts = Texts(subject=f"Number {number:03}")
            self.run_now(self.house.send(self.tenant, (DELIVERED,), texts, NOW - 500 + number))
        seen: list[str] = []
        path = _ANNA
        while path:
            page = self.owner.get(path).text
            seen += [part[:3] for part in page.split("<bdi>Number ")[1:]]
            path = page.partition('push" href="')[2].partition('"')[0].replace("&amp;", "&")
        self.assertEqual(seen, [f"{number:03}" for number in reversed(range(45))])

    def test_W1_everything_from_outside_is_text(self) -> None:
        def fill(payload: str) -> str:
            texts = replace(Texts(*([payload] * 10)), name=payload, local=f"u{self.count}")
            self.count += 1
            sent = self.run_now(self.house.send(self.tenant, (DELIVERED, BOUNCED), texts))
            for kind in (ResponseKind.OPENED, ResponseKind.CLICKED, ResponseKind.UNSUBSCRIBED):
                more = {"agent": payload, "target": payload, "reason": payload}
                self.run_now(self.house.respond(sent, kind, **more))
            address = self.run_now(self.ports.history.deliveries(sent))[0].address
            wanted = Suppression(Scope.ACCOUNT, Reason.MANUAL, NOW, detail=payload)
            account_id = self.tenant.account.id
            self.run_now(self.ports.suppressions.add(account_id, address, wanted, payload))
            return "".join(f"%{octet:02x}" for octet in address.encode())

        self.count = 0
        wanted = None
        for payload in ["plain", *PAYLOADS]:
            page = self.owner.get(f"/recipient?address={fill(payload)}").text
            elements, _ = structure(page)
            wanted = wanted or elements
            self.assertEqual(elements, wanted, payload)
        for path in ("/recipients", "/suppressions", "/suppressions?all=1"):
            tags = {tag for tag, _ in structure(self.owner.get(path).text)[0]}
            self.assertFalse(tags & {"img", "iframe", "video", "marquee", "details>"}, path)

    def test_nonsense_is_not_found(self) -> None:
        for address in ("", "x", "%00", "nobody@example.net", "%ff", "a@b@c"):
            self.assertIn(self.owner.get(f"/recipient?address={address}").status, {400, 404})
