"""Takes a backup while services run.

Guarantees: what is in it agrees, at one moment; the tar is whole or not there, 0600, and never
written over something. Needs room for a copy of the database where that is SQLite, else for the
tar alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from smtpplus import __version__
from smtpplus.backup.archive import (
    MANIFEST,
    STORE,
    Contained,
    Manifest,
    add_file,
    add_octets,
    add_stream,
    named_member,
    table_member,
)
from smtpplus.config import Config
from smtpplus.store.snapshot import snapshot
from smtpplus.store.sqlite import sync_folder
from smtpplus.values.errors import StoreUnavailableError, UsageError, reason

__all__ = ["back_up"]


@dataclass(frozen=True, slots=True)
class _Taken:
    """The store at its moment: what is said of it, and how it gets into the tar."""

    manifest: Manifest
    missing_files: int
    add: Callable[[tarfile.TarFile], None]


def back_up(config: Config, target: Path, now: float) -> Contained:
    """Write the backup `target`, which must not exist; services may be running.

    Raises:
        UsageError: `target` exists, or its folder takes no files.
        StoreUnavailableError, StoreBrokenError: the store cannot be read.
        OSError: it cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target} exists: name another file, or remove it.")
    folder = target.absolute().parent
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=folder))
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {reason(error)}.") from error
    take = _database if config.store_url.startswith("postgres") else _file
    try:
        part = work / "backup.tar"
        with take(config, work, now) as taken:
            with part.open("xb") as file, tarfile.open(fileobj=file, mode="w") as tar:
                part.chmod(0o600)
                manifest = msgspec.json.format(msgspec.json.encode(taken.manifest), indent=2)
                add_octets(tar, MANIFEST, manifest, now)
                files, left_out = _installation_files(config)
                for name, path in files.items():
                    add_file(tar, name, path)
                taken.add(tar)
                tar.close()
                file.flush()
                os.fsync(file.fileno())
            os.link(part, target)  # never over what somebody made meanwhile
            sync_folder(folder)
        said = taken.manifest
        octets = target.stat().st_size
        return Contained(
            str(target),
            said.messages,
            said.waiting,
            said.files,
            taken.missing_files,
            octets,
            left_out,
        )
    except FileExistsError as error:
        raise UsageError(f"{target} exists: name another file, or remove it.") from error
    except sqlite3.Error as error:
        raise StoreUnavailableError(
            f"The store cannot be read now ({error}): see `smtpplus doctor`. No backup was made."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _file(config: Config, work: Path, now: float) -> Iterator[_Taken]:
    """A store in a file, with its message files."""
    with snapshot(config.store_url, config.queue_dir, work) as found:

        def add(tar: tarfile.TarFile) -> None:
            add_file(tar, STORE, found.database)
            for name, path in found.files.items():
                add_file(tar, f"queue/{name}", path)

        counted = found.counted
        manifest = Manifest(
            smtpplus=__version__,
            schema=counted.version,
            taken_at=now,
            messages=counted.messages,
            waiting=counted.waiting,
            files=len(found.files),
        )
        yield _Taken(manifest, len(counted.files) - len(found.files), add)


@contextlib.contextmanager
def _database(config: Config, _: Path, now: float) -> Iterator[_Taken]:
    """A store in PostgreSQL, in which the large contents are too."""
    from smtpplus.store.database_copy import export  # noqa: PLC0415 - an extra

    with export(config.store_url) as found:

        def add(tar: tarfile.TarFile) -> None:
            for table in found.columns:
                add_stream(tar, table_member(table), partial(found.write, table), now)

        counted = found.counted
        manifest = Manifest(
            smtpplus=__version__,
            schema=counted.version,
            store="postgresql",
            taken_at=now,
            messages=counted.messages,
            waiting=counted.waiting,
            files=len(counted.files) - found.missing,
            tables=found.columns,
        )
        yield _Taken(manifest, found.missing, add)


def _installation_files(config: Config) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Secret, configuration and the files that it names in its folder; and those elsewhere."""
    found = {"secret.key": config.secret_key_file}
    left_out = []
    if config.file is not None:
        found["smtpplus.toml"] = config.file
        for key, path in config.named_files.items():
            name = named_member(path, config.file.parent.resolve())
            if name is not None and path.is_file():
                found[name] = path
            else:
                left_out.append(f"{key}: {path}")
    return {name: path for name, path in found.items() if path.is_file()}, tuple(left_out)
