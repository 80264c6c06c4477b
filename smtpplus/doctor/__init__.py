"""Looks for what is, or will be, wrong with an installation, and says how to mend it.

Guarantees: changes nothing; works beside a running service and without one; a check that cannot
be made is a finding, never an exception. Asks DNS only about our own names and the
sender domains.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

from smtpplus.config import Config
from smtpplus.doctor.certificates import certificate
from smtpplus.doctor.database_store import database_store
from smtpplus.doctor.domains import domains
from smtpplus.doctor.file_store import file_store
from smtpplus.doctor.findings import Finding, Level, problem
from smtpplus.doctor.machine import clock, disk, permissions, secrets
from smtpplus.doctor.outside import links, names, ports, returns
from smtpplus.values.errors import SmtpplusError

__all__ = ["Finding", "Level", "examine"]


def examine(config: Config) -> Iterator[Finding]:
    """All checks, each with at least one finding."""
    in_file = config.store_url.startswith("sqlite:")
    checks: tuple[tuple[str, Callable[[Config], Iterator[Finding]]], ...] = (
        ("disk", disk),
        ("permissions", permissions),
        ("secret", secrets),
        ("certificate", certificate),
        ("ports", ports),
        ("clock", clock),
        ("dns", names),
        ("returns", returns),
        ("domains", domains),
        ("links", links),
        ("store", file_store if in_file else database_store),
    )
    for name, check in checks:
        try:
            yield from check(config)
        except (SmtpplusError, OSError, sqlite3.Error) as error:
            yield problem(name, f"It could not be checked: {error}.", "See what the text names.")
