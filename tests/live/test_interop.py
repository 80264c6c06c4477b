"""M1, O10, M3: what is submitted is what arrives, signed, at a strict sink, Postfix and Exim.

Every message of the corpora, with CRLF line ends, goes through a running service. Where its
From cannot be sent from, it is given a plain one in place. Of the head only this may differ:
fields in front of it, and what the service says it leaves out.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_tz
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.config import load
from smtpplus.installation import open_installation, run
from smtpplus.values.errors import UsageError
from tests.corpora import messages
from tests.folders import folder_of
from tests.live.installation import Installation
from tests.live.peers import Exim, Postfix, wait_for
from tests.live.recorder import Recorder
from tests.live.signatures import opendkim_verifies, valid_signatures

_FROM = b"From: <shop@example.com>\r\n"
_SECONDS = 120.0
_SINGLE = (
    b"from sender reply-to to cc subject date message-id in-reply-to references mime-version "
    b"content-type content-transfer-encoding content-disposition content-id"
).split()
_SENDER = re.compile(
    rb"^From:[^\r\n]*?@([A-Za-z0-9.-]+\.[A-Za-z]+)>?[ \t]*(?=\r)", re.IGNORECASE | re.MULTILINE
)
_DATE = re.compile(rb"\d{1,2}\s+[A-Z][a-z]{2}\s+\d{2,4}\s+\d\d?:\d\d(:\d\d)?\s+([+-]\d{4}|[A-Z]+)")

# What is refused: reply, and how often in the corpora. A head that every reader would read in
# its own way is nothing to be signed.
_REFUSED = {
    "550 5.6.0 Header field N has no name and colon; "
    "an empty line must stand between header and body.": 7,
    "550 5.6.0 The message has 2 Content-Type header fields; one is allowed.": 1,
    "550 5.6.0 The message has 2 Date header fields; one is allowed.": 1,
    "550 5.6.0 The message has 2 Message-ID header fields; one is allowed.": 1,
}
# Other services' control fields, which are taken for what they say.
_CONTROLS = (b"x-smtpapi", b"x-mc-", b"x-mailgun-", b"x-pm-", b"x-ses-", b"x-msys-api", b"x-mq-")
# What is left out of heads: the mbox line, Bcc, a Date and Message-ID that are none, and the
# Feedback-ID, in whose place ours stands (FI1).
_LEFT_OUT = {"from": 31, "message-id": 4, "date": 3, "bcc": 1, "feedback-id": 9}
_MOST_NEW_FROMS = 0.3  # of the corpora: parts of messages without From, and unreadable ones


@dataclass(frozen=True, slots=True)
class Server:
    """What a mail server does to a head at final delivery: field names in lower case."""

    adds: tuple[bytes, ...] = ()
    drops: tuple[bytes, ...] = ()


_NO_SERVER = Server()


def crlf(content: bytes) -> bytes:
    """As a client would send it: CRLF line ends, no NUL (both would be replaced)."""
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", content.replace(b"\0", b" "))
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def split(content: bytes) -> tuple[bytes, bytes]:
    """Head without, body with the empty line."""
    if content.startswith(b"\r\n"):
        return b"", content
    head, empty, body = content.partition(b"\r\n\r\n")
    return head + b"\r\n" if empty else head, empty[2:] + body


def fields(head: bytes) -> list[bytes]:
    """The fields of a head, folded lines with the field."""
    return re.findall(rb"[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", head)


def name_of(field: bytes) -> bytes:
    """In lower case; of a line that is no field its first word."""
    return re.split(rb"[ \t]*:|[ \t]", field, maxsplit=1)[0].lower().strip()


def with_from(content: bytes) -> bytes:
    """With one plain From, where the first one stands; at the top where there is none."""
    head, body = split(content)
    kept: list[bytes] = []
    has_from = False
    for field in fields(head):
        if name_of(field) != b"from" or field.startswith(b"From "):
            kept.append(field)
        elif not has_from:
            has_from = True
            kept.append(_FROM)
    if not has_from:
        kept.insert(1 if kept and kept[0].startswith(b"From ") else 0, _FROM)
    # One that names a Sender elsewhere is not ours to send either.
    return b"".join(field for field in kept if name_of(field) != b"sender") + body


def left_out(submitted: list[bytes], arrived: list[bytes]) -> list[str] | None:
    """What of the submitted fields did not arrive; None: something that must arrive as it is."""
    missing: list[str] = []
    rest, seen = list(arrived), set[bytes]()
    for number, field in enumerate(submitted):
        name = name_of(field)
        if rest and rest[0] == field:
            rest.pop(0)
        elif not may_be_left_out(field, seen, is_first=number == 0):
            return None
        else:
            missing.append(name.decode("ascii", "replace"))
        seen.add(b"".join(field.split()).lower())
    return None if rest else missing


def may_be_left_out(field: bytes, seen: set[bytes], *, is_first: bool) -> bool:
    """Is it one of those the service says it leaves out?"""
    name, _, value = field.partition(b":")
    name = name.strip().lower()
    if field.startswith((b"From ", b">From ")):
        return is_first
    if name in {b"bcc", b"resent-bcc", b"feedback-id"} or name.startswith(_CONTROLS):
        return True
    if name in _SINGLE and b"".join(field.split()).lower() in seen:
        return True
    if name == b"date":
        return parsedate_tz(value.decode("latin-1")) is None or not _DATE.search(value)
    return name == b"message-id" and not re.fullmatch(rb"\s*<[^\s<>@]+@[^\s<>@]+>\s*", value)


class InteropTests(SynchronousTestCase):
    """A real session in, a real server out."""

    def setUp(self) -> None:
        self.directory = folder_of(self)
        self.directory.mkdir(parents=True)

    def run_service(self, port: int) -> None:
        """A service that delivers to `port`, may send from every domain, and signs for one."""
        self.service = Installation(
            self,
            self.directory,
            {
                "relay.routes": f'{{"example.net" = "127.0.0.1:{port}"}}',
                "relay.dkim_domain": '"example.com"',
            },
        )
        self.service.start()
        # Nobody of these stands in To: with the Bcc rule each would find only itself there.
        self.service.cli("list", "set", "default", "bcc_own_to", "off")
        self.keys = self.service.dkim_keys()

    def own(self, mails: Iterable[bytes]) -> None:
        """Make the domains of these senders domains of the trial."""
        domains = {
            found[1].decode().lower() for mail in mails if (found := _SENDER.search(split(mail)[0]))
        }
        config = load(Path(self.service.facts["config"]), [])
        with open_installation(config) as opened:
            for domain in sorted(domains):
                with contextlib.suppress(UsageError):
                    now = time.time()
                    run(opened.accounts.add_domain("trial", domain, now, now))

    def submit_all(self, mails: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
        """Submit; what was taken by recipient: name, and the octets as they were submitted."""
        self.own(mails.values())
        self.refused: dict[str, str] = {}
        taken = {}
        with self.service.client() as client:
            for number, (name, mail) in enumerate(mails.items()):
                to = f"m{number}@example.net"
                for content in (mail, with_from(mail)):
                    try:
                        self.submit(client, to, content)
                    except smtplib.SMTPResponseException as error:
                        text = error.smtp_error
                        said = text.decode() if isinstance(text, bytes) else text
                        self.refused[name] = f"{error.smtp_code} {said}"
                    else:
                        taken[to] = name, content
                        self.refused.pop(name, None)
                        break
        return taken

    def submit(self, client: smtplib.SMTP, to: str, content: bytes) -> None:
        """One transaction; a head that is not ASCII says SMTPUTF8, as a client must."""
        options = [] if split(content)[0].isascii() else ["BODY=8BITMIME", "SMTPUTF8"]
        for code, text in (
            client.mail("shop@example.com", options),
            client.rcpt(to),
            client.data(content),
        ):
            if code >= 400:
                client.rset()
                raise smtplib.SMTPResponseException(code, text)

    def compare(
        self, submitted: bytes, arrived: bytes, name: str, server: Server = _NO_SERVER
    ) -> list[str]:
        """Hold them together; what was left out, but for what the receiving server drops."""
        head, body = split(arrived)
        self.assertEqual(body, split(submitted)[1], name)
        rest = fields(head)
        allowed = {b"dkim-signature", b"received", b"feedback-id", *server.adds}
        wanted = [one for one in fields(split(submitted)[0]) if name_of(one) not in server.drops]
        while rest and name_of(rest[0]) in allowed:
            front = rest.pop(0)
            if b" by localhost with " in b" ".join(front.split()):
                break  # the service's own Received is the last of those in front
        return self.without_new(wanted, rest, name)

    def without_new(self, wanted: list[bytes], rest: list[bytes], name: str) -> list[str]:
        """What was left out, where Date and Message-ID were put in front only when needed."""
        added: list[bytes] = []
        for field in (b"date", b"message-id"):
            if rest and name_of(rest[0]) == field and rest[0] not in wanted:
                rest = rest[1:]
                added += [field]
        missing = left_out(wanted, rest)
        assert missing is not None, f"{name}: {wanted} became {rest}"
        for field in added:
            had = sum(name_of(one) == field for one in wanted)
            self.assertEqual(missing.count(field.decode()), had, f"{name}: {field!r} was valid")
        return missing

    def test_M1_O10_every_message_at_a_strict_sink(self) -> None:
        recorder = Recorder(self)
        self.run_service(recorder.port)
        mails = {name: crlf(content) for name, content in messages("mime", "bounces")}
        taken = self.submit_all(mails)
        wait_for("delivery", lambda: len(recorder) >= len(taken), _SECONDS)
        self.assertEqual(recorder.faults, [])
        self.assertEqual({one.to for one in recorder.mails}, set(taken))
        cuts: Counter[str] = Counter()
        for one in recorder.mails:
            name, submitted = taken[one.to]
            cuts.update(self.compare(submitted, one.content, name))
            self.assertEqual(set(valid_signatures(one.content, self.keys)), {True}, name)
        sample = [one.content for one in recorder.mails[::10]]
        said = opendkim_verifies(sample, self.keys, self.directory / "opendkim")
        self.assertEqual([text for text in said if text], [])
        self.assertEqual(dict(cuts), _LEFT_OUT)
        reasons = Counter(re.sub(r"field \d+", "field N", text) for text in self.refused.values())
        self.assertEqual(dict(reasons), _REFUSED)
        new = sum(content != mails[name] for name, content in taken.values())
        self.assertLess(new, len(mails) * _MOST_NEW_FROMS)

    def test_M1_O10_postfix(self) -> None:
        # virtual(8) writes Return-Path, and cleanup(8) drops one that is there (RFC 5321 §4.4).
        server = Server(
            adds=(b"return-path", b"x-original-to", b"delivered-to"),
            drops=(b"return-path", b"content-length"),
        )
        self._at_a_server(Postfix(self, self.directory), server)

    def test_M1_O10_exim(self) -> None:
        # What an appendfile transport writes at the final delivery is dropped on the way in.
        server = Server(drops=(b"return-path", b"envelope-to", b"delivery-date"))
        self._at_a_server(Exim(self, self.directory), server)

    def _at_a_server(self, peer: Postfix | Exim, server: Server) -> None:
        self.run_service(peer.port)
        chosen = list(messages("mime", "bounces"))[::5]
        taken = self.submit_all({name: crlf(content) for name, content in chosen})
        wait_for("delivery", lambda: peer.count() >= len(taken), _SECONDS)
        arrived = {}
        for mail in peer.mails():
            content = crlf(mail)
            found = re.search(rb"for <(m\d+@example\.net)>;\r\n\t[^\r\n]*\r\n", content)
            assert found is not None
            arrived[found[1].decode()] = content
        self.assertEqual(set(arrived), set(taken))
        for to, (name, submitted) in taken.items():
            self.compare(submitted, arrived[to], name, server)
            self.assertEqual(set(valid_signatures(arrived[to], self.keys)), {True}, name)
        self.assertEqual(self.service.tracebacks(), [])
