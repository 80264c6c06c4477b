"""Large contents in files of the queue directory: `LargeContents` beside SQLite.

Guarantees: at most `_AHEAD` octets are in memory per reader and per writer, and little more than
`_MOST_GATHERED` of all writers, who write smaller pieces when there are many; what is read is
checked on the way (content_check.py), in the same threads for files; a cancelled answer does not
stop the work.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from sqlalchemy import Connection, select, text
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from smtpplus.ports import IBody, IContentWriter
from smtpplus.store.commits import Transaction
from smtpplus.store.content_check import ContentCheck, check_length, checked
from smtpplus.store.content_files import ContentFiles
from smtpplus.store.contents import Swept
from smtpplus.store.messages import chunks
from smtpplus.store.schema import message
from smtpplus.store.transactions import Transactions
from smtpplus.values.errors import CorruptContentError, SmtpplusError, StoreUnavailableError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Message

__all__ = ["LargeFiles", "shielded"]

T = TypeVar("T")

_log = Logger()

_CHUNK = 65_536  # what IBody promises
_AHEAD = 262_144  # octets per trip to a file thread
_MOST_GATHERED = 16 * 1024 * 1024


class LargeFiles:
    """A file per content, in `files`; `now` is Unix time."""

    def __init__(
        self, transactions: Transactions, files: ContentFiles, now: Callable[[], float]
    ) -> None:
        self._transactions = transactions
        self._files = files
        self._now = now
        self._gathered = _Gathered()

    async def begin(self, message_id: int) -> IContentWriter:
        """A part file."""
        descriptor = await self._transactions.in_files(self._files.create, message_id)
        return _FileWriter(self._transactions, self._files, message_id, descriptor, self._gathered)

    async def read(self, message: Message) -> bytes | None:
        """See `LargeContents.read`."""
        return await self._first(message, message.octets)

    async def head(self, message: Message) -> bytes | None:
        """See `LargeContents.head`."""
        return await self._first(message, message.head_octets)

    async def body(self, message: Message, start: int) -> IBody | None:
        """See `LargeContents.body`."""
        descriptor = await self._transactions.in_files(self._open, message)
        if descriptor is None:
            return None
        return _FileBody(self._transactions, descriptor, message, start)

    async def quarantine(self, message_id: int) -> str:
        """See `LargeContents.quarantine`."""

        def work() -> str:
            place = self._files.quarantine(message_id)
            self._files.tidy_quarantine(self._now())
            return place

        try:
            return await self._transactions.in_files(work)
        except SmtpplusError as error:
            _log.error(
                "the content of {message_id} could not be set aside: {error}",
                message_id=show_id(message_id),
                error=str(error),
            )
            return ""

    def remove(self, transaction: Transaction, message_id: int) -> None:
        """Once nothing names it any more."""
        transaction.after_commit(lambda: self._files.remove(message_id))

    async def sweep(self) -> Swept:
        """See `LargeContents.sweep`."""
        named = await self._transactions.read(_ids_with_file)
        found = await self._transactions.in_files(self._files.found)
        strays = found.whole - named
        over = await self._transactions.read(lambda connection: _known(connection, strays))
        unknown = strays - over

        def work() -> int:
            removed = self._files.sweep(found, over, unknown)
            return removed + self._files.tidy_quarantine(self._now())

        removed = await self._transactions.in_files(work)
        return Swept(removed, tuple(sorted(named - found.whole)), len(unknown))

    async def _first(self, message: Message, octets: int) -> bytes | None:
        def work() -> bytes | None:
            descriptor = self._open(message)
            if descriptor is None:
                return None
            try:
                piece = _read_exactly(descriptor, 0, octets)
                return checked(message, piece) if octets == message.octets else piece
            finally:
                os.close(descriptor)

        return await self._transactions.in_files(work)

    def _open(self, message: Message) -> int | None:
        try:
            descriptor = self._files.open(message.id)
        except FileNotFoundError:
            return None
        try:
            check_length(message, os.fstat(descriptor).st_size)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _ids_with_file(connection: Connection) -> frozenset[int]:
    query = select(message.c.id).where(text("in_file"), message.c.remaining > 0)
    return frozenset(connection.scalars(query))


def _known(connection: Connection, ids: Collection[int]) -> frozenset[int]:
    """Those of `ids` that are messages, though none that wait: their files were to be removed."""
    found: set[int] = set()
    for some in chunks(ids):
        found.update(connection.scalars(select(message.c.id).where(message.c.id.in_(some))))
    return frozenset(found)


def _read_exactly(descriptor: int, start: int, octets: int) -> bytes:
    pieces = []
    while octets:
        piece = os.pread(descriptor, min(octets, 1 << 20), start)
        if not piece:
            raise CorruptContentError("A content file became shorter while it was read.")
        pieces.append(piece)
        start += len(piece)
        octets -= len(piece)
    return b"".join(pieces)


@implementer(IBody)
class _FileBody:
    """A body read from a descriptor, a little ahead of who takes it.

    What stands before `start` is read too: the checksum is that of the whole.
    """

    def __init__(
        self, transactions: Transactions, descriptor: int, message: Message, start: int
    ) -> None:
        self.size = max(message.octets - start, 0)
        self._transactions = transactions
        self._descriptor: int | None = descriptor
        self._check = ContentCheck(message)
        self._at = 0
        self._start = start
        self._end = message.octets
        self._ahead = memoryview(b"")
        self._reading = False
        self._closed = False

    async def next_chunk(self) -> bytes:
        """See `IBody.next_chunk`."""
        while not self._ahead and self._at < self._end and self._descriptor is not None:
            await self._read_ahead(self._descriptor)
        chunk = bytes(self._ahead[:_CHUNK])
        self._ahead = self._ahead[_CHUNK:]
        return chunk

    def close(self) -> None:
        """Close the file, once nobody reads from it."""
        self._closed = True
        self._ahead = memoryview(b"")
        if not self._reading and self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    async def _read_ahead(self, descriptor: int) -> None:
        octets = min(_AHEAD, self._end - self._at)
        self._reading = True
        reading = self._transactions.in_files(self._read, descriptor, octets)
        piece = await shielded(reading.addBoth(self._has_read))
        skipped = max(self._start - self._at, 0)
        self._at += octets
        self._ahead = memoryview(piece)[skipped:]

    def _read(self, descriptor: int, octets: int) -> bytes:
        piece = _read_exactly(descriptor, self._at, octets)
        self._check.update(piece)
        return piece

    def _has_read(self, result: Any) -> Any:
        self._reading = False
        if self._closed:
            self.close()
        return result


class _Gathered:
    """What all writers hold that is not on its way to a file thread."""

    __slots__ = ("octets",)

    def __init__(self) -> None:
        self.octets = 0


@implementer(IContentWriter)
class _FileWriter:
    """A file being written, in pieces of `_AHEAD` octets."""

    def __init__(
        self,
        transactions: Transactions,
        files: ContentFiles,
        message_id: int,
        descriptor: int,
        gathered: _Gathered,
    ) -> None:
        self._transactions = transactions
        self._files = files
        self._id = message_id
        self._descriptor: int | None = descriptor
        self._pending = bytearray()
        self._gathered = gathered
        self._running: Deferred[None] = succeed(None)  # what a file thread does with it

    def write(self, data: bytes) -> Awaitable[None]:
        """See `IContentWriter.write`."""
        self._pending += data
        self._gathered.octets += len(data)
        if len(self._pending) < _AHEAD and self._gathered.octets < _MOST_GATHERED:
            return succeed(None)
        self._running = self._transactions.in_files(self._files.append, self._open(), self._take())
        return shielded(self._running)

    def finish(self) -> Awaitable[None]:
        """See `IContentWriter.finish`."""
        descriptor = self._open()
        self._descriptor = None
        self._running = self._transactions.in_files(
            self._files.finish, self._id, descriptor, self._take()
        )
        return shielded(self._running)

    def discard(self) -> Awaitable[None]:
        """See `IContentWriter.discard`."""
        descriptor, self._descriptor = self._descriptor, None
        self._take()

        def remove(_: object) -> Deferred[None]:
            return self._transactions.in_files(self._remove, descriptor)

        done: Deferred[None] = Deferred()
        self._running.addBoth(remove).addBoth(lambda _: done.callback(None))
        return done

    def _remove(self, descriptor: int | None) -> None:
        if descriptor is not None:
            os.close(descriptor)
        self._files.remove(self._id)

    def _take(self) -> bytes:
        octets = bytes(self._pending)
        self._gathered.octets -= len(octets)
        self._pending.clear()
        return octets

    def _open(self) -> int:
        if self._descriptor is None:
            raise StoreUnavailableError("The content file is finished or discarded.")
        return self._descriptor


def shielded(inner: Deferred[T]) -> Deferred[T]:
    """A Deferred to await: cancelling it leaves `inner`, which a thread works on, alone."""
    outer: Deferred[T] = Deferred()

    def fired(result: Any) -> None:
        outer.callback(result)  # a Failure goes the error's way

    inner.addBoth(fired)
    return outer
