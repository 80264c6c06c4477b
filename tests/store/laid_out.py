"""An empty store in a file, copied from one that was made once: migrations take a while."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from contextlib import closing
from pathlib import Path

from smtpplus.store.migrate import migrate
from smtpplus.store.sqlite import SqliteFile

__all__ = ["lay_out"]

_made: list[Path] = []


def lay_out(url: str) -> str:
    """Put an empty store where `url` says, unless there is one or it is no file's; `url` again."""
    place = SqliteFile(url).path if url.startswith("sqlite:") else None
    if place is not None and not place.exists():
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(_template(), place)
        place.chmod(0o600)
    return url


def _template() -> Path:
    if not _made:
        folder = tempfile.mkdtemp(prefix="smtpplus-store-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        file = SqliteFile(f"sqlite:///{folder}/store.sqlite")
        file.make()
        with closing(file.open_writer()) as connection:
            migrate(connection, file.dialect)
        _made.append(file.path)
    return _made[0]
