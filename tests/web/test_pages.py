"""What the pages say: overview, messages, message, queue, sandbox."""

from __future__ import annotations

import re

from smtpplus.values.ids import show_id
from tests.web.browser import PageTestCase, structure
from tests.web.house import BOUNCED, DEFERRED, DELIVERED, NOW, WAITING, Texts


class OverviewTests(PageTestCase):
    def test_figures_chart_and_table_say_the_same(self) -> None:
        tenant = self.house.tenants[0]
        self.run_now(self.house.send(tenant, (DELIVERED, DELIVERED, BOUNCED)))
        self.run_now(self.house.send(tenant, (DEFERRED,), at=NOW - 7200, user=1))
        page = self.browser(tenant.owner).get("/").text
        _, text = structure(page)
        words = " ".join(text.split())
        self.assertIn("Accepted4recipients, in 24 hours", words)
        self.assertIn("Delivered2 66.7 % of what ended", words)
        self.assertIn("Bounced1 33.3 % of what ended", words)
        self.assertIn("Deferred2 tries", words)
        self.assertIn("In the queue now1", words)
        self.assertIn(
            "23 Nov, 14:00 to 15:00: 3 accepted, 2 delivered, 0 deferred, 1 bounced", text
        )
        for user in tenant.users:
            self.assertIn(user.username, text)

    def test_every_range_has_its_slots(self) -> None:
        browser = self.browser(self.house.operator)
        for key, slots in (("24h", 24), ("7d", 28), ("30d", 30), ("nonsense", 24)):
            page = browser.get(f"/?range={key}").text
            self.assertEqual(page.count("<title>"), 1 + 2 * slots, key)

    def test_the_live_part_is_the_page_without_its_frame(self) -> None:
        browser = self.browser(self.house.operator)
        for path in ("/", "/messages", "/queue", "/sandbox"):
            part = browser.get(path, x_smtpplus_live="1").text
            self.assertNotIn("<html", part)
            self.assertIn(part.strip(), browser.get(path).text)


class FirstStepsTests(PageTestCase):
    trial = True
    alone = True

    def test_a_trial_says_how_to_send_the_first_message_until_there_is_one(self) -> None:
        tenant = self.house.tenants[0]
        browser = self.browser(tenant.owner)
        page = browser.get("/").text
        self.assertIn("Send your first message", page)
        self.assertIn(f"--auth-user {tenant.users[0].username}", page)
        self.assertIn("127.0.0.1:2587", page)
        self.run_now(self.house.send(tenant, (DELIVERED,)))
        self.assertNotIn("Send your first message", browser.get("/").text)


class MessagesTests(PageTestCase):
    def test_pages_follow_each_other_without_gap_or_overlap(self) -> None:
        tenant = self.house.tenants[0]
        sent = [
            show_id(self.run_now(self.house.send(tenant, (WAITING,), at=NOW - 500 + number)))
            for number in range(120)
        ]
        browser = self.browser(tenant.owner)
        seen: list[str] = []
        path = "/messages?state=queued"
        while path:
            page = browser.get(path).text
            seen += [part[:13] for part in page.split('href="/messages/')[1:]]
            more = page.partition('push" href="')[2].partition('"')[0]
            path = more.replace("&amp;", "&")
        self.assertEqual(seen, sent[::-1])

    def test_search_and_filters_narrow_the_list(self) -> None:
        tenant = self.house.tenants[0]
        self.run_now(self.house.send(tenant, (DELIVERED,), Texts(subject="Invoice 17")))
        self.run_now(self.house.send(tenant, (BOUNCED,), Texts(subject="Welcome"), user=1))
        browser = self.browser(tenant.owner)
        second = tenant.users[1].username
        for query, wanted in (
            ("q=invoice", "Invoice 17"),
            ("state=bounced", "Welcome"),
            (f"user={second}", "Welcome"),
        ):
            page = browser.get(f"/messages?{query}").text
            other = {"Invoice 17": "Welcome", "Welcome": "Invoice 17"}[wanted]
            self.assertIn(wanted, page)
            self.assertNotIn(other, page)
        self.assertIn("No message matches", browser.get("/messages?q=nothing").text)

    def test_a_search_by_words_goes_further_back_when_asked_to(self) -> None:
        tenant = self.house.tenants[0]
        self.house.store.history.looked_through = 10
        for number in range(25):
            subject = "Invoice 17" if number == 0 else f"Parcel {number}"
            self.run_now(self.house.send(tenant, (DELIVERED,), Texts(subject=subject)))
        browser = self.browser(tenant.owner)
        self.assertNotIn("further back", browser.get("/messages").text)
        self.assertNotIn("further back", browser.get("/messages?state=bounced").text)
        path, pages = "/messages?q=invoice", []
        while path:
            pages.append(browser.get(path).text)
            more = pages[-1].partition('push" href="')[2].partition('"')[0]
            path = more.replace("&amp;", "&")
        self.assertEqual(["Invoice 17" in page for page in pages], [False, False, True])
        self.assertEqual(["so far" in page for page in pages], [True, True, False])


class MessageTests(PageTestCase):
    def test_each_recipient_has_its_state_and_the_reason_in_words(self) -> None:
        tenant = self.house.tenants[0]
        fates = (DELIVERED, BOUNCED, DEFERRED, WAITING)
        sent = self.run_now(self.house.send(tenant, fates))
        _, text = structure(self.browser(tenant.owner).get(f"/messages/{show_id(sent)}").text)
        for wanted in (
            "The mail server of example.net accepted the message.",
            "The mailbox does not exist at example.net.",
            "No mail server of example.net answered.",
            "Waits for its first attempt.",
            "AUTH SCRAM-SHA-256",
            "app-01.shop.example.com",
            "d=example.com s=sp1",
            "CN=mx1.example.net",
            "name does not match",
            "S: 220 mx1.example.net ESMTP",
            "in 15 min",
        ):
            self.assertIn(wanted, text)

    def test_what_holds_is_that_of_now_and_the_page_says_what_was_changed_since(self) -> None:
        tenant = self.house.tenants[0]
        message = self.run_now(self.house.send(tenant, (DELIVERED,), Texts(), NOW - 900))
        browser = self.browser(tenant.owner)
        path = f"/messages/{show_id(message)}"
        self.assertIn("As SMTP user and list are set now.", browser.get(path).text)
        accounts = self.house.store.accounts
        self.run_now(accounts.set_list(tenant.mail_list.id, "footer", False))
        text = browser.get(path).text
        self.assertIn("are set now; the list was changed since (23 Nov 2026, 14:05:33 UTC).", text)

    def test_C6_of_a_thousand_recipients_a_hundred_are_on_a_page(self) -> None:
        tenant = self.house.tenants[0]
        sent = self.run_now(self.house.send(tenant, (*[WAITING] * 998, DELIVERED, BOUNCED)))
        browser, path = self.browser(tenant.owner), f"/messages/{show_id(sent)}"
        page = browser.get(path)
        self.assertIn("1,000 recipients", page.text)
        self.assertIn("data-live", page.text)
        seen: list[str] = []
        pages = 0
        while True:
            pages += 1
            seen += re.findall(r"<h3><bdi>([^<]+)</bdi>", page.text)
            found = re.search(r'href="([^"]+)">Further recipients', page.text)
            if found is None:
                break
            page = browser.get(found[1])
            self.assertNotIn("data-live", page.text)
        self.assertEqual((pages, len(seen), len(set(seen))), (10, 1000, 1000))
        self.assertIn("S: 220 mx1.example.net ESMTP", page.text)  # its attempts and events, too
        self.assertEqual(structure(page.text)[1].count("customer1000@example.net"), 2)


class QueueTests(PageTestCase):
    def test_what_waits_is_shown_with_what_was_said_last(self) -> None:
        tenant = self.house.tenants[0]
        self.run_now(self.house.send(tenant, (DEFERRED, DELIVERED)))
        _, text = structure(self.browser(tenant.owner).get("/queue").text)
        words = " ".join(text.split())
        self.assertIn("1 waiting", words)
        self.assertIn("in 15 min", words)
        self.assertIn("connection to mx1.example.net refused", words)

    def test_an_empty_queue_says_so(self) -> None:
        self.assertIn("Nothing waits", self.browser(self.house.operator).get("/queue").text)

    def test_pages_follow_each_other_without_gap_or_overlap(self) -> None:
        tenant = self.house.tenants[0]
        self.run_now(self.house.send(tenant, (WAITING,) * 120))
        browser = self.browser(tenant.owner)
        seen: list[str] = []
        path = "/queue"
        while path:
            page = browser.get(path).text
            rows = page.split('class="row-link clip"')[1:]
            seen += [row.partition("<bdi>")[2].partition("<")[0] for row in rows]
            more = page.partition('push" href="')[2].partition('"')[0]
            path = more.replace("&amp;", "&")
        self.assertEqual((len(seen), len(set(seen))), (120, 120))


class SandboxTests(PageTestCase):
    alone = True
    CONTENT = (
        b"From: shop@example.com\r\nSubject: Order\r\nContent-Type: multipart/mixed; boundary=b\r\n"
        b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nThe text.\r\n--b\r\n"
        b"Content-Type: text/html\r\n\r\n<p>The <b>HTML</b>.\r\n--b\r\n"
        b'Content-Type: application/pdf; name="Invoice.pdf"\r\n\r\nxyz\r\n--b--\r\n'
    )

    def test_a_mail_is_seen_in_every_way(self) -> None:
        mail = show_id(self.run_now(self.house.keep(self.CONTENT)))
        browser = self.browser(self.house.tenants[0].owner)
        self.assertIn(f"/sandbox/{mail}", browser.get("/sandbox").text)
        page = browser.get(f"/sandbox/{mail}").text
        self.assertIn(f'src="/sandbox/{mail}/html"', page)
        self.assertIn("Invoice.pdf", page)
        self.assertIn("The text.", browser.get(f"/sandbox/{mail}?view=text").text)
        self.assertIn("shop@example.com", browser.get(f"/sandbox/{mail}?view=headers").text)
        self.assertIn("boundary=b", browser.get(f"/sandbox/{mail}?view=source").text)
        self.assertIn("<b>HTML</b>", browser.get(f"/sandbox/{mail}/html").text)

    def test_a_mail_without_html_shows_its_text(self) -> None:
        mail = show_id(self.run_now(self.house.keep(b"Subject: x\r\n\r\nJust text.\r\n")))
        browser = self.browser(self.house.tenants[0].owner)
        self.assertIn("Just text.", browser.get(f"/sandbox/{mail}").text)
        self.assertEqual(browser.get(f"/sandbox/{mail}/html").status, 404)
