"""What processes of one service say to the one that writes for all of them.

Where several processes write to one file of SQLite, each waits for the others' turns, and reads
again what the others changed. So accepted messages and outcomes, nearly all that is written, go as
rows to a process that does nothing but write (`write_service.py`); all else a process writes itself
(`write_link.py`).

A frame is four octets of length, big-endian, and MessagePack: towards the writer a list of
``(number, work, rows)``, back a commit's ``(requests, seconds, seconds of its sync)``, or nil, and
a list of ``(number, result, error)``, the error being the name of its class and its text. Both
ends are of one version, on a socket that belongs to one user: what comes is what was sent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from smtpplus.store.accepts import AcceptRows, Accepts
from smtpplus.store.commits import Transaction
from smtpplus.store.settlements import Settled, Settlements, SettleRows
from smtpplus.values import errors
from smtpplus.values.errors import SmtpplusError, StoreUnavailableError

__all__ = [
    "SOCKET_NAME",
    "Answer",
    "Asked",
    "Commit",
    "Frames",
    "Work",
    "error_from",
    "error_text",
    "frame",
    "works_of",
]

SOCKET_NAME = "writer"  # in the data directory
_LENGTH = struct.Struct("!I")

Commit: TypeAlias = tuple[int, float, float]
Asked: TypeAlias = tuple[int, str, msgspec.Raw]
Answer: TypeAlias = tuple[int, msgspec.Raw, tuple[str, str] | None]


class Work(NamedTuple):
    """What requests may ask for: `again` is `write` of rows that may have been written before."""

    write: Callable[[Transaction, Sequence[Any]], Sequence[Any]]
    again: Callable[[Transaction, Sequence[Any]], Sequence[Any]]
    rows: Any
    result: Any


def works_of(accepts: Accepts, settlements: Settlements) -> Mapping[str, Work]:
    """All works, by name."""
    return {
        "accept": Work(accepts.write, accepts.write_again, AcceptRows, int | None),
        "settle": Work(settlements.write, settlements.write_again, SettleRows, Settled),
    }


def frame(value: Any) -> bytes:
    """`value` as a frame."""
    octets = msgspec.msgpack.encode(value)
    return _LENGTH.pack(len(octets)) + octets


class Frames:
    """Takes octets as they come; gives whole frames."""

    def __init__(self) -> None:
        self._gathered = bytearray()

    def take(self, octets: bytes) -> Iterator[bytes]:
        """The frames that are whole with `octets`; to be read to the end."""
        gathered = self._gathered
        gathered += octets
        start = 0
        while len(gathered) >= start + _LENGTH.size:
            (length,) = _LENGTH.unpack_from(gathered, start)
            end = start + _LENGTH.size + length
            if len(gathered) < end:
                break
            yield bytes(gathered[start + _LENGTH.size : end])
            start = end
        del gathered[:start]


def error_text(error: BaseException) -> tuple[str, str]:
    """An error, to be told."""
    return type(error).__name__, str(error)


def error_from(told: Iterable[str]) -> SmtpplusError:
    """The error that was told; a strange one says that trying again may help."""
    name, text = told
    kind = getattr(errors, name, None) if name in errors.__all__ else None
    if isinstance(kind, type) and issubclass(kind, SmtpplusError) and "__init__" not in vars(kind):
        return kind(text)
    return StoreUnavailableError(f"{name}: {text}")
