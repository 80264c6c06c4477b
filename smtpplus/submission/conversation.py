"""What the submission role makes of one conversation: sign-in, transaction, message.

Guarantees: MAIL is taken from a signed-in user alone, by AUTH or by its `networks`; the user's
state, rights and limits, and its list's settings, are asked at each MAIL, so that a change holds
in open sessions too; a suppressed recipient is refused where the list says so;
whatever ends a transaction early gives back its place and removes its content. A refusal is a
reply; what may be raised is what the store raises. Does not know sockets or the order of
commands: `smtpplus.net.server_session` calls the methods, one at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from twisted.logger import Logger
from zope.interface import implementer

from smtpplus.net.role_calls import store_reply
from smtpplus.ports import IAccounts, IClock, IConversationRole
from smtpplus.rules.admission import (
    SenderRights,
    refuse_recipient,
    refuse_sender,
    refuse_user,
)
from smtpplus.rules.quota import OverQuota
from smtpplus.rules.suppression import refusal as suppressed_refusal
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
from smtpplus.submission.composing import Origin
from smtpplus.submission.content import ContentMemory, IncomingContent
from smtpplus.submission.intake import Intake
from smtpplus.submission.quotas import Place, Quotas
from smtpplus.submission.sign_in import SignIn
from smtpplus.submission.space import FreeSpace
from smtpplus.submission.suppressed import SuppressedRecipients
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope
from smtpplus.values.errors import STORE_ERRORS, RefusedError
from smtpplus.values.reply import Reply
from smtpplus.values.submission import MailList, ScramVerifier, SenderDomain, SmtpUser

__all__ = ["NETWORK", "SubmissionConversation", "SubmissionParts"]

NETWORK = "network"  # the mechanism of whoever is let in by address

_SIGNED_IN = Reply.of(235, "2.7.0", "Authentication succeeded")
_SIGN_IN_FIRST = Reply.of(530, "5.7.0", "Authentication required")  # RFC 6409 §4.3
_TLS_FIRST = Reply.of(530, "5.7.0", "Must issue a STARTTLS command first")  # RFC 3207 §4
_SENDER_OK = Reply.of(250, "2.1.0", "Sender ok")
_RECIPIENT_OK = Reply.of(250, "2.1.5", "Recipient ok")
_GO_ON = Reply.of(354, None, "End data with <CR><LF>.<CR><LF>")
_NO_SPACE = Reply.of(452, "4.3.1", "Insufficient system storage, please try again later")
_NO_MEMORY = Reply.of(452, "4.3.1", "Too much mail is coming in, please try again in a moment")
_CROWDED = Reply.of(451, "4.3.2", "The system is busy, please try again in a moment")
_CANNOT_TELL = Reply.of(  # RFC 4954 §6
    454, "4.7.0", "Temporary authentication failure, please try again later"
)
_REFUSE = "refuse"  # of the list's setting `suppressed_reply`
_NO_TRANSACTION = Reply.of(503, "5.5.1", "No transaction is open")


@dataclass(frozen=True, slots=True)
class SubmissionParts:
    """What all conversations of a service share."""

    sign_in: SignIn
    accounts: IAccounts
    quotas: Quotas
    suppressed: SuppressedRecipients
    intake: Intake
    space: FreeSpace
    memory: ContentMemory
    clock: IClock
    hostname: str
    log: Logger
    is_crowded: Callable[[], bool] = bool


@dataclass(slots=True)
class _Transaction:
    """From MAIL to the final reply; the envelope and the content come with DATA."""

    origin: Origin
    place: Place
    envelope: Envelope | None = None
    content: IncomingContent | None = None


@implementer(IConversationRole)
class SubmissionConversation:
    """One client's conversation."""

    __slots__ = (
        "_by_network",
        "_client_ip",
        "_extended",
        "_hello",
        "_known",
        "_known_at",
        "_mechanism",
        "_parts",
        "_tls",
        "_transaction",
        "_user",
    )

    def __init__(self, parts: SubmissionParts) -> None:
        self._parts = parts
        self._client_ip = ""
        self._hello = ""
        self._extended = False
        self._tls = ""
        self._user: SmtpUser | None = None
        self._mechanism = ""
        self._by_network: SmtpUser | None = None
        self._known: Origin | None = None  # of the last MAIL
        self._known_at = 0  # what `IAccounts.changes` was then
        self._transaction: _Transaction | None = None

    @property
    def needs_no_auth(self) -> bool:
        """Is the client's address in some user's `networks`?"""
        return self._by_network is not None

    async def connected(self, event: Connected) -> Reply:
        """Greet; look whether the address is some user's."""
        self._client_ip = event.client_ip
        try:
            self._by_network = await self._parts.sign_in.by_network(event.client_ip)
        except STORE_ERRORS:
            self._by_network = None  # AUTH may work by the time it comes
        self._forget()
        return Reply.of(220, None, f"{self._parts.hostname} ESMTP smtpplus")  # RFC 5321 §4.2

    def secured(self, version: str, cipher: str) -> None:
        """TLS is established; what was said before is forgotten (RFC 3207 §4.2)."""
        self._tls = f"{version} {cipher}".strip()
        self._forget()

    def _forget(self) -> None:
        self._hello = ""
        self._known = None
        self._user = self._by_network
        self._mechanism = NETWORK if self._by_network is not None else ""

    def hello(self, event: HelloReceived) -> None:
        """Note the name."""
        self._hello = event.name
        self._known = None
        self._extended = event.extended

    async def password(self, event: PasswordOffered) -> Reply:
        """AUTH PLAIN, LOGIN."""
        try:
            found = await self._parts.sign_in.by_password(self._client_ip, event)
        except STORE_ERRORS:
            return _CANNOT_TELL
        return self._signed_in(found, event.mechanism)

    async def scram(self, event: ScramStarted) -> ScramVerifier | Reply:
        """AUTH SCRAM, first half."""
        try:
            return await self._parts.sign_in.verifier(self._client_ip, event)
        except STORE_ERRORS:
            return _CANNOT_TELL

    async def scram_proved(self, event: ScramProved) -> Reply:
        """AUTH SCRAM, second half: the conversation saw the proof."""
        try:
            found = await self._parts.sign_in.by_proof(self._client_ip, event.username)
        except STORE_ERRORS:
            return _CANNOT_TELL
        return self._signed_in(found, event.mechanism)

    def _signed_in(self, found: SmtpUser | Reply, mechanism: str) -> Reply:
        if isinstance(found, Reply):
            return found
        self._user, self._mechanism, self._known = found, mechanism, None
        return _SIGNED_IN

    def auth_failed(self, event: AuthFailed) -> Awaitable[None]:
        """The conversation refused a SCRAM proof, or an authzid."""
        return self._parts.sign_in.failed(self._client_ip, event.username)

    def mail(self, event: MailReceived) -> Reply | Awaitable[Reply]:
        """MAIL: who, whether that one may now, and whether there is room."""
        if self._user is None:
            return _SIGN_IN_FIRST if self._tls else _TLS_FIRST
        if self._parts.space.is_short():
            return _NO_SPACE  # D7
        if self._parts.memory.is_full:
            return _NO_MEMORY
        if self._parts.is_crowded():
            return _CROWDED
        self._end_transaction()
        if self._known is None or self._known_at != self._parts.accounts.changes:
            return self._mail(event, self._user.username)
        return self._begin(self._known, event) or self._begin_counting(self._known)

    async def _mail(self, event: MailReceived, username: str) -> Reply:
        """MAIL, where it has to be asked who that is."""
        accounts = self._parts.accounts
        changes = accounts.changes
        try:
            user = await accounts.user_by_name(username)
            if user is None:
                return Reply.of(550, "5.7.1", f"User {username} does not exist any more")
            mail_list = await accounts.list_by_id(user.list_id)
            if mail_list is None:
                return Reply.of(
                    550, "5.7.1", f"The list of user {username} does not exist any more"
                )
            domains = await accounts.sender_domains(user.account_id)
        except STORE_ERRORS as error:
            return store_reply(error)
        origin = self._known = self._origin_of(user, mail_list, domains)
        self._known_at = changes
        return self._begin(origin, event) or await self._begin_counting(origin)

    def _begin(self, origin: Origin, event: MailReceived) -> Reply | None:
        """Begin a transaction, or refuse it; None: it has to be read first how much was sent."""
        user = origin.user
        refusal = refuse_user(user, self._parts.clock.now())
        refusal = refusal or refuse_sender(origin.rights, event.sender)
        if refusal is not None:
            return self._refused(user, refusal)
        place = self._parts.quotas.reserve(user)
        return None if place is None else self._begun(origin, place)

    async def _begin_counting(self, origin: Origin) -> Reply:
        try:
            place = await self._parts.quotas.load(origin.user)
        except STORE_ERRORS as error:
            return store_reply(error)
        return self._begun(origin, place)

    def _begun(self, origin: Origin, place: Place | OverQuota) -> Reply:
        if type(place) is OverQuota:
            return self._refused(origin.user, place.reply(origin.user.username))
        assert isinstance(place, Place)
        self._transaction = _Transaction(origin, place)
        return _SENDER_OK

    def _origin_of(
        self, user: SmtpUser, mail_list: MailList, domains: Sequence[SenderDomain]
    ) -> Origin:
        """Who sends, and as what."""
        return Origin(
            user=user,
            mail_list=mail_list,
            rights=SenderRights.of(user, domains),
            client_ip=self._client_ip,
            hello=self._hello,
            extended=self._extended,
            tls=self._tls,
            mechanism=self._mechanism,
        )

    def _refused(self, user: SmtpUser, reply: Reply) -> Reply:
        self._parts.log.info(
            "MAIL of {user} from {ip} is refused: {reply}",
            user=user.username,
            ip=self._client_ip,
            reply=str(reply),
        )
        return reply

    def rcpt(self, event: RcptReceived) -> Reply | Awaitable[Reply]:
        """RCPT."""
        if self._transaction is None:
            return _NO_TRANSACTION
        address = event.recipient.address
        refusal = refuse_recipient(address, self._parts.hostname)
        if refusal is not None:
            return refusal
        origin = self._transaction.origin
        if origin.mail_list.settings.get("suppressed_reply") == _REFUSE:
            asked = self._parts.suppressed.may_hold(origin.mail_list, (address,))
            if asked:
                return self._rcpt_suppressed(origin, address)
        return _RECIPIENT_OK

    async def _rcpt_suppressed(self, origin: Origin, address: Address) -> Reply:
        """The list refuses suppressed recipients, and this one may be."""
        try:
            found = await self._parts.suppressed.among(origin.mail_list, (address,))
        except STORE_ERRORS as error:
            return store_reply(error)
        refusal = suppressed_refusal(found.get(address.key), _REFUSE)
        if refusal is None:
            return _RECIPIENT_OK
        self._parts.log.info(
            "RCPT of {user} from {ip} is refused: {reply}",
            user=origin.user.username,
            ip=self._client_ip,
            reply=str(refusal),
        )
        return refusal

    def body_started(self, event: BodyStarted) -> Reply:
        """DATA, or the first BDAT."""
        if self._transaction is None:
            return _NO_TRANSACTION
        self._transaction.envelope = event.envelope
        self._transaction.content = self._parts.intake.begin()
        return _GO_ON

    def body_chunk(self, event: BodyChunk) -> Awaitable[None] | None:
        """A piece of the content."""
        if self._transaction is None or self._transaction.content is None:
            raise RefusedError(_NO_TRANSACTION)
        return self._transaction.content.add(event.data)

    def body_ended(self, event: BodyEnded) -> Reply | Awaitable[Reply]:
        """The content is complete: the message is taken or refused."""
        transaction, self._transaction = self._transaction, None
        if transaction is None or transaction.content is None or transaction.envelope is None:
            return _NO_TRANSACTION
        return self._parts.intake.take(
            transaction.origin, transaction.envelope, transaction.content, transaction.place
        )

    def reset(self) -> None:
        """RSET, EHLO, a content that was too large: the transaction is gone."""
        self._end_transaction()

    def closed(self, reason: str) -> None:
        """The connection is gone, and an open transaction with it (T9)."""
        self._end_transaction()

    def _end_transaction(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        transaction.place.give_back()
        if transaction.content is not None:
            self._parts.intake.discard(transaction.content)
