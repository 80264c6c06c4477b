"""The composition: which parts a process has, how they are wired, in which order they live.

Guarantees: what takes mail in starts last and stops first; whatever fails while starting is
undone, and `Assembly.started` tells why; stopping lets messages and attempts under way come to
their end within `STOP_SECONDS` each (D12). Everything is known here and nowhere else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from smtpplus.config import Config, effective
from smtpplus.installation import read_secret
from smtpplus.log import LeastLevel, MailLog, UserNames
from smtpplus.metrics import CountedQueue, Metrics
from smtpplus.net.bound import BoundPorts
from smtpplus.net.certificates import CertificateFiles
from smtpplus.net.clock import ReactorClock
from smtpplus.net.delay import ReactorDelay
from smtpplus.net.spawn import Spawn
from smtpplus.net.tally import SharedTally, Tally
from smtpplus.net.tls import ServerTls
from smtpplus.net.workers import Workers
from smtpplus.parts import (
    NoRelay,
    Shared,
    Watched,
    feedback_service,
    relay_service,
    resolver,
    sandbox_service,
    submission_service,
    web_service,
)
from smtpplus.ports import IDispatch, IQueue
from smtpplus.relay.service import RelayService
from smtpplus.reload import Reloaded, reloaded
from smtpplus.rules.tracking_hosts import fault_of
from smtpplus.settings import (
    STOP_SECONDS,
    node_name,
    relay_settings,
    submission_settings,
    web_settings,
    writer_settings,
)
from smtpplus.siblings import SiblingOf, Siblings
from smtpplus.store.leases import NodeLeases
from smtpplus.store.store import ALONE, Place, Store, open_store
from smtpplus.store.topics import DUE, QUEUE
from smtpplus.submission.service import SubmissionService
from smtpplus.values.errors import ConfigError, StoreCorruptError
from smtpplus.values.ids import show_id
from smtpplus.web.service import WebService

__all__ = ["Assembly", "assemble"]

_DRAIN_SECONDS = 3.0
_SHARED = frozenset({"submission", "relay"})  # roles that every process of a service has
_SIGNING_THREADS = 2  # of a process that is alone; of several each needs but one
_PASSWORD_THREADS = 2
_DNS_THREADS = 8


def assemble(
    config: Config,
    reactor: Any,
    put_line: Callable[[str], object],
    least: LeastLevel,
    settings: Sequence[str] = (),
    sibling: SiblingOf | None = None,
) -> Assembly:
    """The service of this configuration; nothing is opened before it starts.

    Of mail it tells the log by `put_line`, where `least` lets it. `settings` override the
    configuration's file, for its other processes too; `sibling` says that this is one of those.
    """
    return Assembly(config, reactor, put_line, least, settings, sibling)


class Assembly(Service):
    """One process of smtpplus. `started` fires when it works, or fails with the reason."""

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        put_line: Callable[[str], object],
        least: LeastLevel,
        settings: Sequence[str] = (),
        sibling: SiblingOf | None = None,
    ) -> None:
        self._config = config
        self._place = _place(config, sibling)
        self._roles = tuple(
            role for role in config.server.roles if role in _SHARED or not self._place.is_sibling
        )
        self._reactor = reactor
        self._put_line = put_line
        self._least = least
        self._bound = BoundPorts()
        tally: Tally | None = None
        self._siblings: Siblings | None = None
        self._is_bound = sibling is not None
        self._relay: RelayService | None = None
        self._web: WebService | None = None
        self._submission: SubmissionService | None = None
        self.started: Deferred[None] = Deferred()
        self._clock = ReactorClock(reactor)
        if sibling is not None:
            self._bound.adopt(sibling.sockets)
            tally = SharedTally(sibling.processes, sibling.number, sibling.tally)
        elif self._place.processes > 1:
            self._siblings = Siblings(
                reactor,
                self._clock,
                processes=self._place.processes,
                config=str(config.file or ""),
                settings=settings,
                values=lambda: effective(self._config),
                put_line=put_line,
                writer=writer_settings(config),
            )
            tally = self._siblings.tally
        self._shared = Shared(
            reactor=reactor,
            clock=self._clock,
            spawn=Spawn(self._clock),
            signing=Workers(
                reactor,
                "signing",
                _SIGNING_THREADS if self._place.processes == 1 else 1,
                yield_to_others=True,
            ),
            passwords=Workers(reactor, "passwords", _PASSWORD_THREADS),
            dns=Workers(reactor, "dns", _DNS_THREADS),
            bound=self._bound,
            tally=tally,
            processes=self._place.processes,
        )
        self._stops: list[tuple[str, Any]] = []  # what was started, and how to stop it
        self._metrics = Metrics(self._clock)
        self._delay = ReactorDelay(self._clock, self._metrics.delay)
        self._queue: CountedQueue | None = None
        self._missing = dict.fromkeys(("store", *self._roles), "starting")
        if self._siblings is not None:
            self._missing["processes"] = "starting"

    @property
    def number(self) -> int:
        """Which of the service's processes this is, from 0 on."""
        return self._place.number

    def bind(self) -> None:
        """Bind what is to be listened on: before privileges are dropped.

        Raises:
            ConfigError: an address cannot be had.
        """
        if self._is_bound:
            return
        config, siblings = self._config, self._place.processes - 1
        try:
            if "web" in self._roles:
                self._bound.bind(config.web.listen.host, config.web.listen.port)
            if "feedback" in self._roles and config.takes_returns:
                for where in config.feedback.listen:
                    self._bound.bind(where.host, where.port)
            if "submission" in self._roles:
                for where in (*config.submission.listen, *config.submission.listen_tls):
                    self._bound.bind(where.host, where.port, siblings)
            self._is_bound = True
        except ConfigError:
            self._bound.close()
            raise

    def reconfigure(self, wanted: Config) -> Reloaded:
        """Hold to `wanted` from now on, as far as a running process can.

        Raises:
            ConfigError: a file that it names cannot be used; nothing was changed.
        """
        found = reloaded(self._config, wanted)
        config = found.config
        shared, processes = self._shared, self._place.processes
        relay = relay_settings(config, shared.sandbox, shared.secret, processes)
        submission = submission_settings(config, shared.secret, processes)
        web = web_settings(config)
        certificate, key = config.submission.certificate, config.submission.private_key
        if shared.tls is not None and certificate is not None and key is not None:
            shared.tls.replace(CertificateFiles(certificate, key))
        self._config = config
        if self._relay is not None:
            self._relay.reconfigure(relay, resolver(shared, config))
        if self._submission is not None:
            self._submission.reconfigure(submission)
        if self._web is not None:
            self._web.reconfigure(web)
        if self._siblings is not None:
            self._siblings.hang_up(writer_settings(config))
        return found

    def startService(self) -> None:
        """Begin to start; `started` says how it went."""
        super().startService()  # type: ignore[no-untyped-call]
        Deferred.fromCoroutine(self._start()).chainDeferred(self.started)

    def stopService(self) -> Deferred[None]:
        """Come to an end in good order."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._missing = dict.fromkeys(("store", *self._roles), "stopping")
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> None:
        try:
            await self._start_all()
        except BaseException:
            await self._stop()
            raise

    async def metrics(self) -> bytes:
        """What this process counts, in Prometheus' text format."""
        return await self._metrics.page()

    async def store_trouble(self) -> str:
        """Why the store does not do this process's work; "" where it does."""
        return "" if self._queue is None else await self._queue.trouble()

    async def unready(self) -> dict[str, str]:
        """Which parts cannot do their work now, and why; none: all is well."""
        missing = dict(self._missing)
        if "store" not in missing:
            troubles = [await self.store_trouble()]
            if self._siblings is not None:
                others = await self._siblings.troubles()
                troubles += [f"{name}: {trouble}" for name, trouble in others.items()]
            if any(troubles):
                missing["store"] = " ".join(filter(None, troubles))
        if self._siblings is not None and "processes" not in missing:
            absent, silent = self._siblings.absent, self._siblings.silent
            if absent:
                missing["processes"] = f"{', '.join(absent)}: ended, and is started again"
            elif silent:
                missing["processes"] = f"{', '.join(silent)}: does not answer"
        return missing

    async def _start_all(self) -> None:
        config = self._config
        if self._siblings is not None:
            self.bind()
        for workers in self._workers.values():
            workers.start()
            self._stops.append(("workers", workers.stop))
        secret = self._shared.secret = read_secret(config)
        store = open_store(
            config.store_url,
            config.server.data_dir,
            reactor=self._reactor,
            clock=self._clock,
            node_name=self._node_name,
            secret=secret,
            create=not config.store_url.startswith("sqlite:"),  # a file was made by `init`
            lease_seconds=config.store.lease.seconds,
            place=self._place,
        )
        if self._siblings is not None:
            self._stops.append(("writer", self._siblings.writer_ended))
        self._stops.append(("store", store.close))
        self._stops.append(("drain", self._drain))  # what is under way writes to the store
        await store.start()
        queue = self._queue = CountedQueue(
            store.queue, self._metrics.counts, self._mail_log(store), lambda: store.trouble
        )
        await self._recover(queue)
        self._has_come_up("store")
        self._start_siblings(store)
        self._watch(store, queue)
        await self._metrics.begin()
        await self._tell_how_it_writes(store)
        fault = fault_of(config.tracking_url)
        if fault and config.relay.deliver != "sandbox":
            self._log.warn("{fault} Set web.tracking_url.", fault=fault)
        self._shared.tls = self._server_tls()
        if config.relay.deliver == "sandbox":
            sandbox = self._shared.sandbox = sandbox_service(self._shared, store)
            self._begin("sandbox", sandbox)
        self._start_roles(store, queue)
        if self._siblings is not None:
            self._stops.append(("siblings", self._siblings.terminate))  # they stop beside us

    def _start_roles(self, store: Store, queue: CountedQueue) -> None:
        """Last of all: first what sends, then what takes in."""
        roles = self._roles
        dispatch: IDispatch = NoRelay()
        queue_changed: Callable[[], None] = dispatch.wake
        if "relay" in roles:
            relay = self._start_relay(store, queue)
            dispatch, queue_changed = relay.dispatch, relay.changed
        if "web" in roles:
            watched = Watched(
                unready=self.unready,
                metrics=self._metrics.page,
                worst_delay=lambda: self._delay.worst,
            )
            web = self._web = web_service(
                self._shared, self._config, store, queue, queue_changed, watched
            )
            self._begin("web", web)
            self._metrics.sources.responses = lambda: web.responses
        if "feedback" in roles:
            self._start_feedback(store)
        if "submission" in roles:
            self._submission = submission_service(
                self._shared, self._config, store, queue, dispatch, self._is_crowded
            )
            self._begin("submission", self._submission)
            self._metrics.sources.listeners.append(self._submission.listeners)

    def _start_relay(self, store: Store, queue: IQueue) -> RelayService:
        relay = self._relay = relay_service(self._shared, self._config, store, queue)
        relay.start()
        store.changed.subscribe(relay.changed, QUEUE)
        store.changed.subscribe(relay.dispatch.wake, DUE)
        if isinstance(store.leases, NodeLeases):
            store.leases.when_ending(relay.leases_ending)
            store.leases.when_lost(relay.leases_lost)
            store.leases.when_held(relay.resume)
        self._has_come_up("relay")
        self._metrics.sources.lanes = relay.statistics
        self._metrics.sources.lanes_down = lambda: relay.lanes_down
        self._stops.append(("relay", lambda: relay.stop(STOP_SECONDS)))
        return relay

    def _start_feedback(self, store: Store) -> None:
        feedback = feedback_service(self._shared, self._config, store)
        if feedback is None:
            self._has_come_up("feedback")
            return
        self._begin("feedback", feedback)
        self._metrics.sources.listeners.append(feedback.listeners)
        self._metrics.sources.returns = lambda: feedback.returns

    @property
    def _workers(self) -> dict[str, Workers]:
        shared = self._shared
        return {"signing": shared.signing, "passwords": shared.passwords, "dns": shared.dns}

    @property
    def _node_name(self) -> str:
        place = self._place
        return node_name(self._config, f".{place.number}" if place.is_sibling else "")

    def _start_siblings(self, store: Store) -> None:
        if self._siblings is None:
            return
        self._stops.append(("siblings", self._siblings.ended))
        siblings = self._siblings
        self._metrics.sources.others = siblings.metrics
        self._metrics.sources.writer_trouble = lambda: siblings.writer_trouble
        self._metrics.sources.processes = lambda: 1 + siblings.ready
        siblings.all_ready.addCallback(lambda _: self._has_come_up("processes"))
        siblings.start(self._bound, store.lock_descriptor)

    def _begin(self, name: str, service: Any) -> None:
        service.startService()
        self._stops.append((name, service.stopService))
        self._has_come_up(name)

    def _is_crowded(self) -> bool:
        return self._queue is not None and self._queue.is_crowded

    def _has_come_up(self, name: str) -> None:
        if self._missing.get(name) == "starting":
            del self._missing[name]

    def _watch(self, store: Store, queue: CountedQueue) -> None:
        sources = self._metrics.sources
        sources.history, sources.queue = store.history, queue
        sources.trouble = lambda: queue.noted_trouble
        sources.unwritten = lambda: queue.unwritten
        sources.background = lambda: self._shared.spawn.running
        sources.worst_delay = lambda: self._delay.worst
        for name, pool in self._workers.items():
            sources.workers[name] = functools.partial(getattr, pool, "unfinished")
        store.observe_commits(self._metrics.commit)
        self._delay.start()
        self._stops.append(("reactor delay", self._delay.stop))

    async def _stop(self) -> None:
        self._bound.close()
        while self._stops:
            name, stop = self._stops.pop()
            try:
                await _as_awaitable(stop())
            except Exception:  # noqa: BLE001 - the other parts must end all the same
                self._log.failure("{name} did not stop well", name=name)

    async def _drain(self) -> None:
        await self._shared.spawn.drain(_DRAIN_SECONDS)

    async def _recover(self, queue: IQueue) -> None:
        try:
            found = await queue.recover(self._clock.now())
        except StoreCorruptError as error:
            # The pages show what can be read, clients are told to come again: better than to
            # end, and to be started again and again.
            self._log.critical("the queue was not recovered: {error}", error=str(error))
            return
        self._log.info(
            "recovered the queue: {leases} leases returned, {files} files without a message removed",
            leases=found.leases_returned,
            files=found.files_removed,
        )
        if found.files_quarantined:
            self._log.warn(
                "{files} content files that no message names were set aside in {folder}",
                files=found.files_quarantined,
                folder="queue/quarantine",
            )
        for message_id in found.rows_without_file:
            shown = show_id(message_id)
            self._log.error("the content of message {message_id} is missing", message_id=shown)

    # ------------------------------------------------ the parts

    def _mail_log(self, store: Store) -> MailLog:
        names = UserNames(lambda: store.accounts.users(None), self._shared.spawn)
        return MailLog(self._put_line, self._least, names)

    async def _tell_how_it_writes(self, store: Store) -> None:
        """The settings that durability stands on, as the writer has them (D17)."""
        try:
            found = await store.facts()
        except StoreCorruptError:
            return
        facts = {
            name: str(value)
            for name, value in found.items()
            if name not in {"path", "page_count", "freelist_count"}
        }
        self._metrics.sources.store = facts
        words = ", ".join(f"{name} {value}" for name, value in facts.items())
        self._log.info("the store writes with {words}", words=words)

    def _server_tls(self) -> ServerTls | None:
        section = self._config.submission
        if section.certificate is None or section.private_key is None:
            return None
        tls = ServerTls(CertificateFiles(section.certificate, section.private_key), self._clock)
        tls.start()
        self._stops.append(("certificates", tls.stop))
        return tls


def _place(config: Config, sibling: SiblingOf | None) -> Place:
    if sibling is not None:
        return Place(sibling.number, sibling.processes)
    # A trial's mailbox server has its mail in the first process.
    return ALONE if config.relay.deliver == "sandbox" else Place(0, config.server.processes)


async def _as_awaitable(result: Deferred[Any] | Coroutine[Any, Any, Any] | None) -> None:
    if result is not None:
        await result
