"""The tar of a backup: its manifest, what is added to it, what may be taken out.

Guarantees: only names of the known forms, none of which leads out of the folder, and only plain
files, come out of a tar. Raises UsageError for what is no backup.
"""

from __future__ import annotations

import contextlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Literal

import msgspec

from smtpplus.values.errors import UsageError

__all__ = [
    "MANIFEST",
    "STORE",
    "Contained",
    "Manifest",
    "add_file",
    "add_octets",
    "add_stream",
    "manifest_of",
    "members",
    "named_member",
    "place_of",
    "table_member",
    "table_of",
]

MANIFEST = "manifest.json"
STORE = "store.sqlite3"
_BESIDE = ("certificate.pem", "private_key.pem")  # of backups before there was `named/`
_FORM = 1
_QUEUED = re.compile(r"queue/[0-9a-f]/[0-9a-f]/[0-9a-z]{13}\.eml")
_NAMED = re.compile(r"named/((?!(?:.*/)?\.{1,2}(?:/|$))(?:[^/\0]{1,255}/){0,20}[^/\0]{1,255})")
_TABLE = re.compile(r"tables/([a-z_]{1,63})\.copy")
_PIECE = 1 << 20
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Contained:
    """What a backup holds, or what a restore made of it."""

    path: str
    messages: int
    waiting: int
    files: int  # large contents
    missing_files: int
    octets: int
    left_out: tuple[str, ...] = ()  # files that the configuration names and that are not there


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the tar says of itself, in its first member."""

    form: int = _FORM
    smtpplus: str
    schema: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}$")]
    store: Literal["sqlite", "postgresql"] = "sqlite"
    taken_at: float
    messages: int
    waiting: int
    files: int
    tables: dict[str, tuple[str, ...]] = {}


def manifest_of(source: Path) -> Manifest:
    """What `source` says it is.

    Raises:
        UsageError: it is no backup, or one of a newer version.
    """
    with members(source) as found:
        first = next(iter(found), None)
        inner = first[1] if first is not None and first[0].name == MANIFEST else None
        try:
            if inner is None:
                raise tarfile.TarError("it does not begin with a manifest")
            manifest = msgspec.json.decode(inner.read(_PIECE), type=Manifest)
        except msgspec.DecodeError as error:
            raise tarfile.TarError(f"its manifest is damaged: {error}") from error
    if manifest.form > _FORM:
        raise UsageError(
            f"{source} was made by smtpplus {manifest.smtpplus}: restore it with that."
        )
    return manifest


@contextlib.contextmanager
def members(source: Path) -> Iterator[Iterator[tuple[tarfile.TarInfo, IO[bytes]]]]:
    """Each member of `source` that is a plain file with a name of a known form, with its octets.

    Raises:
        UsageError: it is no backup; also for a `TarError` of whoever looks at them.
    """
    try:
        with tarfile.open(source, "r:") as tar:
            yield _checked(tar)
    except tarfile.TarError as error:
        raise UsageError(f"{source} is no backup of smtpplus: {error}.") from error


def _checked(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    known = {MANIFEST, STORE, "secret.key", "smtpplus.toml", *_BESIDE}
    forms = (_QUEUED, _TABLE, _NAMED)
    for member in tar:
        if not member.isreg():
            raise tarfile.TarError(f"{member.name!r} is no file")
        if member.name not in known and not any(form.fullmatch(member.name) for form in forms):
            raise tarfile.TarError(f"it holds {member.name!r}")
        inner = tar.extractfile(member)
        assert inner is not None
        yield member, inner


def place_of(name: str, data_dir: Path, store: Path | None, *, whole: bool) -> Path | None:
    """Where a member goes, the database to `store`; None: nowhere."""
    if name == STORE:
        return store
    if name == "secret.key" or (store is not None and _QUEUED.fullmatch(name)):
        return data_dir / name
    if not whole:
        return None
    named = _NAMED.fullmatch(name)
    if named:
        return data_dir / named[1]
    return data_dir / name if name in {"smtpplus.toml", *_BESIDE} else None


def named_member(path: Path, folder: Path) -> str | None:
    """The member for a file that the configuration in `folder` names; None: it lies elsewhere."""
    return f"named/{path.relative_to(folder)}" if path.is_relative_to(folder) else None


def table_member(table: str) -> str:
    """The member that holds a table."""
    return f"tables/{table}.copy"


def table_of(name: str) -> str | None:
    """The table that a member holds."""
    found = _TABLE.fullmatch(name)
    return found[1] if found else None


# ---------------------------------------------------------------- putting in


def add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    """A file's octets."""
    info = tar.gettarinfo(path, name)
    info.type, info.linkname, info.mode = tarfile.REGTYPE, "", 0o600
    info.size = path.stat().st_size  # a hard link is given no size
    info.uname = info.gname = ""
    info.uid = info.gid = 0
    with path.open("rb") as file:
        tar.addfile(info, file)


def add_octets(tar: tarfile.TarFile, name: str, octets: bytes, now: float) -> None:
    """These octets."""
    info = _info(name, now)
    info.size = len(octets)
    tar.addfile(info, io.BytesIO(octets))


def add_stream(
    tar: tarfile.TarFile, name: str, write: Callable[[IO[bytes]], None], now: float
) -> None:
    """What `write` writes, however much it is; the tar must lie in a file of its own."""
    file = tar.fileobj
    assert file is not None
    info = _info(name, now)
    begin = file.tell()
    file.write(info.tobuf(tarfile.GNU_FORMAT))
    write(file)  # type: ignore[arg-type]
    info.size = file.tell() - begin - _BLOCK
    file.write(bytes(-info.size % _BLOCK))
    end = file.tell()
    file.seek(begin)
    file.write(info.tobuf(tarfile.GNU_FORMAT))
    file.seek(end)
    tar.offset = end


def _info(name: str, now: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mtime, info.mode = int(now), 0o600
    return info
