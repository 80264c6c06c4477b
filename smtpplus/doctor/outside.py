"""What the outside sees: ports, names in DNS."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import dns.exception
import dns.resolver
import dns.reversename

from smtpplus.config import Config
from smtpplus.config.kinds import Endpoint
from smtpplus.doctor.database_store import service_lives
from smtpplus.doctor.findings import Finding, ok, problem
from smtpplus.doctor.records import resolver_of
from smtpplus.rules.tracking_hosts import fault_of
from smtpplus.store.process_lock import is_locked

__all__ = ["links", "names", "ports", "returns"]


def ports(config: Config) -> Iterator[Finding]:
    """Can we listen, or do we?"""
    in_file = config.store_url.startswith("sqlite:")
    running = is_locked(config.server.data_dir) if in_file else service_lives(config)
    wanted: list[Endpoint] = []
    if "submission" in config.server.roles:
        wanted += [*config.submission.listen, *config.submission.listen_tls]
    if config.takes_returns:
        wanted += config.feedback.listen
    if "web" in config.server.roles:
        wanted.append(config.web.listen)
    for where in wanted:
        if where.port == 0:
            continue
        reason = _bind(where)
        if running and reason == "taken":
            yield ok("ports", f"{where} is listened on, and the service runs.")
        elif running:
            yield problem(
                "ports",
                f"The service runs, but nothing listens on {where}.",
                "See its log; a port that was changed holds after a restart.",
            )
        elif not reason:
            yield ok("ports", f"{where} is free.")
        else:
            text, mend = _PORT_REASONS.get(reason, (reason, "Choose an address of this machine."))
            yield problem("ports", f"{where}: {text}.", mend)


_PORT_REASONS = {
    "taken": ("something else listens there", "Stop it, or choose another port."),
    "forbidden": (
        "this user may not bind a port below 1024",
        "Run twistd as root with --uid, or give CAP_NET_BIND_SERVICE.",
    ),
}


def _bind(where: Endpoint) -> str:
    """Why the address cannot be had; "" where it can."""
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((where.host, where.port))
        except PermissionError:
            return "forbidden"
        except OSError as error:
            return "taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
    return ""


def names(config: Config) -> Iterator[Finding]:
    """Our name and address, there and back."""
    host = str(config.server.hostname)
    if config.relay.deliver == "sandbox" or "." not in host:
        yield ok("dns", "Not asked: nothing leaves the machine under this name.")
        return
    resolver = resolver_of(config)
    lifetime = config.dns.timeout.seconds
    addresses: list[str] = []
    for kind in ("A", "AAAA"):
        try:
            answer = resolver.resolve(host, kind, lifetime=lifetime, search=False)
            addresses += [data.address for data in answer]
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            continue
        except (dns.exception.DNSException, OSError) as error:
            yield problem("dns", f"{host}: DNS gave no answer: {error}.", "See dns.nameservers.")
            return
    if not addresses:
        yield problem(
            "dns", f"{host} has no address.", f"Publish an A record of {host} with this machine's."
        )
    for address in addresses:
        yield _reverse(resolver, host, address, lifetime)


def links(config: Config) -> Iterator[Finding]:
    """Can recipients follow what we put into mail?"""
    fault = fault_of(config.tracking_url)
    if config.relay.deliver == "sandbox":
        yield ok("links", "Not asked: nothing leaves the machine.")
    elif fault:
        yield problem(
            "links", fault, "Set web.tracking_url to what the TLS proxy answers, as https://NAME."
        )
    else:
        yield ok("links", f"Mail leads to {config.tracking_url}.")


def returns(config: Config) -> Iterator[Finding]:
    """Does mail to the bounce domain come here?"""
    host, domain = str(config.server.hostname), str(config.feedback.domain or "")
    if not domain:
        yield ok("returns", "Not asked: there is no bounce domain.")
        return
    if config.relay.deliver == "sandbox":
        yield ok("returns", f"Not asked: no mail leaves with a sender in {domain}.")
        return
    try:
        answer = resolver_of(config).resolve(
            domain, "MX", lifetime=config.dns.timeout.seconds, search=False
        )
        found = [str(data.exchange).rstrip(".").lower() for data in answer]
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        found = []
    except (dns.exception.DNSException, OSError) as error:
        yield problem("returns", f"{domain}: DNS gave no answer: {error}.", "See dns.nameservers.")
        return
    if host.lower() in found:
        yield ok("returns", f"Mail to {domain} comes to {host}.")
        return
    yield problem(
        "returns",
        f"Mail to {domain} goes to {', '.join(found)}, not to {host}."
        if found
        else f"{domain} has no MX record: unsubscribing by mail fails, and so do bounces.",
        f"Publish {domain}. IN MX 10 {host}., or leave feedback.domain out.",
    )


def _reverse(resolver: dns.resolver.Resolver, host: str, address: str, lifetime: float) -> Finding:
    mend = f"Ask who gave you {address} to set its reverse DNS to {host}."
    try:
        name = dns.reversename.from_address(address)
        answer = resolver.resolve(name, "PTR", lifetime=lifetime, search=False)
    except (dns.exception.DNSException, OSError) as error:
        return problem("dns", f"{address} has no reverse DNS ({error}).", mend)
    found = [str(data.target).rstrip(".").lower() for data in answer]
    if host in found:
        return ok("dns", f"{host} is {address}, and back.")
    return problem("dns", f"The reverse DNS of {address} is {', '.join(found)}.", mend)
