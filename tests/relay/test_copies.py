"""The copy that goes over the wire: what it is made of, and what its signatures cover (M1 to M3)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dkim as dkimpy
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.dkim import generate_key
from smtpplus.message.facts import ContentFacts
from smtpplus.message.headers import head_length
from smtpplus.net.workers import InlineWorkers
from smtpplus.ports import Extensions
from smtpplus.relay.copies import Copies, Copy, CopyFailedError
from smtpplus.values.message import Accepted, Delivery, NewDelivery
from smtpplus.values.submission import DkimKey, DkimKeyState
from tests.corpora import corpus_path
from tests.relay.fakes import Contents, a_clock, a_delivery

_PEM, _PUBLIC = generate_key()
_OTHER_PEM, _OTHER_PUBLIC = generate_key()
_EIGHT_BIT = Extensions({"8BITMIME": "", "SMTPUTF8": ""})
_SEVEN_BIT = Extensions({"SIZE": "0"})
_KEYS = {
    "example.com": DkimKey(1, "example.com", "sp1", DkimKeyState.ACTIVE, _PEM, _PUBLIC, 0.0),
    "us.example": DkimKey(
        2, "us.example", "own", DkimKeyState.ACTIVE, _OTHER_PEM, _OTHER_PUBLIC, 0.0
    ),
}


def _dns(name: bytes | str, **_options: Any) -> bytes | None:
    text = name.decode() if isinstance(name, bytes) else name
    selector, domain = text.rstrip(".").split("._domainkey.")
    for key in _KEYS.values():
        if (key.selector, key.domain) == (selector, domain):
            return f"v=DKIM1; k=rsa; p={key.public_b64}".encode()
    return None


def _samples() -> list[bytes]:
    """Messages of the corpus with a head, with CRLF line ends and one From of ours."""
    found = []
    for path in sorted(Path(corpus_path("mime")).glob("*/*"))[::4]:
        octets = re.sub(rb"\r\n|\r|\n", b"\r\n", path.read_bytes()).replace(b"\0", b" ")
        length = head_length(octets)
        if length is None or not re.match(rb"[!-9;-~]+:", octets):
            continue
        head = re.sub(rb"(?im)^from[ \t]*:.*\r\n(?:[ \t].*\r\n)*", b"", octets[:length])
        found.append(b"From: a@example.com\r\n" + head + octets[length:].rstrip(b"\r\n") + b"\r\n")
    return found


class _Keys:
    async def signing_key(self, domain: str) -> DkimKey | None:
        return _KEYS.get(domain)


class CopyTests(SynchronousTestCase):
    def _copies(self, content: bytes, **settings: Any) -> Copies:
        _, clock = a_clock()
        accounts: Any = _Keys()
        known = {"relay_domains": ("mail.us.example", "us.example")} | settings
        return Copies(
            contents=Contents(content),
            accounts=accounts,
            signing=InlineWorkers(),
            clock=clock,
            **known,
        )

    def _delivery(self, content: bytes, **changes: Any) -> Delivery:
        facts = ContentFacts()
        facts.update(content)
        known = {
            "octets": len(content),
            "head_octets": head_length(content),
            "eight_bit": facts.eight_bit,
            "long_lines": facts.long_lines,
        }
        return a_delivery(**(known | changes))

    def _copy(self, copies: Copies, delivery: Delivery, offered: Extensions = _EIGHT_BIT) -> Copy:
        return self.successResultOf(ensureDeferred(copies.copy_for(delivery, offered)))

    def _octets(self, copy: Copy) -> bytes:
        async def read() -> bytes:
            pieces = []
            while piece := await copy.body.next_chunk():
                pieces.append(piece)
            return b"".join(pieces)

        octets = self.successResultOf(ensureDeferred(read()))
        self.assertEqual(len(octets), copy.body.size)
        return octets

    def test_M1_what_was_submitted_stands_behind_what_we_prepend(self) -> None:
        for content in _samples():
            octets = self._octets(self._copy(self._copies(content), self._delivery(content)))
            self.assertTrue(octets.endswith(b"Received: from x\r\n" + content))

    def test_M3_DK1_both_signatures_verify(self) -> None:
        for content in _samples()[::3]:
            octets = self._octets(self._copy(self._copies(content), self._delivery(content)))
            verifier = dkimpy.DKIM(octets)
            for index in (0, 1):
                self.assertTrue(verifier.verify(index, dnsfunc=_dns), octets[:300])

    def test_DK1_signed_by_the_From_domain_and_by_the_first_own_domain_with_a_key(self) -> None:
        content = b"From: a@example.com\r\n\r\nHi\r\n"
        copy = self._copy(self._copies(content), self._delivery(content))
        self.assertEqual(copy.signed_by, ("d=example.com s=sp1", "d=us.example s=own"))
        copy = self._copy(self._copies(content), self._delivery(content, from_domain="us.example"))
        self.assertEqual(copy.signed_by, ("d=us.example s=own",))
        copy = self._copy(
            self._copies(content, relay_domains=()),
            self._delivery(content, from_domain="x.example"),
        )
        self.assertEqual(copy.signed_by, ())

    def test_M2_a_signature_that_was_there_still_verifies(self) -> None:
        for content in _samples()[::3]:
            for canonical in [(b"relaxed", b"relaxed"), (b"simple", b"simple")]:
                field = dkimpy.sign(
                    content, b"own", b"us.example", _OTHER_PEM, canonicalize=canonical
                )
                signed = field + content
                copies = self._copies(signed, relay_domains=())
                octets = self._octets(self._copy(copies, self._delivery(signed)))
                self.assertTrue(dkimpy.DKIM(octets).verify(1, dnsfunc=_dns))

    def test_S16_M3_what_is_converted_is_signed_after_that(self) -> None:
        content = (
            "From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\nGr\u00fc\u00dfe\r\n"
        ).encode()
        copies = self._copies(content)
        delivery = self._delivery(content)
        seven = self._octets(self._copy(copies, delivery, _SEVEN_BIT))
        self.assertTrue(seven.isascii())
        self.assertTrue(dkimpy.verify(seven, dnsfunc=_dns))
        eight = self._copy(copies, delivery)
        self.assertTrue(eight.eight_bit)
        self.assertTrue(self._octets(eight).endswith(content))

    def test_always_seven_bit_converts_for_everybody(self) -> None:
        content = "From: a@example.com\r\n\r\nGr\u00fc\u00dfe\r\n".encode()
        copies = self._copies(content, always_seven_bit=True)
        self.assertTrue(self._octets(self._copy(copies, self._delivery(content))).isascii())

    def test_S4_long_lines_stay_or_are_converted_by_setting(self) -> None:
        content = b"From: a@example.com\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 5000 + b"\r\n"
        delivery = self._delivery(content)
        self.assertTrue(self._octets(self._copy(self._copies(content), delivery)).endswith(content))
        short = self._octets(self._copy(self._copies(content, recode_long_lines=True), delivery))
        self.assertLessEqual(max(map(len, short.split(b"\r\n"))), 998)
        self.assertTrue(dkimpy.verify(short, dnsfunc=_dns))

    def test_S16_a_head_that_stands_alone_can_be_converted(self) -> None:
        content = "From: a@example.com\r\nSubject: Gr\u00fc\u00dfe\r\n".encode()
        delivery = self._delivery(content, head_octets=len(content))
        self.assertTrue(
            self._octets(self._copy(self._copies(content), delivery, _SEVEN_BIT)).isascii()
        )

    def test_S16_what_cannot_be_converted_bounces_5_6_3(self) -> None:
        content = (
            "From: a@example.com\r\nMIME-Version: 1.0\r\n"
            'Content-Type: multipart/signed; boundary="b"\r\n\r\n--b\r\n'
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            "Gr\u00fc\u00dfe\r\n--b\r\n\r\n--b--\r\n"
        ).encode()
        failure = self.failureResultOf(
            ensureDeferred(self._copies(content).copy_for(self._delivery(content), _SEVEN_BIT)),
            CopyFailedError,
        )
        self.assertEqual(str(failure.value.outcome.status), "5.6.3")

    def test_a_large_content_is_streamed_and_signed_all_the_same(self) -> None:
        content = b"From: a@example.com\r\n\r\n" + b"0123456789abcdef" * 4 + b"\r\n" * 3000
        octets = self._octets(
            self._copy(self._copies(content), self._delivery(content, in_file=True))
        )
        self.assertTrue(octets.endswith(content))
        self.assertTrue(dkimpy.verify(octets, dnsfunc=_dns))

    def test_a_content_just_accepted_is_not_read_back_and_leaves_memory_when_done(self) -> None:
        content = b"From: a@example.com\r\n\r\nHi\r\n"
        copies = self._copies(content)
        contents = copies._contents
        assert isinstance(contents, Contents)
        delivery = self._delivery(content)
        copies.remember(
            Accepted(
                delivery.message,
                (NewDelivery(1, delivery.recipient), NewDelivery(2, delivery.recipient)),
                content,
                leased=True,
                due_at=0,
            )
        )
        self._copy(copies, delivery)
        copies.forget(delivery.message.id)
        self._copy(copies, delivery)
        self.assertEqual(contents.reads, 0)
        copies.forget(delivery.message.id)
        self.assertEqual(copies._held._octets, 0)
        self._copy(copies, delivery)
        self.assertEqual(contents.reads, 1)

    def test_memory_is_bounded(self) -> None:
        content = b"From: a@example.com\r\n\r\n" + b"x" * 10_000 + b"\r\n"
        copies = self._copies(content, most_octets=50_000, relay_domains=())
        for number in range(20):
            self._copy(copies, self._delivery(content, id=number))
        self.assertLessEqual(copies._held._octets, 50_000)
