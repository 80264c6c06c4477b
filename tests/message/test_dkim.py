"""Our signatures, verified by others; canonical forms by the RFC's examples."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from smtpplus.message import dkim
from smtpplus.message.headers import head_length, parse_head
from smtpplus.values.errors import UsageError
from tests.corpora import messages
from tests.folders import folder_of

PEM, PUBLIC = dkim.generate_key()
KEY = dkim.SigningKey.load(PEM)
NOW = 1_794_297_600
HEAD = (
    b"From: Shop <shop@example.com>\r\nTo: a@example.net\r\nSubject:  Two   words\r\n"
    b"Date: Tue, 10 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
    b"List-Unsubscribe: <https://example.com/u>,\r\n <mailto:u@example.com>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: a:b:c:smtpplus\r\n"
    b"CFBL-Address: fbl@example.com; report=arf\r\nMIME-Version: 1.0\r\n\r\n"
)
BODY = b"Hello \t  world \r\n\r\n second  line\t\r\n\r\n\r\n"


def body_digest(*chunks: bytes) -> bytes:
    body = dkim.BodyHash()
    for chunk in chunks:
        body.update(chunk)
    return body.digest()


def signed(head: bytes, body: bytes, **changes: str) -> bytes:
    field = dkim.sign(
        head,
        body_digest(body),
        KEY,
        **{"domain": "example.com", "selector": "sp1", **changes},
        now=NOW,
    )
    return field + head + body


def verifies(message: bytes, index: int = 0) -> bool:
    import dkim as peer

    def answer(name: bytes, timeout: int = 5) -> bytes:
        return b"v=DKIM1; k=rsa; p=" + PUBLIC.encode()

    try:
        return bool(peer.DKIM(message).verify(idx=index, dnsfunc=answer))
    except peer.DKIMException:
        return False


def slow_relaxed(body: bytes) -> bytes:
    """RFC 6376 §3.4.4, word for word."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def crlf_samples() -> list[tuple[str, bytes, bytes]]:
    found = []
    for name, content in messages("mime", "bounces"):
        crlf = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
        length = head_length(crlf)
        fields = parse_head(crlf[:length])
        names = [field.lower for field in fields]
        if length and "" not in names and names.count("from") == 1 and crlf.isascii():
            found.append((name, crlf[:length], crlf[length:]))
    return found


class BodyHashTest(SynchronousTestCase):
    def test_rfc6376_example(self) -> None:
        # RFC 6376 §3.4.5
        expected = hashlib.sha256(b" C\r\nD E\r\n").digest()
        self.assertEqual(body_digest(b" C \r\nD \t E\r\n\r\n\r\n"), expected)

    def test_empty_bodies_hash_nothing(self) -> None:
        empty = hashlib.sha256(b"").digest()  # RFC 6376 §3.4.4
        for body in [b"", b"\r\n", b"\r\n\r\n", b"  \r\n", b" \t"]:
            self.assertEqual(body_digest(body), empty, body)

    @given(
        st.lists(
            st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r\n\r\n", b"bc", b"  "]), max_size=30
        ),
        st.lists(st.integers(0, 40), max_size=5),
    )
    @settings(max_examples=500, deadline=None)
    def test_exact_however_it_is_cut(self, pieces: list[bytes], cuts: list[int]) -> None:
        body = b"".join(pieces)
        expected = hashlib.sha256(slow_relaxed(body)).digest()
        borders = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
        chunks = [body[a:b] for a, b in pairwise(borders)]
        self.assertEqual(body_digest(*chunks), expected)
        self.assertEqual(body_digest(*[body[i : i + 1] for i in range(len(body))]), expected)

    def test_digest_may_be_asked_in_between(self) -> None:
        body = dkim.BodyHash()
        body.update(b"a \r\n")
        self.assertEqual(body.digest(), hashlib.sha256(b"a\r\n").digest())
        body.update(b"b")
        self.assertEqual(body.digest(), hashlib.sha256(b"a\r\nb\r\n").digest())

    def test_M4_blank_bodies_take_no_memory(self) -> None:
        body = dkim.BodyHash()
        for _ in range(300):
            body.update(b"\r\n" * 32_768)
            body.update(b" " * 65_536)
        self.assertLess(len(body._rest), 100)
        body.update(b"x")
        self.assertEqual(len(body.digest()), 32)


class SignTest(SynchronousTestCase):
    def test_DK1_dkimpy_verifies(self) -> None:
        self.assertTrue(verifies(signed(HEAD, BODY)))
        self.assertTrue(verifies(signed(HEAD, b"")))
        self.assertTrue(verifies(signed(HEAD, BODY, identity="@example.com")))

    def test_M3_dkimpy_verifies_real_messages(self) -> None:
        for name, head, body in crlf_samples()[::9]:
            self.assertTrue(verifies(signed(head, body)), name)

    def test_DK2_nothing_signed_can_be_added_or_changed(self) -> None:
        message = signed(HEAD, BODY)
        for added in [
            b"From: x@evil.example\r\n",
            b"Subject: x\r\n",
            b"To: x@evil.example\r\n",
            b"Cc: x@evil.example\r\n",
            b"Reply-To: x@evil.example\r\n",
            b"Content-Type: text/html\r\n",
            b"List-Unsubscribe: <https://evil.example>\r\n",
            b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
            b"Feedback-ID: x\r\n",
        ]:
            self.assertFalse(verifies(added + message), added)
            self.assertFalse(
                verifies(message.replace(b"\r\n\r\n", b"\r\n" + added + b"\r\n", 1)), added
            )
        self.assertFalse(verifies(message + b"more\r\n"))
        self.assertTrue(verifies(b"Received: from x\r\n" + message))

    def test_DK3_tags(self) -> None:
        field = parse_head(signed(HEAD, BODY))[0]
        tags = dict(
            (part.strip().split("=", 1)) for part in re.sub(r"\s", "", field.unfolded).split(";")
        )
        self.assertEqual(tags["a"], "rsa-sha256")
        self.assertEqual(tags["c"], "relaxed/relaxed")
        self.assertEqual((tags["d"], tags["s"], tags["t"]), ("example.com", "sp1", str(NOW)))
        self.assertNotIn("l", tags)
        self.assertNotIn("x", tags)
        names = tags["h"].lower().split(":")
        for once in [
            "cc",
            "reply-to",
            "in-reply-to",
            "references",
            "content-type",
            "cfbl-feedback-id",
        ]:
            self.assertEqual(names.count(once), 1, once)
        for name in [
            "from",
            "to",
            "subject",
            "date",
            "message-id",
            "list-unsubscribe",
            "feedback-id",
        ]:
            self.assertEqual(names.count(name), 2, name)
        self.assertEqual(names.count("list-unsubscribe-post"), 2)
        self.assertEqual(names.count("cfbl-address"), 2)
        self.assertNotIn("received", names)
        self.assertTrue(
            all(len(line) <= 78 for line in signed(HEAD, b"").split(b"\r\n\r\n")[0].split(b"\r\n"))
        )

    def test_two_signatures_both_verify(self) -> None:
        message = signed(HEAD, BODY)
        own = dkim.sign(
            HEAD, body_digest(BODY), KEY, domain="relay.example", selector="r1", now=NOW
        )
        both = own + message
        self.assertTrue(verifies(both, 0))
        self.assertTrue(verifies(both, 1))

    def test_S11_domain_and_selector_cannot_inject(self) -> None:
        for bad in ["", "a b", "a;b", "a\r\nb", "a..b", ".a", "é.com"]:
            for name in ("domain", "selector"):
                with self.assertRaises(ValueError, msg=bad):
                    signed(HEAD, BODY, **{name: bad})
        with self.assertRaises(ValueError):
            signed(HEAD, BODY, identity="a@b;x")

    def test_rfc8463_example(self) -> None:
        # RFC 8463 §A
        seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
        key = dkim.SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed), "ed25519-sha256")
        self.assertEqual(key.public_b64, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
        body = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
        digest = base64.b64encode(body_digest(body))
        self.assertEqual(digest, b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=")
        fields = parse_head(
            b"From: Joe SixPack <joe@football.example.com>\r\n"
            b"To: Suzie Q <suzie@shopping.example.net>\r\nSubject: Is dinner ready?\r\n"
            b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
            b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
        )
        own = (
            b" v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; "
            b"i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n "
            b"subject : date : message-id : from : subject : date;\r\n bh=" + digest + b";\r\n b="
        )
        octets = b"".join(dkim._canonical(f.lower.encode(), f.value) for f in fields)
        octets += dkim._canonical(b"dkim-signature", own)[:-2]
        self.assertEqual(
            base64.b64encode(key.sign(octets)),
            b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==",
        )

    def test_rfc6376_header_example(self) -> None:
        # RFC 6376 §3.4.5
        fields = parse_head(b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n")
        canonical = b"".join(dkim._canonical(f.lower.encode(), f.value) for f in fields)
        self.assertEqual(canonical, b"a:X\r\nb:Y Z\r\n")

    def test_keys_that_cannot_be_used(self) -> None:
        small = rsa.generate_private_key(public_exponent=65537, key_size=1024).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        self.assertEqual(dkim.SigningKey.load(small).algorithm, "rsa-sha256")
        for pem in [b"", b"junk", PEM[:200]]:
            with self.assertRaises(UsageError):
                dkim.SigningKey.load(pem)
        self.assertNotIn("BEGIN", repr(KEY))
        pem, public = dkim.generate_key(use_ed25519=True)
        self.assertEqual(dkim.SigningKey.load(pem).public_b64, public)


class OpendkimTest(SynchronousTestCase):
    """The same with a verifier in C."""

    def run_opendkim(self, paths: Sequence[Path], folder: Path) -> str:
        program = shutil.which("opendkim") or "/usr/sbin/opendkim"
        if not Path(program).exists():
            raise SkipTest("opendkim is not installed (Debian: apt install opendkim)")
        keys = folder / "keys"
        keys.write_text(f"sp1._domainkey.example.com v=DKIM1; k=rsa; p={PUBLIC}\n")
        config = folder / "opendkim.conf"
        config.write_text(f"Mode v\nTestDNSData file:{keys}\n")
        command = [program, "-x", str(config), "-v", "-t", ",".join(map(str, paths))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def test_M3_opendkim_verifies(self) -> None:
        folder = folder_of(self)
        folder.mkdir()
        paths = []
        samples = [("own", HEAD, BODY), *crlf_samples()[::25]]
        for number, (_, head, body) in enumerate(samples):
            path = folder / f"{number}.eml"
            # opendkim reads a file with LF line ends as it would read a mailbox.
            path.write_bytes(signed(head, body).replace(b"\r\n", b"\n"))
            paths.append(path)
        said = self.run_opendkim(paths, folder)
        self.assertEqual(len(re.findall(r"verification \(.*\) succeeded", said)), len(paths), said)
