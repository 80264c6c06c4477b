"""Errors that say whose fault it is, and what to do.

Guarantees: every error a person or a peer may see derives from one of these, and its text is
a whole sentence that is fit to be shown. Does not log and knows no codes but those in a reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smtpplus.values.reply import Reply

__all__ = [
    "STORE_ERRORS",
    "AddressError",
    "ConfigError",
    "ConflictError",
    "CorruptContentError",
    "DuplicateMessageError",
    "NotFoundError",
    "ProtocolError",
    "RefusedError",
    "SmtpplusError",
    "StoreBrokenError",
    "StoreCorruptError",
    "StoreFullError",
    "StoreUnavailableError",
    "UsageError",
    "reason",
]


class SmtpplusError(Exception):
    """Base of all errors of ours; its text is a sentence for whoever meets it."""


def reason(error: Exception) -> str:
    """What the system says of `error`, without its number and without the file's name."""
    return str(getattr(error, "strerror", None) or error)


class UsageError(SmtpplusError):
    """A person asked for something that cannot be done as asked; the text says what to do."""


class NotFoundError(UsageError):
    """The named account, list, user, domain, message … does not exist."""


class ConflictError(UsageError):
    """What is to be made exists already, or the state of the thing forbids the change."""


class DuplicateMessageError(SmtpplusError):
    """This submission was accepted before, as the message `message_id`."""

    def __init__(self, message_id: int) -> None:
        super().__init__("This message was accepted already.")
        self.message_id = message_id


class ConfigError(UsageError):
    """The configuration is wrong; the text names file, line, key and what was expected."""


class AddressError(SmtpplusError, ValueError):
    """A text is not a mail address by RFC 5321 §4.1.2; the text says where it fails."""


class ProtocolError(SmtpplusError):
    """The remote peer broke its protocol; nothing more can be said on this connection."""


class RefusedError(SmtpplusError):
    """The request is refused with ``reply``, which goes to the SMTP client as it is."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class CorruptContentError(SmtpplusError):
    """A queued content is not what was accepted: the text says how. It must not be sent."""


class StoreUnavailableError(SmtpplusError):
    """The store cannot be reached now (locked, connection lost); trying again may help."""


class StoreFullError(SmtpplusError):
    """The disk is full (ENOSPC, EDQUOT, SQLITE_FULL); nothing of the request was kept."""


class StoreBrokenError(SmtpplusError):
    """The disk failed (EIO at a sync): intake stops until the store is reopened and checked."""


class StoreCorruptError(StoreBrokenError):
    """The store's file is damaged: what was asked stands in a part that cannot be read."""


# What the store raises where it cannot do its work now; the request may be made again.
STORE_ERRORS = (StoreFullError, StoreUnavailableError, StoreBrokenError)
