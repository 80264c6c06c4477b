"""Contents of queued messages: small ones in rows, large ones where the database wants them.

Guarantees: as `IContents` says. Large ones are files beside SQLite (large_files.py), rows of
their own in PostgreSQL (large_rows.py): the accept transaction names them either way.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, select
from zope.interface import implementer

from smtpplus.ports import IBody, IContents, IContentWriter
from smtpplus.store.commits import Transaction
from smtpplus.store.compression import decompressed
from smtpplus.store.content_check import checked
from smtpplus.store.schema import content
from smtpplus.store.transactions import Transactions
from smtpplus.values.errors import CorruptContentError, NotFoundError, StoreCorruptError
from smtpplus.values.ids import show_id
from smtpplus.values.message import Message

__all__ = ["BytesBody", "LargeContents", "StoredContents", "Swept"]

_CHUNK = 65_536  # what IBody promises


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did.

    Contents removed, ids that should have one and have none, contents of nobody known set aside.
    """

    removed: int
    missing: tuple[int, ...]
    quarantined: int = 0


class LargeContents(Protocol):
    """Where the contents are that are too large for a row."""

    def begin(self, message_id: int) -> Awaitable[IContentWriter]:
        """See `IContents.begin`."""

    async def read(self, message: Message) -> bytes | None:
        """The whole content, checked; None where there is none."""

    async def head(self, message: Message) -> bytes | None:
        """Its head; None where there is no such content."""

    async def body(self, message: Message, start: int) -> IBody | None:
        """The octets from `start`, to be streamed and checked; None where there are none."""

    async def quarantine(self, message_id: int) -> str:
        """See `IContents.quarantine`."""

    def remove(self, transaction: Transaction, message_id: int) -> None:
        """Remove a content with `transaction`, or right after its commit."""

    async def sweep(self) -> Swept:
        """At start: take away what no message names; tell which messages have lost theirs."""


@implementer(IContents)
class StoredContents:
    """Small contents by `transactions`, large ones by `large`."""

    def __init__(self, transactions: Transactions, large: LargeContents) -> None:
        self._transactions = transactions
        self._large = large

    async def begin(self, message_id: int) -> IContentWriter:
        """See `IContents.begin`."""
        return await self._large.begin(message_id)

    async def read(self, message: Message) -> bytes | None:
        """See `IContents.read`."""
        if message.in_file:
            return await self._large.read(message)
        return await self._row(message)

    async def body(self, message: Message, start: int) -> IBody:
        """See `IContents.body`."""
        if message.in_file:
            body = await self._large.body(message, start)
            if body is None:
                raise _gone(message)
            return body
        octets = await self.read(message)
        if octets is None:
            raise _gone(message)
        return BytesBody(octets[start:])

    async def head(self, message: Message) -> bytes:
        """See `IContents.head`."""
        if message.in_file:
            octets = await self._large.head(message)
        else:
            octets = await self._row(message)
        if octets is None:
            raise _gone(message)
        return octets[: message.head_octets]

    async def quarantine(self, message: Message) -> str:
        """See `IContents.quarantine`."""
        return await self._large.quarantine(message.id) if message.in_file else ""

    async def _row(self, message: Message) -> bytes | None:
        query = select(content.c.octets).where(content.c.message_id == message.id)

        def work(connection: Connection) -> bytes | None:
            row = self._transactions.dialect.octets(connection, query)
            return None if row is None else checked(message, decompressed(message, row))

        try:
            return await self._transactions.read(work)
        except StoreCorruptError as error:
            raise CorruptContentError(
                f"The content of message {show_id(message.id)} is corrupt: {error}"
            ) from error


def _gone(message: Message) -> NotFoundError:
    return NotFoundError(f"The content of message {show_id(message.id)} is not in the queue.")


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
