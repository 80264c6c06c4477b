"""A store in SQLite, and the files beside it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from smtpplus.config import Config
from smtpplus.doctor.findings import Finding, ok, problem, warning
from smtpplus.doctor.machine import is_secret_of
from smtpplus.store.content_files import QUARANTINE
from smtpplus.store.migrate import check_version
from smtpplus.store.process_lock import is_locked
from smtpplus.store.snapshot import count_waiting
from smtpplus.values.ids import parse_id, show_id

__all__ = ["file_store"]

_LEASED = (
    "SELECT count(*) FROM delivery WHERE state IN ('queued', 'held') AND lease_node IS NOT NULL"
)


def file_store(config: Config) -> Iterator[Finding]:
    """The database, its files, its leases."""
    path = Path(config.store_url.removeprefix("sqlite:///"))
    if not path.is_file() or not path.stat().st_size:
        yield problem(
            "store",
            f"There is no store at {path}.",
            "Mount its disk, or `smtpplus restore` the last backup.",
        )
        return
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        connection.execute("PRAGMA query_only = ON")
        counted = count_waiting(connection)
        check_version(counted.version)
        yield ok(
            "store", f"Version {counted.version}, whole, {counted.waiting:,} deliveries waiting."
        )
        yield from _secret(config, connection)
        yield from _files(config, set(counted.files))
        yield from _leases(config, connection)


def _secret(config: Config, connection: sqlite3.Connection) -> Iterator[Finding]:
    found = connection.execute("SELECT value FROM installation WHERE name = 'secret'").fetchone()
    if found and not is_secret_of(config, found[0]):
        yield problem(
            "secret",
            f"{config.secret_key_file} is not the one of this store.",
            "Restore it from a backup.",
        )


def _files(config: Config, named: set[int]) -> Iterator[Finding]:
    present = {
        parse_id(path.stem): path for path in config.queue_dir.glob("[0-9a-f]/[0-9a-f]/*.eml")
    }
    missing = sorted(named - present.keys())
    if missing:
        shown = ", ".join(show_id(one) for one in missing[:5])
        yield problem(
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
        yield warning(
            "queue",
            f"{len(strays)} files belong to no queued message, such as {strays[0]}.",
            "The next start of the service removes them, or sets them aside in queue/quarantine.",
        )
    quarantine = config.queue_dir / QUARANTINE
    aside = sorted(quarantine.iterdir()) if quarantine.is_dir() else []
    if aside:
        yield warning(
            "queue",
            f"{len(aside)} files were set aside in {quarantine}, such as {aside[0].name}: the disk "
            "has lost or changed something.",
            'See "A damaged store" in the operations manual; they go by themselves after 30 days.',
        )
    if not (missing or strays or aside):
        yield ok("queue", f"{len(named)} message files, all where they belong.")


def _leases(config: Config, connection: sqlite3.Connection) -> Iterator[Finding]:
    leased = int(connection.execute(_LEASED).fetchone()[0])
    if leased and not is_locked(config.server.data_dir):
        yield warning(
            "leases",
            f"{leased} deliveries are leased to a service that does not run.",
            "Start it: it takes its leases back.",
        )
    else:
        yield ok("leases", f"{leased} deliveries are in the service's memory.")
