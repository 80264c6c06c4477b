"""Looks for what is, or will be, wrong with an installation, and says how to mend it.

Guarantees: changes nothing; works beside a running service and without one; a check that cannot
be made is a finding, never an exception. Asks DNS only about ``server.hostname``.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import errno
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.nameserver
import dns.resolver
import dns.reversename
from cryptography import x509

from smtpplus.config import Config
from smtpplus.config.kinds import Endpoint
from smtpplus.installation import read_secret
from smtpplus.net.certificates import CertificateFiles
from smtpplus.store.migrate import check_version
from smtpplus.store.process_lock import is_locked
from smtpplus.store.snapshot import count_waiting
from smtpplus.values.errors import SmtpplusError
from smtpplus.values.ids import parse_id, show_id

__all__ = ["Finding", "Level", "examine"]

_DAY = 86_400.0
_FREE_WARN = 1 << 30
_SOON_DAYS = 14
_LEASED = (
    "SELECT count(*) FROM delivery WHERE state IN ('queued', 'held') AND lease_node IS NOT NULL"
)
_CLOCK_LEAST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp()


class Level(enum.StrEnum):
    """How bad it is. Only a problem makes the doctor's exit status 1."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and where it is not well, how to mend it."""

    check: str
    level: Level
    text: str
    mend: str = ""


def _ok(check: str, text: str) -> Finding:
    return Finding(check, Level.OK, text)


def _warning(check: str, text: str, mend: str) -> Finding:
    return Finding(check, Level.WARNING, text, mend)


def _problem(check: str, text: str, mend: str) -> Finding:
    return Finding(check, Level.PROBLEM, text, mend)


def examine(config: Config) -> Iterator[Finding]:
    """All checks, each with at least one finding."""
    checks: tuple[tuple[str, Callable[[Config], Iterator[Finding]]], ...] = (
        ("disk", _disk),
        ("permissions", _permissions),
        ("secret", _secret),
        ("certificate", _certificate),
        ("ports", _ports),
        ("clock", _clock),
        ("dns", _names),
        ("store", _store),
    )
    for name, check in checks:
        try:
            yield from check(config)
        except (SmtpplusError, OSError, sqlite3.Error) as error:
            yield _problem(name, f"It could not be checked: {error}.", "See what the text names.")


# ---------------------------------------------------------------- the machine


def _disk(config: Config) -> Iterator[Finding]:
    folder = config.queue_dir if config.queue_dir.is_dir() else config.server.data_dir
    usage = shutil.disk_usage(folder)
    need = int(config.submission.max_message_bytes * 1.5)
    text = f"{usage.free >> 20:,} MiB of {usage.total >> 20:,} MiB are free."
    mend = f"Make room on the file system of {folder}."
    if usage.free < need:
        yield _problem("disk", f"{text} Below {need >> 20} MiB no mail is taken (452).", mend)
    elif usage.free < _FREE_WARN:
        yield _warning("disk", text, mend)
    else:
        yield _ok("disk", text)
    found = os.statvfs(folder)
    if found.f_files and found.f_favail < 10_000:
        yield _problem("disk", f"Only {found.f_favail} files can be made.", mend)


def _permissions(config: Config) -> Iterator[Finding]:
    data_dir = config.server.data_dir
    owner = data_dir.stat().st_uid
    secret = [config.secret_key_file]
    if config.submission.private_key is not None:
        secret.append(config.submission.private_key)
    if config.relay.smarthost_password_file is not None:
        secret.append(config.relay.smarthost_password_file)
    wrong = False
    for path in secret:
        with contextlib.suppress(FileNotFoundError):
            mode = path.stat().st_mode & 0o777
            if mode & 0o007:
                wrong = True
                yield _problem(
                    "permissions",
                    f"{path} can be read by everybody ({mode:o}).",
                    f"chmod o= {path}",
                )
    strangers = [path for path in _tree(data_dir) if path.lstat().st_uid != owner]
    if strangers:
        wrong = True
        yield _problem(
            "permissions",
            f"{len(strangers)} files of {data_dir} belong to another user than the folder, such "
            f"as {strangers[0]}: a command was run as root.",
            f"chown -R --from=0 {owner} {data_dir}",
        )
    if data_dir.stat().st_mode & 0o077:
        wrong = True
        yield _warning("permissions", f"{data_dir} is open to others.", f"chmod 700 {data_dir}")
    if not wrong:
        yield _ok("permissions", f"{data_dir} and what is secret in it are closed to others.")


def _tree(top: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(top):
        for name in files:
            path = Path(folder, name)
            if path.is_file():
                yield path


def _secret(config: Config) -> Iterator[Finding]:
    secret = read_secret(config)
    if len(secret) < 32:
        yield _problem(
            "secret", f"{config.secret_key_file} is too short.", "Restore it from a backup."
        )
    else:
        yield _ok("secret", f"{config.secret_key_file} is there.")
    for name, read in (
        ("relay.smarthost_password_file", config.smarthost_password),
        ("metrics.token_file", config.metrics_token),
    ):
        try:
            read()
        except SmtpplusError as error:
            yield _problem("secret", str(error), f"Write the file, or take {name} out.")


def _clock(_: Config) -> Iterator[Finding]:
    now = time.time()
    if now < _CLOCK_LEAST:
        yield _problem(
            "clock",
            f"The clock says {dt.datetime.fromtimestamp(now, dt.UTC):%Y-%m-%d}.",
            "Set it, and run an NTP client.",
        )
        return
    synchronised = Path("/run/systemd/timesync/synchronized")
    others = (Path("/run/chrony"), Path("/var/run/chrony"), Path("/var/lib/ntp"))
    if synchronised.exists() or any(path.exists() for path in others):
        yield _ok("clock", "The clock is kept by an NTP client.")
    else:
        yield _warning(
            "clock",
            "No NTP client was found that keeps the clock right.",
            "Install one (systemd-timesyncd, chrony), unless the host keeps the clock.",
        )


# ---------------------------------------------------------------- the outside


def _certificate(config: Config) -> Iterator[Finding]:
    section = config.submission
    if section.certificate is None or section.private_key is None:
        yield _problem(
            "certificate",
            "There is none: TLS is not offered, and nobody can sign in.",
            "Set submission.certificate and submission.private_key.",
        )
        return
    pair = CertificateFiles(section.certificate, section.private_key).read()
    leaf = pair.chain[0]
    left = (leaf.not_valid_after_utc.timestamp() - time.time()) / _DAY
    until = f"{leaf.not_valid_after_utc:%Y-%m-%d}"
    if left < 0:
        yield _problem("certificate", f"It expired on {until}.", "Renew it.")
    elif left < _SOON_DAYS:
        yield _warning("certificate", f"It expires on {until}.", "See why it was not renewed.")
    else:
        yield _ok("certificate", f"It is valid until {until}.")
    host = str(config.server.hostname)
    names = _names_in(leaf)
    if not any(_covers(name, host) for name in names):
        yield _problem(
            "certificate",
            f"It is for {', '.join(names) or 'nobody'}, not for {host}.",
            f"Get one for {host}, or set server.hostname.",
        )
    if leaf.issuer == leaf.subject and config.relay.deliver != "sandbox":
        yield _warning(
            "certificate",
            "It is self-signed: clients that check will refuse it.",
            "Get one of a public authority, such as Let's Encrypt.",
        )


def _names_in(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in found.get_values_for_type(x509.DNSName)]


def _covers(name: str, host: str) -> bool:
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])


def _ports(config: Config) -> Iterator[Finding]:
    running = is_locked(config.server.data_dir)
    wanted: list[Endpoint] = []
    if "submission" in config.server.roles:
        wanted += [*config.submission.listen, *config.submission.listen_tls]
    if "web" in config.server.roles:
        wanted.append(config.web.listen)
    for where in wanted:
        if where.port == 0:
            continue
        reason = _bind(where)
        if running and reason == "taken":
            yield _ok("ports", f"{where} is listened on, and the service runs.")
        elif running:
            yield _problem(
                "ports",
                f"The service runs, but nothing listens on {where}.",
                "See its log; a port that was changed holds after a restart.",
            )
        elif not reason:
            yield _ok("ports", f"{where} is free.")
        else:
            text, mend = _PORT_REASONS.get(reason, (reason, "Choose an address of this machine."))
            yield _problem("ports", f"{where}: {text}.", mend)


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


def _names(config: Config) -> Iterator[Finding]:
    host = str(config.server.hostname)
    if config.relay.deliver == "sandbox" or "." not in host:
        yield _ok("dns", "Not asked: nothing leaves the machine under this name.")
        return
    resolver = _resolver(config)
    lifetime = config.dns.timeout.seconds
    addresses: list[str] = []
    for kind in ("A", "AAAA"):
        try:
            answer = resolver.resolve(host, kind, lifetime=lifetime, search=False)
            addresses += [data.address for data in answer]
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            continue
        except (dns.exception.DNSException, OSError) as error:
            yield _problem("dns", f"{host}: DNS gave no answer: {error}.", "See dns.nameservers.")
            return
    if not addresses:
        yield _problem(
            "dns", f"{host} has no address.", f"Publish an A record of {host} with this machine's."
        )
    for address in addresses:
        yield _reverse(resolver, host, address, lifetime)


def _reverse(resolver: dns.resolver.Resolver, host: str, address: str, lifetime: float) -> Finding:
    mend = f"Ask who gave you {address} to set its reverse DNS to {host}."
    try:
        name = dns.reversename.from_address(address)
        answer = resolver.resolve(name, "PTR", lifetime=lifetime, search=False)
    except (dns.exception.DNSException, OSError) as error:
        return _problem("dns", f"{address} has no reverse DNS ({error}).", mend)
    found = [str(data.target).rstrip(".").lower() for data in answer]
    if host in found:
        return _ok("dns", f"{host} is {address}, and back.")
    return _problem("dns", f"The reverse DNS of {address} is {', '.join(found)}.", mend)


def _resolver(config: Config) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=not config.dns.nameservers)
    if config.dns.nameservers:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(one.host, one.port) for one in config.dns.nameservers
        ]
    return resolver


# ---------------------------------------------------------------- the store


def _store(config: Config) -> Iterator[Finding]:
    url = config.store_url
    if not url.startswith("sqlite:"):
        yield _warning(
            "store", "It is in PostgreSQL: its own tools look after it.", "Nothing is to be done."
        )
        return
    path = Path(url.removeprefix("sqlite:///"))
    if not path.is_file():
        yield _problem("store", f"There is no store at {path}.", "Run `smtpplus init`, or restore.")
        return
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        connection.execute("PRAGMA query_only = ON")
        counted = count_waiting(connection)
        check_version(counted.version)
        yield _ok(
            "store", f"Version {counted.version}, whole, {counted.waiting:,} deliveries waiting."
        )
        yield from _files(config, set(counted.files))
        yield from _leases(config, connection)


def _files(config: Config, named: set[int]) -> Iterator[Finding]:
    present = {
        parse_id(path.stem): path for path in config.queue_dir.glob("[0-9a-f]/[0-9a-f]/*.eml")
    }
    missing = sorted(named - present.keys())
    if missing:
        shown = ", ".join(show_id(one) for one in missing[:5])
        yield _problem(
            "queue",
            f"The content of {len(missing)} queued messages is missing: {shown}.",
            "Restore the files from a backup, or cancel: smtpplus queue cancel ID.",
        )
    young = time.time() - 600
    strays = [
        path
        for identifier, path in present.items()
        if identifier not in named and path.stat().st_mtime < young
    ]
    parts = config.queue_dir.glob("[0-9a-f]/[0-9a-f]/*.part")
    strays += [path for path in parts if path.stat().st_mtime < young]
    if strays:
        yield _warning(
            "queue",
            f"{len(strays)} files belong to no queued message, such as {strays[0]}.",
            "The next start of the service removes them.",
        )
    if not missing and not strays:
        yield _ok("queue", f"{len(named)} message files, all where they belong.")


def _leases(config: Config, connection: sqlite3.Connection) -> Iterator[Finding]:
    leased = int(connection.execute(_LEASED).fetchone()[0])
    if leased and not is_locked(config.server.data_dir):
        yield _warning(
            "leases",
            f"{leased} deliveries are leased to a service that does not run.",
            "Start it: it takes its leases back.",
        )
    else:
        yield _ok("leases", f"{leased} deliveries are in the service's memory.")
