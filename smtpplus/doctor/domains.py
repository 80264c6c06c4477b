"""The sender domains: which records each needs, and which of them DNS shows."""

from __future__ import annotations

from collections.abc import Iterator

from smtpplus.config import Config
from smtpplus.doctor.findings import Finding, ok, problem, warning
from smtpplus.doctor.records import State, check_record
from smtpplus.installation import Installation, open_installation, run
from smtpplus.rules.dns_records import (
    DnsRecord,
    ownership_record,
    records,
    return_records,
    tracking_record,
)
from smtpplus.rules.tracking_hosts import host_of
from smtpplus.values.submission import SenderDomain

__all__ = ["domains", "records_of"]

_MOST = 100  # domains: each has four or more records to be looked up


def records_of(opened: Installation, one: SenderDomain) -> list[DnsRecord]:
    """All records that a sender domain needs or should have, its proof of ownership first."""
    ownership = ownership_record(opened.secret, one.account_id, one.domain)
    keys = run(opened.accounts.keys(one.domain))
    tracking = None
    if one.tracking_host:
        tracking = tracking_record(one.tracking_host, host_of(opened.config.tracking_url))
    hostname = str(opened.config.server.hostname)
    found = records(one.domain, ownership, keys, hostname, tracking)
    bounces = str(opened.config.feedback.domain or "")
    if bounces == one.domain or bounces.endswith(f".{one.domain}"):
        found += return_records(bounces, hostname)
    return found


def domains(config: Config) -> Iterator[Finding]:
    """Does DNS show what signed, tracked mail of each sender domain stands on?"""
    if config.relay.deliver == "sandbox":
        yield ok("domains", "Not asked: nothing leaves the machine.")
        return
    with open_installation(config) as opened:
        accounts = run(opened.accounts.accounts())
        known = [
            one for account in accounts for one in run(opened.accounts.sender_domains(account.id))
        ]
        wanted = [(one, records_of(opened, one)) for one in known[:_MOST]]
    if not wanted:
        yield warning(
            "domains",
            "There is no sender domain: nobody can send.",
            "smtpplus domain add ACCOUNT DOMAIN",
        )
    for one, needed in wanted:
        yield from _domain(config, one, needed)


def _domain(config: Config, one: SenderDomain, needed: list[DnsRecord]) -> Iterator[Finding]:
    mend = f"`smtpplus domain records {one.domain}` prints it, `domain check` looks again."
    wrong = 0
    for record in needed:
        answer = check_record(config, record)
        if answer.is_right:
            continue
        wrong += 1
        said = f"{one.domain}: {record.purpose} ({record.type} of {record.name}): {answer.detail}"
        if answer.state is State.UNKNOWN:
            yield problem("domains", said, "See dns.nameservers.")
            return
        tell = problem if record.required else warning
        yield tell("domains", said, mend)
    if not wrong:
        yield ok("domains", f"{one.domain}: all {len(needed)} records are there.")
