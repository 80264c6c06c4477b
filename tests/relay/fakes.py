"""In-memory neighbours of the relay: a world of scripted hosts, and a queue that remembers."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from smtpplus.net.clock import ReactorClock
from smtpplus.ports import (
    Extensions,
    IBody,
    IContents,
    IDialer,
    ILease,
    IQueue,
    ISmtpSession,
    Recovery,
    SessionLostError,
    TransactionReplies,
)
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient
from smtpplus.values.errors import StoreFullError
from smtpplus.values.message import Accepted, Delivery, Message, Settlement
from smtpplus.values.outcome import TlsFacts
from smtpplus.values.queue import QueueChange, Selection
from smtpplus.values.reply import Reply

CONTENT = b"From: a@example.com\r\nSubject: Hi\r\n\r\nHello\r\n"
OK = Reply.of(250, "2.0.0", "Ok")


def a_message(number: int = 1, **changes: Any) -> Message:
    message = Message(
        id=number,
        account_id=1,
        list_id=1,
        user_id=1,
        received_at=1000.0,
        expires_at=1000.0 + 5 * 86400,
        envelope=Envelope(Address("a", "example.com")),
        header_from="a@example.com",
        from_domain="example.com",
        subject="Hi",
        message_id="<1@example.com>",
        octets=len(CONTENT),
        head_octets=CONTENT.index(b"\r\n\r\n") + 4,
        prepend=b"Received: from x\r\n",
    )
    return replace(message, **changes)


def a_delivery(number: int = 1, to: str = "b@example.net", **changes: Any) -> Delivery:
    attempts = changes.pop("attempts", 0)
    recipient = EnvelopeRecipient(Address.parse(to), changes.pop("notify", None))
    delay_reported = changes.pop("delay_reported", False)
    return Delivery(
        id=number,
        message=a_message(number, **changes),
        recipient=recipient,
        attempts=attempts,
        due_at=1000.0,
        delay_reported=delay_reported,
    )


def a_clock() -> tuple[Clock, ReactorClock]:
    """Twisted's test clock, and ours over it; Unix time is 1000 + its seconds."""
    clock = Clock()
    return clock, ReactorClock(clock, lambda: 1000.0 + clock.seconds())


@dataclass
class Host:
    """What a remote host says at each step; an exception is raised in place of a reply."""

    greeting: Reply | Exception = field(default_factory=lambda: Reply.of(220, None, "hi"))
    hello: Reply | Exception = field(default_factory=lambda: Reply.of(250, None, "hi"))
    keywords: dict[str, str] = field(default_factory=lambda: {"8BITMIME": "", "PIPELINING": ""})
    start_tls: Reply | Exception = field(default_factory=lambda: Reply.of(220, "2.0.0", "go"))
    hello_in_tls: Reply | Exception = field(default_factory=lambda: Reply.of(250, None, "hi"))
    mail: Reply = OK
    rcpt: Reply = OK
    data: Reply | None = field(default_factory=lambda: Reply.of(354, None, "go"))
    final: Reply | None = OK
    send: Exception | None = None
    rset: Reply | Exception = OK
    before_dot: Deferred[None] | None = None  # a transaction waits for it in its middle
    until: Deferred[None] | None = None  # or at its end
    refuses: bool = False  # no connection
    taken: list[tuple[Envelope, bytes]] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)


def _say(said: Reply | Exception) -> Reply:
    if isinstance(said, Exception):
        raise said
    return said


@implementer(ISmtpSession)
class Session:
    def __init__(self, script: Host, host: str, ip: str, port: int) -> None:
        self._script = script
        self.host, self.ip, self.port, self.source_ip = host, ip, port, "192.0.2.200"
        self.extensions = Extensions()
        self.tls: TlsFacts | None = None
        self.messages = 0
        self.is_open = True
        self.said: list[str] = []
        self._waits: Deferred[None] | None = None

    async def greeting(self) -> Reply:
        return self._hear("greeting", self._script.greeting)

    async def hello(self, name: str) -> Reply:
        said = self._script.hello_in_tls if self.tls else self._script.hello
        self.extensions = Extensions(dict(self._script.keywords))
        return self._hear(f"EHLO {name}", said)

    async def start_tls(self, server_name: str) -> Reply:
        reply = self._hear("STARTTLS", self._script.start_tls)
        self.tls = TlsFacts("TLSv1.3", "TEST")
        self.extensions = Extensions()
        return reply

    async def log_in(self, username: str, password: str) -> Reply:
        return self._hear("AUTH", Reply.of(235, "2.7.0", "in"))

    async def send(self, envelope: Envelope, body: IBody) -> TransactionReplies:
        octets = b""
        if self._script.before_dot is not None:
            self._waits = self._script.before_dot
            await self._waits
            self._waits = None
        while chunk := await body.next_chunk():
            octets += chunk
        body.close()
        if self._script.until is not None:
            self.said.append("the final dot")
            await self._script.until
        if self._script.send is not None:
            self.is_open = False
            raise self._script.send
        self.messages += 1
        self.said.append("MAIL")
        script = self._script
        replies = TransactionReplies(script.mail, (script.rcpt,), script.data, script.final)
        if all(
            one is not None and one.is_positive
            for one in (script.mail, script.rcpt, script.data, script.final)
        ):
            script.taken.append((envelope, octets))
        return replies

    async def reset(self) -> Reply:
        return self._hear("RSET", self._script.rset)

    async def quit(self) -> None:
        self.said.append("QUIT")
        self.is_open = False

    def abort(self) -> None:
        self.is_open = False

    def withdraw(self) -> None:
        if self.said[-1:] != ["the final dot"]:
            self.abort()
            if self._waits is not None:
                self._waits.errback(SessionLostError("The session was given up by this side."))

    def transcript(self) -> str:
        return "".join(f"> {line}\n" for line in self.said)

    def _hear(self, step: str, said: Reply | Exception) -> Reply:
        self.said.append(step)
        try:
            return _say(said)
        except SessionLostError:
            self.is_open = False
            raise


@implementer(IDialer)
class World:
    """Hosts by address; an address without a host cannot be connected to."""

    def __init__(self, hosts: dict[str, Host]) -> None:
        self.hosts = hosts
        self.dialled: list[str] = []
        self.sources: list[str | None] = []

    async def dial(self, host: str, ip: str, port: int, source_ip: str | None) -> Session:
        self.dialled.append(ip)
        self.sources.append(source_ip)
        script = self.hosts.get(ip)
        if script is None or script.refuses:
            raise SessionLostError(f"Connecting to {ip} failed: refused.")
        session = Session(script, host, ip, port)
        script.sessions.append(session)
        return session


@implementer(IBody)
class _Octets:
    def __init__(self, octets: bytes, failure: Exception | None = None) -> None:
        self._octets = octets
        self._failure = failure
        self.size = len(octets)

    async def next_chunk(self) -> bytes:
        octets, self._octets = self._octets, b""
        if not octets and self._failure is not None:
            raise self._failure
        return octets

    def close(self) -> None:
        self._octets = b""


@implementer(IContents)
class Contents:
    """The same content for every message, or a chosen one."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.reads = 0
        self.failure: Exception | None = None  # in the middle of a body
        self.quarantined: list[int] = []

    def begin(self, message_id: int) -> Awaitable[Any]:
        raise NotImplementedError

    async def read(self, message: Message) -> bytes | None:
        self.reads += 1
        return self.content

    async def body(self, message: Message, start: int) -> IBody:
        body: IBody = _Octets(self.content[start:], self.failure)
        return body

    async def head(self, message: Message) -> bytes:
        return self.content[: message.head_octets]

    async def quarantine(self, message: Message) -> str:
        self.quarantined.append(message.id)
        return "quarantine/1.eml"


@implementer(ILease)
class ALease:
    """One that ends when it is told to."""

    def __init__(self) -> None:
        self.holds = True
        self.is_lost = False


@implementer(IQueue)
class Queue:
    """Remembers what it was told; fails while `failure` is set."""

    def __init__(self) -> None:
        self.waiting: list[Delivery] = []
        self.settled: list[Settlement] = []
        self.reports: list[Accepted] = []
        self.holds = True  # do the leases?
        self.is_anothers = False  # what is settled: nothing comes of it
        self.released: list[int] = []
        self.claims: list[int] = []
        self.taken_back: set[int] = set()
        self.due: float | None = None
        self.failure: Exception | None = None
        self.most = 1_000_000  # settlements that there is room for
        self.sent: set[tuple[int, str, str]] = set()  # list, address, Message-ID
        self.asked_for_sent: list[list[Address]] = []

    def accept(self, accepted: Accepted) -> Awaitable[None]:
        return succeed(None)

    async def claim(
        self,
        now: float,
        most: int,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = 5,
    ) -> Sequence[Delivery]:
        self.claims.append(most)
        others = without if urgent_without is None else urgent_without
        claimed = [
            one
            for one in self.waiting
            if one.message.priority <= lowest
            and one.domain not in (others if one.message.priority <= 2 else without)
        ][:most]
        self.waiting = [one for one in self.waiting if one not in claimed]
        return claimed

    async def next_due(
        self,
        now: float,
        without: Collection[str],
        urgent_without: Collection[str] | None = None,
        lowest: int = 5,
    ) -> float | None:
        return self.due

    async def settle(
        self, settlements: Sequence[Settlement], reports: Sequence[Accepted] = ()
    ) -> Collection[int]:
        if self.failure is not None:
            raise self.failure
        if len(settlements) > self.most:
            raise StoreFullError("No room for so many.")
        self.settled += settlements
        if self.is_anothers:
            return ()
        self.reports += reports
        return {report.message.id for report in reports}

    async def has_sent(
        self, answer: Message, to: Collection[Address], message_ids: Collection[str]
    ) -> bool:
        self.asked_for_sent.append(list(to))
        if self.failure is not None:
            raise self.failure
        known = {(answer.list_id, one.key, message_id) for one in to for message_id in message_ids}
        return not self.sent.isdisjoint(known)

    async def release(self, delivery_ids: Iterable[int]) -> None:
        self.released += delivery_ids

    async def change(self, change: QueueChange, which: Selection, now: float, by: str) -> int:
        raise NotImplementedError

    async def would_change(self, change: QueueChange, which: Selection, now: float) -> int:
        raise NotImplementedError

    def leases_hold(self) -> bool:
        return self.holds

    def lease(self) -> ALease:
        return ALease()

    async def withdrawn(self, delivery_ids: Collection[int]) -> Collection[int]:
        if self.failure is not None:
            raise self.failure
        return self.taken_back & set(delivery_ids)

    async def recover(self, now: float) -> Recovery:
        return Recovery(0, 0, ())

    async def used(self, user_id: int, since: float) -> int:
        return 0
