"""Files of the installation that root made, handed to the user the service is to run as.

Guarantees: only what belongs to root is handed over, nothing outside of the installation, no
symbolic link is followed and no file with a second name touched: a user who may write in
``data_dir`` gains nothing by what it puts there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from smtpplus.config import Config

__all__ = ["hand_over"]


def hand_over(config: Config, uid: int, gid: int, *also: Path) -> int:
    """Give ``data_dir`` and what is in it, and `also`, to `uid` and `gid`; how many were given.

    The certificate's key too, where it lies beside the configuration as ``init`` puts it.

    Raises:
        OSError: it is not ours to give.
    """
    given = 0
    for folder, names in _places(config, also):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            given += sum(_give(descriptor, name, uid, gid) for name in names)
        finally:
            os.close(descriptor)
    return given + _give_tree(config.server.data_dir, uid, gid)


def _places(config: Config, also: tuple[Path, ...]) -> Iterator[tuple[Path, list[str]]]:
    for path in also:
        if path.exists():
            yield path.parent, [path.name]
    if config.file is None:
        return
    here = config.file.parent
    beside = [config.file, config.submission.certificate, config.submission.private_key]
    yield here, [path.name for path in beside if path is not None and path.parent == here]


def _give_tree(top: Path, uid: int, gid: int) -> int:
    if not top.is_dir():
        return 0
    given = 0
    for _, _, files, descriptor in os.fwalk(top, follow_symlinks=False):
        given += sum(_give(descriptor, name, uid, gid) for name in files)
        given += _give_folder(descriptor, uid, gid)
    return given


def _give_folder(descriptor: int, uid: int, gid: int) -> bool:
    if os.fstat(descriptor).st_uid != 0:
        return False
    os.fchown(descriptor, uid, gid)
    return True


def _give(folder: int, name: str, uid: int, gid: int) -> bool:
    """Give one file, by a descriptor of that very file."""
    try:
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    except OSError:
        return False  # a link, or gone
    try:
        found = os.fstat(descriptor)
        if found.st_uid != 0 or found.st_nlink != 1 or not stat.S_ISREG(found.st_mode):
            return False
        os.fchown(descriptor, uid, gid)
    finally:
        os.close(descriptor)
    return True
