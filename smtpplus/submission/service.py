"""The submission role as a Twisted service: its listeners, and all that conversations share.

Guarantees: with `startService` every address is listened on or none is; `stopService` accepts
no more, lets messages under way end, and answers when the last connection is gone (D12). Nobody
gets in without credentials of an SMTP user: there is no default one (A10). Raises `ConfigError`
where an address cannot be listened on. Does not open the store or start threads; the assembly
does, and recovers the queue before this starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger

from smtpplus.net.bound import BoundPorts
from smtpplus.net.listener import ConnectionLimits, SmtpListener
from smtpplus.net.listeners import Listeners, ListeningService
from smtpplus.net.spawn import Spawn
from smtpplus.net.tally import Tally
from smtpplus.ports import (
    IAccounts,
    IClock,
    IContents,
    IDispatch,
    IQueue,
    ISuppressions,
    IWorkers,
)
from smtpplus.rules.throttle import AuthLimits, AuthThrottle
from smtpplus.smtp.server_settings import ServerSettings
from smtpplus.submission.composing import Composer, ComposerSettings
from smtpplus.submission.content import ContentMemory
from smtpplus.submission.conversation import SubmissionConversation, SubmissionParts
from smtpplus.submission.intake import Intake
from smtpplus.submission.portal import submission_portal
from smtpplus.submission.quotas import Quotas
from smtpplus.submission.schedule import MOST_AHEAD_SECONDS
from smtpplus.submission.sign_in import SignIn
from smtpplus.submission.space import FreeSpace
from smtpplus.submission.subjects import SubjectLearning
from smtpplus.submission.suppressed import SuppressedRecipients
from smtpplus.values.errors import ConfigError
from smtpplus.values.ids import IdSource

__all__ = ["SubmissionPorts", "SubmissionService", "SubmissionSettings"]

_SHORTEST_BY = 10  # seconds in which a message is delivered or given up (RFC 2852)
_SPACE_FACTOR = 1.5  # of the largest message: Postfix's rule for its queue's file system


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionSettings:
    """What the configuration says. `fake_secret` is the installation's own and stays the same.

    `stop_seconds` is how long messages under way may take at a stop.
    """

    hostname: str
    fake_secret: bytes = field(repr=False)
    listen: tuple[str, ...] = ("0.0.0.0:587",)
    listen_tls: tuple[str, ...] = ("0.0.0.0:465",)
    max_message_bytes: int = 31_457_280
    max_recipients: int = 1000
    max_header_recipients: int = 10_000
    pools: frozenset[str] = frozenset()
    bare_line_ends: Literal["normalise", "reject"] = "normalise"
    show_client: bool = True
    proxies: tuple[str, ...] = ()
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    auth_limits: AuthLimits = field(default_factory=AuthLimits)
    auth_delay_seconds: float = 0.5
    lifetime_seconds: float = 5 * 86_400.0
    stop_seconds: float = 25.0
    content_memory_octets: int = 64 * 1024 * 1024  # of all contents coming in (R)
    is_alone: bool = True  # no other process counts what users submit


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionPorts:
    """What the role stands on. `free_octets` is the room left for the queue (D7)."""

    free_octets: Callable[[], int]
    accounts: IAccounts
    suppressions: ISuppressions
    queue: IQueue
    contents: IContents
    dispatch: IDispatch
    clock: IClock
    workers: IWorkers
    spawn: Spawn
    ids: IdSource
    is_crowded: Callable[[], bool] = bool  # too much waits for its commit: MAIL is 451


class SubmissionService(ListeningService):
    """Listens for users' mail."""

    name = "submission"

    def __init__(
        self,
        reactor: Any,
        settings: SubmissionSettings,
        ports: SubmissionPorts,
        tls: IOpenSSLServerConnectionCreator | None,
        log: Logger | None = None,
        bound: BoundPorts | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._settings = settings
        self.stop_seconds = settings.stop_seconds
        self._ports = ports
        self._log = log or Logger()
        self._memory = ContentMemory(settings.content_memory_octets)
        self._learning = SubjectLearning(ports.accounts, ports.clock, ports.spawn, self._log)
        self._parts = self._new_parts(settings)
        if settings.listen_tls and tls is None:
            raise ConfigError(
                "submission.listen_tls needs submission.certificate and submission.private_key."
            )

        def listener(where: str, *, implicit_tls: bool) -> SmtpListener:
            return SmtpListener(
                reactor,
                ports.clock,
                ports.spawn,
                where=where,
                settings=_server_settings(settings),
                tls=tls,
                new_role=self._new_conversation,
                implicit_tls=implicit_tls,
                limits=settings.limits,
                proxies=settings.proxies,
                bound=bound,
                tally=tally,
                log=self._log,
            )

        starttls = [listener(where, implicit_tls=False) for where in settings.listen]
        implicit = [listener(where, implicit_tls=True) for where in settings.listen_tls]
        self.listeners = Listeners((*starttls, *implicit))

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where STARTTLS is offered, as host and port."""
        return self.listeners.addresses[: len(self._settings.listen)]

    @property
    def addresses_tls(self) -> list[tuple[str, int]]:
        """Where TLS comes first."""
        return self.listeners.addresses[len(self._settings.listen) :]

    def reconfigure(self, settings: SubmissionSettings) -> None:
        """What can change while it listens, for connections from now on."""
        fresh = self._new_parts(settings)
        # Who failed to sign in, and who sent how much, is remembered.
        self._parts = replace(fresh, sign_in=self._parts.sign_in, quotas=self._parts.quotas)
        self._settings = settings
        for listener in self.listeners:
            listener.reconfigure(_server_settings(settings), settings.limits, settings.proxies)

    def stopService(self) -> Deferred[Any]:
        """Accept no more; fires when the last connection has ended."""
        self._learning.stop()
        return super().stopService()

    def _new_parts(self, settings: SubmissionSettings) -> SubmissionParts:
        return _parts(settings, self._ports, self._memory, self._learning, self._log)

    def _new_conversation(self) -> SubmissionConversation:
        return SubmissionConversation(self._parts)


def _server_settings(settings: SubmissionSettings) -> ServerSettings:
    return ServerSettings(
        hostname=settings.hostname,
        max_message_bytes=settings.max_message_bytes,
        max_recipients=settings.max_recipients,
        bare_line_ends=settings.bare_line_ends,
        longest_hold=int(MOST_AHEAD_SECONDS),
        shortest_by=_SHORTEST_BY,
        mt_priority=True,
    )


def _parts(
    settings: SubmissionSettings,
    ports: SubmissionPorts,
    memory: ContentMemory,
    learning: SubjectLearning,
    log: Logger,
) -> SubmissionParts:
    portal = submission_portal(ports.accounts, ports.workers, ports.clock, settings.fake_secret)
    suppressed = SuppressedRecipients(ports.suppressions, ports.clock)
    return SubmissionParts(
        sign_in=SignIn(
            portal,
            ports.accounts,
            AuthThrottle(settings.auth_limits),
            ports.clock,
            settings.fake_secret,
            delay_seconds=settings.auth_delay_seconds,
            log=log,
        ),
        accounts=ports.accounts,
        quotas=Quotas(ports.queue, ports.clock, is_alone=settings.is_alone),
        suppressed=suppressed,
        intake=Intake(
            composer=Composer(
                ComposerSettings(
                    hostname=settings.hostname,
                    lifetime_seconds=settings.lifetime_seconds,
                    show_client=settings.show_client,
                    max_header_recipients=settings.max_header_recipients,
                    pools=settings.pools,
                ),
                ports.ids,
            ),
            suppressed=suppressed,
            queue=ports.queue,
            contents=ports.contents,
            memory=memory,
            dispatch=ports.dispatch,
            clock=ports.clock,
            spawn=ports.spawn,
            workers=ports.workers,
            ids=ports.ids,
            learning=learning,
            log=log,
        ),
        space=FreeSpace(
            ports.free_octets, int(settings.max_message_bytes * _SPACE_FACTOR), ports.clock
        ),
        memory=memory,
        clock=ports.clock,
        hostname=settings.hostname,
        log=log,
        is_crowded=ports.is_crowded,
    )
