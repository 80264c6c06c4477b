"""Hold, release, cancel and flush on the pages: who may, what is asked first, what is done."""

from __future__ import annotations

from smtpplus.ports import DeliveryRow
from smtpplus.values.ids import show_id
from smtpplus.values.message import DeliveryState, EventType
from tests.web.browser import Answer, Browser, PageTestCase, structure
from tests.web.house import DEFERRED, DELIVERED, NOW, WAITING, Texts


class QueueChangeTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.house.tenants
        self.message = self.run_now(self.house.send(self.a, (DEFERRED, WAITING, DELIVERED)))
        self.other = self.run_now(self.house.send(self.b, (DEFERRED,), Texts(subject="theirs")))

    def deliveries(self, message: int) -> list[DeliveryRow]:
        return list(self.run_now(self.ports.history.deliveries(message)))

    def states(self, message: int) -> list[str]:
        return [row.state.value for row in self.deliveries(message)]

    async def _give_back(self, delivery: int) -> None:
        await self.ports.queue.release([delivery])

    def do(self, browser: Browser, **fields: str) -> Answer:
        return browser.submit("/settings", "/queue/change", fields)

    def test_one_recipient_is_held_released_and_due_from_its_page(self) -> None:
        browser = self.browser(self.a.owner)
        page = f"/messages/{show_id(self.message)}"
        first = show_id(self.deliveries(self.message)[0].id)
        self.assertIn("Try now", browser.get(page).text)
        answer = self.do(browser, change="hold", id=first, message=show_id(self.message))
        self.assertEqual((answer.status, answer.header("location")), (303, page))
        self.assertEqual(self.states(self.message), ["held", "queued", "delivered"])
        self.assertIn("Release", browser.get(page).text)
        self.do(browser, change="release", id=first)
        self.assertEqual(self.states(self.message), ["queued", "queued", "delivered"])
        events = self.run_now(self.ports.history.events(self.message, 99))
        by = {e.type: e.detail.get("by") for e in events if "by" in e.detail}
        email = self.a.owner.email
        self.assertEqual(by, {EventType.HELD: email, EventType.RELEASED: email})

    def test_many_are_asked_about_first_with_their_number(self) -> None:
        browser = self.browser(self.a.owner)
        page = browser.get("/queue/change?change=cancel&domain=EXAMPLE.net")
        _, text = structure(page.text)
        self.assertIn("Cancel 2 deliveries?", text)
        self.assertEqual(self.states(self.message), ["queued", "queued", "delivered"])
        answer = browser.submit(
            "/queue/change?change=cancel&domain=EXAMPLE.net",
            "/queue/change",
            {"change": "cancel", "domain": "EXAMPLE.net"},
        )
        self.assertEqual(answer.header("location"), "/queue?did=cancel&n=2")
        self.assertIn("2 deliveries cancelled.", browser.get(answer.header("location")).text)
        self.assertEqual(self.states(self.message), ["cancelled", "cancelled", "delivered"])
        self.assertEqual(self.states(self.other), ["queued"])

    def test_P10_what_is_scheduled_is_sent_before_its_time_only_where_that_is_said(self) -> None:
        at = NOW + 3600
        scheduled = self.run_now(self.house.send(self.a, (WAITING,), at=at))
        row = self.deliveries(scheduled)[0]
        self.run_now(self._give_back(row.id))
        browser = self.browser(self.a.owner)
        self.assertIn("scheduled for then", browser.get("/queue").text)
        page = browser.get(f"/messages/{show_id(scheduled)}").text
        self.assertIn("Send before its time", page)
        for fields in ({}, {"id": show_id(row.id)}, {"scheduled": "1"}):
            self.do(browser, change="flush", **fields)
            self.assertEqual(self.deliveries(scheduled)[0].due_at, at)
        asked = browser.get(f"/queue/change?change=flush&scheduled=1&id={show_id(row.id)}")
        _, text = structure(asked.text)
        self.assertIn("Try 1 delivery now?", text)
        self.assertIn("sends them at once all the same", text)
        self.do(browser, change="flush", scheduled="1", id=show_id(row.id))
        self.assertLessEqual(self.deliveries(scheduled)[0].due_at or 0.0, NOW + 60)

    def test_an_owner_cannot_touch_another_account(self) -> None:
        browser = self.browser(self.a.owner)
        for fields in (
            {"id": show_id(self.other)},
            {"id": show_id(self.deliveries(self.other)[0].id)},
        ):
            self.do(browser, change="cancel", **fields)
        self.assertEqual(
            self.do(browser, change="cancel", user=self.b.users[0].username).status, 404
        )
        self.do(browser, change="cancel")
        self.assertEqual(self.states(self.other), ["queued"])
        self.assertNotIn("queued", self.states(self.message))

    def test_an_operator_changes_everything(self) -> None:
        told: list[int] = []
        from dataclasses import replace

        from smtpplus.web.site import make_site

        self.ports = replace(self.ports, queue_changed=lambda: told.append(1))
        self.site = make_site(self.ports, self.settings, self.clock)
        browser = self.browser(self.house.operator)
        self.do(browser, change="hold")
        self.assertEqual(self.states(self.other), ["held"])
        self.do(browser, change="release", user=self.b.users[0].username)
        self.assertEqual(self.states(self.other), ["queued"])
        self.assertEqual(self.states(self.message)[:2], ["held", "held"])
        self.assertEqual(told, [1, 1])

    def test_an_analyst_sees_no_buttons_and_is_refused(self) -> None:
        browser = self.browser(self.a.analyst)
        for page in ("/queue", f"/messages/{show_id(self.message)}"):
            self.assertNotIn("/queue/change", browser.get(page).text)
        self.assertEqual(self.do(browser, change="cancel").status, 403)
        self.assertEqual(browser.get("/queue/change?change=hold").status, 403)
        self.assertIn("queued", self.states(self.message))

    def test_nonsense_is_refused_or_changes_nothing(self) -> None:
        browser = self.browser(self.a.owner)
        self.assertEqual(self.do(browser, change="burn").status, 400)
        self.assertEqual(self.do(browser, change="cancel", id="'; drop").status, 404)
        self.do(browser, change="cancel", domain="\u202e\x00" * 300)
        self.assertEqual(self.states(self.message)[:2], ["queued", "queued"])
        for query in ("did=hold&n=-1", "did=<b>&n=3", "did=hold&n=\u0663", "n=4"):
            self.assertNotIn("alert good", browser.get(f"/queue?{query}").text)

    def test_a_cancelled_recipient_is_explained(self) -> None:
        browser = self.browser(self.a.owner)
        self.do(browser, change="cancel", id=show_id(self.message))
        rows = self.deliveries(self.message)
        self.assertIs(rows[0].state, DeliveryState.CANCELLED)
        text = browser.get(f"/messages/{show_id(self.message)}").text
        self.assertIn("Cancelled before it was delivered.", text)
