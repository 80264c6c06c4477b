"""The sandbox as a Twisted service: a real SMTP server for a trial's deliveries.

It listens twice: where everything works, and where STARTTLS is offered and its handshake fails,
which is where the relay takes mail for ``tls-fail@``. Guarantees: as of
`smtpplus.net.listener`. Raises `ConfigError` where it cannot listen. Does not route: the relay
does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from smtpplus.net.listener import ConnectionLimits, SmtpListener
from smtpplus.net.listeners import Listeners, ListeningService
from smtpplus.net.spawn import Spawn
from smtpplus.ports import IClock, ISandbox
from smtpplus.sandbox.conversation import SandboxConversation, SandboxParts
from smtpplus.sandbox.outcomes import Deferrals
from smtpplus.smtp.server_settings import ServerSettings
from smtpplus.values.ids import IdSource

__all__ = ["FailingTls", "SandboxService", "SandboxSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Where to listen; port 0 lets the system choose, `SandboxService` tells which it was."""

    hostname: str = "sandbox.localhost"
    listen: str = "127.0.0.1:0"
    listen_tls_fail: str = "127.0.0.1:0"
    max_message_bytes: int = 64 * 1024 * 1024  # what 30 MiB may become in 7 bits


@implementer(IOpenSSLServerConnectionCreator)
class FailingTls:
    """TLS without a certificate: each handshake ends with the server's alert."""

    def __init__(self) -> None:
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A session that will not come about."""
        return SSL.Connection(self._context, None)


class SandboxService(ListeningService):
    """Listens for the relay's deliveries."""

    name = "sandbox"
    stop_seconds = 2.0

    def __init__(
        self,
        reactor: Any,
        settings: SandboxSettings,
        *,
        sandbox: ISandbox,
        clock: IClock,
        spawn: Spawn,
        ids: IdSource,
        tls: IOpenSSLServerConnectionCreator | None,
        log: Logger | None = None,
    ) -> None:
        parts = SandboxParts(sandbox, clock, ids, Deferrals())

        def listener(where: str, context: IOpenSSLServerConnectionCreator | None) -> SmtpListener:
            return SmtpListener(
                reactor,
                clock,
                spawn,
                where=where,
                settings=ServerSettings(
                    hostname=settings.hostname,
                    max_message_bytes=settings.max_message_bytes,
                    mechanisms=(),
                    require_auth=False,
                    refusals_count=False,
                ),
                tls=context,
                new_role=lambda: SandboxConversation(parts),
                limits=ConnectionLimits(per_address=1_000, total=1_000),
                log=log,
            )

        self.listeners = Listeners(
            (listener(settings.listen, tls), listener(settings.listen_tls_fail, FailingTls()))
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where mail is taken."""
        return self.listeners.addresses[0]

    @property
    def tls_fail_address(self) -> tuple[str, int]:
        """Host and port where STARTTLS fails."""
        return self.listeners.addresses[1]
