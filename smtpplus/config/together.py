"""What one key of the configuration demands of another, and what a kind alone cannot say.

Guarantees: what passes here is not refused at a start for its own sake: two addresses that
exclude each other, a source that is not there. Whatever lies outside of the configuration, such
as files and ports that somebody else has, is not looked at. Raises nothing.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from smtpplus.config.kinds import Endpoint, HostName
from smtpplus.net.own_addresses import ipv6_takes_ipv4

if TYPE_CHECKING:
    from smtpplus.config.load import Config
    from smtpplus.config.sections import Relay, Submission
    from smtpplus.config.source import KeyPath, Origins

__all__ = ["check_together"]

_LEAST_LEASE_SECONDS = 3

Fault = Callable[[tuple[str, ...], str], None]


def check_together(config: Config, origins: Origins, faults: list[str]) -> None:
    """Add to `faults` what does not go together, each with file, line and key."""

    def fault(path: KeyPath, text: str) -> None:
        faults.append(f"{origins.of(path)}: {'.'.join(path)}: {text}")

    if config.store.lease.seconds < _LEAST_LEASE_SECONDS:
        fault(("store", "lease"), f"expected {_LEAST_LEASE_SECONDS}s or more.")
    _check_submission(config.submission, fault)
    _check_next_hops(config.relay, fault)
    _check_sources(config.relay, fault)
    _check_urls(config, fault)
    _check_listening(config, origins, fault)


def _check_submission(submission: Submission, fault: Fault) -> None:
    if (submission.certificate is None) != (submission.private_key is None):
        fault(("submission", "certificate"), "certificate and private_key go together.")
    if submission.listen_tls and submission.certificate is None:
        fault(
            ("submission", "listen_tls"),
            "expected certificate and private_key beside it (or listen_tls = []).",
        )


def _check_next_hops(relay: Relay, fault: Fault) -> None:
    if relay.deliver == "smarthost" and relay.smarthost is None:
        fault(("relay", "deliver"), 'expected smarthost = "host:port" beside it.')
    if bool(relay.smarthost_username) != (relay.smarthost_password_file is not None):
        fault(
            ("relay", "smarthost_username"),
            "smarthost_username and smarthost_password_file go together.",
        )
    hops: dict[KeyPath, Endpoint] = {
        ("relay", "routes", domain): where for domain, where in relay.routes.items()
    }
    if relay.smarthost is not None:
        hops["relay", "smarthost"] = relay.smarthost
    for path, where in hops.items():
        if where.port == 0:
            fault(path, f'expected a port from 1 to 65535 after the colon, got "{where}".')
    for domain in relay.routes:
        try:
            HostName.read("any" if domain == "*" else domain.removeprefix("*."))
        except ValueError:
            fault(("relay", "routes", domain), 'expected a domain, "*.domain" or "*".')


def _check_sources(relay: Relay, fault: Fault) -> None:
    for name, source in relay.sources.items():
        try:
            ipaddress.ip_address(source.ip)
        except ValueError:
            fault(("relay", "sources", name, "ip"), f'expected an IP address, got "{source.ip}".')
    for pool, members in relay.pools.items():
        for member in members:
            if member not in relay.sources:
                fault(("relay", "pools", pool), f'there is no source "{member}" in relay.sources.')


def _check_urls(config: Config, fault: Fault) -> None:
    for key in ("public_url", "tracking_url"):
        url = getattr(config.web, key)
        try:
            _ = urlsplit(url).port
        except ValueError as error:
            fault(
                ("web", key),
                f'expected "https://HOST", perhaps with a port and a path, got "{url}" ({error}).',
            )


# ---------------------------------------------------------------- what is listened on


def _check_listening(config: Config, origins: Origins, fault: Fault) -> None:
    """Addresses alone, and none twice; of two the one that was said is named."""
    listened_on = _listened_on(config)
    for path, where in listened_on:
        if not where.is_address and (path[0], where.host) != ("web", "localhost"):
            fault(
                path,
                'expected an address of this machine, such as "0.0.0.0:587", "127.0.0.1:587" or '
                f'"[::]:587", got "{where}".',
            )
    for one, other in itertools.combinations(listened_on, 2):
        (path, where), (first_path, first) = other, one
        if not _exclude_each_other(where, first):
            continue
        if origins.says(first_path) and not origins.says(path):
            (path, where), (first_path, first) = one, other
        fault(
            path,
            f'expected another port: "{where}" cannot be listened on beside "{first}" of '
            f"{'.'.join(first_path)}.",
        )


def _listened_on(config: Config) -> list[tuple[KeyPath, Endpoint]]:
    found: list[tuple[KeyPath, Endpoint]] = []
    if "submission" in config.server.roles:
        for key in ("listen", "listen_tls"):
            found += [(("submission", key), one) for one in getattr(config.submission, key)]
    if config.takes_returns:
        found += [(("feedback", "listen"), one) for one in config.feedback.listen]
    if "web" in config.server.roles:
        found.append((("web", "listen"), config.web.listen))
    return found


def _exclude_each_other(one: Endpoint, other: Endpoint) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    hosts = {_plain(one.host), _plain(other.host)}
    if len(hosts) == 1:
        return True
    versions = {6 if ":" in host else 4 for host in hosts}
    if len(versions) == 1:
        return bool(hosts & {"0.0.0.0", "::"})  # noqa: S104 - nothing is bound
    return "::" in hosts and ipv6_takes_ipv4()


def _plain(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host
