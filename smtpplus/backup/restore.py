"""Restores a backup, only into an empty place, and checks what came of it.

A place is the data folder of a configuration or a whole new folder, and for a store in
PostgreSQL a database without a store: the one that the configuration names. Guarantees: what
is refused, or fails on its way, leaves nothing behind and touches nothing that was there; a
database is filled in one transaction; an older version's store is brought to this one's tables.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from smtpplus.backup.archive import (
    Contained,
    Manifest,
    manifest_of,
    members,
    place_of,
    table_of,
)
from smtpplus.backup.placed import Placed, placed
from smtpplus.config import Config, load
from smtpplus.store.migrate import check_version
from smtpplus.store.schema import HEAD
from smtpplus.store.snapshot import count_waiting, sqlite_path
from smtpplus.store.store import upgrade
from smtpplus.values.errors import ConfigError, ConflictError, UsageError
from smtpplus.values.ids import parse_id

__all__ = ["restore"]

_DATA_DIR = re.compile(r"^\s*data_dir\s*=.*$", re.MULTILINE)
_SQLITE_URL = re.compile(r"^[ \t]*(?:store\.)?url[ \t]*=[ \t]*[\"']sqlite:.*$", re.MULTILINE)


def restore(
    source: Path, config: Config | None, folder: Path | None, settings: Sequence[str] = ()
) -> Contained:
    """Restore into the data folder of `config`, or as a whole into `folder`.

    `settings` override the restored configuration where that says which database is meant.

    Raises:
        UsageError: the place is not empty, or `source` is no backup.
        OSError: it cannot be read or written.
    """
    if folder is not None:
        _check_empty(folder)
    manifest = manifest_of(source)
    with placed() as made:
        if manifest.store == "postgresql":
            contained = _restore_database(source, manifest, config, folder, settings, made)
        else:
            contained = _restore_file(source, config, folder, made)
        return replace(contained, left_out=_left_out(config, folder, settings))


def _left_out(
    config: Config | None, folder: Path | None, settings: Sequence[str]
) -> tuple[str, ...]:
    """The files that the configuration names and that are not there."""
    restored = folder / "smtpplus.toml" if folder is not None else None
    if restored is not None and restored.is_file():
        try:
            config = load(restored, settings)
        except ConfigError:
            return ()  # of another version: the start says what is wrong
    named = config.named_files if config is not None else {}
    return tuple(f"{key}: {path}" for key, path in named.items() if not path.is_file())


# ---------------------------------------------------------------- into a file


def _restore_file(
    source: Path, config: Config | None, folder: Path | None, made: Placed
) -> Contained:
    if folder is not None:
        data_dir, store = folder, folder / "queue" / "smtpplus.sqlite3"
    else:
        assert config is not None
        data_dir, store = config.server.data_dir, sqlite_path(config.store_url)
        _check_free(config, store)
    _take_out(source, data_dir, store, made, whole=folder is not None)
    if not store.is_file():
        raise UsageError(f"{source} is no backup of smtpplus: it holds no store.")
    if folder is not None:
        _point_home(folder / "smtpplus.toml")
    try:
        return _checked(store, data_dir / "queue")
    except sqlite3.Error as error:
        raise UsageError(f"{source} is damaged: its store cannot be read ({error}).") from error


def _take_out(
    source: Path, data_dir: Path, store: Path | None, made: Placed, *, whole: bool
) -> None:
    made.folder(data_dir)
    with members(source) as found:
        for member, inner in found:
            place = place_of(member.name, data_dir, store, whole=whole)
            if place is not None:
                made.file(place, inner)


def _check_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder: a backup is restored into an empty folder.")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty: a backup is restored into an empty folder.")


def _check_free(config: Config, store: Path) -> None:
    if store.exists() and store.stat().st_size:
        raise ConflictError(
            f"There is a store at {store}: a backup is restored where there is none. Move it away, "
            "or restore elsewhere with --to DIR."
        )
    queued = next(config.queue_dir.glob("[0-9a-f]/[0-9a-f]/*.eml"), None)
    if queued is not None or config.secret_key_file.exists():
        left = queued or config.secret_key_file
        raise ConflictError(f"There is {left}: move it away first, or restore with --to DIR.")


def _point_home(path: Path) -> None:
    """Let the restored configuration name its own folder as ``data_dir``."""
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    here = 'data_dir = "."'
    if _DATA_DIR.search(text):
        text = _DATA_DIR.sub(here, text, count=1)
    elif "[server]" in text:
        text = text.replace("[server]", f"[server]\n{here}", 1)
    else:
        text = f"[server]\n{here}\n\n{text}"
    # The store is here, too, wherever the file lay that the backup was taken of.
    path.write_text(_SQLITE_URL.sub("# \\g<0>", text), encoding="utf-8")


def _checked(store: Path, queue_dir: Path) -> Contained:
    with contextlib.closing(sqlite3.connect(store)) as connection:
        counted = count_waiting(connection)
    if counted.version < HEAD:
        upgrade(f"sqlite:///{store}")
    else:
        check_version(counted.version)
    present = {parse_id(path.stem) for path in queue_dir.glob("[0-9a-f]/[0-9a-f]/*.eml")}
    missing = set(counted.files) - present
    return Contained(
        str(store),
        counted.messages,
        counted.waiting,
        len(present),
        len(missing),
        store.stat().st_size,
    )


# ---------------------------------------------------------------- into a database


def _restore_database(
    source: Path,
    manifest: Manifest,
    config: Config | None,
    folder: Path | None,
    settings: Sequence[str],
    made: Placed,
) -> Contained:
    if folder is None:
        assert config is not None
        return _into(config, source, manifest, made)
    _take_out(source, folder, None, made, whole=True)
    path = folder / "smtpplus.toml"
    _point_home(path)
    return _into(load(path if path.is_file() else None, settings), source, manifest, made)


def _into(config: Config, source: Path, manifest: Manifest, made: Placed) -> Contained:
    if not config.store_url.startswith("postgres"):
        raise UsageError(
            f"{source} is of a store in PostgreSQL: name the database to fill, with "
            "--set store.url=postgresql://…"
        )
    from smtpplus.store.database_copy import Filling, check_free, fill  # noqa: PLC0415 - an extra

    check_free(config.store_url, manifest.schema)
    _take_secret(source, config.secret_key_file, made)

    def put_all(filling: Filling) -> None:
        left = set(manifest.tables)
        with members(source) as found:
            for member, inner in found:
                table = table_of(member.name)
                if table is not None and table in left:
                    left.remove(table)
                    filling.put(table, manifest.tables[table], inner)
            if left or not manifest.tables:
                raise tarfile.TarError(f"it lacks the tables {', '.join(sorted(left)) or 'all'}")

    filled = fill(config.store_url, manifest.schema, put_all)
    counted = filled.counted
    return Contained(
        filled.database,
        counted.messages,
        counted.waiting,
        len(counted.files) - filled.missing,
        filled.missing,
        source.stat().st_size,
    )


def _take_secret(source: Path, place: Path, made: Placed) -> None:
    """The secret goes where it is not, or is the same."""
    with members(source) as found:
        for member, inner in found:
            if member.name != "secret.key":
                continue
            if not place.exists():
                made.file(place, inner)
            elif place.read_bytes().strip() != inner.read().strip():
                raise ConflictError(
                    f"{place} is not the secret of this backup: move it away first, or restore "
                    "with --to DIR."
                )
            return
