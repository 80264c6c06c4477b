"""A listening port for SMTP: accepts, limits, watches the time, stops in good order.

Guarantees: no more connections from one address, or in all, than allowed (R2, R10); every
session's time is looked at once a second; after `stop` no message is cut off before the
deadline (D12). Raises `ConfigError` where the address cannot be listened on. Running out of
file descriptors pauses accepting without a busy loop (Twisted's port keeps one in reserve,
D8). Does not know what the role does with a message.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from smtpplus.net.bound import BoundPorts
from smtpplus.net.server_session import ServerSession
from smtpplus.net.session_home import Phase, Stress
from smtpplus.net.spawn import Spawn
from smtpplus.net.tally import OwnTally, Tally
from smtpplus.ports import IClock, IConversationRole
from smtpplus.smtp.server_settings import ServerSettings
from smtpplus.values.errors import ConfigError
from smtpplus.values.reply import Reply

__all__ = ["ConnectionLimits", "SmtpListener", "parse_host_port"]

_LOOK_SECONDS = 1.0
_STRESSED_SHARE = 0.9  # of all connections (R10)
_CALM_SECONDS = 30.0  # so long below it before stress ends
_REFUSABLE = 10  # connections beyond a limit that still hear 421; further ones are just closed

_TOO_MANY_HERE = Reply.of(421, "4.7.0", "Too many connections from your address; try again later")
_TOO_MANY = Reply.of(421, "4.3.2", "Too many connections; try again later")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections at a time: from one IPv4 address or IPv6 /64, and in all."""

    per_address: int = 50
    total: int = 10_000


class SmtpListener(Factory):
    """One listening port and its sessions.

    Args:
        where: ``host:port``, ``[::]:port``; port 0 lets the system choose.
        tls: for STARTTLS, or for TLS from the start where `implicit_tls`; None: no TLS.
        new_role: makes the role of each connection.
        proxies: CIDRs of peers that must send a PROXY header; nobody else may.
        bound: what was bound before privileges were dropped.
        tally: counts connections by address; shared where several processes listen.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        clock: IClock,
        spawn: Spawn,
        *,
        where: str,
        settings: ServerSettings,
        tls: IOpenSSLServerConnectionCreator | None,
        new_role: Callable[[], IConversationRole],
        implicit_tls: bool = False,
        limits: ConnectionLimits | None = None,
        proxies: Sequence[str] = (),
        bound: BoundPorts | None = None,
        tally: Tally | None = None,
        log: Logger | None = None,
    ) -> None:
        self.clock = clock
        self.tls = tls
        self.log = log or Logger()
        self._reactor = reactor
        self._spawn = spawn
        self._bound = bound or BoundPorts()
        self._host, self._port_wanted = parse_host_port(where)
        self._new_role = new_role
        self._implicit_tls = implicit_tls
        self.reconfigure(settings, limits or ConnectionLimits(), proxies)
        self._port: IListeningPort | None = None
        self._sessions: set[ServerSession] = set()
        self._tally = tally or OwnTally()
        self.stress: Stress | None = None
        self._crowded_at = 0.0  # monotonic; when connections were short last
        self._cancel_look: Callable[[], None] | None = None
        self._stopped: Deferred[None] | None = None

    # ------------------------------------------------------------ for the assembly

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on; 0 as port before `start`."""
        if self._port is None:
            return self._host, self._port_wanted
        return self._host, int(getattr(self._port.getHost(), "port", 0))

    @property
    def connections(self) -> int:
        """Sessions now."""
        return len(self._sessions)

    def reconfigure(
        self, settings: ServerSettings, limits: ConnectionLimits, proxies: Sequence[str]
    ) -> None:
        """What holds for connections from now on."""
        offered = settings.starttls and self.tls is not None and not self._implicit_tls
        self._settings = replace(settings, starttls=offered)
        self._proxied_settings = replace(self._settings, proxied=True)
        self._limits = limits
        self._proxies = [ipaddress.ip_network(cidr) for cidr in proxies]

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address is taken, not ours or not allowed.
        """
        self._port = self._bound.listen(self._reactor, self._host, self._port_wanted, self)

    async def stop(self, seconds: float) -> int:
        """Accept no more, let messages under way end, at most `seconds`; how many were cut off."""
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        self.stress = None
        for session in list(self._sessions):
            session.stop()
        cut_off = 0
        if not self._sessions and self._cancel_look is not None:
            self._cancel_look()
            self._cancel_look = None
        if self._sessions:
            self._stopped = Deferred()
            cancel = self.clock.call_later(seconds, self._give_up)
            await self._stopped
            cancel()
            cut_off = len(self._sessions)
            for session in list(self._sessions):
                session.cut_short("The service stopped")
        return cut_off

    # ------------------------------------------------------------ for Twisted

    def buildProtocol(self, address: IAddress | None) -> Any:
        """A session for the new connection; None closes it at once."""
        ip = _plain(str(getattr(address, "host", "")))
        proxied = any(_holds(network, ip) for network in self._proxies)
        if len(self._sessions) >= self._limits.total + _REFUSABLE:
            return None
        most_here = self._limits.per_address + _REFUSABLE
        if not proxied and self._tally.count(self._key(ip)) >= most_here:
            return None
        phase = Phase.TALKING
        if self._implicit_tls:
            phase = Phase.PROXY if proxied else Phase.HANDSHAKE
        settings = self._proxied_settings if proxied else self._settings
        port = int(getattr(address, "port", 0))
        session = ServerSession(self, self._new_role(), settings, phase, ip, port)
        if not proxied:
            self._count(session, ip)
        self._sessions.add(session)
        self._watch_stress()
        if self._cancel_look is None:
            self._cancel_look = self.clock.call_later(_LOOK_SECONDS, self._look)
        return session

    # ------------------------------------------------------------ for the sessions

    def begin(
        self, name: str, work: Coroutine[Any, Any, Any], then: Callable[[Any], object]
    ) -> object:
        """Start a role's coroutine, counted; `then` gets its result or its Failure."""
        return self._spawn.begin(name, work, then)

    def admit(self, session: ServerSession, client_ip: str) -> Reply | None:
        """Count a client whose address a proxy told; refuse one too many."""
        if not session.counted_as:
            self._count(session, client_ip)
        if len(self._sessions) > self._limits.total:
            return _TOO_MANY
        if self._tally.count(session.counted_as) > self._limits.per_address:
            return _TOO_MANY_HERE
        return None

    def ended(self, session: ServerSession) -> None:
        """The session is over."""
        self._sessions.discard(session)
        if session.counted_as:
            self._tally.change(session.counted_as, -1)
        if not self._sessions:
            if self._cancel_look is not None and self.stress is None:
                self._cancel_look()
                self._cancel_look = None
            self._give_up()

    def _count(self, session: ServerSession, ip: str) -> None:
        session.counted_as = self._key(ip)
        self._tally.change(session.counted_as, 1)

    def _key(self, ip: str) -> str:
        """What is counted as one client of this port: a single host has a whole /64 of IPv6."""
        network = str(ipaddress.ip_network(f"{ip}/64", strict=False)) if ":" in ip else ip
        return f"{self._port_wanted} {network}"

    def _give_up(self) -> None:
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(None)

    def _watch_stress(self) -> None:
        """Short of connections? Then everybody gets less time, until it was better for a while."""
        now = self.clock.monotonic()
        if len(self._sessions) >= self._limits.total * _STRESSED_SHARE:
            self._crowded_at = now
            if self.stress is None:
                self._set_stress(Stress())
        elif self.stress is not None and now - self._crowded_at >= _CALM_SECONDS:
            self._set_stress(None)

    def _set_stress(self, stress: Stress | None) -> None:
        self.stress = stress
        self.log.warn(
            "{where} is {state}: {connections} of {most} connections",
            where=f"{self.address[0] or '*'}:{self.address[1]}",
            state="under stress" if stress else "at ease again",
            connections=len(self._sessions),
            most=self._limits.total,
        )
        for session in list(self._sessions):
            session.stressed()

    def _look(self) -> None:
        self._cancel_look = None
        self._watch_stress()
        if self._sessions or self.stress is not None:
            self._cancel_look = self.clock.call_later(_LOOK_SECONDS, self._look)
        now = self.clock.monotonic()
        for session in list(self._sessions):
            session.check(now)


def parse_host_port(where: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` as host and port; an empty host or ``*`` is every address.

    Raises:
        ConfigError: it is neither.
    """
    host, colon, port = where.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    host = "" if host == "*" else host
    is_number = port.isascii() and port.isdecimal() and int(port) <= 65_535
    if not colon or not is_number or (host and not _is_address(host)):
        raise ConfigError(
            f"{where!r} is no address to listen on: give it as 0.0.0.0:587, [::]:587 or *:587."
        )
    return host, int(port)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _plain(ip: str) -> str:
    """`ip` without a zone, and as IPv4 where it is one mapped into IPv6."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _holds(network: ipaddress.IPv4Network | ipaddress.IPv6Network, ip: str) -> bool:
    try:
        return ipaddress.ip_address(ip) in network
    except ValueError:
        return False
