"""What the client's conversation tells whoever drives it, and the commands it can wait for.

`smtpplus.smtp.client.ClientConversation.next_event` answers with one of `ClientEvent` or with
``Wait.NEED_DATA``. Everything that has been said is in the replies the events carry.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from smtpplus.values.made_quickly import made_quickly
from smtpplus.values.reply import Reply

__all__ = [
    "BodyWanted",
    "ClientEvent",
    "Command",
    "HandshakeWanted",
    "RemoteClosed",
    "Replied",
    "TransactionEnded",
]


class Command(enum.StrEnum):
    """What a reply can be awaited for; the value is its name in a sentence."""

    __hash__ = str.__hash__  # Enum's own is slow, and in Python

    GREETING = "the greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    FINAL = "the end of the message"
    DISCARD = "an empty message"
    RSET = "RSET"
    QUIT = "QUIT"


@dataclass(frozen=True, slots=True)
class Replied:
    """The reply to a single command (not of a transaction), or the greeting."""

    command: Command
    reply: Reply


@dataclass(frozen=True, slots=True)
class HandshakeWanted:
    """STARTTLS was answered with 220: shake hands, then call ``tls_started``."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class BodyWanted:
    """354 came and at least one recipient is accepted: call ``body`` and ``end_body``."""


@made_quickly
@dataclass(frozen=True, slots=True)
class TransactionEnded:
    """All replies to one transaction; None where nothing was asked, or MAIL was refused.

    The session goes on, unless the reply came in the middle of the body (then `is_closed`).
    """

    mail: Reply | None
    recipients: tuple[Reply | None, ...]
    data: Reply | None
    final: Reply | None


@dataclass(frozen=True, slots=True)
class RemoteClosed:
    """The remote ended the session: by 421 (or 221 unasked) in `reply`, or by closing.

    `text` is a sentence for a person. Comes again at every call.
    """

    text: str
    reply: Reply | None = None


ClientEvent: TypeAlias = Replied | HandshakeWanted | BodyWanted | TransactionEnded | RemoteClosed
