"""What a session asks its role, and what it answers when the role fails.

Guarantees: every question of the conversation has its method of `IConversationRole`; every
exception becomes a reply; a store that is away or full is told as such, and only unforeseen
ones are logged with their traceback. Raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpplus.ports import IConversationRole
from smtpplus.smtp.events import (
    BodyEnded,
    BodyStarted,
    Connected,
    MailReceived,
    PasswordOffered,
    RcptReceived,
    ScramProved,
    ScramStarted,
)
from smtpplus.values.errors import STORE_ERRORS, RefusedError, SmtpplusError, StoreFullError
from smtpplus.values.reply import Reply

__all__ = [
    "FAULT",
    "FAULT_AT_START",
    "INJECTION",
    "QUESTIONS",
    "STOPPING",
    "TIMED_OUT",
    "TOO_SLOW",
    "reply_to_failure",
    "store_reply",
]

FAULT = Reply.of(451, "4.3.0", "Something went wrong here; try again later")
FAULT_AT_START = Reply.of(421, "4.3.0", "Something went wrong here; try again later")
STOPPING = Reply.of(421, "4.3.2", "The service is stopping; try again later")
TIMED_OUT = Reply.of(421, "4.4.2", "Nothing heard for too long; closing the connection")
TOO_SLOW = Reply.of(421, "4.4.2", "The message comes too slowly; closing the connection")
INJECTION = Reply.of(554, "5.5.0", "Octets came along with STARTTLS; closing the connection")

QUESTIONS: dict[type, Callable[[IConversationRole, Any], Any]] = {
    Connected: lambda role, event: role.connected(event),
    PasswordOffered: lambda role, event: role.password(event),
    ScramStarted: lambda role, event: role.scram(event),
    ScramProved: lambda role, event: role.scram_proved(event),
    MailReceived: lambda role, event: role.mail(event),
    RcptReceived: lambda role, event: role.rcpt(event),
    BodyStarted: lambda role, event: role.body_started(event),
    BodyEnded: lambda role, event: role.body_ended(event),
}


def reply_to_failure(failure: Failure, event: object, log: Logger, client_ip: str) -> Reply:
    """What the client hears when the role raised instead of answering `event`."""
    error = failure.value
    if isinstance(error, RefusedError):
        return error.reply
    if isinstance(error, CancelledError):  # only shutting down cancels a role's work
        return STOPPING
    name = type(event).__name__
    if isinstance(error, STORE_ERRORS):
        log.warn("{event} of {client_ip} waits: {why}", event=name, client_ip=client_ip, why=error)
        return FAULT_AT_START if isinstance(event, Connected) else store_reply(error)
    log.failure("{event} of {client_ip} failed", failure, event=name, client_ip=client_ip)
    return FAULT_AT_START if isinstance(event, Connected) else FAULT


def store_reply(error: SmtpplusError) -> Reply:
    """What the client is told of a failure of the store."""
    if isinstance(error, StoreFullError):
        return Reply.of(452, "4.3.1", "Insufficient system storage, please try again later")
    return Reply.of(451, "4.3.0", "The queue cannot be written now, please try again later")
