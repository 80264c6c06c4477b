"""A store in PostgreSQL: the server, the tables, who works on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from smtpplus.config import Config
from smtpplus.doctor.findings import Finding, ok, problem, warning
from smtpplus.doctor.machine import is_secret_of
from smtpplus.store.migrate import check_version
from smtpplus.values.errors import SmtpplusError
from smtpplus.values.ids import show_id

if TYPE_CHECKING:
    from smtpplus.store.database_look import DatabaseFacts, NodeFacts

__all__ = ["database_store", "node_name", "service_lives"]

_LEAST_VERSION = 130_000
_FEW_CONNECTIONS = 15
_WARN_AHEAD_SECONDS = 1.0
_MOST_AHEAD_SECONDS = 30.0


def node_name(config: Config) -> str:
    """The name of this process among those on the store."""
    return f"{config.server.hostname}/{config.server.node}"


def service_lives(config: Config) -> bool:
    """Does the service of this configuration run, as far as the database can tell?"""
    from smtpplus.store.database_look import node_lives  # noqa: PLC0415 - an extra

    try:
        return node_lives(config.store_url, node_name(config))
    except SmtpplusError:
        return False


def database_store(config: Config) -> Iterator[Finding]:
    """All that can be said without changing anything."""
    from smtpplus.store.database_look import look  # noqa: PLC0415 - an extra

    facts = look(config.store_url)
    yield from _server(facts)
    yield _clock(facts.ahead_seconds)
    yield from _tables(facts)
    if facts.schema is not None:
        check_version(facts.schema)
        yield from _secret(config, facts.fingerprint)
        yield from _contents(facts.missing, facts.strays)
        yield from _leases(facts.nodes)


def _server(facts: DatabaseFacts) -> Iterator[Finding]:
    major = facts.server_version // 10_000
    if facts.server_version < _LEAST_VERSION:
        yield problem("database", f"It is PostgreSQL {major}.", "Use version 13 or newer.")
    else:
        yield ok("database", f"PostgreSQL {major} answers, as {facts.database}.")
    for name in facts.off:
        yield problem(
            "database",
            f"{name} is off: what was answered 250 can be lost with the server's power.",
            f"Set {name} = on in postgresql.conf.",
        )
    if facts.read_only:
        yield problem(
            "database",
            "It takes no writes: it is a standby, or default_transaction_read_only is on.",
            "Name the primary in store.url (target_session_attrs=read-write chooses it).",
        )
    if facts.connections_left < _FEW_CONNECTIONS:
        yield warning(
            "database",
            f"{facts.connections_left} connections are left; a process uses five to ten.",
            "Raise max_connections, or see who has them.",
        )
    if not facts.hears_notices:
        yield problem(
            "database",
            "LISTEN hears no NOTIFY: changes are noticed half a minute late, and names of "
            "processes are not kept apart.",
            "Connect to the server itself, or to a pooler that pools by session.",
        )


def _tables(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.lacking:
        yield problem(
            "store",
            f"The user {facts.user} lacks {len(facts.lacking)} rights, such as {facts.lacking[0]}.",
            f"Grant them, or make {facts.user} the owner of the tables.",
        )
    elif facts.schema is None:
        yield problem("store", "There is no store.", "Run `smtpplus migrate`.")
    else:
        yield ok("store", f"Version {facts.schema}, {facts.waiting:,} deliveries waiting.")
    if facts.schema is not None and not facts.can_migrate:
        yield warning(
            "store",
            f"The user {facts.user} does not own the tables: `smtpplus migrate` will not work.",
            "Run it as their owner.",
        )


def _leases(nodes: tuple[NodeFacts, ...]) -> Iterator[Finding]:
    lives = [node for node in nodes if node.lives]
    lost = [node for node in nodes if not node.lives and node.leased]
    for node in lost:
        yield warning(
            "leases",
            f"{node.leased} deliveries are leased to {node.name}, which does not run.",
            "A relay that runs takes them over within store.lease, or in ten minutes."
            if lives
            else "Start a relay.",
        )
    if not lost:
        names = ", ".join(node.name for node in lives) or "nobody"
        yield ok("leases", f"{len(lives)} services live ({names}); nothing is leased to others.")


def _clock(ahead: float) -> Finding:
    text = (
        f"The database's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} ours."
    )
    mend = "Keep all clocks by NTP: deliveries fall due by each machine's own."
    if abs(ahead) > _MOST_AHEAD_SECONDS:
        return problem("clock", text, mend)
    if abs(ahead) > _WARN_AHEAD_SECONDS:
        return warning("clock", text, mend)
    return ok("clock", text)


def _secret(config: Config, found: bytes | None) -> Iterator[Finding]:
    if found is None:
        yield ok("secret", "The store takes the fingerprint of the first service that starts.")
    elif is_secret_of(config, found):
        yield ok("secret", "It is the store's own.")
    else:
        yield problem(
            "secret",
            f"{config.secret_key_file} is not the one of this store.",
            "Copy it from a machine that works on the store, or from a backup.",
        )


def _contents(missing: tuple[int, ...], strays: int) -> Iterator[Finding]:
    if missing:
        shown = ", ".join(show_id(one) for one in missing[:5])
        yield problem(
            "queue",
            f"The content of {len(missing)} queued messages is missing: {shown}.",
            "Restore from a backup, or cancel: smtpplus queue cancel ID.",
        )
    elif strays:
        yield ok("queue", f"{strays} large contents belong to no queued message (yet).")
    else:
        yield ok("queue", "Every large content is where it belongs.")
