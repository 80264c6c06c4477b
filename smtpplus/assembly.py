"""The composition: which parts a process has, how they are wired, in which order they live.

Guarantees: what takes mail in starts last and stops first; whatever fails while starting is
undone, and `Assembly.started` tells why; stopping lets messages and attempts under way come to
their end within `STOP_SECONDS` each (D12). Everything is known here and nowhere else.
"""

from __future__ import annotations

import random
import secrets
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from smtpplus.config import Config
from smtpplus.config.sections import Relay as RelaySection
from smtpplus.installation import read_secret
from smtpplus.net.certificates import CertificateFiles
from smtpplus.net.clock import ReactorClock
from smtpplus.net.dialer import Dialer
from smtpplus.net.listener import ConnectionLimits
from smtpplus.net.resolver import Resolver
from smtpplus.net.spawn import Spawn
from smtpplus.net.tls import OutboundTls, ServerTls
from smtpplus.net.workers import Workers
from smtpplus.ports import IDispatch
from smtpplus.relay.attempt import CourierSettings, Credentials
from smtpplus.relay.service import RelayNeeds, RelayService, RelaySettings
from smtpplus.rules.retry import RetrySchedule
from smtpplus.rules.routing import Deliver, Endpoint, Routing
from smtpplus.rules.tls_policy import TlsLevel
from smtpplus.sandbox.service import SandboxService, SandboxSettings
from smtpplus.store.changes import DUE, QUEUE
from smtpplus.store.leases import NodeLeases
from smtpplus.store.store import Store, open_store
from smtpplus.submission.service import SubmissionPorts, SubmissionService, SubmissionSettings
from smtpplus.values.message import Accepted
from smtpplus.web.context import WebPorts, WebSettings
from smtpplus.web.service import WebService

__all__ = ["STOP_SECONDS", "Assembly", "assemble"]

STOP_SECONDS = 12.0  # for messages on their way in, then for attempts under way; D12: 30 in all
_DRAIN_SECONDS = 3.0
_SIGNING_THREADS = 2
_PASSWORD_THREADS = 2
_DNS_THREADS = 8


def assemble(config: Config, reactor: Any) -> Assembly:
    """The service of this configuration; nothing is opened before it starts."""
    return Assembly(config, reactor)


class Assembly(Service):
    """One process of smtpplus. `started` fires when it works, or fails with the reason."""

    _log = Logger()

    def __init__(self, config: Config, reactor: Any) -> None:
        self._config = config
        self._reactor = reactor
        self.started: Deferred[None] = Deferred()
        self._clock = ReactorClock(reactor)
        self._spawn = Spawn(self._clock)
        self._signing = Workers(reactor, "signing", _SIGNING_THREADS)
        self._passwords = Workers(reactor, "passwords", _PASSWORD_THREADS)
        self._dns = Workers(reactor, "dns", _DNS_THREADS)
        self._stops: list[tuple[str, Any]] = []  # what was started, and how to stop it
        self._ready = False

    def startService(self) -> None:
        """Begin to start; `started` says how it went."""
        super().startService()  # type: ignore[no-untyped-call]
        Deferred.fromCoroutine(self._start()).chainDeferred(self.started)

    def stopService(self) -> Deferred[None]:
        """Come to an end in good order."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._ready = False
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> None:
        try:
            await self._start_all()
        except BaseException:
            await self._stop()
            raise
        self._ready = True

    async def _start_all(self) -> None:
        config, roles = self._config, self._config.server.roles
        for workers in (self._signing, self._passwords, self._dns):
            workers.start()
            self._stops.append(("workers", workers.stop))
        secret = read_secret(config)
        store = open_store(
            config.store_url,
            config.server.data_dir,
            reactor=self._reactor,
            clock=self._clock,
            node_name=f"{config.server.hostname}/{config.server.node}",
            secret=secret,
            lease_seconds=config.store.lease.seconds,
        )
        self._stops.append(("store", store.close))
        self._stops.append(("drain", self._drain))  # what is under way writes to the store
        await store.start()
        await self._recover(store)
        tls = self._server_tls()
        dispatch: IDispatch = _NoRelay()
        queue_changed: Callable[[], None] = dispatch.wake
        if config.relay.deliver == "sandbox":
            sandbox = self._sandbox(store, tls)
            self._begin("sandbox", sandbox)
        if "relay" in roles:
            relay = self._relay(store, sandbox if config.relay.deliver == "sandbox" else None)
            relay.start()
            store.changed.subscribe(relay.changed, QUEUE)
            store.changed.subscribe(relay.dispatch.wake, DUE)
            if isinstance(store.leases, NodeLeases):
                store.leases.when_lost(relay.leases_lost)
                store.leases.when_held(relay.resume)
            self._stops.append(("relay", lambda: relay.stop(STOP_SECONDS)))
            dispatch, queue_changed = relay.dispatch, relay.changed
        if "web" in roles:
            self._begin("web", self._web(store, queue_changed))
        if "submission" in roles:
            self._begin("submission", self._submission(store, dispatch, tls, secret))

    def _begin(self, name: str, service: Any) -> None:
        service.startService()
        self._stops.append((name, service.stopService))

    async def _stop(self) -> None:
        while self._stops:
            name, stop = self._stops.pop()
            try:
                await _as_awaitable(stop())
            except Exception:  # noqa: BLE001 - the other parts must end all the same
                self._log.failure("{name} did not stop well", name=name)

    async def _drain(self) -> None:
        await self._spawn.drain(_DRAIN_SECONDS)

    async def _recover(self, store: Store) -> None:
        found = await store.queue.recover(self._clock.now())
        self._log.info(
            "recovered the queue: {leases} leases returned, {files} files without a message removed",
            leases=found.leases_returned,
            files=found.files_removed,
        )
        for message_id in found.rows_without_file:
            self._log.error("the content of message {id} is missing", id=message_id)

    # ------------------------------------------------ the parts

    def _server_tls(self) -> ServerTls | None:
        section = self._config.submission
        if section.certificate is None or section.private_key is None:
            return None
        tls = ServerTls(CertificateFiles(section.certificate, section.private_key), self._clock)
        tls.start()
        self._stops.append(("certificates", tls.stop))
        return tls

    def _sandbox(self, store: Store, tls: ServerTls | None) -> SandboxService:
        return SandboxService(
            self._reactor,
            SandboxSettings(),
            sandbox=store.sandbox,
            clock=self._clock,
            spawn=self._spawn,
            ids=store.ids,
            tls=tls,
        )

    def _relay(self, store: Store, sandbox: SandboxService | None) -> RelayService:
        config, section = self._config, self._config.relay
        settings = RelaySettings(
            hostname=str(config.server.hostname),
            relay_domains=_own_domains(config),
            routing=_routing(section, sandbox),
            courier=_courier(config),
            retry=RetrySchedule(tuple(period.duration for period in section.retry)),
            lifetime=section.lifetime.duration,
            delay_notice=section.delay_notice.duration,
            concurrency=section.concurrency,
            reuse=section.reuse,
            our_names=frozenset({str(config.server.hostname).lower(), str(config.ehlo).lower()}),
            always_seven_bit=section.always_seven_bit,
            recode_long_lines=section.recode_long_lines,
        )
        needs = RelayNeeds(
            clock=self._clock,
            spawn=self._spawn,
            queue=store.queue,
            contents=store.contents,
            accounts=store.accounts,
            resolver=Resolver(
                self._clock,
                self._dns,
                self._spawn,
                nameservers=config.dns.nameservers,
                ipv6=_has_ipv6(),
                total_seconds=config.dns.timeout.seconds,
            ),
            dialer=Dialer(self._reactor, self._clock, OutboundTls()),
            signing=self._signing,
            ids=store.ids,
            is_own_address=_is_own_address,
            chance=random.random,
        )
        return RelayService(settings, needs)

    def _submission(
        self, store: Store, dispatch: IDispatch, tls: ServerTls | None, secret: bytes
    ) -> SubmissionService:
        config, section = self._config, self._config.submission
        settings = SubmissionSettings(
            hostname=str(config.server.hostname),
            fake_secret=secret,
            listen=tuple(section.listen),
            listen_tls=tuple(section.listen_tls),
            max_message_bytes=section.max_message_bytes,
            max_recipients=section.max_recipients,
            bare_line_ends=section.bare_line_ends,
            show_client=section.show_client,
            proxies=tuple(section.proxy_from),
            limits=ConnectionLimits(
                per_address=section.max_connections_per_address, total=section.max_connections
            ),
            lifetime_seconds=config.relay.lifetime.seconds,
            stop_seconds=STOP_SECONDS,
        )
        ports = SubmissionPorts(
            accounts=store.accounts,
            queue=store.queue,
            contents=store.contents,
            dispatch=dispatch,
            clock=self._clock,
            workers=self._passwords,
            spawn=self._spawn,
            ids=store.ids,
            free_octets=store.free_octets,
        )
        return SubmissionService(self._reactor, settings, ports, tls)

    def _web(self, store: Store, queue_changed: Callable[[], None]) -> WebService:
        config = self._config
        is_sandbox = config.relay.deliver == "sandbox"
        host, port = _submission_address(config)
        ports = WebPorts(
            accounts=store.accounts,
            people=store.people,
            history=store.history,
            queue=store.queue,
            sandbox=store.sandbox if is_sandbox else None,
            clock=self._clock,
            spawn=self._spawn,
            workers=self._passwords,
            random=secrets.token_bytes,
            ready=lambda: self._ready,
            queue_changed=queue_changed,
        )
        settings = WebSettings(
            public_url=config.public_url,
            hostname=str(config.server.hostname),
            trial=is_sandbox,
            trusted_proxies=tuple(one.network for one in config.web.trusted_proxies),
            submission_host=host,
            submission_port=port,
        )
        return WebService(ports, settings, self._reactor, config.web.listen)


@implementer(IDispatch)
class _NoRelay:
    """A process that does not deliver: what it accepts waits for one that does."""

    def reserve(self, deliveries: int) -> bool:
        return False

    def dispatch(self, accepted: Accepted) -> None:
        raise AssertionError("nothing was reserved")

    def cancel(self, deliveries: int) -> None:
        pass

    def wake(self) -> None:
        pass


async def _as_awaitable(result: Deferred[Any] | Coroutine[Any, Any, Any] | None) -> None:
    if result is not None:
        await result


def _routing(section: RelaySection, sandbox: SandboxService | None) -> Routing:
    return Routing(
        deliver=Deliver(section.deliver),
        port=section.port,
        routes={domain.lower(): _endpoint(where) for domain, where in section.routes.items()},
        smarthost=_endpoint(section.smarthost) if section.smarthost else None,
        sandbox=Endpoint(*sandbox.address) if sandbox else None,
        sandbox_tls_fail=Endpoint(*sandbox.tls_fail_address) if sandbox else None,
    )


def _endpoint(where: Any) -> Endpoint:
    return Endpoint(str(where.host).strip("[]"), where.port)


def _courier(config: Config) -> CourierSettings:
    section = config.relay
    names = section.pools.get("default") or tuple(section.sources)
    chosen = [section.sources[name] for name in names]
    four = next((one for one in chosen if ":" not in one.ip), None)
    six = next((one for one in chosen if ":" in one.ip), None)
    first = four or six
    return CourierSettings(
        ehlo=str((first.ehlo if first else None) or config.ehlo),
        tls=TlsLevel(section.tls),
        credentials=_credentials(config),
        source_v4=four.ip if four else None,
        source_v6=six.ip if six else None,
    )


def _credentials(config: Config) -> Credentials | None:
    if not config.relay.smarthost_username:
        return None
    return Credentials(config.relay.smarthost_username, config.smarthost_password())


def _own_domains(config: Config) -> tuple[str, ...]:
    """The domains whose key makes the second signature: the first that has one is used."""
    if config.relay.dkim_domain:
        return (str(config.relay.dkim_domain).lower(),)
    labels = config.server.hostname.lower().split(".")
    return tuple(".".join(labels[start:]) for start in range(len(labels) - 1))


def _submission_address(config: Config) -> tuple[str, int]:
    """What the pages tell people to set up: host and STARTTLS port."""
    if not config.submission.listen:
        return config.server.hostname, 587
    endpoint = config.submission.listen[0]
    host = endpoint.host if endpoint.is_loopback else config.server.hostname
    return host, endpoint.port


def _has_ipv6() -> bool:
    """Is there a way to the IPv6 internet? Asks the routing table, sends nothing."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect(("2001:db8::1", 9))
    except OSError:
        return False
    return True


def _is_own_address(ip: str) -> bool:
    """Is `ip` an address of this machine? Whoever may bind it, owns it."""
    if ip.startswith("127.") or ip == "::1":
        return False  # judged by rules.routing
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True
