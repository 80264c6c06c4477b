"""Suppressions on the pages: filtered, added, lifted, and who may."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from smtpplus.ports import SuppressionRow
from smtpplus.rules.suppression import OPERATORS_ONLY, Reason, Scope, Suppression
from tests.web.browser import Answer, Browser, PageTestCase, structure
from tests.web.house import NOW


class SuppressionTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.house.tenants
        self.owner = self.browser(self.a.owner)

    def rows(self) -> Sequence[SuppressionRow]:
        return self.run_now(self.ports.suppressions.listed(None, "", None, 1000))

    def add(self, browser: Browser, **fields: str) -> Answer:
        return browser.submit("/settings", "/suppressions", fields)

    def test_added_listed_lifted_and_still_on_record(self) -> None:
        answer = self.add(self.owner, address=" Anna@Example.NET ", detail="asked by phone")
        page = self.owner.get(answer.header("location")).text
        self.assertIn("not mailed from now on", page)
        self.assertIn("asked by phone", page)
        [row] = self.rows()
        self.assertEqual(
            (row.suppression.reason, row.suppression.scope, row.account_id),
            (Reason.MANUAL, Scope.ACCOUNT, self.a.account.id),
        )
        ask = "/suppressions/lift?address=Anna@example.net&reason=manual"
        self.assertIn("Lift the suppression?", self.owner.get(ask).text)
        fields = {"address": "Anna@example.net", "reason": "manual"}
        answer = self.owner.submit(ask, "/suppressions/lift", fields)
        text = " ".join(structure(self.owner.get(answer.header("location")).text)[1].split())
        self.assertIn("Lifted: mail goes to this address again.", text)
        self.assertIn(f"by {self.a.owner.email}", text)
        self.assertEqual(self.rows()[0].lifted_by, self.a.owner.email)
        answer = self.owner.submit(ask, "/suppressions/lift", fields)
        self.assertIn("did=nothing", answer.header("location"))

    def test_for_a_list_and_for_a_time(self) -> None:
        mail_list = self.a.mail_list
        self.add(self.owner, address="a@example.net", list=str(mail_list.id), days="30")
        [row] = self.rows()
        self.assertEqual(row.suppression.list_id, mail_list.id)
        self.assertEqual(row.suppression.expires_at, NOW + 30 * 86400)

    def test_filters(self) -> None:
        for number, reason in enumerate(Reason):
            scope = Scope.LIST if reason is Reason.UNSUBSCRIBE else Scope.ACCOUNT
            list_id = self.a.mail_list.id if scope is Scope.LIST else None
            wanted = Suppression(scope, reason, NOW - number, list_id)
            address = f"r{number}@example.net"
            self.run_now(self.ports.suppressions.add(self.a.account.id, address, wanted, "system"))
        for number, reason in enumerate(Reason):
            page = self.owner.get(f"/suppressions?reason={reason.value.replace(' ', '+')}").text
            for other in range(len(Reason)):
                self.assertEqual(f"r{other}@example.net" in page, other == number, reason)
        self.assertIn("No suppression matches", self.owner.get("/suppressions?q=nobody").text)
        self.run_now(
            self.ports.suppressions.lift(None, "r0@example.net", None, None, NOW, "somebody")
        )
        self.assertNotIn("r0@", self.owner.get("/suppressions").text)
        self.assertIn("r0@", self.owner.get("/suppressions?all=1").text)

    def test_pages_follow_each_other(self) -> None:
        for number in range(120):
            wanted = Suppression(Scope.ACCOUNT, Reason.MANUAL, NOW)
            work = self.ports.suppressions.add(
                self.a.account.id, f"r{number}@example.net", wanted, "x"
            )
            self.run_now(work)
        seen: list[str] = []
        path = "/suppressions"
        while path:
            page = self.owner.get(path).text
            seen += [part.partition("<")[0] for part in page.split("<bdi>r")[1:]]
            path = page.partition('push" href="')[2].partition('"')[0].replace("&amp;", "&")
        self.assertEqual((len(seen), len(set(seen))), (120, 120))

    def test_W9_who_may(self) -> None:
        self.add(self.owner, address="anna@example.net")
        analyst, other = self.browser(self.a.analyst), self.browser(self.b.owner)
        self.assertIn("anna@example.net", analyst.get("/suppressions").text)
        self.assertNotIn("Add a suppression", analyst.get("/suppressions").text)
        self.assertEqual(self.add(analyst, address="b@example.net").status, 403)
        self.assertEqual(analyst.get("/suppressions/lift?address=anna@example.net").status, 403)
        self.assertNotIn("anna@example.net", other.get("/suppressions").text)
        mine = {"address": "anna@example.net", "account": str(self.a.account.id)}
        other.submit("/settings", "/suppressions/lift", mine)
        self.assertIsNone(self.rows()[0].suppression.lifted_at)
        foreign = {"address": "b@example.net", "list": str(self.a.mail_list.id)}
        self.assertEqual(other.submit("/settings", "/suppressions", foreign).status, 404)
        self.assertEqual(len(self.rows()), 1)
        self.add(other, address="c@example.net", account=str(self.a.account.id))
        self.assertEqual(self.rows()[0].account_id, self.b.account.id)

    def hold(self, reason: Reason) -> None:
        wanted = Suppression(Scope.ACCOUNT, reason, NOW - 9)
        self.run_now(self.ports.suppressions.add(self.a.account.id, "b@example.net", wanted, ""))

    def test_W9_what_is_final_is_lifted_by_an_operator(self) -> None:
        account = str(self.a.account.id)
        operator = self.browser(self.house.operator)
        for reason in Reason:
            self.hold(reason)
            fields = {"address": "b@example.net", "account": account, "reason": reason.value}
            ask = f"/suppressions/lift?{urlencode(fields)}"
            own = reason not in OPERATORS_ONLY
            for browser, may in ((self.owner, own), (operator, True)):
                for page in ("/suppressions", "/recipient?address=b@example.net"):
                    link = "/suppressions/lift?" in browser.get(page).text
                    self.assertEqual(link, may, (reason, page))
            self.assertEqual(self.owner.get(ask).status, 200 if own else 403, reason)
            answer = self.owner.submit("/settings", "/suppressions/lift", fields)
            self.assertEqual(answer.status, 303 if own else 403, reason)
            self.assertEqual(self.rows()[0].suppression.lifted_at is not None, own, reason)
            if not own:
                self.assertIn("Ask whoever runs this installation", answer.text)
                operator.submit("/settings", "/suppressions/lift", fields)
                self.assertIsNotNone(self.rows()[0].suppression.lifted_at, reason)
        self.hold(Reason.HARD_BOUNCE)
        every = {"address": "b@example.net", "account": account}
        answer = self.owner.submit("/settings", "/suppressions/lift", every)
        self.assertEqual(answer.status, 403)
        self.assertIsNone(self.rows()[0].suppression.lifted_at)

    def test_W9_a_bypass_is_an_operators(self) -> None:
        self.hold(Reason.COMPLAINT)
        fields = {"address": "b@example.net", "account": str(self.a.account.id), "days": "30"}
        page = "/recipient?address=b@example.net"
        self.assertIn("All mail to this address is held back", self.owner.get(page).text)
        self.assertNotIn("bypass", self.owner.get(page).text)
        answer = self.owner.submit("/settings", "/suppressions/bypass", fields)
        self.assertEqual((answer.status, len(self.rows())), (403, 1))
        operator = self.browser(self.house.operator)
        answer = operator.submit("/settings", "/suppressions/bypass", fields)
        shown = operator.get(answer.header("location")).text
        self.assertIn("Set: this address is mailed from now on", shown)
        row = self.rows()[0]
        self.assertEqual(
            (row.suppression.reason, row.suppression.expires_at, row.set_by),
            (Reason.BYPASS, NOW + 30 * 86400, self.house.operator.email),
        )
        text = self.owner.get(page).text
        self.assertIn("by an operator&#39;s bypass, though a mail to it was reported", text)
        self.assertIn(f"by <bdi>{self.house.operator.email}</bdi>", text)

    def test_an_operator_names_the_account(self) -> None:
        operator = self.browser(self.house.operator)
        self.assertEqual(self.add(operator, address="a@example.net").status, 400)
        answer = self.add(operator, address="a@example.net", account=str(self.b.account.id))
        self.assertEqual(answer.status, 303)
        self.assertEqual(self.rows()[0].account_id, self.b.account.id)
        page = operator.get("/suppressions").text
        for account in (self.a.account, self.b.account):
            self.assertIn(f"List {account.name}/", page)
        self.assertIn(f"<bdi>{self.b.account.name}</bdi>", page)
        self.assertNotIn(f"{self.a.account.name}/", self.owner.get("/suppressions").text)

    def test_what_is_no_address_is_told(self) -> None:
        answer = self.add(self.owner, address="nobody", detail="kept")
        self.assertEqual(answer.status, 400)
        self.assertIn('value="nobody"', answer.text)
        self.assertIn('value="kept"', answer.text)
        lift = self.owner.submit("/settings", "/suppressions/lift", {"address": "x"})
        self.assertEqual(lift.status, 400)
