"""One DNS question, asked by dnspython in whatever thread calls.

Guarantees: `ask` always answers, whatever the servers send, in bounded time; a truncated answer
is asked again over TCP; chains of CNAMEs are followed to their end, loops are a failure; what
does not answer the question asked (id, port, name) is not taken. Raises nothing. Keeps nothing.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from smtpplus.ports import MxHost
from smtpplus.values.errors import ConfigError

__all__ = ["DnsAnswer", "Found", "ask", "stub_resolver"]

_MOST_CNAMES = 8
_NEGATIVE_SECONDS = 3_600.0  # RFC 2308 §5: at most one to three hours
_FAILED_SECONDS = 5.0  # RFC 9520 §3.2: a failure is kept for a short while too
_BRACKETS = re.compile(r"\[([^]]*)\](?::(.*))?")
_UDP_OCTETS = 1_232  # no fragments on the way


class Found(enum.Enum):
    """What kind of answer it is."""

    RECORDS = "records"
    NOTHING = "nothing"  # NODATA
    NO_DOMAIN = "no domain"  # NXDOMAIN
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What came of a question, valid for `seconds`; `text` is the sentence of a failure."""

    found: Found
    seconds: float
    records: tuple[Any, ...] = ()
    text: str = ""


def stub_resolver(
    nameservers: Sequence[str], *, try_seconds: float, total_seconds: float
) -> dns.resolver.Resolver:
    """What `ask` needs: name servers as ``address`` or ``address:port``; none: the system's.

    Raises:
        ConfigError: a name server is none of these, or the system names none.
    """
    try:
        stub = dns.resolver.Resolver(configure=not nameservers)
    except dns.resolver.NoResolverConfiguration as error:
        raise ConfigError(
            "The system names no DNS server (/etc/resolv.conf): set dns.nameservers."
        ) from error
    if nameservers:
        stub.nameservers = [_nameserver(text) for text in nameservers]
    stub.timeout = try_seconds
    stub.lifetime = total_seconds
    stub.cache = None
    stub.use_edns(0, 0, _UDP_OCTETS)
    return stub


def ask(stub: dns.resolver.Resolver, name: str, record_type: str) -> DnsAnswer:
    """Ask for the records of `name`, in A-labels, of type A, AAAA, MX or TXT."""
    try:
        asked = dns.name.from_text(name)
    except (dns.exception.DNSException, ValueError):
        return DnsAnswer(Found.NO_DOMAIN, _NEGATIVE_SECONDS, (), f"{name} is no domain name")
    try:
        return _follow(stub, asked, record_type)
    except dns.resolver.NXDOMAIN as error:
        return DnsAnswer(Found.NO_DOMAIN, _negative_seconds(error), (), f"{name} does not exist")
    except Exception as error:  # noqa: BLE001 - what a hostile server sends is a failure, no more
        return _failed(f"DNS gave no answer for {name} ({record_type}): {_reason(error)}")


def _follow(stub: dns.resolver.Resolver, asked: dns.name.Name, record_type: str) -> DnsAnswer:
    seen = {asked}
    name = asked
    seconds = float("inf")
    while len(seen) <= _MOST_CNAMES:
        answer = stub.resolve(name, record_type, raise_on_no_answer=False, search=False)
        seconds = min(seconds, answer.chaining_result.minimum_ttl)
        if answer.rrset is not None:
            read = _READERS[record_type]
            return DnsAnswer(Found.RECORDS, seconds, tuple(read(it) for it in answer.rrset))
        # A recursive server follows CNAMEs itself; others leave the rest of the way to us.
        if answer.canonical_name == name:
            return DnsAnswer(Found.NOTHING, min(seconds, _NEGATIVE_SECONDS))
        name = answer.canonical_name
        if name in seen:
            return _failed(f"The CNAMEs of {asked.to_text(True)} run in a circle")
        seen.add(name)
    return _failed(f"The chain of CNAMEs of {asked.to_text(True)} is too long")


def _failed(text: str) -> DnsAnswer:
    return DnsAnswer(Found.FAILED, _FAILED_SECONDS, (), text)


def _negative_seconds(error: dns.resolver.NXDOMAIN) -> float:
    try:
        seconds = [
            response.resolve_chaining().minimum_ttl
            for response in error.responses().values()  # type: ignore[no-untyped-call]
        ]
    except (dns.exception.DNSException, ValueError):
        return 0.0
    return float(min([*seconds, _NEGATIVE_SECONDS]))


def _reason(error: Exception) -> str:
    if isinstance(error, dns.resolver.NoNameservers):
        said = {str(tried[3]) or type(tried[3]).__name__ for tried in error.kwargs["errors"]}
        return ", ".join(sorted(said))[:200] or "no server answered"
    if isinstance(error, dns.exception.Timeout):
        return "timed out"
    return (str(error) or type(error).__name__)[:200]


def _host(name: dns.name.Name) -> str:
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()


_READERS: dict[str, Callable[[Any], Any]] = {
    "A": lambda record: str(record.address),
    "AAAA": lambda record: str(record.address),
    "MX": lambda record: MxHost(int(record.preference), _host(record.exchange)),
    "TXT": lambda record: b"".join(record.strings).decode("utf-8", "replace"),
}


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    host, port = text, "53"
    if match := _BRACKETS.fullmatch(text):
        host, port = match[1], match[2] or "53"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = str(ipaddress.ip_address(host))
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number <= 65_535:
        raise ConfigError(
            f"{text!r} is no name server: give an address, 192.0.2.53, 192.0.2.53:5353 or"
            " [2001:db8::53]:53."
        )
    return dns.nameserver.Do53Nameserver(address, number)
