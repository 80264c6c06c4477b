"""Statistics: figures, charts, table and CSV say the same, for one's own account alone."""

from __future__ import annotations

import csv
import io

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.values.response import ResponseKind
from smtpplus.web.figures import Figures, table_csv
from tests.web.browser import PageTestCase, structure
from tests.web.house import BOUNCED, DEFERRED, DELIVERED, NOW, Texts
from tests.web.payloads import PAYLOADS


class FiguresTests(SynchronousTestCase):
    def test_W5_machines_stand_beside_persons(self) -> None:
        row = Figures(
            "a",
            {"opened": 5, "opened once": 3, "opened scanner": 7, "opened privacy_proxy": 2,
             "clicked": 2, "clicked once": 1, "clicked scanner": 9, "delivered": 10},
        )  # fmt: skip
        self.assertEqual((row.readers, row.opens, row.machine_opens), (3, 5, 9))
        self.assertEqual((row.clickers, row.clicks, row.machine_clicks), (1, 2, 9))
        self.assertEqual(row.by_class, [("scanner", 7, 9), ("privacy proxy", 2, 0)])

    def test_in_privacy_mode_how_many_mails_were_opened_is_not_known_rather_than_none(self) -> None:
        row = Figures("a", {"opened": 2, "anonymous opens": 2, "delivered": 3})
        self.assertEqual((row.readers, row.opens, row.machine_opens), (None, 2, 0))
        made = table_csv("list", [row]).decode()
        (cells,) = csv.DictReader(io.StringIO(made))
        self.assertEqual(cells["opened by persons (mails)"], "")
        self.assertEqual(cells["opens by persons"], "2")
        again = Figures("a", {"opened": 2})  # opened first on another day
        self.assertEqual(again.readers, 0)

    def test_W11_no_cell_begins_a_formula(self) -> None:
        names = [
            "=1+1",
            "+1",
            "-1",
            "@x",
            "\tx",
            "\uff1d1+1",
            "\uff20x",
            "plain",
            'say "a", b\r\nc',
        ]
        made = table_csv("campaign", [Figures(name, {}) for name in names]).decode()
        rows = list(csv.reader(io.StringIO(made, newline="")))
        self.assertEqual([row[0] for row in rows[1:8]], [f"'{name}" for name in names[:7]])
        self.assertEqual([row[0] for row in rows[8:]], names[7:])
        self.assertTrue(all(len(row) == len(rows[0]) for row in rows))


class StatisticsTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.house.tenants
        fates = (DELIVERED, DELIVERED, BOUNCED)
        self.run_now(self.house.send(self.a, fates, Texts(campaign="orders")))
        self.run_now(self.house.send(self.a, (DEFERRED,), Texts(campaign="resets"), user=1))
        self.run_now(self.house.send(self.b, (DELIVERED,) * 5, Texts(campaign="theirs")))
        self.run_now(self.house.send(self.a, (DELIVERED,), at=NOW - 40 * 86400))

    def test_figures_table_and_csv_say_the_same(self) -> None:
        browser = self.browser(self.a.owner)
        _, text = structure(browser.get("/statistics").text)
        words = " ".join(text.split())
        self.assertIn("Accepted4recipients", words)
        self.assertIn("Delivered266.7 % of what ended", words)
        answer = browser.get("/statistics.csv?by=campaign")
        self.assertIn("attachment", answer.header("content-disposition"))
        rows = {row["campaign"]: row for row in csv.DictReader(io.StringIO(answer.text))}
        self.assertEqual(set(rows), {"orders", "resets"})
        row = rows["orders"]
        self.assertEqual((row["accepted"], row["delivered"], row["bounced"]), ("3", "2", "1"))

    def test_in_privacy_mode_a_dash_stands_where_opened_mails_would(self) -> None:
        sent = self.run_now(self.house.send(self.a, (DELIVERED,), Texts(campaign="quiet")))
        self.run_now(self.house.respond(sent, ResponseKind.OPENED, only_counted=True))
        page = self.browser(self.a.owner).get("/statistics?by=campaign").text
        row = page.partition("quiet")[2].partition("</tr>")[0]
        self.assertIn('data-label="Opened">\N{EN DASH}', row)

    def test_a_provider_has_nothing_of_what_was_accepted(self) -> None:
        browser = self.browser(self.a.owner)
        page = browser.get("/statistics?by=provider").text
        self.assertNotIn('data-label="Accepted"', page)
        self.assertIn('data-label="Delivered"', page)
        self.assertIn("known when they are asked", page)
        self.assertIn('data-label="Accepted"', browser.get("/statistics?by=list").text)
        text = browser.get("/statistics.csv?by=provider").text
        rows = list(csv.DictReader(io.StringIO(text)))
        self.assertEqual({"accepted", "messages"} & rows[0].keys(), set())
        self.assertEqual(sum(int(row["delivered"]) for row in rows), 2)
        self.assertTrue(all(any(int(n) for n in [*row.values()][1:]) for row in rows), rows)

    def test_every_group_and_every_span(self) -> None:
        browser = self.browser(self.house.operator)
        for by in ("campaign", "user", "list", "provider", "day", "nonsense"):
            for span, slots in (("24h", 24), ("7d", 28), ("30d", 30), ("90d", 90), ("1y", 53)):
                page = browser.get(f"/statistics?by={by}&range={span}")
                self.assertEqual(page.status, 200)
                self.assertEqual(page.text.count("<title>"), 1 + 4 * slots, (by, span))
        self.assertIn("theirs", browser.get("/statistics").text)

    def test_W9_accounts_are_separate(self) -> None:
        for path in ("/statistics", "/statistics.csv"):
            for by in ("campaign", "user", "list", "day"):
                page = self.browser(self.b.analyst).get(f"{path}?by={by}&range=1y").text
                for word in ("orders", self.a.users[0].username, "Example Shop"):
                    self.assertNotIn(word, page, (path, by))

    def test_W1_names_of_campaigns_are_text(self) -> None:
        browser = self.browser(self.b.owner)
        for number, payload in enumerate(PAYLOADS):
            sent = self.house.send(self.b, (DELIVERED,), Texts(campaign=payload), at=NOW - number)
            self.run_now(sent)
        page = browser.get("/statistics").text
        elements, text = structure(page)
        self.assertIn("dataset.pwned", text)
        self.assertEqual({tag for tag, _ in elements} & {"img", "iframe", "video"}, set())
        self.assertFalse([n for _, names in elements for n in names if n.startswith("on")])
