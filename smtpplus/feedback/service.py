"""The feedback role as a Twisted service: it listens for mail to the bounce domain.

Guarantees: with `startService` every address is listened on or none is; `stopService` accepts
no more and lets what is under way end (D12). Bare CR and LF are refused (SM2), there is no AUTH.
Raises `ConfigError` where an address cannot be listened on. Does not open the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger

from smtpplus.feedback.addresses import ReturnAddresses
from smtpplus.feedback.conversation import FeedbackConversation, FeedbackParts
from smtpplus.message.token import Tokens
from smtpplus.net.bound import BoundPorts
from smtpplus.net.listener import ConnectionLimits, SmtpListener
from smtpplus.net.listeners import Listeners, ListeningService
from smtpplus.net.spawn import Spawn
from smtpplus.ports import IClock, IResponses
from smtpplus.smtp.server_settings import ServerSettings

__all__ = ["FeedbackPorts", "FeedbackService", "FeedbackSettings"]

_LIMITS = ConnectionLimits(per_address=20, total=500)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackSettings:
    """What the configuration says; `domain` is the bounce domain, "": there is none yet."""

    hostname: str
    domain: str
    tokens: Tokens
    listen: tuple[str, ...]
    max_message_bytes: int
    stop_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackPorts:
    """What the role stands on."""

    responses: IResponses
    clock: IClock
    spawn: Spawn


class FeedbackService(ListeningService):
    """Listens for what comes back."""

    name = "feedback"

    def __init__(
        self,
        reactor: Any,
        settings: FeedbackSettings,
        ports: FeedbackPorts,
        tls: IOpenSSLServerConnectionCreator | None,
        log: Logger | None = None,
        bound: BoundPorts | None = None,
    ) -> None:
        self.stop_seconds = settings.stop_seconds
        self._parts = FeedbackParts(
            hostname=settings.hostname,
            addresses=ReturnAddresses(settings.domain, settings.tokens),
            responses=ports.responses,
            clock=ports.clock,
            log=log or Logger(),
        )
        self.listeners = Listeners(
            SmtpListener(
                reactor,
                ports.clock,
                ports.spawn,
                where=where,
                settings=_server_settings(settings),
                tls=tls,
                new_role=self._new_conversation,
                limits=_LIMITS,
                bound=bound,
                log=log,
            )
            for where in settings.listen
        )

    @property
    def returns(self) -> dict[str, int]:
        """What became of mail so far, by `Kind`."""
        return {kind.value: number for kind, number in self._parts.counts.items()}

    def _new_conversation(self) -> FeedbackConversation:
        return FeedbackConversation(self._parts)


def _server_settings(settings: FeedbackSettings) -> ServerSettings:
    return ServerSettings(
        hostname=settings.hostname,
        max_message_bytes=settings.max_message_bytes,
        max_recipients=100,  # RFC 5321 §4.5.3.1.8: not fewer
        mechanisms=(),
        require_auth=False,
        bare_line_ends="reject",
        dsn=False,
    )
