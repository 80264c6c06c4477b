"""Where a delivery goes: a configured next hop, or the hosts that DNS names.

RFC 5321 §5.1, null MX RFC 7505. Guarantees: hosts come by preference, equal ones in the order
that chance gives (O4); a list that holds this machine is cut at its preference, so that mail
never comes back to us (S19). Pure: DNS answers and chance are arguments.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from smtpplus.values.address import Address

__all__ = [
    "Deliver",
    "Endpoint",
    "Exchanger",
    "Routing",
    "fixed_endpoint",
    "is_ours_by_nature",
    "lane_key",
    "order_exchangers",
]

TLS_FAIL_LOCAL_PART = "tls-fail"  # the sandbox plays a broken handshake for it


class Deliver(enum.StrEnum):
    """Where mail leaves to when no route is configured for its domain."""

    INTERNET = "internet"
    SMARTHOST = "smarthost"
    SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A next hop: host name or IP address, and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Exchanger:
    """One mail exchanger of a domain (RFC 5321 §5.1)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The configured part: keys of `routes` are a domain, ``*.domain`` or ``*``."""

    deliver: Deliver
    port: int = 25
    routes: Mapping[str, Endpoint] = field(default_factory=dict)
    smarthost: Endpoint | None = None
    sandbox: Endpoint | None = None
    sandbox_tls_fail: Endpoint | None = None


def fixed_endpoint(address: Address, routing: Routing) -> Endpoint | None:
    """The configured next hop for `address`, or None: ask DNS."""
    if routing.routes and (route := _route(address.ascii_domain, routing.routes)):
        return route
    match routing.deliver:
        case Deliver.SMARTHOST:
            return routing.smarthost
        case Deliver.SANDBOX:
            if address.local.lower() == TLS_FAIL_LOCAL_PART and routing.sandbox_tls_fail:
                return routing.sandbox_tls_fail
            return routing.sandbox
        case Deliver.INTERNET:
            return None


def lane_key(address: Address, routing: Routing) -> str:
    """The destination of a delivery's lane: the configured next hop, else the domain."""
    endpoint = fixed_endpoint(address, routing)
    return address.ascii_domain if endpoint is None else str(endpoint)


def order_exchangers(
    answer: Sequence[Exchanger], our_names: Collection[str], chance: Callable[[], float]
) -> list[str] | None:
    """Host names to try, best first; None where the domain's mail is ours to receive (a loop).

    RFC 5321 §5.1: equal preferences are spread at random; where one of the hosts is this
    machine, it and all that are no better are left out.
    """
    ours = [exchanger.preference for exchanger in answer if exchanger.host in our_names]
    limit = min(ours, default=None)
    kept = [one for one in answer if limit is None or one.preference < limit]
    if answer and not kept:
        return None
    shuffled = sorted(kept, key=lambda one: (one.preference, chance()))
    return list(dict.fromkeys(one.host for one in shuffled))


def is_ours_by_nature(ip: str, port: int) -> bool:
    """Is `ip`, found by DNS, an address that can only be this machine or its link (S19)?

    Other loopback addresses than 127.0.0.1 count as strangers when delivery goes to a port
    other than 25: that is a laboratory, not the internet.
    """
    parsed = ipaddress.ip_address(ip)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_unspecified or parsed.is_link_local or parsed.is_multicast:
        return True
    if parsed.is_loopback:
        return port == 25 or str(parsed) in {"127.0.0.1", "::1"}
    return False


def _route(domain: str, routes: Mapping[str, Endpoint]) -> Endpoint | None:
    if domain in routes:
        return routes[domain]
    parent = domain
    while "." in parent:
        parent = parent.partition(".")[2]
        if f"*.{parent}" in routes:
            return routes[f"*.{parent}"]
    return routes.get("*")
