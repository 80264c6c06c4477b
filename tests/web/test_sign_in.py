"""Signing in, staying signed in, signing out: W8, and the throttle (A2)."""

from __future__ import annotations

import re
from pathlib import Path

from smtpplus.web.sessions import (
    SESSION_SECONDS,
    SIGN_IN_SECONDS,
    check_password,
    hash_password,
)
from tests.web.browser import PageTestCase

_PASSWORD = "correct horse battery"


class LinkTests(PageTestCase):
    def test_W8_a_link_works_once_and_looking_at_it_does_not_use_it(self) -> None:
        link = self.link(self.house.operator)
        browser = self.browser()
        for _ in range(3):
            self.assertEqual(browser.get(link).status, 200)
        answer = browser.submit(link, link, {})
        self.assertEqual((answer.status, answer.header("location")), (303, "/"))
        self.assertEqual(browser.get("/").status, 200)
        other = self.browser()
        refused = other.submit(link, link, {})
        self.assertEqual(refused.status, 403)
        self.assertIn("used already", refused.text)
        self.assertEqual(other.get("/").status, 303)

    def test_W8_a_link_expires(self) -> None:
        link = self.link(self.house.operator)
        self.clock.advance(SIGN_IN_SECONDS + 1)
        browser = self.browser()
        self.assertEqual(browser.submit(link, link, {}).status, 403)

    def test_W8_a_session_expires(self) -> None:
        browser = self.browser(self.house.operator)
        self.clock.advance(SESSION_SECONDS - 1)
        self.assertEqual(browser.get("/").status, 200)
        self.clock.advance(2)
        self.assertEqual(browser.get("/").status, 303)

    def test_W8_signing_out_ends_the_session_also_for_a_copy_of_the_cookie(self) -> None:
        browser = self.browser(self.house.operator)
        copy = self.browser()
        copy.cookies = dict(browser.cookies)
        answer = browser.submit("/settings", "/sign-out", {})
        self.assertEqual((answer.status, answer.header("location")), (303, "/sign-in"))
        self.assertNotIn("smtpplus", browser.cookies)
        self.assertEqual(copy.get("/").status, 303)

    def test_after_signing_in_one_lands_on_a_page_of_ours(self) -> None:
        table = {
            "/messages/0abc": "/messages/0abc",
            "//evil.example/": "/",
            "/\\evil.example": "/",
            "https://evil.example/": "/",
            "/%0d%0aSet-Cookie:x": "/",
            "javascript:alert(1)": "/",
            "": "/",
        }
        browser = self.browser(self.house.operator)
        for target, wanted in table.items():
            answer = browser.get(f"/sign-in?next={target}")
            self.assertEqual(answer.header("location"), wanted, target)

    def test_a_protected_page_sends_to_the_sign_in_page_and_back(self) -> None:
        answer = self.browser().get("/messages")
        self.assertEqual(answer.header("location"), "/sign-in?next=/messages")


class CookieTests(PageTestCase):
    def test_W8_the_cookie_is_kept_from_scripts_and_from_other_sites(self) -> None:
        link = self.link(self.house.operator)
        answer = self.browser().submit(link, link, {})
        (cookie,) = answer.cookies
        parts = {part.strip() for part in cookie.split(";")[1:]}
        self.assertEqual(parts, {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=1209600"})
        self.assertRegex(cookie, r"^smtpplus=[A-Za-z0-9_-]{43};")

    def test_W8_tokens_of_sessions_differ_from_what_the_store_keeps(self) -> None:
        browser = self.browser(self.house.operator)
        path = Path(str(self.house.store._database))
        kept = b"".join(file.read_bytes() for file in path.parent.glob("store.sqlite*"))
        self.assertNotIn(browser.cookies["smtpplus"].encode(), kept)


class SecureCookieTests(PageTestCase):
    public_url = "https://mail.example.com"

    def test_W8_over_https_the_cookie_is_secure_and_bound_to_this_host(self) -> None:
        link = self.link(self.house.operator)
        browser = self.browser()
        answer = browser.submit(link, link, {})
        (cookie,) = answer.cookies
        self.assertTrue(cookie.startswith("__Host-smtpplus="))
        self.assertIn("; Secure", cookie)
        self.assertEqual(browser.get("/").status, 200)
        self.assertIn("max-age", answer.header("strict-transport-security"))


class CsrfTests(PageTestCase):
    def test_W8_a_post_without_the_sessions_token_changes_nothing(self) -> None:
        browser = self.browser(self.house.operator)
        stranger = self.browser(self.house.tenants[0].owner)
        theirs = re.search(r'name="csrf" value="([^"]*)"', stranger.get("/settings").text)
        assert theirs is not None
        for token in ("", "x", "é", "x" * 43, theirs[1]):
            answer = browser.post("/sign-out", {"csrf": token})
            self.assertEqual(answer.status, 403, token)
        self.assertEqual(browser.get("/").status, 200)

    def test_W8_a_post_from_another_site_is_refused_even_with_the_token(self) -> None:
        browser = self.browser(self.house.operator)
        answer = browser.submit("/settings", "/sign-out", {}, sec_fetch_site="cross-site")
        self.assertEqual(answer.status, 403)

    def test_W8_other_content_than_a_form_is_refused(self) -> None:
        browser = self.browser(self.house.operator)
        for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x", ""):
            answer = browser.post("/sign-out", {"csrf": "x"}, content_type=kind)
            self.assertEqual(answer.status, 415, kind)

    def test_W8_signing_in_needs_a_form_of_ours_too(self) -> None:
        link = self.link(self.house.operator)
        self.assertEqual(self.browser().post(link, {}).status, 403)
        browser = self.browser()
        browser.get(link)
        self.assertEqual(browser.post(link, {"csrf": "x" * 43}).status, 403)
        self.assertEqual(browser.submit(link, link, {}).status, 303)


class PasswordTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.owner = self.house.tenants[0].owner
        self.run_now(self.ports.people.set_password(self.owner.id, hash_password(_PASSWORD)))

    def sign_in(self, email: str, password: str, ip: str = "192.0.2.10") -> tuple[int, str]:
        browser = self.browser(ip=ip)
        answer = browser.submit("/sign-in", "/sign-in", {"email": email, "password": password})
        return answer.status, answer.header("retry-after")

    def test_the_right_password_signs_in_and_the_wrong_one_does_not(self) -> None:
        self.assertEqual(self.sign_in("OWNER@example.com ", _PASSWORD), (303, ""))
        self.assertEqual(self.sign_in("owner@example.com", "wrong"), (403, ""))
        self.assertEqual(self.sign_in("", ""), (403, ""))

    def test_an_unknown_person_and_a_wrong_password_look_the_same(self) -> None:
        pages = []
        for email in ("owner@example.com", "nobody@example.com", "reader@example.com"):
            browser = self.browser()
            fields = {"email": email, "password": "wrong"}
            answer = browser.submit("/sign-in", "/sign-in", fields)
            hidden = re.sub(r'name="csrf" value="[^"]*"', "", answer.text)
            pages.append((answer.status, hidden.replace(email, "")))
        self.assertEqual(len(set(pages)), 1)

    def test_A2_after_five_failures_one_try_a_second(self) -> None:
        for _ in range(5):
            self.assertEqual(self.sign_in("owner@example.com", "wrong")[0], 403)
        self.assertEqual(self.sign_in("owner@example.com", _PASSWORD), (429, "1"))
        self.clock.advance(1.0)
        self.assertEqual(self.sign_in("owner@example.com", "wrong")[0], 403)
        self.assertEqual(self.sign_in("owner@example.com", "wrong")[0], 429)
        self.assertEqual(self.sign_in("owner@example.com", _PASSWORD, "192.0.2.99")[0], 303)

    def test_A2_many_addresses_together_lock_the_name_for_strangers(self) -> None:
        for number in range(20):
            self.sign_in("owner@example.com", "wrong", f"198.51.100.{number}")
        status, wait = self.sign_in("owner@example.com", _PASSWORD, "198.51.100.200")
        self.assertEqual(status, 429)
        self.assertGreater(int(wait), 60)

    def test_a_very_long_password_is_wrong_and_cheap(self) -> None:
        self.assertEqual(self.sign_in("owner@example.com", "x" * 100_000)[0], 403)

    def test_a_new_password_needs_the_old_one_and_ends_other_sessions(self) -> None:
        browser, other = self.browser(self.owner), self.browser(self.owner)
        new = {"new": "another password", "again": "another password"}
        path = "/settings/password"
        self.assertEqual(browser.submit("/settings", path, {**new, "current": "no"}).status, 403)
        right = {**new, "current": _PASSWORD}
        answer = browser.submit("/settings", path, right)
        self.assertEqual((answer.status, answer.header("location")), (303, "/settings?saved=1"))
        self.assertIn("new password is set", browser.get("/settings?saved=1").text)
        self.assertEqual(other.get("/").status, 303)
        self.assertEqual(self.sign_in("owner@example.com", "another password")[0], 303)

    def test_a_first_password_is_set_without_an_old_one(self) -> None:
        browser = self.browser(self.house.operator)
        self.assertIn("Set a password", browser.get("/").text)
        for fields, wanted in (
            ({"new": "short", "again": "short"}, "too short"),
            ({"new": "a long password", "again": "a longer password"}, "differ"),
            ({"new": "operator@example.org", "again": "operator@example.org"}, "e-mail address"),
            ({"new": "x" * 1025, "again": "x" * 1025}, "too long"),
        ):
            answer = browser.submit("/settings", "/settings/password", fields)
            self.assertEqual(answer.status, 400)
            self.assertIn(wanted, answer.text)
        fields = {"new": _PASSWORD, "again": _PASSWORD}
        self.assertEqual(browser.submit("/settings", "/settings/password", fields).status, 303)
        self.assertNotIn("Set a password", browser.get("/").text)

    def test_no_page_shows_a_password_again(self) -> None:
        browser = self.browser()
        fields = {"email": "owner@example.com", "password": "a wrong secret"}
        self.assertNotIn("a wrong secret", browser.submit("/sign-in", "/sign-in", fields).text)


class HashTests(PageTestCase):
    def test_hashes_are_argon2id_and_salted(self) -> None:
        first, second = hash_password(_PASSWORD), hash_password(_PASSWORD)
        self.assertTrue(first.startswith("$argon2id$"))
        self.assertNotEqual(first, second)
        self.assertTrue(check_password(_PASSWORD, first))
        for stored in (None, "", "not a hash", "$argon2id$v=19$broken"):
            self.assertFalse(check_password(_PASSWORD, stored))
        self.assertFalse(check_password("the password of nobody", None))
