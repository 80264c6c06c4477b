"""At the start, before SQLite looks: a damaged write-ahead log is told of, and kept (D15).

Guarantees: what SQLite would overwrite is kept in ``queue/quarantine`` first, where there is room
for it; a log that is older than the store's file, which would spoil it, is taken away. To be called
before this process opens the store, and only while no other service has it. Raises nothing: a log
that cannot be looked at is told of, and the store is opened as it is.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from twisted.logger import Logger

from smtpplus.store.log_check import LogFacts, read_log

__all__ = ["log_was_damaged"]

_log = Logger()
_ROOM_FACTOR = 3  # of the log's octets must be free before it is copied


def log_was_damaged(store: Path, quarantine: Path, now: float) -> bool:
    """Was something lost from the log of `store`? Then it is logged, and the log kept."""
    try:
        facts = read_log(store)
    except (OSError, sqlite3.Error) as error:
        _log.warn("the store's write-ahead log cannot be looked at: {error}", error=str(error))
        return False
    if facts is None or not facts.is_damaged:
        return False
    try:
        place = _keep(store, quarantine / f"{store.name}-wal.{int(now)}", facts)
    except OSError as error:
        place = f"nowhere ({error})"
    _log.critical(
        "The store's write-ahead log is damaged: at least {lost} commits behind its frame {frame} "
        "cannot be read. Messages that were accepted last may be lost, and deliveries made last "
        "may be made again. The log was kept in {place}.",
        lost=facts.lost,
        frame=facts.readable,
        place=place,
    )
    return True


def _keep(store: Path, target: Path, facts: LogFacts) -> str:
    log = Path(f"{store}-wal")
    if not log.is_file():
        return "nowhere: it is gone"
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if facts.is_superseded:
        log.rename(target)
        os.utime(target)  # it is kept from now on
    elif shutil.disk_usage(target.parent).free < _ROOM_FACTOR * log.stat().st_size:
        return "nowhere: the disk has no room"
    else:
        shutil.copyfile(log, target)
        target.chmod(0o600)
    return str(target)
