"""``backup`` and ``restore``: one tar with all that an installation is.

In the tar: ``manifest.json``, ``smtpplus.toml``, ``secret.key``, the certificate and key where
they lie beside the configuration, ``store.sqlite3``, and ``queue/x/y/ID.eml`` for each waiting
large message. Guarantees: the tar is whole or not there, 0600; a restore writes only names of
this form, only into an empty place, and is checked before it is called done.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from smtpplus import __version__
from smtpplus.config import Config
from smtpplus.store.migrate import check_version
from smtpplus.store.snapshot import count_waiting, snapshot, sqlite_path
from smtpplus.store.sqlite import sync_folder
from smtpplus.values.errors import ConflictError, UsageError
from smtpplus.values.ids import parse_id

__all__ = ["Contained", "back_up", "restore"]

_FORM = 1
_QUEUED = re.compile(r"queue/[0-9a-f]/[0-9a-f]/[0-9a-z]{13}\.eml")
_BESIDE = ("certificate.pem", "private_key.pem")
_DATA_DIR = re.compile(r"^\s*data_dir\s*=.*$", re.MULTILINE)
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Contained:
    """What a backup holds, or what a restore made of it."""

    path: str
    messages: int
    waiting: int
    files: int
    missing_files: int
    octets: int


def back_up(config: Config, target: Path, now: float) -> Contained:
    """Write the backup `target`, which must not exist; a service may be running.

    Raises:
        UsageError: `target` exists, or the store is in a database server.
        OSError: it cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target} exists: name another file, or remove it.")
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.absolute().parent))
    try:
        part = work / "backup.tar"
        with snapshot(config.store_url, config.queue_dir, work) as taken:
            counted = taken.counted
            manifest = {
                "form": _FORM,
                "smtpplus": __version__,
                "schema": counted.version,
                "taken_at": now,
                "messages": counted.messages,
                "waiting": counted.waiting,
                "files": len(taken.files),
            }
            with part.open("xb") as file, tarfile.open(fileobj=file, mode="w") as tar:
                part.chmod(0o600)
                _add_text(tar, "manifest.json", json.dumps(manifest, indent=2), now)
                for name, path in _installation_files(config).items():
                    _add(tar, name, path)
                _add(tar, "store.sqlite3", taken.database)
                for name, path in taken.files.items():
                    _add(tar, f"queue/{name}", path)
                tar.close()
                file.flush()
                os.fsync(file.fileno())
            os.link(part, target)  # never over what somebody made meanwhile
            sync_folder(target.absolute().parent)
        return Contained(
            str(target),
            counted.messages,
            counted.waiting,
            len(taken.files),
            len(counted.files) - len(taken.files),
            target.stat().st_size,
        )
    except FileExistsError as error:
        raise UsageError(f"{target} exists: name another file, or remove it.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def restore(source: Path, config: Config | None, folder: Path | None) -> Contained:
    """Restore into the data folder of `config`, or as a whole into `folder`.

    Raises:
        UsageError: the place is not empty, or `source` is no backup.
        OSError: it cannot be read or written.
    """
    if folder is not None:
        data_dir, store, whole = folder, folder / "queue" / "smtpplus.sqlite3", True
        _check_empty(folder)
    else:
        assert config is not None
        data_dir, store, whole = config.server.data_dir, sqlite_path(config.store_url), False
        _check_free(config, store)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            tar = stack.enter_context(tarfile.open(source, "r:"))
            for member in tar:
                place = _place(member, data_dir, store, whole=whole)
                inner = tar.extractfile(member) if place is not None else None
                if place is not None and inner is not None:
                    _write(place, inner)
        except tarfile.TarError as error:
            raise UsageError(f"{source} is no backup of smtpplus: {error}.") from error
    if not store.is_file():
        raise UsageError(f"{source} is no backup of smtpplus: it holds no store.")
    if whole:
        _point_home(folder / "smtpplus.toml")  # type: ignore[operator]
    return _checked(store, data_dir / "queue")


def _installation_files(config: Config) -> dict[str, Path]:
    found = {"secret.key": config.secret_key_file}
    if config.file is not None:
        found["smtpplus.toml"] = config.file
        beside = (config.submission.certificate, config.submission.private_key)
        here = config.file.parent
        found |= {
            name: path
            for name, path in zip(_BESIDE, beside, strict=True)
            if path is not None and path == here / name
        }
    return {name: path for name, path in found.items() if path.is_file()}


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    info = tar.gettarinfo(path, name)
    info.type, info.linkname, info.mode = tarfile.REGTYPE, "", 0o600
    info.size = path.stat().st_size  # a hard link is given no size
    info.uname = info.gname = ""
    info.uid = info.gid = 0
    with path.open("rb") as file:
        tar.addfile(info, file)


def _add_text(tar: tarfile.TarFile, name: str, text: str, now: float) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(text.encode()), int(now), 0o600
    tar.addfile(info, io.BytesIO(text.encode()))


def _check_empty(folder: Path) -> None:
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


def _place(member: tarfile.TarInfo, data_dir: Path, store: Path, *, whole: bool) -> Path | None:
    """Where a member goes; None: nowhere."""
    name = member.name
    if not member.isreg():
        raise tarfile.TarError(f"{name!r} is no file")
    if name == "store.sqlite3":
        return store
    if name == "secret.key" or _QUEUED.fullmatch(name):
        return data_dir / name
    if name in {"smtpplus.toml", *_BESIDE}:
        return data_dir / name if whole else None
    if name == "manifest.json":
        return None
    raise tarfile.TarError(f"it holds {name!r}")


def _write(place: Path, source: IO[bytes]) -> None:
    for folder in (*reversed(place.parents[:3]),):
        folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(source, target, _PIECE)
        target.flush()
        os.fsync(target.fileno())
    sync_folder(place.parent)


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
    path.write_text(text, encoding="utf-8")


def _checked(store: Path, queue_dir: Path) -> Contained:
    with contextlib.closing(sqlite3.connect(store)) as connection:
        counted = count_waiting(connection)
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
