"""Looks up the DNS records of a sender domain and says what is wrong with them.

Guarantees: DNS trouble is never taken for a missing record. Asks the configured name servers,
or the system's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import dns.exception
import dns.nameserver
import dns.resolver

from smtpplus.config import Config
from smtpplus.rules.dns_records import DnsRecord, is_proven

__all__ = ["Answer", "State", "check_record", "resolver_of"]


class State(StrEnum):
    """What was found in the place of a record."""

    RIGHT = "ok"
    OTHER = "other"
    MISSING = "missing"
    UNKNOWN = "no answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS said to one record. `detail` is a sentence."""

    record: DnsRecord
    state: State
    detail: str

    @property
    def is_right(self) -> bool:
        """Is it there, as it should be?"""
        return self.state is State.RIGHT

    def fields(self) -> dict[str, str]:
        """For a table."""
        return {"state": self.state.value, "detail": self.detail}


def check_record(config: Config, record: DnsRecord) -> Answer:
    """Look `record` up."""
    try:
        if record.type == "CNAME":
            return _check_alias(config, record)
        if record.type == "MX":
            return _check_exchange(config, record)
        found = _texts(config, record.name)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return Answer(record, State.MISSING, f"There is no {record.type} record.")
    except (dns.exception.DNSException, OSError) as error:
        return Answer(record, State.UNKNOWN, f"DNS gave no answer: {error}.")
    kind = _KINDS.get(record.purpose)
    if kind is not None:
        return _check_kind(record, [text for text in found if text.lower().startswith(kind)])
    if is_proven(record, found):
        return Answer(record, State.RIGHT, "Found.")
    return Answer(record, State.OTHER, f"Found something else: {found[0][:60]!r}.")


_KINDS = {"spf": "v=spf1", "returns-spf": "v=spf1", "dmarc": "v=dmarc1"}


def _check_kind(record: DnsRecord, found: list[str]) -> Answer:
    """SPF and DMARC: ours is a suggestion, but there is to be one, and only one."""
    name = "DMARC" if record.purpose == "dmarc" else "SPF"
    if not found:
        return Answer(record, State.MISSING, f"There is no {name} record.")
    if len(found) > 1:
        return Answer(record, State.OTHER, f"There are {len(found)}; receivers then ignore all.")
    sender = record.value.split()[1]
    if name == "SPF" and sender not in found[0].lower().split():
        return Answer(record, State.OTHER, f"It lacks {sender}: {found[0][:80]!r}.")
    return Answer(record, State.RIGHT, "Found.")


def _check_alias(config: Config, record: DnsRecord) -> Answer:
    """A CNAME, or what some DNS services make of one: the same addresses."""
    resolver, target = resolver_of(config), record.value.rstrip(".").lower()
    answer = resolver.resolve(
        record.name,
        "A",
        lifetime=config.dns.timeout.seconds,
        search=False,
        raise_on_no_answer=False,
    )
    if answer.canonical_name.to_text(omit_final_dot=True).lower() == target:
        return Answer(record, State.RIGHT, "Found.")
    wanted = resolver.resolve(
        target, "A", lifetime=config.dns.timeout.seconds, search=False, raise_on_no_answer=False
    )
    ours = {data.to_text() for data in wanted.rrset or ()}
    if ours and {data.to_text() for data in answer.rrset or ()} == ours:
        return Answer(record, State.RIGHT, f"Found the addresses of {target}.")
    where = answer.canonical_name.to_text(omit_final_dot=True)
    return Answer(record, State.OTHER, f"It does not lead to {target}, but to {where}.")


def _check_exchange(config: Config, record: DnsRecord) -> Answer:
    """Among the MX records is one that names us, whatever its preference."""
    answer = resolver_of(config).resolve(
        record.name, "MX", lifetime=config.dns.timeout.seconds, search=False
    )
    found = [str(data.exchange).rstrip(".").lower() for data in answer]
    if record.value.split()[1].rstrip(".").lower() in found:
        return Answer(record, State.RIGHT, "Found.")
    return Answer(record, State.OTHER, f"It leads to {', '.join(found)[:80] or 'nobody'}.")


def _texts(config: Config, name: str) -> list[str]:
    answer = resolver_of(config).resolve(
        name, "TXT", lifetime=config.dns.timeout.seconds, search=False
    )
    return [b"".join(data.strings).decode("utf-8", "replace") for data in answer]


def resolver_of(config: Config) -> dns.resolver.Resolver:
    """What asks the configured name servers, or the system's."""
    servers = config.dns.nameservers
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(one.host, one.port) for one in servers
        ]
    return resolver
