"""Unsubscribing: one-click, the page, what changes nothing, and what is refused."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from smtpplus.message.token import Purpose, token_length
from smtpplus.message.tracking_urls import unsubscribe_url
from smtpplus.store.store import run
from smtpplus.values.errors import StoreUnavailableError
from smtpplus.values.response import ResponseKind
from smtpplus.web.site import make_site
from smtpplus.web.tracking.phrases import LANGUAGES, REASONS, language_for
from tests.web.browser import Answer
from tests.web.house import NOW
from tests.web.tracking.rig import TrackingTestCase

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_ONE_CLICK = b"List-Unsubscribe=One-Click"
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = (
    b'--b0undary\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
    b"One-Click\r\n--b0undary--\r\n"
)


class OneClickTests(TrackingTestCase):
    def post(self, body: bytes, kind: str = _FORM, path: str = "") -> Answer:
        """As a mailbox provider does it."""
        path = path or self.unsubscribe_path()
        return self.browser().ask("POST", path, body, {"content_type": kind})

    def test_UN1_a_POST_of_every_form_unsubscribes_before_it_is_answered(self) -> None:
        table = (
            (_ONE_CLICK, _FORM),
            (_ONE_CLICK + b"\r\n", f"{_FORM}; charset=UTF-8"),
            (b"list-unsubscribe=one-click", _FORM),
            (_ONE_CLICK, ""),
            (_MULTIPART, "multipart/form-data; boundary=b0undary"),
            (_MULTIPART, 'multipart/form-data; charset=utf-8; boundary="b0undary"'),
        )
        for body, kind in table:
            self.kept.inactive.clear()
            self.kept.changes.clear()
            answer = self.post(body, kind)
            self.assertEqual((answer.status, answer.header("location")), (200, ""), (body, kind))
            self.assertEqual(answer.cookies, [])
            (one,) = self.kept.changes
            self.assertEqual(one.kind, ResponseKind.UNSUBSCRIBED)
            self.assertEqual((one.list_id, one.reason), (self.list_id, "one-click"))
            self.assertEqual(one.client_ip, "192.0.2.10")

    def test_UN1_a_second_POST_is_200_and_changes_nothing(self) -> None:
        for _ in range(2):
            self.assertEqual(self.post(_ONE_CLICK).status, 200)
        self.assertEqual(len(self.kept.changes), 1)

    def test_UN2_GET_and_HEAD_change_nothing(self) -> None:
        path = self.unsubscribe_path()
        for method in ("GET", "HEAD", "GET"):
            self.assertEqual(self.browser().ask(method, path).status, 200)
        query = f"{path}?List-Unsubscribe=One-Click&do=unsubscribe"
        self.assertEqual(self.browser().get(query).status, 200)
        self.assertEqual(
            self.browser().ask("GET", path, _ONE_CLICK, {"content_type": _FORM}).status, 200
        )
        self.assertEqual((self.kept.changes, self.kept.groups), ([], []))

    def test_a_POST_that_does_not_say_what_to_do_changes_nothing(self) -> None:
        for body in (b"", b"x=y", b"List-Unsubscribe=No", b"do=erase", b"do=unsubscribe&list=99"):
            self.assertEqual(self.post(body).status, 400, body)
        for kind in ("application/json", "multipart/form-data", "multipart/form-data; boundary=x"):
            self.assertEqual(self.post(_MULTIPART, kind).status, 400, kind)
        self.assertEqual(self.kept.changes, [])

    def test_UN3_a_token_works_for_60_days_and_more_and_then_says_that_it_is_old(self) -> None:
        for days, status in ((60, 200), (720, 200), (800, 410)):
            path = unsubscribe_url("", self.tokens, self.facts, NOW - days * 86_400)
            self.assertEqual(self.post(_ONE_CLICK, path=path).status, status, days)

    def test_UN3_a_changed_token_is_refused_and_changes_nothing(self) -> None:
        path, chance = self.unsubscribe_path(), random.Random(1)
        for place in range(len("/u/"), len(path)):
            letter = chance.choice(_LETTERS.replace(path[place], ""))
            for changed in (path[:place] + letter + path[place + 1 :], path[:place], path + letter):
                self.assertEqual(self.post(_ONE_CLICK, path=changed).status, 404, changed)
                self.clock.advance(0.06)
        self.assertEqual(self.kept.changes, [])

    def test_W3_a_token_in_upper_case_is_refused_and_changes_nothing(self) -> None:
        token = self.unsubscribe_path().removeprefix("/u/")
        self.assertEqual(self.post(_ONE_CLICK, path=f"/u/{token.upper()}").status, 404)
        self.assertEqual(self.kept.changes, [])

    def test_W3_none_of_1000_random_tokens_is_taken(self) -> None:
        chance = random.Random(2)
        for _ in range(1000):
            token = "".join(chance.choices(_LETTERS, k=token_length(Purpose.UNSUBSCRIBE)))
            self.assertEqual(self.post(_ONE_CLICK, path=f"/u/{token}").status, 404)
            self.clock.advance(0.06)
        self.assertEqual(self.kept.changes, [])

    def test_a_mail_that_is_no_longer_known_is_410(self) -> None:
        self.kept.gone.add(self.facts.delivery_id)
        self.assertEqual(self.browser().get(self.unsubscribe_path()).status, 410)
        self.assertEqual(self.post(_ONE_CLICK).status, 410)

    def test_a_store_that_is_away_is_503_in_friendly_words(self) -> None:
        self.kept.error = StoreUnavailableError("database is locked")
        for answer in (
            self.browser().get(self.unsubscribe_path()),
            self.post(_ONE_CLICK),
            self.post(b"do=unsubscribe"),
        ):
            self.assertEqual((answer.status, answer.header("retry-after")), (503, "60"))
            self.assertIn("nothing was changed", answer.text)
            self.assertNotIn("database", answer.text)

    def test_a_flood_from_one_address_is_slowed_down(self) -> None:
        browser, path = self.browser(), self.unsubscribe_path()
        statuses = [browser.get(path).status for _ in range(310)]
        self.assertEqual(statuses.count(429), 10)

    def test_in_privacy_mode_nobody_is_kept(self) -> None:
        run(self.house.store.accounts.set_list(self.list_id, "privacy", True))
        self.browser().post(self.unsubscribe_path(), {"do": "unsubscribe"}, user_agent="x")
        (one,) = self.kept.changes
        self.assertEqual((one.client_ip, one.agent), ("", ""))


class PageTests(TrackingTestCase):
    def test_the_page_asks_says_what_was_done_and_undoes_it(self) -> None:
        browser, path = self.browser(), self.unsubscribe_path()
        page = browser.get(path).text
        for text in ("orders", "Example Shop", "a•••@example.net", "offers", *REASONS):
            self.assertIn(text, page)
        self.assertNotIn("anna", page)
        done = browser.post(path, {"do": "unsubscribe", "reason": "too often"})
        self.assertEqual((done.status, done.header("location")), (200, ""))
        self.assertIn("You are unsubscribed", done.text)
        self.assertIn("offers", done.text)
        self.assertEqual(browser.get(path).text, done.text)
        back = browser.post(path, {"do": "resubscribe"})
        self.assertIn("You are subscribed", back.text)
        self.assertEqual(
            [(one.kind, one.reason) for one in self.kept.changes],
            [(ResponseKind.UNSUBSCRIBED, "page: too often"), (ResponseKind.RESUBSCRIBED, "page")],
        )
        self.assertIn("Unsubscribe from", browser.get(path).text)

    def test_another_list_of_the_account(self) -> None:
        browser, path = self.browser(), self.unsubscribe_path()
        browser.post(path, {"do": "unsubscribe"})
        page = browser.post(path, {"do": "unsubscribe", "list": "4711"}).text
        self.assertEqual(self.kept.inactive, {self.list_id, 4711})
        self.assertEqual(len(re.findall(r'class="state off"', page)), 1)
        browser.post(path, {"do": "resubscribe", "list": "4711"})
        self.assertEqual(self.kept.inactive, {self.list_id})

    def test_a_list_that_has_not_written_to_the_address_is_not_to_be_had(self) -> None:
        for wanted in ("999999", "-1", "4711 ", "0x1267"):
            fields = {"do": "unsubscribe", "list": wanted}
            answer = self.browser().post(self.unsubscribe_path(), fields)
            self.assertEqual(answer.status, 400, wanted)
        self.assertEqual(self.kept.changes, [])

    def test_a_reason_that_is_none_of_ours_is_not_kept(self) -> None:
        self.browser().post(self.unsubscribe_path(), {"do": "unsubscribe", "reason": "<script>"})
        self.assertEqual([one.reason for one in self.kept.changes], ["page"])

    def test_the_page_needs_no_script_no_cookie_and_nothing_from_elsewhere(self) -> None:
        for path in (self.unsubscribe_path(), "/u/broken"):
            answer = self.browser().get(path)
            self.assertNotRegex(answer.text, r"<script|<style|\sstyle=|\son[a-z]+=|https?://")
            policy = answer.header("content-security-policy")
            self.assertIn("default-src 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(answer.header("referrer-policy"), "no-referrer")
            self.assertIn("noindex", answer.text)
        style = self.browser().get("/u/page.css", host="links.shop.example")
        self.assertEqual((style.status, style.header("content-type")[:8]), (200, "text/css"))

    def test_W1_hostile_names_are_inert(self) -> None:
        hostile = "<img src=x onerror=alert(1)>{list}"
        self.kept.lists = {self.list_id: hostile, 4711: "</main><script>"}
        browser, path = self.browser(), self.unsubscribe_path()
        for page in (browser.get(path), browser.post(path, {"do": "unsubscribe"})):
            self.assertNotIn("<img", page.text)
            self.assertNotIn("<script", page.text)

    def test_it_speaks_the_language_of_the_reader(self) -> None:
        table = {
            "it-IT,it;q=0.9,en;q=0.8": "it",
            "de": "de",
            "nl, fr;q=0.5": "fr",
            "ES-mx": "es",
            "": "en",
            "zz, *;q=0.1": "en",
            "de;q=0, it;q=0.1": "it",
            "x" * 5000: "en",
        }
        for accepted, language in table.items():
            self.assertEqual(language_for(accepted), language, accepted[:30])
            answer = self.browser().get(self.unsubscribe_path(), accept_language=accepted)
            self.assertIn(f'<html lang="{language}">', answer.text)
            self.assertEqual(answer.header("content-language"), language)
            self.assertIn(LANGUAGES[language]["unsubscribe"], answer.text)

    def test_every_phrase_fills_in_what_the_others_do(self) -> None:
        names = re.compile(r"\{(\w+)\}")
        for language, phrases in LANGUAGES.items():
            for name, text in phrases.items():
                wanted = sorted(names.findall(LANGUAGES["en"][name]))
                self.assertEqual(sorted(names.findall(text)), wanted, (language, name))

    def test_other_methods_are_refused(self) -> None:
        answer = self.browser().ask("PUT", self.unsubscribe_path())
        self.assertEqual((answer.status, answer.header("allow")), (405, "GET, HEAD, POST"))

    def test_without_tracking_there_is_no_such_page(self) -> None:
        site = make_site(replace(self.ports, tracking=None), self.settings, self.clock)
        browser = self.browser()
        browser.site = site
        self.assertEqual(browser.get(self.unsubscribe_path()).status, 404)
        self.assertEqual(browser.get(self.open_path()).status, 404)
