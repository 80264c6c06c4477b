"""Real messages that nobody on this project wrote; they lie beside the checkout.

`corpus_path` skips the calling test with a clear message where they are not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SkipTest

__all__ = ["corpus_path", "messages"]

_CORPORA = Path(__file__).resolve().parent.parent.parent / "shared" / "corpora"
_SUFFIXES = {".eml", ".msg"}


def corpus_path(name: str) -> Path:
    """The folder of a corpus, ``mime`` or ``bounces`` or …

    Raises:
        SkipTest: it is not there.
    """
    path = _CORPORA / name
    if not path.is_dir():
        raise SkipTest(f"the corpus {name} is not at {path}")
    return path


@cache
def _read(folder: Path) -> tuple[tuple[str, bytes], ...]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    return tuple((str(path.relative_to(_CORPORA)), path.read_bytes()) for path in paths)


def messages(*names: str) -> Iterator[tuple[str, bytes]]:
    """Name and octets (line ends as on the disk) of every message of the named corpora."""
    for name in names:
        yield from _read(corpus_path(name))
