"""One inbound SMTP conversation, as the role that answers it sees it."""

from __future__ import annotations

from collections.abc import Awaitable

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
from smtpplus.values.reply import Reply
from smtpplus.values.submission import ScramVerifier

__all__ = ["HangUpError", "IConversationRole"]


class HangUpError(Exception):
    """Raised by a conversation's role in place of an answer: drop the connection, say nothing."""


class IConversationRole(Interface):
    """What a role makes of one inbound conversation; a new one is made for each connection.

    One method runs at a time, in the order of the client's commands. Each may answer with the
    value itself or with an awaitable of it (a coroutine, a Deferred): the plain value is the
    quick way. A `RefusedError` is answered with its reply, what the store raises 451 4.3.0 or
    452 4.3.1; any other exception but `HangUpError` is logged and answered 451 4.3.0 (421 4.3.0
    to `connected`). Nothing is cancelled when the client goes away: a commit that began comes
    to its end.
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
