"""Contents of queued messages, small ones from rows, large ones from files: `IContents`.

Guarantees: at most `_AHEAD` octets of a large content are in memory per reader and per writer.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from smtpplus.ports import IBody, IContents, IContentWriter
from smtpplus.store.content_files import ContentFiles
from smtpplus.store.schema import content
from smtpplus.store.transactions import Transactions
from smtpplus.values.errors import NotFoundError, StoreUnavailableError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Message

__all__ = ["BytesBody", "StoredContents"]

T = TypeVar("T")

_CHUNK = 65_536  # what IBody promises
_AHEAD = 262_144  # octets per trip to a file thread


@implementer(IContents)
class StoredContents:
    """Rows by `transactions`, files by `files`."""

    def __init__(self, transactions: Transactions, files: ContentFiles) -> None:
        self._transactions = transactions
        self._files = files

    async def begin(self, message_id: int) -> IContentWriter:
        """See `IContents.begin`."""
        descriptor = await self._transactions.in_files(self._files.create, message_id)
        return _FileWriter(self._transactions, self._files, message_id, descriptor)

    async def read(self, message: Message) -> bytes | None:
        """See `IContents.read`."""
        if message.in_file:
            return await self._read_file(message, 0, message.octets)
        return await self._read_row(message.id, content.c.octets)

    async def body(self, message: Message, start: int) -> IBody:
        """See `IContents.body`."""
        if not message.in_file:
            octets = await self.read(message)
            if octets is None:
                raise _gone(message)
            return BytesBody(octets[start:])
        descriptor = await self._transactions.in_files(self._open, message.id)
        if descriptor is None:
            raise _gone(message)
        return _FileBody(self._transactions, descriptor, start, message.octets)

    async def head(self, message: Message) -> bytes:
        """See `IContents.head`."""
        if message.in_file:
            octets = await self._read_file(message, 0, message.head_octets)
        else:
            column = func.substr(content.c.octets, 1, message.head_octets)
            octets = await self._read_row(message.id, column)
        if octets is None:
            raise _gone(message)
        return octets

    async def _read_row(self, message_id: int, column: Any) -> bytes | None:
        def work(connection: Connection) -> bytes | None:
            found = connection.scalar(select(column).where(content.c.message_id == message_id))
            return None if found is None else bytes(found)

        return await self._transactions.read(work)

    async def _read_file(self, message: Message, start: int, octets: int) -> bytes | None:
        def work() -> bytes | None:
            descriptor = self._open(message.id)
            if descriptor is None:
                return None
            try:
                return _read_exactly(descriptor, start, octets)
            finally:
                os.close(descriptor)

        return await self._transactions.in_files(work)

    def _open(self, message_id: int) -> int | None:
        try:
            return self._files.open(message_id)
        except FileNotFoundError:
            return None


def _gone(message: Message) -> NotFoundError:
    return NotFoundError(f"The content of message {show_id(message.id)} is not in the queue.")


def _read_exactly(descriptor: int, start: int, octets: int) -> bytes:
    pieces = []
    while octets:
        piece = os.pread(descriptor, min(octets, 1 << 20), start)
        if not piece:
            raise StoreUnavailableError("A content file is shorter than its message.")
        pieces.append(piece)
        start += len(piece)
        octets -= len(piece)
    return b"".join(pieces)


@implementer(IBody)
class BytesBody:
    """A body that is in memory."""

    def __init__(self, octets: bytes) -> None:
        self.size = len(octets)
        self._octets = octets
        self._at = 0

    async def next_chunk(self) -> bytes:
        """See `IBody.next_chunk`."""
        chunk = self._octets[self._at : self._at + _CHUNK]
        self._at += len(chunk)
        return chunk

    def close(self) -> None:
        """Let the octets go."""
        self._octets = b""


@implementer(IBody)
class _FileBody:
    """A body read from a descriptor, a little ahead of who takes it."""

    def __init__(self, transactions: Transactions, descriptor: int, start: int, end: int) -> None:
        self.size = max(end - start, 0)
        self._transactions = transactions
        self._descriptor: int | None = descriptor
        self._at = start
        self._end = end
        self._ahead = memoryview(b"")
        self._reading = False
        self._closed = False

    async def next_chunk(self) -> bytes:
        """See `IBody.next_chunk`."""
        if not self._ahead and self._at < self._end and self._descriptor is not None:
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
        reading = self._transactions.in_files(_read_exactly, descriptor, self._at, octets)
        piece = await _shielded(reading.addBoth(self._has_read))
        self._at += octets
        self._ahead = memoryview(piece)

    def _has_read(self, result: Any) -> Any:
        self._reading = False
        if self._closed:
            self.close()
        return result


@implementer(IContentWriter)
class _FileWriter:
    """A file being written, in pieces of `_AHEAD` octets."""

    def __init__(
        self, transactions: Transactions, files: ContentFiles, message_id: int, descriptor: int
    ) -> None:
        self._transactions = transactions
        self._files = files
        self._id = message_id
        self._descriptor: int | None = descriptor
        self._pending = bytearray()
        self._running: Deferred[None] = succeed(None)  # what a file thread does with it

    def write(self, data: bytes) -> Awaitable[None]:
        """See `IContentWriter.write`."""
        self._pending += data
        if len(self._pending) < _AHEAD:
            return succeed(None)
        self._running = self._transactions.in_files(self._files.append, self._open(), self._take())
        return _shielded(self._running)

    def finish(self) -> Awaitable[None]:
        """See `IContentWriter.finish`."""
        descriptor = self._open()
        self._descriptor = None
        self._running = self._transactions.in_files(
            self._files.finish, self._id, descriptor, self._take()
        )
        return _shielded(self._running)

    def discard(self) -> Awaitable[None]:
        """See `IContentWriter.discard`."""
        descriptor, self._descriptor = self._descriptor, None
        self._pending.clear()

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
        self._pending.clear()
        return octets

    def _open(self) -> int:
        if self._descriptor is None:
            raise StoreUnavailableError("The content file is finished or discarded.")
        return self._descriptor


def _shielded(inner: Deferred[T]) -> Deferred[T]:
    """A Deferred to await: cancelling it leaves `inner`, which a thread works on, alone."""
    outer: Deferred[T] = Deferred()

    def fired(result: Any) -> None:
        outer.callback(result)  # a Failure goes the error's way

    inner.addBoth(fired)
    return outer
