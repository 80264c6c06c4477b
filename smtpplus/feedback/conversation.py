"""What the feedback role makes of one conversation: mail to ``u-<token>`` unsubscribes.

It means the same as a click on the button: subscription, suppression, event and counters are
committed before the 250 (UN1, UN4). Whatever the mail says is not read, and nobody is answered
by mail (AS2); but a machine's answer, from ``<>`` or with Auto-Submitted (RFC 3834 §5.1), is no
wish of a person and changes nothing.

Guarantees: nothing of the content is kept but its head, at most 64 KiB, until the final dot. An
address that nobody has is refused at RCPT. Raises what the store raises; the client is told to
come again, and what was done already is found done then.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from twisted.logger import Logger
from zope.interface import implementer

from smtpplus.feedback.addresses import GONE, Kind, ReturnAddresses, Stranger
from smtpplus.message.headers import head_length, parse_head
from smtpplus.message.token import Token
from smtpplus.net.without_auth import WithoutAuth
from smtpplus.ports import IClock, IConversationRole, IResponses
from smtpplus.smtp.events import (
    BodyChunk,
    BodyEnded,
    BodyStarted,
    Connected,
    MailReceived,
    RcptReceived,
)
from smtpplus.values.address import Address
from smtpplus.values.errors import NotFoundError
from smtpplus.values.ids import show_id
from smtpplus.values.reply import Reply
from smtpplus.values.response import Response, ResponseKind

__all__ = ["FeedbackConversation", "FeedbackParts"]

_MOST_HEAD = 64 * 1024  # octets

_SENDER_OK = Reply.of(250, "2.1.0", "Sender ok")
_RECIPIENT_OK = Reply.of(250, "2.1.5", "Recipient ok")
_GO_ON = Reply.of(354, None, "End data with <CR><LF>.<CR><LF>")
_DONE = Reply.of(250, "2.0.0", "Ok, unsubscribed")
_NOTHING_DONE = Reply.of(250, "2.0.0", "Ok, an automatic answer changes nothing")


@dataclass(frozen=True, slots=True)
class FeedbackParts:
    """What all conversations share; `counts` says what became of mail, by `Kind`."""

    hostname: str
    addresses: ReturnAddresses
    responses: IResponses
    clock: IClock
    log: Logger
    counts: Counter[Kind] = field(default_factory=Counter)


@implementer(IConversationRole)
class FeedbackConversation(WithoutAuth):
    """One server's conversation."""

    __slots__ = ("_client_ip", "_head", "_parts", "_sender", "_tokens")

    def __init__(self, parts: FeedbackParts) -> None:
        self._parts = parts
        self._client_ip = ""
        self._sender: Address | None = None
        self._tokens: list[Token] = []  # of the recipients, in their order
        self._head = bytearray()

    def connected(self, event: Connected) -> Reply:
        """Greet."""
        self._client_ip = event.client_ip
        return Reply.of(220, None, f"{self._parts.hostname} ESMTP smtpplus")  # RFC 5321 §4.2

    def secured(self, version: str, cipher: str) -> None:
        """TLS is established: nothing was said that counts."""
        self.reset()

    def mail(self, event: MailReceived) -> Reply:
        """Anybody may write."""
        self.reset()
        self._sender = event.sender
        return _SENDER_OK

    async def rcpt(self, event: RcptReceived) -> Reply:
        """Is it an address whose mail means something?"""
        parts = self._parts
        found = parts.addresses.find(event.recipient.address, parts.clock.now())
        if isinstance(found, Token):
            facts = found.facts
            if await parts.responses.delivery(facts.message_id, facts.delivery_id) is not None:
                self._tokens.append(found)
                return _RECIPIENT_OK
            found = GONE
        return self._refused(found)

    def _refused(self, stranger: Stranger) -> Reply:
        self._parts.counts[stranger.kind] += 1
        self._parts.log.info(
            "mail from {ip} is refused, {kind}: {reply}",
            ip=self._client_ip,
            kind=stranger.kind.value,
            reply=str(stranger.reply),
        )
        return stranger.reply

    def body_started(self, event: BodyStarted) -> Reply:
        """DATA, or the first BDAT."""
        return _GO_ON

    def body_chunk(self, event: BodyChunk) -> None:
        """Keep what may be head."""
        room = _MOST_HEAD - len(self._head)
        if room > 0:
            self._head += event.data[:room]

    async def body_ended(self, event: BodyEnded) -> Reply:
        """Unsubscribe, each of the recipients."""
        tokens, is_answer = self._tokens, self._is_answer()
        self.reset()
        for token in tokens:
            kind = Kind.ANSWERED if is_answer else await self._unsubscribe(token)
            self._parts.counts[kind] += 1
            self._parts.log.info(
                "mail from {ip} to unsubscribe from message {message_id}: {kind}",
                ip=self._client_ip,
                message_id=show_id(token.facts.message_id),
                kind=kind.value,
            )
        return _NOTHING_DONE if is_answer else _DONE

    async def _unsubscribe(self, token: Token) -> Kind:
        facts = token.facts
        said = Response(
            kind=ResponseKind.UNSUBSCRIBED,
            at=self._parts.clock.now(),
            account_id=facts.account_id,
            list_id=facts.list_id,
            message_id=facts.message_id,
            delivery_id=facts.delivery_id,
            reason="mail",
        )
        try:
            is_new = await self._parts.responses.unsubscribe(said)
        except NotFoundError:
            return Kind.GONE  # since RCPT
        return Kind.UNSUBSCRIBED if is_new else Kind.REPEATED

    def _is_answer(self) -> bool:
        """Did a machine write it, in answer to a mail?"""
        if self._sender is None:
            return True
        content = bytes(self._head)
        for one in parse_head(content[: head_length(content)]):
            if one.lower == "auto-submitted":
                return one.unfolded.strip().lower().startswith("auto-replied")
        return False

    def reset(self) -> None:
        """The transaction is gone."""
        self._sender, self._tokens = None, []
        self._head.clear()

    def closed(self, reason: str) -> None:
        """The connection is gone."""
        self.reset()
