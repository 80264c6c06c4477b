"""A submission service on loopback over a real SQLite store, and a client to talk to it.

The dispatch takes no reservations, unless told to, so that what was accepted stays queued.
"""

from __future__ import annotations

import os
import smtplib
import ssl
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smtpplus.message.headers import cut_spans
from smtpplus.net.certificates import CertificateFiles, self_signed
from smtpplus.net.clock import ReactorClock
from smtpplus.net.spawn import Spawn
from smtpplus.net.tls import ServerTls
from smtpplus.net.workers import Workers
from smtpplus.ports import IDispatch
from smtpplus.smtp.sasl import make_verifier
from smtpplus.store.store import Store, open_store
from smtpplus.submission.service import SubmissionPorts, SubmissionService, SubmissionSettings
from smtpplus.values.message import Accepted, Delivery
from smtpplus.values.submission import SmtpUser, Stream
from tests.folders import folder_of
from tests.store.laid_out import lay_out

__all__ = ["SECRET", "MemoryDispatch", "SubmissionTestCase", "a_mail"]

T = TypeVar("T")

SECRET = "open-sesame-1234"
HOST = "mx.test"


def a_mail(*, sender: str = "a@example.com", octets: int = 0, head: str = "") -> bytes:
    """A message of about `octets`, with lines of 76."""
    line = b"0123456789" * 7 + b"abcd\r\n"
    body = line * (octets // len(line)) or b"Hello\r\n"
    return f"From: {sender}\r\nTo: b@example.net\r\nSubject: Hi\r\n{head}\r\n".encode() + body


@implementer(IDispatch)
class MemoryDispatch:
    """Remembers; `room` is how many reservations it has."""

    def __init__(self) -> None:
        self.room = 0
        self.reserved = 0
        self.dispatched: list[Accepted] = []
        self.woken = 0
        self.woken_at: list[float] = []

    def reserve(self, deliveries: int, domains: Collection[str] = (), priority: int = 3) -> bool:
        if self.reserved + deliveries > self.room:
            return False
        self.reserved += deliveries
        return True

    def dispatch(self, accepted: Accepted) -> None:
        self.reserved -= len(accepted.at_once)
        self.dispatched.append(accepted)

    def cancel(self, deliveries: int, priority: int = 3) -> None:
        self.reserved -= deliveries

    def wake(self, at: float = 0.0) -> None:
        self.woken += 1
        self.woken_at.append(at)


class CountedSuppressions:
    """The store's suppressions; `reads` is how often they were read."""

    def __init__(self, suppressions: Any) -> None:
        self._suppressions = suppressions
        self.reads = 0

    def of(self, *arguments: Any) -> Any:
        self.reads += 1
        return self._suppressions.of(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._suppressions, name)


class RecordingQueue:
    """A queue that remembers what it was given in `taken`."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.taken: list[Accepted] = []

    def accept(self, accepted: Accepted) -> Any:
        self.taken.append(accepted)
        return self._queue.accept(accepted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


class SubmissionTestCase(TestCase):
    """`service` runs from `start` to the end of the test; `alice` is user of tenant A."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = folder_of(self)
        self.folder.mkdir()
        self.free_octets = 10**12

    async def start(self, **settings: Any) -> None:
        self.clock = ReactorClock(reactor)
        self.spawn = Spawn(self.clock)
        self.workers = Workers(reactor, "workers", 4)
        self.workers.start()
        self.dispatch = MemoryDispatch()
        self.store = await self._open_store()
        self.recorded = RecordingQueue(self.store.queue)
        self.suppressions = CountedSuppressions(self.store.suppressions)
        self.alice = await self.a_tenant("acme", "example.com", "alice")
        self.service = self._service(settings)
        self.service.startService()
        self.addCleanup(self._stop)
        self.port = self.service.addresses[0][1]
        self.port_tls = self.service.addresses_tls[0][1]

    async def _open_store(self) -> Store:
        store = open_store(
            lay_out(f"sqlite:///{self.folder}/queue/smtpplus.sqlite"),
            self.folder,
            reactor=reactor,  # type: ignore[arg-type]
            clock=self.clock,
            node_name="test",
            secret=b"s" * 32,
        )
        await store.start()
        return store

    def _tls(self) -> ServerTls:
        certificate, key = self_signed(HOST, self.clock.now())
        for name, octets in (("certificate.pem", certificate), ("key.pem", key)):
            (self.folder / name).write_bytes(octets)
        files = CertificateFiles(self.folder / "certificate.pem", self.folder / "key.pem")
        return ServerTls(files, self.clock)

    def _service(self, settings: dict[str, Any]) -> SubmissionService:
        usual = SubmissionSettings(
            hostname=HOST,
            fake_secret=b"f" * 32,
            listen=("127.0.0.1:0",),
            listen_tls=("127.0.0.1:0",),
            auth_delay_seconds=0.0,
            stop_seconds=2.0,
        )
        ports = SubmissionPorts(
            free_octets=lambda: self.free_octets,
            accounts=self.store.accounts,
            queue=self.recorded,  # type: ignore[arg-type]
            contents=self.store.contents,
            dispatch=self.dispatch,
            clock=self.clock,
            workers=self.workers,
            spawn=self.spawn,
            ids=self.store.ids,
            suppressions=self.suppressions,  # type: ignore[arg-type]
        )
        return SubmissionService(reactor, replace(usual, **settings), ports, self._tls())

    def _stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop_all())

    async def _stop_all(self) -> None:
        await self.service.stopService()
        await self.spawn.drain(5.0)
        await self.store.close()
        await self.workers.stop()

    # ------------------------------------------------------------ who is there

    async def a_tenant(self, account: str, domain: str, username: str) -> SmtpUser:
        """An account with a verified domain, a list and a user whose secret is `SECRET`."""
        now = self.clock.now()
        await self.store.accounts.add_account(account, now)
        made = await self.store.accounts.add_list(account, "default", Stream.TRANSACTIONAL, now)
        await self.store.accounts.add_domain(account, domain, now, now)
        verifier = make_verifier(SECRET, b"0123456789abcdef")
        return await self.store.accounts.add_user(made.id, username, verifier, (), (), now)

    async def set_list(self, key: str, value: Any) -> None:
        """Change a setting of alice's list."""
        await self.store.accounts.set_list(self.alice.list_id, key, value)

    # ------------------------------------------------------------ clients

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run a client that blocks."""
        result: T = await deferToThread(work, *arguments)
        return result

    def client(self, *, signed_in: bool = True, starttls: bool = True) -> smtplib.SMTP:
        """A client, for use inside `in_thread`."""
        client = smtplib.SMTP("127.0.0.1", self.port, timeout=30, local_hostname="client.test")
        if starttls:
            client.starttls(context=unverified())
        client.ehlo()
        if signed_in:
            client.login("alice", SECRET)
        return client

    def send(self, mail: bytes, to: Sequence[str] = ("b@example.net",)) -> str:
        """Send one mail as alice; the queue id. For use inside `in_thread`."""
        with self.client() as client:
            return self.submit(client, mail, to)

    @staticmethod
    def submit(
        client: smtplib.SMTP, mail: bytes, to: Sequence[str], sender: str = "a@example.com"
    ) -> str:
        """One transaction; the queue id."""
        code, text = client.mail(sender)
        if code == 250:
            for recipient in to:
                code, text = client.rcpt(recipient)
        if code == 250:
            code, text = client.data(mail)
        if code != 250:
            client.rset()
            raise smtplib.SMTPResponseException(code, text)
        return text.decode().rpartition(" ")[2]

    async def refused(self, work: Callable[..., Any], *arguments: Any) -> str:
        """The refusal that `work` runs into, as ``code text``; "" where it does not."""
        try:
            await self.in_thread(work, *arguments)
        except smtplib.SMTPResponseException as error:
            text = error.smtp_error
            return f"{error.smtp_code} {text.decode() if isinstance(text, bytes) else text}"
        return ""

    # ------------------------------------------------------------ what is there

    @property
    def taken(self) -> Accepted:
        """What the queue was given last."""
        return self.recorded.taken[-1]

    async def queued(self) -> list[Delivery]:
        """All that waits in the store."""
        far = self.clock.now() + 3600
        return list(await self.store.queue.claim(far, 10_000, ()))

    async def content(self, delivery: Delivery) -> bytes:
        """The stored content of a delivery's message."""
        content = await self.store.contents.read(delivery.message)
        assert content is not None
        return content

    async def sent(self, delivery: Delivery) -> bytes:
        """What would be sent with every option off."""
        content, message = await self.content(delivery), delivery.message
        return message.prepend + cut_spans(content, message.cuts)

    def files(self) -> list[str]:
        """Content files in the queue directory."""
        return [
            name
            for root, _, names in os.walk(self.folder / "queue")
            for name in names
            if "sqlite" not in name and name != "reserve"
        ]


def unverified() -> ssl.SSLContext:
    """TLS towards a self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
