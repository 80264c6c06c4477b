"""The ports: what a role may ask of the store, of the net and of its neighbours.

Roles (floor 4) know these interfaces and no implementation. Each port says what may be raised
and what holds after a crash; a contract test in ``tests/contracts`` runs over every
implementation. All times are Unix seconds, all methods are called on the reactor thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from zope.interface import Attribute, Interface

from smtpplus.smtp.events import (
    AuthFailed,
    BodyChunk,
    BodyEnded,
    BodyStarted,
    Connected,
    HelloReceived,
    MailReceived,
    PasswordOffered,
    RcptReceived,
    ScramProved,
    ScramStarted,
)
from smtpplus.values.envelope import Envelope
from smtpplus.values.message import (
    Accepted,
    Delivery,
    DeliveryState,
    Event,
    Message,
    Settlement,
)
from smtpplus.values.outcome import Attempt, Outcome
from smtpplus.values.queue import QueueChange, Selection
from smtpplus.values.reply import Reply
from smtpplus.values.submission import (
    Account,
    DkimKey,
    DkimKeyState,
    MailList,
    Person,
    Role,
    ScramVerifier,
    SenderDomain,
    SmtpUser,
    Stream,
)

__all__ = [
    "AttemptRow",
    "DeliveryRow",
    "Extensions",
    "HangUpError",
    "IAccounts",
    "IBody",
    "IClock",
    "IContentWriter",
    "IContents",
    "IConversationRole",
    "IDialer",
    "IDispatch",
    "IHistory",
    "IPeople",
    "IQueue",
    "IResolver",
    "ISandbox",
    "ISmtpSession",
    "ISpawn",
    "IWorkers",
    "LookupFailedError",
    "MessageRow",
    "MxHost",
    "NoSuchDomainError",
    "QueueRow",
    "Recovery",
    "SandboxMail",
    "SessionLostError",
    "TransactionReplies",
]

T = TypeVar("T")


# ---------------------------------------------------------------- machine


class IClock(Interface):
    """Time, as an argument."""

    def now() -> float:
        """Unix time in seconds: what is stored and shown."""

    def monotonic() -> float:
        """Seconds that never jump: what is measured and waited for."""

    async def sleep(seconds: float) -> None:
        """Return after `seconds` of monotonic time."""

    def call_later(seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call once after `seconds`; the answer cancels it (harmless when it is too late)."""


class ISpawn(Interface):
    """The one place where a coroutine becomes background work."""

    def spawn(name: str, work: Coroutine[Any, Any, Any]) -> Callable[[], None]:
        """Start `work` now; count it under `name`, log its failure. The answer cancels it."""

    async def drain(seconds: float) -> int:
        """Wait for all work to end, at most `seconds`; then cancel. How many were cancelled."""


class IWorkers(Interface):
    """A bounded pool of threads for work that holds the processor or blocks."""

    def run(function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Run ``function(*arguments)`` in a thread; its result or exception arrives here."""


# ---------------------------------------------------------------- net


class LookupFailedError(Exception):
    """DNS gave no answer that can be relied on (SERVFAIL, time-out, REFUSED, bogus)."""


class NoSuchDomainError(Exception):
    """NXDOMAIN: the name does not exist."""


@dataclass(frozen=True, slots=True)
class MxHost:
    """One MX record; `host` in lower-case A-labels without the final dot, "" for null MX."""

    preference: int
    host: str


class IResolver(Interface):
    """DNS. An empty answer means: the name exists, without records of this type (NODATA)."""

    async def mx(domain: str) -> Sequence[MxHost]:
        """MX records as they came, unsorted.

        Raises:
            NoSuchDomainError: NXDOMAIN.
            LookupFailedError: no reliable answer.
        """

    async def addresses(host: str) -> Sequence[str]:
        """A and AAAA records, IPv6 first where this machine has IPv6. Raises as `mx`."""

    async def txt(name: str) -> Sequence[str]:
        """TXT records, the strings of each joined. Raises as `mx`."""


class HangUpError(Exception):
    """Raised by a conversation's role in place of an answer: drop the connection, say nothing."""


class IConversationRole(Interface):
    """What a role makes of one inbound conversation; a new one is made for each connection.

    One method runs at a time, in the order of the client's commands. Each may answer with the
    value itself or with an awaitable of it (a coroutine, a Deferred): the plain value is the
    quick way. A `RefusedError` is answered with its reply; any other exception but
    `HangUpError` is logged and answered 451 4.3.0 (421 4.3.0 to `connected`). Nothing is
    cancelled when the client goes away: a commit that began comes to its end.
    """

    needs_no_auth = Attribute(
        "Read after `connected`: MAIL is taken without AUTH and TLS, the network is a user's (bool)."
    )

    def connected(event: Connected) -> Reply | Awaitable[Reply]:
        """220 to greet, 421 or 554 to refuse."""

    def secured(version: str, cipher: str) -> None:
        """TLS is established: before `connected` with implicit TLS, else after STARTTLS.

        After STARTTLS all that was said before is forgotten (RFC 3207 §4.2).
        """

    def hello(event: HelloReceived) -> None:
        """EHLO or HELO was accepted."""

    def password(event: PasswordOffered) -> Reply | Awaitable[Reply]:
        """235, 535, 454 or 421."""

    def scram(event: ScramStarted) -> ScramVerifier | Reply | Awaitable[ScramVerifier | Reply]:
        """The verifier, a made-up one for an unknown user; or a reply to refuse."""

    def scram_proved(event: ScramProved) -> Reply | Awaitable[Reply]:
        """235, or refuse."""

    def auth_failed(event: AuthFailed) -> Awaitable[None] | None:
        """The conversation refused an AUTH; its 535 waits for this, to slow guessing."""

    def mail(event: MailReceived) -> Reply | Awaitable[Reply]:
        """250, 4xx, 5xx."""

    def rcpt(event: RcptReceived) -> Reply | Awaitable[Reply]:
        """250 adds the recipient."""

    def body_started(event: BodyStarted) -> Reply | Awaitable[Reply]:
        """354 to go on."""

    def body_chunk(event: BodyChunk) -> Awaitable[None] | None:
        """Take a piece in; the next one waits for it.

        After an exception no further piece comes, and the message is answered with it.
        """

    def body_ended(event: BodyEnded) -> Reply | Awaitable[Reply]:
        """The final reply: 250 only when the message is safe."""

    def reset() -> None:
        """The open transaction is gone: forget it, discard its body."""

    def closed(reason: str) -> None:
        """The connection is gone; comes once, and last. An open transaction goes with it."""


class SessionLostError(Exception):
    """The session ended, timed out or broke protocol; nothing more can be done with it.

    Its text is one sentence for a person: what was waited for and what happened.
    `after_final_dot`: the remote may have taken the message (RFC 1047).
    `reply` is what the remote said where it said 421 on its own.
    """

    def __init__(
        self, text: str, *, after_final_dot: bool = False, reply: Reply | None = None
    ) -> None:
        super().__init__(text)
        self.after_final_dot = after_final_dot
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the remote's EHLO reply offered; keywords upper-case, parameters as they came."""

    keywords: dict[str, str] = field(default_factory=dict)

    def __contains__(self, keyword: object) -> bool:
        return keyword in self.keywords

    @property
    def size(self) -> int | None:
        """SIZE's limit in octets; None where not offered or without limit (RFC 1870 §4)."""
        value = self.keywords.get("SIZE", "")
        return int(value) if value.isdecimal() and len(value) < 19 and int(value) else None

    @property
    def auth(self) -> frozenset[str]:
        """SASL mechanisms offered."""
        return frozenset(self.keywords.get("AUTH", "").upper().split())

    @property
    def mail_limit(self) -> int | None:
        """LIMITS' MAILMAX: transactions a session may carry (RFC 9422 §4.1); None: not said."""
        for limit in self.keywords.get("LIMITS", "").upper().split():
            name, _, value = limit.partition("=")
            if name == "MAILMAX" and value.isdecimal() and len(value) < 10 and int(value):
                return int(value)
        return None


@dataclass(frozen=True, slots=True)
class TransactionReplies:
    """What the remote said to one transaction; None where it was not asked.

    `recipients` has one reply per envelope recipient (None: MAIL failed). `final` is the reply
    after the final dot, `data` the one to DATA (None with BDAT).
    """

    mail: Reply | None
    recipients: tuple[Reply | None, ...]
    data: Reply | None
    final: Reply | None


class IBody(Interface):
    """Octets to be sent as a message's content, CRLF line ends, dots not stuffed."""

    size = Attribute("Octets in all (int).")

    async def next_chunk() -> bytes:
        """The next piece, at most 64 KiB; empty at the end.

        Raises:
            StoreUnavailableError: the content cannot be read now.
        """

    def close() -> None:
        """Release what is open; may be called at any time, more than once."""


class ISmtpSession(Interface):
    """An outbound SMTP session. Every method may raise `SessionLostError`; then it is closed."""

    host = Attribute("Host name the session was dialled for (str).")
    ip = Attribute("The remote's address (str).")
    port = Attribute("The remote's port (int).")
    source_ip = Attribute("Our own address (str).")
    extensions = Attribute("`Extensions` of the last EHLO.")
    tls = Attribute("`TlsFacts` or None.")
    messages = Attribute("How many transactions it has carried (int).")
    is_open = Attribute("False once the session was lost, quit or aborted (bool).")

    async def greeting() -> Reply:
        """The 220 banner, or what came in its place."""

    async def hello(name: str) -> Reply:
        """EHLO; HELO where EHLO is not known (5xx). Sets `extensions`."""

    async def start_tls(server_name: str) -> Reply:
        """STARTTLS and, after 220, the handshake (no verification is enforced: `tls` records it).

        `extensions` is empty afterwards: say `hello` again. Octets the remote sent in the clear
        after its 220 end the session (T2).
        """

    async def log_in(username: str, password: str) -> Reply:
        """AUTH by the best mechanism both sides know."""

    async def send(envelope: Envelope, body: IBody) -> TransactionReplies:
        """One transaction, pipelined where offered; closes `body`.

        The parameters the remote offers are used, the others left out. A refused transaction
        leaves the session usable.
        """

    async def reset() -> Reply:
        """RSET."""

    async def quit() -> None:
        """QUIT, wait briefly for its reply, close. Never raises."""

    def abort() -> None:
        """Close at once."""

    def transcript() -> str:
        """What was said since the last call, at most 16 KiB; no credentials, no body."""


class IDialer(Interface):
    """Opens outbound sessions."""

    async def dial(host: str, ip: str, port: int, source_ip: str | None) -> ISmtpSession:
        """Connect to `ip`; `host` is its name, for TLS and for the record.

        Raises:
            SessionLostError: no connection, with the operating system's reason.
        """


# ---------------------------------------------------------------- queue


class IContentWriter(Interface):
    """A large message's content on its way to a file of the queue directory."""

    def write(data: bytes) -> Awaitable[None]:
        """Append. Await it before the next call.

        Raises:
            StoreFullError: the disk is full; `discard` is still to be called.
        """

    def finish() -> Awaitable[None]:
        """Sync, rename into place, sync the folder. After it the content survives a crash."""

    def discard() -> Awaitable[None]:
        """Remove what was written, finished or not. Never raises."""


class IContents(Interface):
    """The contents of queued messages: rows when small, files when large."""

    def begin(message_id: int) -> Awaitable[IContentWriter]:
        """A new file. Without a row that names it, it is removed at the next start."""

    async def read(message: Message) -> bytes | None:
        """The whole content (head and body) of a small message; None when it is gone."""

    async def body(message: Message, start: int) -> IBody:
        """The content from octet `start`, to be streamed.

        Raises:
            NotFoundError: the content is gone.
        """

    async def head(message: Message) -> bytes:
        """The head as submitted, `message.head_octets` long. Raises as `body`."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What start-up found that a crash had left, and did about it."""

    leases_returned: int
    files_removed: int
    rows_without_file: tuple[int, ...]


class IQueue(Interface):
    """The persistent queue. What it answered is on the disk and survives kill -9 (D1)."""

    def accept(accepted: Accepted) -> Awaitable[None]:
        """Write message, content, deliveries, event and counters in one transaction.

        Concurrent calls share one commit and its sync (group commit, D4).

        Raises:
            StoreFullError: nothing was kept; 452 4.3.1.
            StoreUnavailableError: nothing was kept; 451 4.3.0.
            StoreBrokenError: nothing was kept, and nothing will be until reopened; 451 4.3.0.
        """

    def claim(now: float, most: int, without: Collection[str]) -> Awaitable[Sequence[Delivery]]:
        """Lease up to `most` due deliveries, oldest due first, none to a domain in `without`."""

    def next_due(now: float, without: Collection[str]) -> Awaitable[float | None]:
        """When the next unleased delivery is due (may be past), or None: nothing waits."""

    def settle(
        settlements: Sequence[Settlement], reports: Sequence[Accepted] = ()
    ) -> Awaitable[None]:
        """Write outcomes, attempts, events and counters in one transaction; return the leases.

        `reports` are DSNs about these deliveries, queued in the same transaction (as `accept`
        does, but with a REPORTED event): a crash neither loses nor doubles one. A report whose
        settlements were all final already is left out.
        When a message's last delivery is final its content is removed, in the same transaction
        where it is a row, after it where it is a file. Safe to repeat.
        """

    def release(delivery_ids: Iterable[int]) -> Awaitable[None]:
        """Give leases back unused (at shutdown); the deliveries are due as they were."""

    async def change(change: QueueChange, which: Selection, now: float, by: str) -> int:
        """Hold, release, cancel or flush what waits of `which`; how many deliveries it changed.

        Each change but FLUSH leaves an event with `by`, who asked for it, and its counters. It
        is done in pieces: a crash may leave a large one half done, and it can be repeated.
        An attempt under way is not cut off. A held delivery takes its outcome: delivered or
        bounced it is final, deferred it stays held. A cancelled one stays cancelled, in state
        and counters, also where the remote took it after all; the attempt is kept, so that its
        page tells. A relay that has such deliveries in memory is to be told (`withdrawn`).
        """

    async def would_change(change: QueueChange, which: Selection) -> int:
        """How many deliveries `change` would change now."""

    async def withdrawn(delivery_ids: Collection[int]) -> Collection[int]:
        """Those of `delivery_ids` that are not to be attempted any more: held, or final."""

    def leases_hold() -> bool:
        """May an attempt be begun: is what this process has leased its own for a good while?

        False where the database that keeps the leases could not be spoken to for long.
        """

    def recover(now: float) -> Awaitable[Recovery]:
        """At start, before intake: return leases of dead processes, reconcile files and rows."""

    def used(user_id: int, since: float) -> Awaitable[int]:
        """Messages accepted from an SMTP user since `since` (an hour's start), by counters."""


class IDispatch(Interface):
    """The relay, as whoever queues a message sees it: no polling between accept and send."""

    def reserve(deliveries: int, domains: Collection[str] = ()) -> bool:
        """Is there room in memory for so many? If so it is kept until `dispatch` or `cancel`.

        There is none where too much waits already for one of the recipients' `domains` (O5).
        """

    def dispatch(accepted: Accepted) -> None:
        """The message is committed, its deliveries leased: attempt them. Uses the reservation."""

    def cancel(deliveries: int) -> None:
        """The accept failed: give the reservation back."""

    def wake() -> None:
        """Something may be due in the store: look."""


# ---------------------------------------------------------------- accounts


class IAccounts(Interface):
    """Accounts, lists, SMTP users, sender domains and their keys.

    Readers answer from the store's latest commit, also another process's, within 2 s.
    Writers raise NotFoundError, ConflictError or UsageError, with a sentence for the person.
    """

    async def user_by_name(username: str) -> SmtpUser | None:
        """The SMTP user, whatever its status (cached; exact spelling, case-insensitive)."""

    async def user_by_ip(ip: str) -> SmtpUser | None:
        """The active SMTP user whose `networks` hold `ip`, longest prefix first (cached)."""

    async def sender_domains(account_id: int) -> Sequence[SenderDomain]:
        """The account's domains, verified or not (cached)."""

    async def signing_key(domain: str) -> DkimKey | None:
        """The active DKIM key of exactly this domain (cached)."""

    async def accounts() -> Sequence[Account]:
        """All accounts by name."""

    async def add_account(name: str, now: float) -> Account:
        """A new account."""

    async def lists(account_id: int | None) -> Sequence[MailList]:
        """Lists, of one account or all."""

    async def add_list(account: str, name: str, stream: Stream, now: float) -> MailList:
        """A new list in the account named `account`."""

    async def list_by_name(name: str) -> MailList:
        """A list by ``name`` where it is unique, or ``account/name``."""

    async def set_list(list_id: int, key: str, value: Any) -> MailList:
        """Change one setting; the caller has checked key and value."""

    async def users(account_id: int | None) -> Sequence[SmtpUser]:
        """SMTP users, of one account or all."""

    async def add_user(
        list_id: int,
        username: str | None,
        verifier: ScramVerifier,
        domains: Sequence[str],
        senders: Sequence[str],
        now: float,
    ) -> SmtpUser:
        """A new SMTP user; `username` None: the next of the form ``s12345_07``."""

    async def set_user(username: str, changes: dict[str, Any]) -> SmtpUser:
        """Change fields of `SmtpUser` by name (`verifier` among them)."""

    async def add_domain(
        account: str, domain: str, verified_at: float | None, now: float
    ) -> SenderDomain:
        """A new sender domain. A domain belongs to one account of the installation."""

    async def set_domain_verified(domain: str, verified_at: float | None) -> SenderDomain:
        """Ownership proven, or no longer."""

    async def domain_by_name(domain: str) -> SenderDomain:
        """A sender domain."""

    async def keys(domain: str) -> Sequence[DkimKey]:
        """All DKIM keys of a domain, newest first."""

    async def add_key(
        domain: str,
        selector: str,
        private_pem: bytes,
        public_b64: str,
        state: DkimKeyState,
        now: float,
    ) -> DkimKey:
        """Keep a key. A new active key retires the one before."""

    async def set_key_state(domain: str, selector: str, state: DkimKeyState) -> DkimKey:
        """Rotate: making a key active retires the active one."""


class IPeople(Interface):
    """Who signs in to the pages. Passwords come and go as argon2 hashes; tokens as SHA-256."""

    async def people() -> Sequence[Person]:
        """Everybody, by e-mail."""

    async def add_person(
        email: str, role: Role, account_id: int | None, password_hash: str | None, now: float
    ) -> Person:
        """A new person. Raises ConflictError."""

    async def set_password(person_id: int, password_hash: str) -> None:
        """Change the password; ends all sessions of that person."""

    async def password_hash(email: str) -> tuple[Person, str] | None:
        """For signing in; None: unknown, or no password yet."""

    async def add_sign_in(token_hash: bytes, person_id: int, expires_at: float) -> None:
        """A one-time sign-in link."""

    async def use_sign_in(token_hash: bytes, now: float) -> Person | None:
        """Use the link up: the person, once; None afterwards, or when it has expired."""

    async def add_session(token_hash: bytes, person_id: int, csrf: str, expires_at: float) -> None:
        """A signed-in browser."""

    async def session(token_hash: bytes, now: float) -> tuple[Person, str] | None:
        """Person and CSRF token of a live session."""

    async def end_session(token_hash: bytes) -> None:
        """Sign out."""


# ---------------------------------------------------------------- history


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as a table shows it; `states` counts its deliveries by state."""

    message: Message
    username: str
    list_name: str
    states: dict[DeliveryState, int]
    first_recipient: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as the message's page shows it."""

    id: int
    message_id: int
    address: str
    state: DeliveryState
    attempts: int
    due_at: float | None
    settled_at: float | None
    last_outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt as the message's page shows it."""

    delivery_id: int
    attempt: Attempt
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A waiting delivery as the queue page shows it."""

    delivery_id: int
    message_id: int
    address: str
    domain: str
    sender: str
    subject: str
    state: DeliveryState
    attempts: int
    due_at: float
    queued_at: float
    leased: bool
    last_reply: str


class IHistory(Interface):
    """Reads for pages, CLI and API. `account_id` None sees all accounts. Never locks writers."""

    async def messages(
        account_id: int | None,
        search: str,
        user_id: int | None,
        state: DeliveryState | None,
        before: int | None,
        most: int,
    ) -> Sequence[MessageRow]:
        """Newest first, ids below `before`.

        `search` finds an id, an address, or words of subject, sender and recipient.
        """

    async def message(account_id: int | None, message_id: int) -> MessageRow | None:
        """One message."""

    async def deliveries(message_id: int) -> Sequence[DeliveryRow]:
        """Its deliveries, in the order of the recipients."""

    async def attempts(message_id: int, most: int) -> Sequence[AttemptRow]:
        """Its attempts, oldest first."""

    async def events(message_id: int, most: int) -> Sequence[Event]:
        """Its events, oldest first."""

    async def queue(
        account_id: int | None, search: str, after: int | None, most: int
    ) -> Sequence[QueueRow]:
        """Waiting deliveries, next due first (ids above `after` where the due time is equal)."""

    async def queue_size(account_id: int | None) -> dict[DeliveryState, int]:
        """How many wait, by state."""

    async def counters(
        account_id: int | None, since: float, until: float, step: float
    ) -> dict[str, list[int]]:
        """Per metric (an `EventType` value) one number per `step` seconds (a multiple of 3,600)."""

    async def totals(
        account_id: int | None, since: float, until: float, by: str
    ) -> Sequence[tuple[str, dict[str, int]]]:
        """Sums per metric, grouped `by` ``user``, ``list`` or ``day``, largest first."""


@dataclass(frozen=True, slots=True)
class SandboxMail:
    """A mail the sandbox took. `content` is what arrived, octet for octet."""

    id: int
    received_at: float
    sender: str
    recipient: str
    subject: str
    header_from: str
    octets: int
    tls: str
    content: bytes | None


class ISandbox(Interface):
    """The mail a trial's mailbox server took. Bounded: the oldest go first."""

    async def keep(mail: SandboxMail) -> None:
        """Keep one."""

    async def mails(search: str, before: int | None, most: int) -> Sequence[SandboxMail]:
        """Newest first, `content` left out."""

    async def mail(mail_id: int) -> SandboxMail | None:
        """One, whole."""
