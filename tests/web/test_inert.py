"""W1, M13: whatever strangers wrote is text on every page, and nothing but text."""

from __future__ import annotations

from smtpplus.values.ids import show_id
from smtpplus.web.templates import inert
from tests.web.browser import PageTestCase, structure
from tests.web.house import BOUNCED, DEFERRED, DELIVERED, NOW, WAITING, Texts
from tests.web.payloads import PAYLOADS

_FATES = (DELIVERED, BOUNCED, DEFERRED)
_ROWS = 50
_CONTENT = b"Subject: Hello\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n"


def hostile(payload: str) -> Texts:
    return Texts(*([payload] * 11))


class InertTests(PageTestCase):
    alone = True

    def test_W1_the_message_page_has_the_same_elements_for_every_payload(self) -> None:
        tenant = self.house.tenants[0]
        browser = self.browser(tenant.owner)
        benign = Texts(message_id="x")
        plain = self.run_now(self.house.send(tenant, _FATES, benign))
        wanted, _ = structure(browser.get(f"/messages/{show_id(plain)}").text)
        for payload in PAYLOADS:
            sent = self.run_now(self.house.send(tenant, _FATES, hostile(payload)))
            page = browser.get(f"/messages/{show_id(sent)}").text
            elements, text = structure(page)
            self.assertEqual(elements, wanted, payload)
            shown = " ".join(inert(payload).split())
            self.assertIn(shown, " ".join(text.split()), payload)
            self.assertEqual(page, inert(page), payload)

    def test_W1_the_lists_have_the_same_elements_for_every_payload(self) -> None:
        browser = self.browser(self.house.tenants[0].owner)
        lists = ("/messages", "/queue", "/sandbox")
        self.fill([Texts()] * (_ROWS + 1), NOW - 60)
        plain = [structure(browser.get(path).text)[0] for path in lists]
        for number, part in enumerate((PAYLOADS[:_ROWS], PAYLOADS[-_ROWS:]), 1):
            self.fill([hostile(payload) for payload in part], NOW - 1000 * number)
            for path, wanted in zip(lists, plain, strict=True):
                page = browser.get(path).text
                self.assertIn("dataset.pwned", page)
                self.assertEqual(structure(page)[0], wanted, path)
                self.assertEqual(page, inert(page), path)

    def fill(self, texts: list[Texts], at: float) -> None:
        """Mail that fills the first page of every list: the newest, and due before all other."""
        for one in texts:
            self.run_now(self.house.send(self.house.tenants[0], (WAITING,), one, at))
            self.run_now(self.house.keep(_CONTENT, one))

    def test_W1_searching_for_a_payload_shows_it_as_text(self) -> None:
        browser = self.browser(self.house.tenants[0].owner)
        for path in ("/messages", "/queue", "/sandbox"):
            wanted, _ = structure(browser.get(f"{path}?q=plain").text)
            for payload in PAYLOADS:
                query = "".join(f"%{octet:02x}" for octet in payload.encode())
                answer = browser.get(f"{path}?q={query}&user={query}&state={query}&before={query}")
                self.assertEqual(answer.status, 200)
                self.assertEqual(structure(answer.text)[0], wanted, payload)

    def test_M13_a_mails_headers_and_attachment_names_are_text(self) -> None:
        browser = self.browser(self.house.tenants[0].owner)
        for payload in PAYLOADS[:45]:
            name = payload.replace("\n", " ").replace('"', "'")
            content = (
                f"Subject: {name}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
                f"Content-Type: text/plain; charset=utf-8\r\n\r\n{payload}\r\n--b\r\n"
                f'Content-Type: application/pdf; name="{name}"\r\n\r\nx\r\n--b--\r\n'
            ).encode()
            mail = show_id(self.run_now(self.house.keep(content, hostile(payload))))
            for view in ("text", "headers", "source"):
                page = browser.get(f"/sandbox/{mail}?view={view}").text
                elements, _ = structure(page)
                self.assertNotIn("img", {tag for tag, _ in elements}, payload)
                self.assertEqual([tag for tag, _ in elements].count("script"), 1, payload)
                attributes = {name for _, names in elements for name in names}
                self.assertFalse({name for name in attributes if name.startswith("on")}, payload)

    def test_W1_a_mails_html_is_served_where_it_can_do_nothing(self) -> None:
        browser = self.browser(self.house.tenants[0].owner)
        content = (
            b"Subject: x\r\nContent-Type: text/html\r\n\r\n"
            b"<script>top.document.title='x'</script><img src=https://evil.example/x.png>\r\n"
        )
        mail = show_id(self.run_now(self.house.keep(content)))
        answer = browser.get(f"/sandbox/{mail}/html")
        policy = {part.strip() for part in answer.header("content-security-policy").split(";")}
        self.assertIn("sandbox", policy)
        self.assertIn("default-src 'none'", policy)
        self.assertIn("frame-ancestors 'self'", policy)
        self.assertNotIn("script-src", answer.header("content-security-policy"))
        self.assertEqual(answer.header("x-frame-options"), "SAMEORIGIN")
        self.assertIn('sandbox=""', browser.get(f"/sandbox/{mail}").text)

    def test_W1_source_is_a_file_or_plain_text_never_a_document(self) -> None:
        browser = self.browser(self.house.tenants[0].owner)
        content = b"Subject: x\r\nContent-Type: text/html\r\n\r\n<script>x</script>\x1b[31m\r\n"
        mail = show_id(self.run_now(self.house.keep(content)))
        file = browser.get(f"/sandbox/{mail}/source")
        self.assertEqual(file.body, content)
        self.assertEqual(file.header("content-type"), "application/octet-stream")
        self.assertTrue(file.header("content-disposition").startswith("attachment;"))
        seen = browser.get(f"/sandbox/{mail}/source?view=1")
        self.assertEqual(seen.header("content-type"), "text/plain; charset=utf-8")
        self.assertNotIn("\x1b", seen.text)

    def test_W1_no_template_marks_anything_safe(self) -> None:
        from smtpplus.web.templates import templates_folder

        for path in templates_folder().glob("pages/*.html"):
            text = path.read_text()
            for word in ("|safe", "| safe", "autoescape", "Markup", " style=", "javascript:"):
                self.assertNotIn(word, text, path.name)
