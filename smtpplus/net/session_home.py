"""What the sessions of one listener share, and the phases of a session."""

from __future__ import annotations

import enum
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger

from smtpplus.ports import IClock
from smtpplus.values.reply import Reply

__all__ = ["Phase", "SessionHome", "Stress"]


class Phase(enum.Enum):
    """What a session waits for."""

    PROXY = "proxy"  # a PROXY header in front of TLS
    HANDSHAKE = "handshake"  # the TLS handshake
    TALKING = "talking"  # the client
    ASKING = "asking"  # the role
    TARPIT = "tarpit"  # time
    CLOSING = "closing"  # the last octets to go out
    GONE = "gone"  # nothing


@dataclass(frozen=True, slots=True)
class Stress:
    """How sessions are held while connections are short (R10)."""

    patience_seconds: float = 10.0  # instead of every longer time-out
    most_errors: int = 1


class SessionHome(Protocol):
    """The listener, as a session sees it."""

    clock: IClock
    log: Logger
    tls: IOpenSSLServerConnectionCreator | None
    stress: Stress | None  # None: there is room for everybody

    def begin(
        self, name: str, work: Coroutine[Any, Any, Any], then: Callable[[Any], object]
    ) -> object:
        """Start a role's coroutine, counted; `then` gets its result or its Failure."""

    def admit(self, session: Any, client_ip: str) -> Reply | None:
        """Count the client; the reply refuses it."""

    def ended(self, session: Any) -> None:
        """The session is over; comes once."""
