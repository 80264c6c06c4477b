"""What the two SMTP conversations tell whoever drives them.

The server side (`smtpplus.smtp.server`) answers `next_event` with one of the `ServerEvent`
classes, with `Wait.NEED_DATA` or with `Wait.PAUSED`. Events marked *question* hold the
conversation back (PAUSED) until ``answer(reply)`` is called: no reply ever outruns another.
All other events are statements; the conversation has answered the client itself where needed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

from smtpplus.values.address import Address
from smtpplus.values.envelope import Body, DeliverBy, Envelope, EnvelopeRecipient, Ret
from smtpplus.values.made_quickly import made_quickly

__all__ = [
    "AuthFailed",
    "BodyChunk",
    "BodyEnded",
    "BodyStarted",
    "Closed",
    "Connected",
    "HelloReceived",
    "MailReceived",
    "PasswordOffered",
    "RcptReceived",
    "ScramProved",
    "ScramStarted",
    "ServerEvent",
    "StartTls",
    "Tarpit",
    "TransactionReset",
    "Wait",
]


class Wait(enum.Enum):
    """No event now."""

    NEED_DATA = "need data"  # call receive() or receive_eof()
    PAUSED = "paused"  # a question is open: call answer()


@dataclass(frozen=True, slots=True)
class Connected:
    """*Question*: a client is there. Answer 220 to greet, 421 or 554 to refuse.

    `client_ip` and `client_port` are the PROXY header's where one was sent (`proxied`).
    """

    client_ip: str
    client_port: int
    proxied: bool


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """EHLO or HELO was accepted (and answered)."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class StartTls:
    """The 220 is in `bytes_to_send`: send it, shake hands, then call ``tls_started``."""


@dataclass(frozen=True, slots=True)
class PasswordOffered:
    """*Question*: AUTH PLAIN or LOGIN came to its end. Answer 235, 535, 454 or 421."""

    mechanism: str
    username: str
    password: str = field(repr=False)
    authzid: str


@dataclass(frozen=True, slots=True)
class ScramStarted:
    """*Question*: SCRAM needs a verifier. Answer with ``answer_scram(verifier)``, or ``answer``.

    An unknown user gets a made-up verifier, so that it runs the same course (SA3).
    """

    mechanism: str
    username: str
    authzid: str


@dataclass(frozen=True, slots=True)
class ScramProved:
    """*Question*: the client proved that it knows the secret. Answer 235, or refuse."""

    mechanism: str
    username: str


@dataclass(frozen=True, slots=True)
class AuthFailed:
    """The conversation itself refused an AUTH: a wrong SCRAM proof, or somebody else's authzid.

    The 535 goes out when the next event is asked for: wait before that, to slow guessing.
    """

    mechanism: str
    username: str


@made_quickly
@dataclass(frozen=True, slots=True)
class MailReceived:
    """*Question*: MAIL FROM with well-formed parameters, within SIZE. Answer 250, 4xx, 5xx.

    The parameters are as in `Envelope`.
    """

    sender: Address | None
    body: Body
    smtputf8: bool
    ret: Ret | None
    envid: str | None
    declared_bytes: int
    hold_for: int | None = None
    hold_until: float | None = None
    deliver_by: DeliverBy | None = None
    mt_priority: int | None = None


@dataclass(frozen=True, slots=True)
class RcptReceived:
    """*Question*: RCPT TO. A positive answer adds the recipient to the envelope.

    A recipient given twice is answered by the conversation itself and kept once (S14).
    """

    recipient: EnvelopeRecipient


@dataclass(frozen=True, slots=True)
class BodyStarted:
    """*Question*: DATA, or the first BDAT. Answer 354 to go on (for BDAT it is not sent)."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """A piece of the content: dots undone, line ends as the setting says, never a NUL.

    The pieces end where they end; only their concatenation has a meaning.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnded:
    """*Question*: the content is complete, `octets` long. The answer is the final reply."""

    octets: int


@dataclass(frozen=True, slots=True)
class TransactionReset:
    """The open transaction is gone (RSET, EHLO, too large, bad line ends): forget its body."""


@dataclass(frozen=True, slots=True)
class Tarpit:
    """Wait `seconds` before asking for the next event (R6); a reply is held back until then."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The conversation is over: send what is in `bytes_to_send`, then close. Comes once."""

    reason: str


ServerEvent: TypeAlias = (
    Connected
    | HelloReceived
    | StartTls
    | PasswordOffered
    | ScramStarted
    | ScramProved
    | AuthFailed
    | MailReceived
    | RcptReceived
    | BodyStarted
    | BodyChunk
    | BodyEnded
    | TransactionReset
    | Tarpit
    | Closed
)
