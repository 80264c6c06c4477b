"""Lists on the pages: every setting can be changed, nothing half, by whoever may."""

from __future__ import annotations

from smtpplus.rules.list_settings import SETTINGS, effective
from smtpplus.store.store import run
from tests.web.browser import Answer, Browser, PageTestCase, structure
from tests.web.house import DELIVERED, NOW, Texts
from tests.web.payloads import PAYLOADS


class ListTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.house.tenants
        self.path = f"/lists/{self.a.mail_list.id}"

    def save(self, browser: Browser, **fields: str) -> Answer:
        return browser.submit("/settings", self.path, fields)

    def kept(self) -> dict[str, object]:
        found = run(self.ports.accounts.list_by_id(self.a.mail_list.id))
        assert found is not None
        return dict(found.settings)

    def test_every_setting_has_a_field_and_says_what_it_is(self) -> None:
        page = self.browser(self.a.owner).get(self.path).text
        _, text = structure(page)
        for key, setting in SETTINGS.items():
            self.assertIn(f'name="{key}"', page)
            self.assertIn(setting.meaning[1:], text)

    def test_only_what_was_changed_is_written(self) -> None:
        browser = self.browser(self.a.owner)
        now = effective(self.kept())
        form = {key: setting.written(now[key]) for key, setting in SETTINGS.items()}
        answer = self.save(browser, **form)
        self.assertEqual(answer.header("location"), f"{self.path}?saved=0")
        self.assertEqual(self.kept(), {})
        form |= {"footer": "on", "footer_html": "<p>Regards\r\n", "aggregation": "week"}
        answer = self.save(browser, **form)
        self.assertEqual(answer.header("location"), f"{self.path}?saved=3")
        self.assertEqual(
            self.kept(),
            {"footer": True, "footer_html": "<p>Regards\n", "aggregation": "week"},
        )
        self.assertIn("Saved", browser.get(answer.header("location")).text)
        self.save(browser, footer="off", footer_html="")
        self.assertEqual(effective(self.kept())["footer"], False)

    def test_links_that_recipients_cannot_follow_are_told(self) -> None:
        browser = self.browser(self.a.owner)
        self.assertNotIn("web.tracking_url", browser.get(self.path).text)
        run(self.ports.accounts.set_list(self.a.mail_list.id, "track_clicks", True))
        self.assertIn("web.tracking_url", browser.get(self.path).text)

    def test_utm_parameters_are_texts_of_one_line(self) -> None:
        browser = self.browser(self.a.owner)
        self.save(browser, utm_source="shop & more", utm_domains="A.example, b.example")
        kept = {"utm_source": "shop & more", "utm_domains": ["a.example", "b.example"]}
        self.assertEqual(self.kept(), kept)
        self.assertIn('value="shop &amp; more"', browser.get(self.path).text)
        self.save(browser, utm_source="", utm_domains="")
        self.assertFalse(any(self.kept().values()))

    def test_one_fault_and_nothing_is_saved(self) -> None:
        browser = self.browser(self.a.owner)
        answer = self.save(browser, footer="on", notices="nobody", feedback_id="two words")
        self.assertEqual(answer.status, 400)
        self.assertIn("2 fields are not in order", answer.text)
        self.assertIn("notices: expected addresses between commas", answer.text)
        self.assertIn('value="nobody"', answer.text)
        self.assertEqual(self.kept(), {})

    def test_W9_an_analyst_reads_and_another_account_finds_nothing(self) -> None:
        analyst = self.browser(self.a.analyst)
        self.assertIn("disabled", analyst.get(self.path).text)
        self.assertEqual(self.save(analyst, footer="on").status, 403)
        for browser in (self.browser(self.b.owner), self.browser(self.b.analyst)):
            self.assertEqual(browser.get(self.path).status, 404)
            self.assertIn(self.save(browser, footer="on").status, {403, 404})
            self.assertEqual(browser.get(f"{self.path}/preview").status, 404)
            self.assertNotIn(f'href="{self.path}"', browser.get("/lists").text)
        self.assertEqual(self.kept(), {})
        for wrong in ("0", "x", "9" * 30, "\u0663", "-1"):
            self.assertEqual(analyst.get(f"/lists/{wrong.encode().hex()}").status, 404)

    def test_W1_the_preview_is_a_document_that_may_do_nothing(self) -> None:
        browser = self.browser(self.a.owner)
        fields = {"footer_html": PAYLOADS[0], "header_html": "<h1>Shop</h1>"}
        answer = browser.submit(self.path, f"{self.path}/preview", fields)
        self.assertEqual(answer.status, 200)
        policy = answer.header("content-security-policy")
        self.assertIn("sandbox;", policy)
        self.assertNotIn("script-src", policy)
        self.assertIn("<h1>Shop</h1><p>Here stands", answer.text)
        self.assertEqual(self.kept(), {})
        self.assertNotIn("Shop", browser.get(f"{self.path}/preview").text)

    def test_W1_what_was_saved_is_text_on_the_page(self) -> None:
        browser = self.browser(self.a.owner)
        self.save(browser, footer_html="plain", header_text="plain")
        wanted, _ = structure(browser.get(self.path).text)
        for payload in PAYLOADS:
            self.save(browser, footer_html=payload, header_text=payload)
            self.assertEqual(structure(browser.get(self.path).text)[0], wanted, payload)

    def test_subjects_that_belong_together_are_hinted_at(self) -> None:
        names = ("Maria", "Jan", "Petra", "Ahmed", "Wei", "Olga", "Sven", "Ines", "Hugo")
        for number, name in enumerate(names):
            subject = f"{name} commented on the roadmap"
            at = NOW - 500 + number
            self.run_now(self.house.send(self.a, (DELIVERED,), Texts(subject=subject), at))
        browser = self.browser(self.a.owner)
        text = browser.get(self.path).text  # whatever the policy is
        self.assertIn("Subjects that belong together", text)
        self.assertIn("9 subjects, 9 messages", text)
        self.assertNotIn("new ones are counted by these", text)
        self.save(browser, aggregation="dynamic-subject")
        self.assertIn("new ones are counted by these", browser.get(self.path).text)
        found = self.run_now(self.ports.accounts.list_by_id(self.a.mail_list.id))
        assert found is not None
        self.assertEqual([one.key for one in found.learnt], ["* commented on the roadmap"])
