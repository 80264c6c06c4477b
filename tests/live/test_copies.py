"""Copies through a running service: what lists put in, and nothing else, is what people get.

M6 over real pages: footer, pixel and tracked links on; what arrived is decoded by the standard
library, verified by dkimpy and opendkim, and looked at in Chromium beside what was submitted.
P5: To, Cc and 501 Bcc of one message. With ``SMTPPLUS_TEST_WHOLE_CORPORA=1`` every page in every
wrapping.
"""

from __future__ import annotations

import hashlib
import json
import os
import quopri
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.folders import folder_of
from tests.live.chromium import Chromium
from tests.live.installation import Installation
from tests.live.page_mails import (
    FOOTER_HTML,
    FOOTER_TEXT,
    PageMail,
    View,
    differences,
    fields_of,
    links_back,
    name_of,
    page_mails,
)
from tests.live.peers import needs, wait_for
from tests.live.recorder import Arrived, Recorder
from tests.live.signatures import opendkim_verifies, valid_signatures

WHOLE = os.environ.get("SMTPPLUS_TEST_WHOLE_CORPORA") == "1"
_FROM = "shop@example.com"
_SETTINGS = {
    "footer": "on",
    "footer_html": FOOTER_HTML,
    "footer_text": FOOTER_TEXT,
    "track_opens": "on",
    "track_clicks": "on",
    "track_clicks_text": "on",
    "unsubscribe": "on",
}
_LOOKS = ((800, False), (360, True))  # width, dark
_HEIGHT = "document.documentElement.scrollHeight"
_GIF = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)


_IN_FRONT = (b"dkim-signature", b"feedback-id", b"cfbl-address", b"cfbl-feedback-id", b"received")
_SIGNED_ANEW = {b"dkim-signature", b"list-unsubscribe", b"cfbl-feedback-id"}  # in each another
_NODE_MODULES = Path(__file__).parents[2] / ".ci" / "cache" / "node_modules"
_ANNA, _CARL = "anna@example.net", "carl@example.net"
_BLIND = ["dora@example.net", *(f"bcc{number}@example.net" for number in range(500))]
_BCC_MAIL = (
    b"From: Shop <shop@example.com>\r\nTo: Anna\r\n <anna@example.net>\r\nBcc: "
    + b",\r\n ".join(one.encode() for one in _BLIND)
    + b"\r\nCC: carl@example.net\r\nSubject: For all of you\r\nX-Own: \tkept \r\n"
    b"Message-ID: <bcc@example.com>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    b'<p>Gr=C3=BC=C3=9Fe  =\r\n<a href=3D"https://shop.example/1">x</a> =\r\n</p>=20\r\n.\r\n\r\n\r\n'
)
_NODEMAILER = """
const to = JSON.parse(process.env.BLIND);
require('nodemailer').createTransport({
  host: '127.0.0.1', port: +process.env.PORT, secure: true, tls: {rejectUnauthorized: false},
  auth: {user: process.env.SMTP_USER, pass: process.env.SMTP_PASSWORD}
}).sendMail({from: 'Shop <shop@example.com>', to: 'Anna <anna@example.net>',
  cc: 'carl@example.net', bcc: to, subject: 'Für euch', text: 'See https://shop.example/1',
  html: '<p>Grüße <a href="https://shop.example/1">x</a></p>',
}).then(() => process.exit(0), error => { console.error(error); process.exit(1); });
"""


class Screen:
    """Mails as Chromium shows them, with the network off."""

    def __init__(self, chromium: Chromium, directory: Path) -> None:
        self._chromium = chromium
        self._directory = directory
        self._view = View(b"", "")
        self._known: dict[tuple[str, int, float], bytes] = {}
        self.looked = 0
        chromium.answered_by(self._answer)

    def _answer(self, url: str) -> tuple[str, bytes] | None:
        if url == "http://mail.test/":
            return f"text/html; charset={self._view.charset}", self._view.octets
        if "/t/o/" in url:
            return "image/gif", _GIF
        return None

    def compare(self, name: str, before: bytes, after: bytes, look: tuple[int, bool]) -> list[str]:
        """What looks different: above the footer, and everywhere if it is taken away."""
        width, dark = look
        chromium = self._chromium
        chromium.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        chromium.call("Emulation.setEmulatedMedia", features=[scheme])
        self._open(View.of(after))
        top = chromium.ask("document.getElementById('our-footer').getBoundingClientRect().top")
        shown = chromium.picture(x=0, y=0, width=width, height=top)
        chromium.ask("document.getElementById('our-footer').style.display = 'none'")
        without = chromium.picture(x=0, y=0, width=width, height=chromium.ask(_HEIGHT))
        submitted = View.of(before)
        found = []
        if shown != self._before(submitted, width, top):
            found.append("above the footer")
        if without != self._before(submitted, width, 0):
            found.append("without the footer")
        if found:
            before = self._before(submitted, width, 0)
            self._keep(name, shown=shown, without=without, before=before)
        self.looked += 1
        return found

    def _before(self, view: View, width: int, height: float) -> bytes:
        key = (hashlib.sha256(view.text.encode()).hexdigest(), width, height)
        if key not in self._known:
            self._open(view)
            height = height or self._chromium.ask(_HEIGHT)
            self._known[key] = self._chromium.picture(x=0, y=0, width=width, height=height)
        return self._known[key]

    def _open(self, view: View) -> None:
        self._view = view
        self._chromium.open("http://mail.test/")

    def _keep(self, name: str, **pictures: bytes) -> None:
        for what, picture in pictures.items():
            (self._directory / f"{name} {what}.png".replace("/", "-")).write_bytes(picture)


class CopiesTestCase(SynchronousTestCase):
    """A service whose list wants everything, and a host that writes down what it gets."""

    def setUp(self) -> None:
        self.directory = folder_of(self)
        self.directory.mkdir(parents=True)
        self.recorder = Recorder(self)
        routes = f'{{"example.net" = "127.0.0.1:{self.recorder.port}"}}'
        settings = {"relay.routes": routes, "feedback.domain": "bounce.example.com"}
        self.service = Installation(self, self.directory, settings)

    def wants(self, **settings: str) -> None:
        """What the list wants."""
        for key, value in settings.items():
            self.service.cli("list", "set", "default", key, value)


def _listed(wrong: dict[str, list[str]]) -> str:
    return "\n".join(f"{name}: {', '.join(found)}" for name, found in wrong.items())


class PageTests(CopiesTestCase):
    """M6 from end to end."""

    def test_M6_DK_pages_in_real_MIME_with_everything_on(self) -> None:
        self.wants(**_SETTINGS)
        self.service.start()
        mails = page_mails(whole=WHOLE)
        begin = time.monotonic()
        with self.service.client() as client:
            for mail in mails:
                client.sendmail(_FROM, [mail.address], mail.content)
        wait_for("delivery", lambda: len(self.recorder) == len(mails), 600)
        took = time.monotonic() - begin
        arrived = {one.to: one for one in self.recorder.mails}
        self.assertEqual(self.recorder.faults, [])
        for one in arrived.values():
            self.assertRegex(one.sender, r"^b-[0-9a-v]{40,}@bounce\.example\.com$")
        self.assertEqual(len({one.sender for one in arrived.values()}), len(mails))
        copies = [(mail, arrived[mail.address].content) for mail in mails]
        tracked = self._check_texts(copies)
        self._check_signatures([content for _, content in copies])
        looked = self._check_looks(copies)
        self.assertEqual(self.service.tracebacks(), [])
        print(
            f"{len(mails)} mails, {tracked} tracked links, sent in {took:.1f} s; "
            f"{len(copies)} verified by dkimpy and opendkim, {looked} looked at in Chromium"
        )

    def _check_texts(self, copies: list[tuple[PageMail, bytes]]) -> int:
        wrong: dict[str, list[str]] = {}
        tracked = 0
        for mail, content in copies:
            found, links = differences(mail.content, content)
            tracked += links
            if not links:
                found.append("no link is tracked")
            if found:
                wrong[mail.name] = found
        self.assertEqual(wrong, {}, _listed(wrong))
        return tracked

    def _check_signatures(self, contents: list[bytes]) -> None:
        keys = self.service.dkim_keys()
        for content in contents:
            self.assertEqual(valid_signatures(content, keys), [True])
        said = opendkim_verifies(contents, keys, self.directory / "opendkim")
        self.assertEqual(Counter(said), {"": len(contents)})

    def _check_looks(self, copies: list[tuple[PageMail, bytes]]) -> int:
        screen = Screen(Chromium(self), self.directory)
        wrong = {}
        for number, (mail, content) in enumerate(copies):
            look = _LOOKS[number // 2 % 2]
            if found := screen.compare(mail.name, mail.content, content, look):
                wrong[mail.name] = found
        self.assertEqual(wrong, {}, _listed(wrong))
        other = screen.compare("unlike", copies[0][0].content, copies[1][1], _LOOKS[0])
        self.assertEqual(len(other), 2)  # the eye is open
        return screen.looked - 1


class BlindCopyTests(CopiesTestCase):
    """P5: one message to To, Cc and 501 Bcc."""

    def test_P5_M1_byte_for_byte_what_each_receives(self) -> None:
        self.service.start()
        took, grown = self._arrive(self._by_smtplib)
        bcc = rb"\nBcc: [^\r\n]*(?:\r\n [^\r\n]*)*\r\n"
        submitted = re.sub(bcc, b"\n", _BCC_MAIL)
        to = b"To: Anna\r\n <anna@example.net>\r\n"
        for one in self.recorder.mails:
            own = b"To: %s\r\n" % one.to.encode()
            expected = submitted if one.to in {_ANNA, _CARL} else submitted.replace(to, own)
            self.assertTrue(one.content.endswith(expected), one.content)
            ours = fields_of(one.content[: -len(expected)] + b"\r\n")
            names = [name_of(field) for field in ours]
            self.assertEqual(names, list(_IN_FRONT))
        self._check_all()
        print(f"503 recipients in {took:.1f} s, {grown} KiB more at the peak")

    def test_P5_M6_with_everything_on_by_Nodemailer(self) -> None:
        if not (_NODE_MODULES / "nodemailer").is_dir():
            raise SkipTest("needs nodemailer (npm install --prefix .ci/cache nodemailer)")
        self.wants(**_SETTINGS)
        self.service.start()
        took, grown = self._arrive(self._by_nodemailer)
        arrived = {one.to: one.content for one in self.recorder.mails}
        to = b"\r\nTo: Anna <anna@example.net>\r\n"
        self.assertIn(to, arrived[_ANNA])
        shown = self._without_ours(arrived[_ANNA])
        self.assertEqual(self._without_ours(arrived[_CARL]), shown)
        for address in _BLIND:
            own = b"\r\nTo: %s\r\n" % address.encode()
            self.assertEqual(self._without_ours(arrived[address]), shown.replace(to, own))
        self._check_all()
        for purpose in (rb"/t/o/", rb"/t/c/", rb"/u/"):
            found = [
                set(re.findall(purpose + rb"([0-9a-v]{40,})", self._flat(c)))
                for c in arrived.values()
            ]
            self.assertEqual(len(set().union(*found)), sum(map(len, found)), purpose)
            self.assertTrue(all(found), purpose)
        print(f"503 recipients, everything on, in {took:.1f} s, {grown} KiB more at the peak")

    def _arrive(self, send: Callable[[], None]) -> tuple[float, int]:
        """Seconds from the first octet to the last arrival; KiB of memory more at the peak."""
        self.service.forget_peak()
        before, begin = self.service.memory_kib(), time.monotonic()
        send()
        wait_for("all copies", lambda: len(self.recorder) >= 2 + len(_BLIND), 120)
        took = time.monotonic() - begin
        wanted = sorted([_ANNA, _CARL, *_BLIND])
        self.assertEqual(sorted(one.to for one in self.recorder.mails), wanted)
        return took, self.service.memory_kib(peak=True) - before

    def _by_smtplib(self) -> None:
        with self.service.client() as client:
            refused = client.sendmail(_FROM, [_ANNA, _CARL, *_BLIND], _BCC_MAIL)
        self.assertEqual(refused, {})

    def _by_nodemailer(self) -> None:
        environment = {
            "PORT": str(self.service.submission_tls),
            "SMTP_USER": self.service.username,
            "SMTP_PASSWORD": self.service.password,
            "BLIND": json.dumps(_BLIND),
            "NODE_PATH": str(_NODE_MODULES),
        }
        done = subprocess.run(
            [needs("node"), "-e", _NODEMAILER],
            capture_output=True,
            timeout=120,
            env=os.environ | environment,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def _check_all(self) -> None:
        """No Bcc, nobody else's address, a return path and a valid signature of its own."""
        mails = self.recorder.mails
        self.assertEqual(self.recorder.faults, [])
        self.assertEqual(len({one.sender for one in mails}), len(mails))
        keys = self.service.dkim_keys()
        for one in mails:
            names = {name_of(field) for field in fields_of(one.content)}
            self.assertEqual(names & {b"bcc", b"resent-bcc"}, set())
            self.assertEqual(self._blind_in(one) - {one.to}, set())
            self.assertEqual(valid_signatures(one.content, keys), [True], one.to)
        few = [one.content for one in mails[:: len(mails) // 20]]
        said = opendkim_verifies(few, keys, self.directory / "opendkim")
        self.assertEqual(Counter(said), {"": len(few)})
        self.assertEqual(self.service.tracebacks(), [])

    def _blind_in(self, one: Arrived) -> set[str]:
        """Addresses of blind recipients anywhere in what somebody gets."""
        found = re.findall(rb"(?:dora|bcc\d+)@example\.net", self._flat(one.content))
        return {address.decode() for address in found}

    def _flat(self, content: bytes) -> bytes:
        """All of it decoded from quoted-printable, the only encoding there is."""
        return quopri.decodestring(content)

    def _without_ours(self, content: bytes) -> bytes:
        """What remains where all that differs by token is taken away."""
        head, _, body = content.partition(b"\r\n\r\n")
        kept = [field for field in fields_of(head) if name_of(field) not in _SIGNED_ANEW]
        text = links_back(self._flat(body).decode(), in_html=False)
        return b"\r\n" + b"".join(kept) + b"\r\n" + text.encode()
