"""Looks at a write-ahead log before SQLite does: was anything in it lost?

SQLite reads the log to the first frame that is not whole and forgets the rest without a word.
After a kill or a loss of power that is right for the transaction that was being written, and for
nothing else. Here the frames are counted before they are gone: what was committed behind a
damaged one is lost, and somebody has to know (D15). sqlite.org/walformat.html, fileformat2.html §4.

Guarantees: changes neither store nor log; which frame is whole SQLite says itself (20 MiB in 50 ms,
against 1.5 s of checksums in Python). To be called before this process opens the store, and only
while no other service has it: closing a file beside SQLite drops the locks it has on it. Raises
OSError, sqlite3.Error. A log that was cut off where a transaction ends cannot be told from a
shorter one, unless the index (``-shm``) outlived the kill.
"""

from __future__ import annotations

import mmap
import sqlite3
import struct
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LogFacts", "read_log"]

_HEADER, _FRAME_HEADER = 32, 24
_MAGIC = 0x377F0682  # and, with checksums of big-endian words, one more
_WORD = 0xFFFFFFFF
_INDEX = struct.Struct("=4x4x4xBBHII8x8s8x")  # init, byte order, page, frames, pages, salts
_BACKFILL_AT = 2 * _INDEX.size  # the index's header stands there twice


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What stands in a log. Frames are counted from 1.

    `readable` is the last frame that SQLite will believe, `lost` how many commits stand behind
    it or are known from the index, `in_store` the last frame that a checkpoint has copied already.
    """

    readable: int
    lost: int
    in_store: int

    @property
    def is_damaged(self) -> bool:
        """Was something lost that was committed?"""
        return self.lost > 0

    @property
    def is_superseded(self) -> bool:
        """Is the store's file newer than all that can be read here, so that this would spoil it?"""
        return self.is_damaged and self.in_store > self.readable


def read_log(store: Path) -> LogFacts | None:
    """The facts of the log of the database `store`; None where there is none."""
    log, index_file = Path(f"{store}-wal"), Path(f"{store}-shm")
    index = index_file.read_bytes()[:256] if index_file.is_file() else b""
    if not log.is_file() or log.stat().st_size == 0:
        promised, in_store = _promised(index, None)
        return LogFacts(0, 1, in_store) if promised > in_store else None
    with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        return _facts(_Log(octets), index, _recovered(store, index_file))


def _recovered(store: Path, index: Path) -> int:
    """The last frame that SQLite believes: it makes the index anew where nobody has it open."""
    # Read-only, it does not checkpoint when it closes.
    with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.execute("PRAGMA schema_version").fetchall()
        return _promised(index.read_bytes()[:256], None)[0]


class _Log:
    """A mapped log: its header, and its frames by number."""

    def __init__(self, octets: mmap.mmap) -> None:
        self._octets = octets
        header = octets[:_HEADER].ljust(_HEADER, b"\0")
        magic, _, page, _, _, _, *sums = struct.unpack(">8I", header)
        whole = magic & ~1 == _MAGIC and _is_page_size(page)
        self.is_whole = whole and _sum("<" if magic & 1 == 0 else ">", header[:24]) == tuple(sums)
        self._page = page if _is_page_size(page) else 4096
        self.frames = max(len(octets) - _HEADER, 0) // (_FRAME_HEADER + self._page)
        self.salts = header[16:24]
        if not self.is_whole and self.frames:
            counted = Counter(self.salts_of(number) for number in range(1, self.frames + 1))
            self.salts = counted.most_common(1)[0][0]

    def salts_of(self, number: int) -> bytes:
        """They tell frames of this turn from those of the one before."""
        at = self._at(number)
        return self._octets[at + 8 : at + 16]

    def is_commit(self, number: int) -> bool:
        """Does a transaction end here?"""
        at = self._at(number)
        return self._octets[at + 4 : at + 8] != b"\0\0\0\0"

    def _at(self, number: int) -> int:
        return _HEADER + (number - 1) * (_FRAME_HEADER + self._page)


def _facts(log: _Log, index: bytes, readable: int) -> LogFacts:
    current = [n for n in range(1, log.frames + 1) if log.salts_of(n) == log.salts]
    behind = sum(log.is_commit(number) for number in current if number > readable)
    promised, in_store = _promised(index, log.salts)
    # Each transaction is synced before the next one is written. So the last one may be there in
    # part, in any order of its pages, without having been acknowledged; but not two.
    lost = behind if behind > 1 else 0
    if promised > readable or (log.frames and not log.is_whole):
        lost = max(behind, 1)
    return LogFacts(readable, lost, in_store)


def _promised(index: bytes, salts: bytes | None) -> tuple[int, int]:
    """The last committed frame, and the last in the store, as the dead process knew them.

    Zeros where the index is of a log with other `salts`.
    """
    size = _INDEX.size
    if len(index) < _BACKFILL_AT + 4 or index[:size] != index[size : 2 * size]:
        return 0, 0
    initialised, _, _, frames, _, of = _INDEX.unpack_from(index)
    if not initialised or salts not in {None, of}:
        return 0, 0
    (in_store,) = struct.unpack_from("=I", index, _BACKFILL_AT)
    return frames, min(in_store, frames)


def _is_page_size(number: int) -> bool:
    return 512 <= number <= 65_536 and number & (number - 1) == 0


def _sum(order: str, octets: bytes) -> tuple[int, int]:
    """SQLite's checksum."""
    one = two = 0
    words = iter(struct.unpack(f"{order}{len(octets) // 4}I", octets))
    for word in words:
        one = (one + word + two) & _WORD
        two = (two + next(words) + one) & _WORD
    return one, two
