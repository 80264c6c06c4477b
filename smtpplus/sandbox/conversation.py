"""What the sandbox makes of one conversation: it takes everything, or plays the outcome asked for.

Guarantees: 250 only after `ISandbox.keep`; one mail is kept per recipient, octet for octet as it
came. Raises `HangUpError` for ``drop@``, and what the store raises. Does not authenticate anybody:
it listens on loopback, for the relay.
"""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from smtpplus.message.headers import HeaderField, head_length, parse_head
from smtpplus.net.without_auth import WithoutAuth
from smtpplus.ports import HangUpError, IClock, IConversationRole, ISandbox, SandboxMail
from smtpplus.sandbox.outcomes import SLOW_SECONDS, Deferrals, Part, part_of
from smtpplus.smtp.events import (
    BodyChunk,
    BodyEnded,
    BodyStarted,
    Connected,
    MailReceived,
    RcptReceived,
)
from smtpplus.values.envelope import Envelope
from smtpplus.values.ids import IdSource, show_id
from smtpplus.values.reply import Reply

__all__ = ["SandboxConversation", "SandboxParts"]

_GREETING = Reply.of(220, None, "ESMTP smtpplus sandbox")
_OK = Reply.of(250, "2.1.0", "Ok")
_GO_ON = Reply.of(354, None, "End data with <CR><LF>.<CR><LF>")


@dataclass(frozen=True, slots=True)
class SandboxParts:
    """What all conversations share."""

    sandbox: ISandbox
    clock: IClock
    ids: IdSource
    deferrals: Deferrals


@implementer(IConversationRole)
class SandboxConversation(WithoutAuth):
    """One delivery session."""

    __slots__ = ("_envelope", "_is_slow", "_parts", "_pieces", "_tls")

    def __init__(self, parts: SandboxParts) -> None:
        self._parts = parts
        self._tls = ""
        self._is_slow = False
        self._envelope: Envelope | None = None
        self._pieces: list[bytes] = []

    def connected(self, event: Connected) -> Reply:
        """Greet."""
        return _GREETING

    def secured(self, version: str, cipher: str) -> None:
        """Note how the mail came."""
        self._tls = f"{version} {cipher}".strip()

    def mail(self, event: MailReceived) -> Reply:
        """Anybody may send."""
        return _OK

    async def rcpt(self, event: RcptReceived) -> Reply:
        """Accept, or refuse as the address asks for."""
        part = part_of(event.recipient.address)
        self._is_slow = self._is_slow or part.is_slow
        await self._dawdle()
        return part.refusal or _OK

    async def body_started(self, event: BodyStarted) -> Reply:
        """DATA."""
        self._envelope, self._pieces = event.envelope, []
        await self._dawdle()
        return _GO_ON

    def body_chunk(self, event: BodyChunk) -> None:
        """Keep it in memory: the store keeps it whole."""
        self._pieces.append(event.data)

    async def body_ended(self, event: BodyEnded) -> Reply:
        """Keep the mail, or play the rest of the outcome."""
        envelope, content = self._envelope, b"".join(self._pieces)
        assert envelope is not None  # BodyStarted comes first
        await self._dawdle()
        self._forget()
        parts = [part_of(recipient.address) for recipient in envelope.recipients]
        if any(part.drops for part in parts):
            raise HangUpError
        named = _named(content)
        refusal = self._put_off(envelope, parts, named)
        return refusal if refusal is not None else await self._keep(envelope, content, named)

    def reset(self) -> None:
        """The transaction is gone."""
        self._forget()

    def closed(self, reason: str) -> None:
        """The connection is gone."""
        self._forget()

    def _forget(self) -> None:
        self._envelope, self._pieces, self._is_slow = None, [], False

    async def _dawdle(self) -> None:
        if self._is_slow:
            await self._parts.clock.sleep(SLOW_SECONDS)

    def _put_off(
        self, envelope: Envelope, parts: list[Part], named: dict[str, str]
    ) -> Reply | None:
        message = named["message-id"] or str(envelope.sender)
        for recipient, part in zip(envelope.recipients, parts, strict=True):
            reply = self._parts.deferrals.put_off(recipient.address, message, part.deferrals)
            if reply is not None:
                return reply
        return None

    async def _keep(self, envelope: Envelope, content: bytes, named: dict[str, str]) -> Reply:
        now = self._parts.clock.now()
        number = 0
        for recipient in envelope.recipients:
            number = self._parts.ids.next(now)
            await self._parts.sandbox.keep(
                SandboxMail(
                    id=number,
                    received_at=now,
                    sender=str(envelope.sender) if envelope.sender else "",
                    recipient=str(recipient.address),
                    subject=named["subject"],
                    header_from=named["from"],
                    octets=len(content),
                    tls=self._tls,
                    content=content,
                )
            )
        return Reply.of(250, "2.0.0", f"kept as {show_id(number)}")


def _named(content: bytes) -> dict[str, str]:
    """The first subject, from and message-id, for people to read; empty where there is none."""
    length = head_length(content)
    found = {"subject": "", "from": "", "message-id": ""}
    fields: tuple[HeaderField, ...] = parse_head(content if length is None else content[:length])
    for field in fields:
        if found.get(field.lower) == "":
            found[field.lower] = field.text.strip()[:500]
    return found
