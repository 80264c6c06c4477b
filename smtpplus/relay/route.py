"""Which addresses a delivery may be taken to (RFC 5321 §5.1; O1, O4, QU2, S19).

Guarantees: DNS trouble defers (promise 7); an authoritative "no" bounces; at most
`MOST_ADDRESSES` addresses come out, best first, none of them this machine's own, unless the
operator configured it as a next hop. Connects to nothing.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from smtpplus.ports import IResolver, LookupFailedError, NoSuchDomainError
from smtpplus.rules.failure import undeliverable
from smtpplus.rules.routing import (
    Endpoint,
    Exchanger,
    Routing,
    fixed_endpoint,
    is_ours_by_nature,
    order_exchangers,
)
from smtpplus.values.address import Address
from smtpplus.values.outcome import Outcome, Stage

__all__ = ["MOST_ADDRESSES", "RouteFailedError", "Router", "Target"]

MOST_ADDRESSES = 5  # RFC 5321 §5.1 asks for at least two; a hostile zone may name hundreds


class RouteFailedError(Exception):
    """There is nowhere to take this delivery now; `outcome` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Target:
    """One address to try. `configured`: a next hop of the operator's, may be this machine.

    `wants_login`: it is the smarthost, where we sign in if we have credentials.
    """

    host: str
    ip: str
    port: int
    configured: bool = False
    wants_login: bool = False


class Router:
    """Finds the targets of a delivery.

    Args:
        routing: the configured next hops.
        resolver: DNS.
        our_names: host names under which this installation receives mail, lower case.
        is_own_address: is this IP address one of this machine's?
        chance: a random number from 0 to 1.
    """

    def __init__(
        self,
        *,
        routing: Routing,
        resolver: IResolver,
        our_names: Collection[str],
        is_own_address: Callable[[str], bool],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._routing = routing
        self._resolver = resolver
        self._our_names = frozenset(our_names)
        self._is_own_address = is_own_address
        self._chance = chance

    async def targets(self, recipient: Address) -> Sequence[Target]:
        """Where to try, best first; never empty.

        Raises:
            RouteFailedError: nowhere.
        """
        endpoint = fixed_endpoint(recipient, self._routing)
        if endpoint is not None:
            return await self._fixed(endpoint)
        if recipient.is_literal:
            return self._usable([_literal(recipient)], recipient.domain)
        return await self._exchangers(recipient.ascii_domain)

    async def _fixed(self, endpoint: Endpoint) -> Sequence[Target]:
        host, port = endpoint.host, endpoint.port
        is_smarthost = endpoint is self._routing.smarthost
        if _is_ip(host):
            return [Target(host, host, port, configured=True, wants_login=is_smarthost)]
        try:
            addresses = await self._resolver.addresses(endpoint.host)
        except (NoSuchDomainError, LookupFailedError):
            addresses = ()
        if not addresses:  # the operator's own next hop: a slip of DNS or of the configuration
            raise RouteFailedError(
                undeliverable(
                    Stage.ROUTE, "4.4.3", f"The next hop {endpoint.host} has no address in DNS."
                )
            )
        return [
            Target(host, ip, port, configured=True, wants_login=is_smarthost) for ip in addresses
        ]

    async def _exchangers(self, domain: str) -> Sequence[Target]:
        hosts = await self._hosts(domain)
        found: list[tuple[str, str]] = []
        trouble = ""
        for host in hosts:
            try:
                addresses = await self._resolver.addresses(host)
            except NoSuchDomainError:
                continue
            except LookupFailedError as error:
                trouble = str(error) or f"The addresses of {host} could not be looked up."
                continue
            found.extend((host, ip) for ip in _interleaved(addresses))
            if len(found) >= MOST_ADDRESSES:
                break
        if found:
            return self._usable(found, domain)
        if trouble:
            raise RouteFailedError(undeliverable(Stage.ROUTE, "4.4.3", trouble))
        raise RouteFailedError(
            undeliverable(Stage.ROUTE, "5.4.4", f"No mail host of {domain} has an address in DNS.")
        )

    async def _hosts(self, domain: str) -> Sequence[str]:
        try:
            answer = await self._resolver.mx(domain)
        except NoSuchDomainError:
            raise RouteFailedError(
                undeliverable(Stage.ROUTE, "5.1.2", f"The domain {domain} does not exist in DNS.")
            ) from None
        except LookupFailedError as error:
            text = str(error) or f"DNS gave no reliable answer about {domain}."
            raise RouteFailedError(undeliverable(Stage.ROUTE, "4.4.3", text)) from None
        exchangers = [Exchanger(one.preference, one.host) for one in answer if one.host]
        # RFC 7505 §3; beside others, which must not be, a null MX is no word.
        if answer and not exchangers:
            raise RouteFailedError(
                undeliverable(
                    Stage.ROUTE, "5.1.10", f"The domain {domain} accepts no mail (null MX)."
                )
            )
        hosts = order_exchangers(exchangers, self._our_names, self._chance)
        if hosts is None:
            raise RouteFailedError(_loop(domain))
        return hosts or [domain]  # RFC 5321 §5.1: no MX: the domain itself

    def _usable(self, found: Sequence[tuple[str, str]], domain: str) -> Sequence[Target]:
        port = self._routing.port
        kept = [
            Target(host, ip, port)
            for host, ip in found[:MOST_ADDRESSES]
            if not (is_ours_by_nature(ip, port) or self._is_own_address(ip))
        ]
        if not kept:
            raise RouteFailedError(_loop(domain))
        return kept


def _loop(domain: str) -> Outcome:
    return undeliverable(
        Stage.ROUTE, "5.4.6", f"Mail for {domain} would come back to this machine: a loop."
    )


def _literal(recipient: Address) -> tuple[str, str]:
    inner = recipient.domain[1:-1]
    ip = inner[5:] if inner[:5].lower() == "ipv6:" else inner
    return recipient.domain, ip


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _interleaved(addresses: Sequence[str]) -> list[str]:
    """IPv6 and IPv4 in turn, so that a dead family costs one time-out, not all tries (O4)."""
    six = [ip for ip in addresses if ":" in ip]
    four = [ip for ip in addresses if ":" not in ip]
    mixed: list[str] = []
    for index in range(max(len(six), len(four))):
        mixed += six[index : index + 1] + four[index : index + 1]
    return mixed
