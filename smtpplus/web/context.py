"""What the views work with: ports, settings, the signed-in person.

Guarantees: `Visit.scope` is the one place that says whose mail a person may see: None (all
accounts) for an operator alone; a person without account and without that role sees nothing.
Raises `PageError`.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from smtpplus.message.token import Tokens
from smtpplus.ports import (
    IAccounts,
    ICampaigns,
    IClock,
    IHistory,
    IPeople,
    IQueue,
    IRecipients,
    IResponses,
    ISandbox,
    ISpawn,
    ISuppressions,
    IWorkers,
)
from smtpplus.values.submission import Person, Role
from smtpplus.web.exchange import Asked, PageError

__all__ = ["Network", "TrackingPorts", "Visit", "WebPorts", "WebSettings"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


async def _all_up() -> dict[str, str]:
    return {}


async def _nothing_measured() -> bytes:
    return b""


def _nobody_to_tell() -> None:
    pass


@dataclass(frozen=True, slots=True)
class TrackingPorts:
    """What opens, clicks and unsubscribes need beside the rest."""

    tokens: Tokens
    responses: IResponses


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPorts:
    """The neighbours.

    `sandbox` is None where mail is delivered for real, `tracking` where neither ``/t/`` nor
    ``/u/`` is answered. `random` gives so many random octets (``secrets.token_bytes``); `unready` says which part
    is not up, and why (``/readyz``); `queue_changed` tells the relay of this process that
    somebody changed what waits. `worst_delay`: how late the reactor was in the last minute, seconds.
    """

    accounts: IAccounts
    people: IPeople
    history: IHistory
    queue: IQueue
    recipients: IRecipients
    suppressions: ISuppressions
    campaigns: ICampaigns
    sandbox: ISandbox | None
    clock: IClock
    spawn: ISpawn
    workers: IWorkers
    random: Callable[[int], bytes]
    unready: Callable[[], Awaitable[dict[str, str]]] = _all_up
    metrics: Callable[[], Awaitable[bytes]] = _nothing_measured
    queue_changed: Callable[[], None] = _nobody_to_tell
    worst_delay: Callable[[], float] = float
    tracking: TrackingPorts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """The part of the configuration the pages need.

    `public_url` is where browsers find them (its path, if any, stands before every link),
    `tracking_url` where recipients' programs find ``/t/`` and ``/u/``;
    `submission_host` and `submission_port` (STARTTLS) are what the pages tell people to set up.
    """

    public_url: str
    hostname: str
    tracking_url: str = ""
    trial: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    submission_host: str = "127.0.0.1"
    submission_port: int = 2587

    metrics_networks: tuple[Network, ...] = ()
    metrics_token: str = field(default="", repr=False)

    @property
    def is_https(self) -> bool:
        """Do browsers come over HTTPS? Then cookies are Secure."""
        return urlsplit(self.public_url).scheme == "https"

    @property
    def base(self) -> str:
        """The path before every link; mostly empty."""
        return urlsplit(self.public_url).path.rstrip("/")

    @property
    def bases(self) -> tuple[str, ...]:
        """The paths that may stand before a request's own; a proxy may have cut them off."""
        tracking = urlsplit(self.tracking_url).path.rstrip("/")
        return tuple({one for one in (self.base, tracking) if one})

    def trusts(self, ip: str) -> bool:
        """Is this the address of a proxy whose X-Forwarded-* are believed?"""
        return _holds(self.trusted_proxies, ip)

    def may_measure(self, ip: str) -> bool:
        """May this address read /metrics without a token?"""
        return _holds(self.metrics_networks, ip)

    def knows_host(self, host: str) -> bool:
        """May a browser call us so? Foreign names are refused, against DNS rebinding."""
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        if name in {"localhost", self.hostname.lower(), urlsplit(self.public_url).hostname}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


@functools.lru_cache(maxsize=4_096)  # the same few proxies, at every request
def _holds(networks: tuple[Network, ...], ip: str) -> bool:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return any(address in network for network in networks)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of one person (None: nobody signed in), with the CSRF token of its forms."""

    asked: Asked
    now: float
    csrf: str
    person: Person | None = None
    sees_sandbox: bool = False
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def who(self) -> Person:
        """The person; only routes that need one ask."""
        if self.person is None:
            raise PageError(HTTPStatus.FORBIDDEN, "Sign in first.")
        return self.person

    @property
    def scope(self) -> int | None:
        """The account whose mail is shown; None: all of them."""
        person = self.who
        if person.role is Role.OPERATOR:
            return None
        if person.account_id is None:
            raise PageError(
                HTTPStatus.FORBIDDEN,
                "You belong to no account yet. Ask the operator of this installation to add you.",
            )
        return person.account_id
