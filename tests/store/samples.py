"""Stores in a test's own directory, and messages to put into them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.store.store import Store, open_store, open_store_blocking
from smtpplus.values.address import Address
from smtpplus.values.envelope import Body, Envelope, EnvelopeRecipient, Notify, Ret
from smtpplus.values.ids import IdSource
from smtpplus.values.message import (
    Accepted,
    Delivery,
    DeliveryState,
    Message,
    NewDelivery,
    Settlement,
)
from smtpplus.values.outcome import Attempt, Outcome, Result, Stage, TlsFacts
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode
from smtpplus.values.submission import ScramVerifier
from tests.folders import folder_of
from tests.store.laid_out import lay_out

NOW = 1_780_000_000.0
SECRET = b"a secret of thirty-two octets..."
HEAD = b"From: alice@example.com\r\nSubject: hello\r\n\r\n"
CONTENT = HEAD + b"Hello,\r\nworld\r\n"
VERIFIER = ScramVerifier(b"salt", 4096, b"stored", b"server")
TO_BOB = EnvelopeRecipient(Address("Bob", "Example.net"))
TO_ZOE = EnvelopeRecipient(
    Address("zoë", "bücher.example"),
    frozenset({Notify.FAILURE, Notify.DELAY}),
    "rfc822;zoe@example",
)


def accepted(
    ids: IdSource,
    *recipients: EnvelopeRecipient,
    at: float = NOW,
    leased: bool = False,
    due_at: float | None = None,
    content: bytes | None = CONTENT,
    user_id: int = 7,
    reports_on: int | None = None,
    subject: str = "hello",
    sender: Address | None = Address("alice", "example.com"),  # noqa: B008 - frozen
    octets: int = len(CONTENT),
    crc32: int | None = None,
) -> Accepted:
    """A message to `recipients`, Bob if none; a `content` of None stands in a file."""
    to = recipients or (TO_BOB,)
    octets = octets if content is None else len(content)
    message = Message(
        id=ids.next(at),
        account_id=1,
        list_id=2,
        user_id=user_id,
        received_at=at,
        expires_at=at + 432_000,
        envelope=Envelope(sender, to, Body.EIGHT_BIT_MIME, True, Ret.HDRS, "env+20id", octets),
        header_from="Alice <alice@example.com>",
        from_domain="example.com",
        subject=subject,
        message_id="<1@example.com>",
        octets=octets,
        head_octets=len(HEAD),
        prepend=b"Received: by relay.example; now\r\n",
        cuts=((3, 9), (12, 20)),
        eight_bit=True,
        long_lines=True,
        utf8_head=True,
        in_file=content is None,
        client_ip="192.0.2.1",
        hello="client.example",
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        mechanism="PLAIN",
        campaign="orders",
        priority=2,
        crc32=crc32 if content is None else zlib.crc32(content),
    )
    new = tuple(NewDelivery(ids.next(at), recipient) for recipient in to)
    return Accepted(message, new, content, leased, at if due_at is None else due_at, reports_on)


def delivery_of(item: Accepted, index: int = 0, attempts: int = 0) -> Delivery:
    """A delivery of `item` as its queue would lease it."""
    new = item.deliveries[index]
    return Delivery(new.id, item.message, new.recipient, attempts, item.due_at)


_RESULTS = {
    DeliveryState.QUEUED: Result.DEFERRED,
    DeliveryState.HELD: Result.DEFERRED,
    DeliveryState.DELIVERED: Result.DELIVERED,
}


def settlement(
    delivery: Delivery,
    state: DeliveryState = DeliveryState.DELIVERED,
    *,
    at: float = NOW + 1,
    due_at: float | None = None,
    delay_reported: bool = False,
    transcript: str = "220 hello\nQUIT\n",
    text: str = "Done.",
) -> Settlement:
    """An attempt's end, with all facts."""
    code = EnhancedCode(2, 0, 0)
    outcome = Outcome(
        _RESULTS.get(state, Result.BOUNCED), Stage.BODY, code, text, Reply(250, code, (text,))
    )
    tls = TlsFacts("TLSv1.3", "X", "CN=a", "CN=b", "2030-01-01", "ab", True, False)
    attempt = Attempt(
        at, 12, "mx.example.net", "192.0.2.9", 25, "192.0.2.1", "relay", tls, True,
        ("d=example.com s=sp1",), 1234, transcript,
    )  # fmt: skip
    return Settlement(delivery, state, at, outcome, attempt, due_at, delay_reported)


class StoreCase(TestCase):
    """A test with stores of its own."""

    def setUp(self) -> None:
        self.timers = Clock()
        self.clock = ReactorClock(self.timers, lambda: NOW)
        self.data_dir = folder_of(self)
        self.secret = SECRET

    @property
    def url(self) -> str:
        return f"sqlite:///{self.data_dir}/store.sqlite"

    def open(self, name: str = "one", **options: Any) -> Store:
        """A store for a service; not started."""
        if options.get("create", True):
            lay_out(self.url)
        from twisted.internet import reactor  # not at import: accepting.py forks before it

        return open_store(
            self.url,
            self.data_dir,
            reactor=reactor,  # type: ignore[arg-type]
            clock=self.clock,
            node_name=name,
            secret=self.secret,
            **options,
        )

    def open_blocking(self) -> Store:
        """A store as the command line opens it."""
        store = open_store_blocking(
            lay_out(self.url), self.data_dir, clock=self.clock, secret=self.secret, create=True
        )
        self.addCleanup(store.close)
        return store

    async def started(self) -> Store:
        """A running store, closed at the test's end."""
        store = self.open()
        await store.start()
        self.addCleanup(store.close)
        return store


def in_queue(rows: Sequence[Delivery]) -> list[int]:
    """Their ids."""
    return [row.id for row in rows]
