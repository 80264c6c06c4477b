"""A furnished installation for page tests: a real store, two accounts, people, mail.

Texts that strangers choose (subjects, HELO names, replies …) are given by the test, so that the
same rows can be realistic or hostile.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from smtpplus.net.clock import ReactorClock
from smtpplus.ports import SandboxMail
from smtpplus.store.store import Store, open_store_blocking
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient
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
from smtpplus.values.response import Response, ResponseKind
from smtpplus.values.status_codes import EnhancedCode
from smtpplus.values.submission import (
    Account,
    MailList,
    Person,
    Role,
    ScramVerifier,
    SmtpUser,
    Stream,
)

__all__ = [
    "BOUNCED",
    "DEFERRED",
    "DELIVERED",
    "NOW",
    "WAITING",
    "Fate",
    "House",
    "Tenant",
    "Texts",
    "furnish",
]

NOW = 1_795_442_733.0  # 2026-11-23 14:05:33 UTC
_VERIFIER = ScramVerifier(b"salt", 4096, b"k" * 32, b"s" * 32)


@dataclass(frozen=True, slots=True)
class Texts:
    """What strangers choose."""

    subject: str = "Your order 4711 is on its way"
    header_from: str = "Example Shop <shop@example.com>"
    message_id: str = "<20261123.4711@shop.example.com>"
    hello: str = "app-01.shop.example.com"
    campaign: str = "orders"
    host: str = "mx1.example.net"
    reply: str = "Requested mail action okay, completed"
    certificate: str = "CN=mx1.example.net"
    transcript: str = "S: 220 mx1.example.net ESMTP\nC: EHLO relay.example.com\nS: 250 Ok"
    signature: str = "d=example.com s=sp1"
    local: str = "anna"
    domain: str = "example.net"
    name: str = ""
    campaign_name: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one recipient: one pair per attempt, and the state after the last."""

    state: DeliveryState
    replies: tuple[tuple[Result, str, Stage], ...] = ()
    due_in: float = 900.0


DELIVERED = Fate(DeliveryState.DELIVERED, ((Result.DELIVERED, "2.0.0", Stage.BODY),))
BOUNCED = Fate(DeliveryState.BOUNCED, ((Result.BOUNCED, "5.1.1", Stage.RCPT),))
WAITING = Fate(DeliveryState.QUEUED)
DEFERRED = Fate(
    DeliveryState.QUEUED,
    ((Result.DEFERRED, "4.7.1", Stage.RCPT), (Result.DEFERRED, "4.4.1", Stage.CONNECT)),
)


@dataclass(slots=True)
class Tenant:
    """An account with what belongs to it."""

    account: Account
    mail_list: MailList
    users: list[SmtpUser]
    owner: Person
    analyst: Person


class House:
    """The store and the ways to put things into it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.tenants: list[Tenant] = []
        self.operator: Person
        self.messages: list[int] = []

    async def add_tenant(self, name: str, domain: str, users: int = 1) -> Tenant:
        """An account, its list, users, domain and people."""
        accounts, people = self.store.accounts, self.store.people
        account = await accounts.add_account(name, NOW)
        mail_list = await accounts.add_list(name, "default", Stream.TRANSACTIONAL, NOW)
        await accounts.add_domain(name, domain, NOW, NOW)
        made = [
            await accounts.add_user(mail_list.id, None, _VERIFIER, (), (), NOW)
            for _ in range(users)
        ]
        owner = await people.add_person(f"owner@{domain}", Role.OWNER, account.id, None, NOW)
        analyst = await people.add_person(f"reader@{domain}", Role.ANALYST, account.id, None, NOW)
        tenant = Tenant(account, mail_list, made, owner, analyst)
        self.tenants.append(tenant)
        return tenant

    async def keep(self, content: bytes, texts: Texts | None = None) -> int:
        """A mail in the sandbox; its id."""
        texts = texts or Texts()
        mail = SandboxMail(
            id=self.store.ids.next(NOW - 30),
            received_at=NOW - 30,
            sender=texts.header_from,
            recipient=f"{texts.local}@{texts.domain}",
            subject=texts.subject,
            header_from=texts.header_from,
            octets=len(content),
            tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
            content=content,
        )
        await self.store.sandbox.keep(mail)
        return mail.id

    async def send(
        self,
        tenant: Tenant,
        fates: Sequence[Fate],
        texts: Texts | None = None,
        at: float = NOW - 60,
        user: int = 0,
    ) -> int:
        """Accept a message and let its recipients meet their fates; its id."""
        texts = texts or Texts()
        message = self._message(tenant, len(fates), texts, at, user)
        new = tuple(
            NewDelivery(
                self.store.ids.next(at),
                recipient,
                name=texts.name,
                fields={"city": texts.name} if texts.name else {},
            )
            for recipient in message.envelope.recipients
        )
        await self.store.queue.accept(Accepted(message, new, b"Subject: x\r\n\r\n", True, at))
        for delivery, fate in zip(new, fates, strict=True):
            await self._meet(Delivery(delivery.id, message, delivery.recipient, 0, at), fate, texts)
        self.messages.append(message.id)
        return message.id

    async def respond(
        self, message_id: int, kind: ResponseKind, by: str = "person", **more: Any
    ) -> None:
        """The first recipient opens, clicks, unsubscribes."""
        row = await self.store.history.message(None, message_id)
        assert row is not None
        delivery = (await self.store.history.deliveries(message_id))[0]
        about = row.message
        response = Response(
            kind, NOW - 10, about.account_id, about.list_id, message_id, delivery.id, by=by, **more
        )
        if kind in {ResponseKind.OPENED, ResponseKind.CLICKED}:
            await self.store.responses.record([response])
        elif kind is ResponseKind.UNSUBSCRIBED:
            await self.store.responses.unsubscribe(response)
        else:
            await self.store.responses.resubscribe(response)

    def _message(
        self, tenant: Tenant, recipients: int, texts: Texts, at: float, user: int
    ) -> Message:
        locals_ = [texts.local, *(f"customer{number}" for number in range(2, recipients + 1))]
        return Message(
            id=self.store.ids.next(at),
            account_id=tenant.account.id,
            list_id=tenant.mail_list.id,
            user_id=tenant.users[user].id,
            received_at=at,
            expires_at=at + 5 * 86400,
            envelope=Envelope(
                Address("shop", "example.com"),
                tuple(EnvelopeRecipient(Address(local, texts.domain)) for local in locals_),
            ),
            header_from=texts.header_from,
            from_domain="example.com",
            subject=texts.subject,
            message_id=texts.message_id,
            octets=18_211,
            head_octets=14,
            prepend=b"",
            client_ip="2001:db8::12:5",
            hello=texts.hello,
            tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
            mechanism="SCRAM-SHA-256",
            campaign=texts.campaign,
            campaign_name=texts.campaign_name,
        )

    async def _meet(self, delivery: Delivery, fate: Fate, texts: Texts) -> None:
        at = delivery.due_at
        for number, (result, code, stage) in enumerate(fate.replies, 1):
            is_last = number == len(fate.replies)
            state = fate.state if is_last else DeliveryState.QUEUED
            at += 30.0 * number
            settlement = Settlement(
                delivery=replace(delivery, attempts=number - 1),
                state=state,
                at=at,
                outcome=_outcome(result, code, stage, texts),
                attempt=_attempt(at, stage, texts),
                due_at=NOW + fate.due_in if state is DeliveryState.QUEUED else None,
            )
            await self.store.queue.settle([settlement])
        if not fate.replies and fate.state is not DeliveryState.QUEUED:
            raise ValueError("only a waiting delivery has no attempt")


def _outcome(result: Result, code: str, stage: Stage, texts: Texts) -> Outcome:
    status = EnhancedCode.parse(code)
    assert status is not None
    if stage is Stage.CONNECT:
        return Outcome(result, stage, status, f"connection to {texts.host} refused", None)
    reply = Reply({2: 250, 4: 450, 5: 550}[status.klass], status, (texts.reply,))
    return Outcome(result, stage, status, texts.reply, reply)


def _attempt(at: float, stage: Stage, texts: Texts) -> Attempt:
    if stage is Stage.CONNECT:
        return Attempt(at, 30_000, texts.host, "203.0.113.25", 25, "192.0.2.1", "relay.example.com")
    tls = TlsFacts(
        version="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        subject=texts.certificate,
        issuer=f"CN=R11, {texts.certificate}",
        not_after="2027-01-19T08:12:44Z",
        fingerprint_sha256="9f:86:d0:81:88:4c:7d:65:9a:2f:ea:a0:c5:5a:d0:15" * 2,
        trusted=True,
        peer_name_ok=False,
    )
    return Attempt(
        started_at=at,
        took_ms=412,
        host=texts.host,
        ip="203.0.113.25",
        port=25,
        source_ip="192.0.2.1",
        ehlo="relay.example.com",
        tls=tls,
        signed_by=(texts.signature, "d=relay.example.com s=sp1"),
        sent_bytes=18_804,
        transcript=texts.transcript,
    )


_FURNISHED: dict[bool, tuple[Path, list[Tenant], Person]] = {}


async def furnish(folder: Path, clock: Clock, *, alone: bool = False) -> House:
    """An installation with two accounts (`alone`: one), their people, an operator and no mail.

    It is made once and copied for every further test.
    """
    if alone not in _FURNISHED:
        made = folder.with_name(f"furnished-{alone}").absolute()
        made.mkdir()
        house = House(_open(made, clock), clock)
        await house.add_tenant("Example Shop", "example.com", users=2)
        if not alone:
            await house.add_tenant("Other Ltd", "other.example")
        operator = await house.store.people.add_person(
            "operator@example.org", Role.OPERATOR, None, None, NOW
        )
        await house.store.close()
        _FURNISHED[alone] = (made, house.tenants, operator)
    source, tenants, operator = _FURNISHED[alone]
    shutil.copytree(source, folder, dirs_exist_ok=True)
    house = House(_open(folder, clock), clock)
    house.tenants, house.operator = list(tenants), operator
    return house


def _open(folder: Path, clock: Clock) -> Store:
    return open_store_blocking(
        f"sqlite:///{folder / 'store.sqlite'}",
        folder,
        clock=ReactorClock(clock, lambda: NOW + clock.seconds()),
        secret=b"s" * 32,
        create=True,
    )
