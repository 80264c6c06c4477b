"""The roles of a process, each made of the configuration, the store and what all of them share.

Guarantees: nothing is started here; `smtpplus.assembly` says what lives, and in which order.
Raises ConfigError where a role cannot be made as the configuration has it.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from zope.interface import implementer

from smtpplus.config import Config
from smtpplus.feedback.service import FeedbackPorts, FeedbackService
from smtpplus.message.token import Tokens
from smtpplus.net.bound import BoundPorts
from smtpplus.net.clock import ReactorClock
from smtpplus.net.dialer import Dialer
from smtpplus.net.own_addresses import has_ipv6, is_own_address
from smtpplus.net.resolver import Resolver
from smtpplus.net.spawn import Spawn
from smtpplus.net.tally import Tally
from smtpplus.net.tls import OutboundTls, ServerTls
from smtpplus.net.workers import Workers
from smtpplus.ports import IDispatch, IQueue
from smtpplus.relay.service import RelayNeeds, RelayService
from smtpplus.sandbox.service import SandboxService, SandboxSettings
from smtpplus.settings import (
    feedback_settings,
    relay_settings,
    submission_settings,
    web_settings,
)
from smtpplus.store.store import Store
from smtpplus.submission.service import SubmissionPorts, SubmissionService
from smtpplus.values.message import Accepted
from smtpplus.web.context import TrackingPorts, WebPorts
from smtpplus.web.service import WebService

__all__ = [
    "NoRelay",
    "Shared",
    "Watched",
    "feedback_service",
    "relay_service",
    "resolver",
    "sandbox_service",
    "submission_service",
    "web_service",
]


@dataclass(slots=True, kw_only=True)
class Shared:
    """What the roles of a process have in common; the last three come as it starts.

    `processes` is how many the service has, `tally` counts clients for all of them.
    """

    reactor: Any
    clock: ReactorClock
    spawn: Spawn
    signing: Workers
    passwords: Workers
    dns: Workers
    bound: BoundPorts
    tally: Tally | None
    processes: int
    secret: bytes = b""
    tls: ServerTls | None = None
    sandbox: SandboxService | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How the process is, for the pages that tell of it."""

    unready: Callable[[], Awaitable[dict[str, str]]]
    metrics: Callable[[], Awaitable[bytes]]
    worst_delay: Callable[[], float]


def sandbox_service(shared: Shared, store: Store) -> SandboxService:
    """A trial's mailbox server."""
    return SandboxService(
        shared.reactor,
        SandboxSettings(),
        sandbox=store.sandbox,
        clock=shared.clock,
        spawn=shared.spawn,
        ids=store.ids,
        tls=shared.tls,
    )


def resolver(shared: Shared, config: Config) -> Resolver:
    """Who asks DNS."""
    return Resolver(
        shared.clock,
        shared.dns,
        shared.spawn,
        nameservers=config.dns.nameservers,
        ipv6=has_ipv6(),
        total_seconds=config.dns.timeout.seconds,
    )


def relay_service(shared: Shared, config: Config, store: Store, queue: IQueue) -> RelayService:
    """Who delivers."""
    settings = relay_settings(config, shared.sandbox, shared.secret, shared.processes)
    needs = RelayNeeds(
        clock=shared.clock,
        spawn=shared.spawn,
        queue=queue,
        contents=store.contents,
        accounts=store.accounts,
        suppressions=store.suppressions,
        resolver=resolver(shared, config),
        dialer=Dialer(shared.reactor, shared.clock, OutboundTls()),
        signing=shared.signing,
        ids=store.ids,
        is_own_address=is_own_address,
        chance=random.random,
    )
    return RelayService(settings, needs)


def submission_service(
    shared: Shared,
    config: Config,
    store: Store,
    queue: IQueue,
    dispatch: IDispatch,
    is_crowded: Callable[[], bool],
) -> SubmissionService:
    """Who takes users' mail in."""
    settings = submission_settings(config, shared.secret, shared.processes)
    ports = SubmissionPorts(
        accounts=store.accounts,
        suppressions=store.suppressions,
        queue=queue,
        contents=store.contents,
        dispatch=dispatch,
        clock=shared.clock,
        workers=shared.passwords,
        spawn=shared.spawn,
        ids=store.ids,
        free_octets=store.free_octets,
        is_crowded=is_crowded,
    )
    return SubmissionService(
        shared.reactor, settings, ports, shared.tls, bound=shared.bound, tally=shared.tally
    )


def feedback_service(shared: Shared, config: Config, store: Store) -> FeedbackService | None:
    """Who takes what comes back; None: nothing does."""
    settings = feedback_settings(config, shared.secret)
    if settings is None:
        return None
    ports = FeedbackPorts(responses=store.responses, clock=shared.clock, spawn=shared.spawn)
    return FeedbackService(shared.reactor, settings, ports, shared.tls, bound=shared.bound)


def web_service(
    shared: Shared,
    config: Config,
    store: Store,
    queue: IQueue,
    queue_changed: Callable[[], None],
    watched: Watched,
) -> WebService:
    """The pages, and what recipients follow."""
    ports = WebPorts(
        accounts=store.accounts,
        people=store.people,
        history=store.history,
        queue=queue,
        recipients=store.recipients,
        suppressions=store.suppressions,
        campaigns=store.campaigns,
        sandbox=store.sandbox if config.relay.deliver == "sandbox" else None,
        clock=shared.clock,
        spawn=shared.spawn,
        workers=shared.passwords,
        random=secrets.token_bytes,
        unready=watched.unready,
        metrics=watched.metrics,
        worst_delay=watched.worst_delay,
        queue_changed=queue_changed,
        tracking=TrackingPorts(Tokens([shared.secret]), store.responses),
    )
    return WebService(ports, web_settings(config), shared.reactor, config.web.listen, shared.bound)


@implementer(IDispatch)
class NoRelay:
    """A process that does not deliver: what it accepts waits for one that does."""

    def reserve(self, deliveries: int, domains: Collection[str] = (), priority: int = 3) -> bool:
        """There is never room."""
        return False

    def dispatch(self, accepted: Accepted) -> None:
        """Is not asked for."""
        raise AssertionError("nothing was reserved")

    def cancel(self, deliveries: int, priority: int = 3) -> None:
        """Nothing was reserved."""

    def wake(self, at: float = 0.0) -> None:
        """Who delivers hears of it by the store."""
