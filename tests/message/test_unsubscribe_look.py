"""Is a content looked through for an unsubscribe tag where nothing else is put in?"""

from __future__ import annotations

import base64
from string import ascii_letters, digits

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.headers import head_length, parse_head
from smtpplus.message.unsubscribe_look import may_unsubscribe

_LONG = b"A line of so many words that it has to be broken somewhere, more or less here: "


def _mail(head: bytes, body: bytes) -> bytes:
    return b"From: a@example.com\r\n" + head + b"\r\n" + body


def _based(text: bytes) -> bytes:
    return base64.encodebytes(text).replace(b"\n", b"\r\n")


def _found(content: bytes) -> bool:
    size = head_length(content)
    assert size is not None
    return may_unsubscribe(content, size, parse_head(content[:size]))


_QP = b"Content-Type: text/html\r\nContent-Transfer-Encoding: Quoted-Printable\r\n"
_BASE64 = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n"
_MIXED = b"Content-Type: multipart/mixed; boundary=x\r\n"
_PDF = b"--x\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
_LETTERS = (ascii_letters + digits).encode()
_TAGS = (
    b"[unsubscribe]",
    b"[Unsubscribe]",
    b"[UNSUBSCRIBE]",
    b"<%unsubscribe%>",
    b"&lt;%asm_group_unsubscribe_raw_url%&gt;",
    b"{{unsubscribe}}",
    b"*|UNSUB|*",
    b"*|UNSUB:https://a.example/|*",
    b"%tag_unsubscribe_url%",
    b"{{{ pm:unsubscribe }}}",
    b"{{amazonSESUnsubscribeUrl}}",
    b"http://%5Bunsubscribe%5D",
    b"%7B%7Bunsubscribe%7D%7D",
)


class LookTests(SynchronousTestCase):
    def test_every_tag_is_seen_in_every_encoding(self) -> None:
        for tag in _TAGS:
            cut = len(tag) // 2
            for content in (
                _mail(b"", b"Go: " + tag + b"\r\n"),
                _mail(b"Content-Transfer-Encoding: 8bit\r\n", b"Gr\xc3\xbc\xc3\x9fe " + tag),
                _mail(_QP, b"=3Dx " + tag[:cut] + b"=\r\n" + tag[cut:] + b"\r\n"),
                _mail(_QP, b"".join(b"=%02X" % o if o not in _LETTERS else b"%c" % o for o in tag)),
                *(_mail(_BASE64, _based(_LONG[:size] + tag)) for size in range(60, 70)),
                _mail(_BASE64, _based(tag.decode().encode("utf-16"))),
                _mail(_MIXED, b"--x\r\n" + _BASE64 + b"\r\n" + _based(tag) + b"--x--\r\n"),
                _mail(_MIXED, b"--x\r\n\r\nHi " + tag + b"\r\n--x--\r\n"),
                _mail(_MIXED, b"--x\r\n\r\nHi " + tag + b"\r\n" + _PDF),  # the beginning alone
            ):
                self.assertTrue(_found(content), content)

    def test_without_one_nothing_is_looked_for(self) -> None:
        for content in (
            _mail(b"", b"Hello, unsubscribe by mail\r\n"),
            _mail(b"", b"100% [of] {all} *bold*\r\n"),
            _mail(b"Subject: [unsubscribe]\r\n", b"Hello\r\n"),
            _mail(_BASE64, _based(b"Hello [name]")),
            _mail(_BASE64, b"!!!"),
            _mail(_QP, b"=3D="),
            _mail(_MIXED, b"--x\r\n\r\nHi\r\n" + _PDF + _based(b"[unsubscribe]") + b"--x--\r\n"),
            _mail(b"Content-Type: application/pdf\r\n", b"[unsubscribe]"),
            _mail(
                b"Content-Type: multipart/signed; boundary=x\r\n",
                b"--x\r\n\r\n[unsubscribe]\r\n--x--\r\n",
            ),
            _mail(_MIXED, b""),
        ):
            self.assertFalse(_found(content), content)
