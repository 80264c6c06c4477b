"""Whether this process may use the files it is to live on, asked before it begins.

Guarantees: who may not is told which file or folder stands in the way, whose it is, and what to do.
What is not there is no matter of this file; a disk that is read-only tells so itself.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from smtpplus.values.errors import UsageError

__all__ = ["check_access", "check_owner"]

_BY_EFFECTIVE_USER = os.access in os.supports_effective_ids


def check_access(*paths: Path, write: bool = True) -> None:
    """May each of `paths` that is there be used?

    Raises:
        UsageError: the first that may not be, or a folder above it that nothing is found in.
    """
    for path in paths:
        for folder in reversed(path.absolute().parents):
            if not _may(folder, os.X_OK):
                raise _closed(folder)
        if not os.path.lexists(path):
            continue
        wanted = os.R_OK | (os.X_OK if path.is_dir() else 0)
        if not _may(path, wanted) or (write and not _may_write(path)):
            raise _closed(path)


def check_owner(path: Path) -> None:
    """Is `path`, where it is there, our own, so that its mode can be set?

    Raises:
        UsageError: it is another user's.
    """
    if os.path.lexists(path) and os.geteuid() not in {0, path.stat().st_uid}:
        raise _closed(path)


def _may(path: Path, wanted: int) -> bool:
    found = os.access(path, wanted, effective_ids=_BY_EFFECTIVE_USER)
    return found or not os.path.lexists(path)


def _may_write(path: Path) -> bool:
    return _may(path, os.W_OK) or bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _closed(path: Path) -> UsageError:
    found = path.stat()
    mode, us, owner = stat.S_IMODE(found.st_mode), _name(os.geteuid()), _name(found.st_uid)
    if us == owner:
        todo = f"let {us} use it again: `chmod -R u+rwX {path}`"
    else:
        todo = f"run smtpplus as {owner}, or give it to {us}: `chown -R {us} {path}`"
    return UsageError(
        f"{path} cannot be used by the user {us}: it belongs to {owner}, and its mode is {mode:04o}. "
        f"To mend it, {todo}."
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
