"""Large contents in rows of the database: `LargeContents` on PostgreSQL.

A content is parts of `_PART` octets in their order, each written in a transaction of its own
beside the writer's. Only the last one waits for the disk: the log is written in order, so that
all are safe with it. Guarantees: two parts at most are in memory per reader and per writer; what is
finished can be read by every machine. What no message names is removed when the node that
began it starts again, or after a day. Knows no files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import (
    ColumnClause,
    Connection,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
)
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from smtpplus.ports import IBody, IContentWriter
from smtpplus.store.commits import Transaction
from smtpplus.store.content_check import ContentCheck
from smtpplus.store.contents import Swept
from smtpplus.store.dialects import ManySql, insert_sql
from smtpplus.store.large_files import shielded
from smtpplus.store.schema import content_part, message
from smtpplus.store.transactions import Transactions
from smtpplus.values.errors import CorruptContentError, StoreUnavailableError
from smtpplus.values.ids import IdSource, show_id
from smtpplus.values.message import Message

__all__ = ["LargeRows"]

_CHUNK = 65_536  # what IBody promises
_PART = 262_144  # octets of a row
_ABANDONED_SECONDS = 86_400.0
_MAKER: ColumnClause[int] = literal_column("((content_part.message_id >> 12) & 1023)")  # values.ids


class LargeRows:
    """A few rows per content; `node` is the number in the ids of this process."""

    def __init__(self, transactions: Transactions, node: int, now: Callable[[], float]) -> None:
        self._transactions = transactions
        self._node = node
        self._now = now
        self._insert = insert_sql(content_part, transactions.dialect)

    def begin(self, message_id: int) -> Awaitable[IContentWriter]:
        """Nothing is written yet."""
        writer: IContentWriter = _RowWriter(self, self._transactions, self._insert, message_id)
        return succeed(writer)

    async def read(self, message: Message) -> bytes | None:
        """See `LargeContents.read`."""
        return await self._first(message, message.octets)

    async def head(self, message: Message) -> bytes | None:
        """See `LargeContents.head`."""
        return await self._first(message, message.head_octets)

    async def body(self, message: Message, start: int) -> IBody | None:
        """See `LargeContents.body`."""
        query = select(func.count()).where(content_part.c.message_id == message.id)
        if not await self._transactions.read(lambda connection: connection.scalar(query)):
            return None
        return _RowBody(self._transactions, message, start)

    async def quarantine(self, message_id: int) -> str:
        """The rows stay where they are, until the message is over."""
        return ""

    async def _first(self, message: Message, octets: int) -> bytes | None:
        body = await self.body(message, 0)
        if body is None:
            return None
        pieces = []
        while octets > 0 and (piece := await body.next_chunk()):
            pieces.append(piece[:octets])
            octets -= len(piece)
        return b"".join(pieces)

    def remove(self, transaction: Transaction, message_id: int) -> None:
        """In the same transaction."""
        transaction.execute(delete(content_part).where(content_part.c.message_id == message_id))

    async def sweep(self) -> Swept:
        """See `LargeContents.sweep`."""
        abandoned = IdSource(0).next(self._now() - _ABANDONED_SECONDS)
        named = exists().where(message.c.id == content_part.c.message_id, message.c.remaining > 0)
        strays = delete(content_part).where(
            ~named, or_(_MAKER.in_([self._node]), content_part.c.message_id < abandoned)
        )

        def work(transaction: Transaction) -> int:
            rows = transaction.execute(strays.returning(content_part.c.message_id))
            return len(set(rows.scalars()))

        removed = await self._transactions.write(work)
        return Swept(removed, await self._transactions.read(_without_parts))


def _without_parts(connection: Connection) -> tuple[int, ...]:
    has_parts = exists().where(content_part.c.message_id == message.c.id)
    query = select(message.c.id).where(text("in_file"), message.c.remaining > 0, ~has_parts)
    return tuple(connection.scalars(query.order_by(message.c.id)))


@implementer(IBody)
class _RowBody:
    """A body read part by part; the first ones too, whatever `start` is: all are checked."""

    def __init__(self, transactions: Transactions, message: Message, start: int) -> None:
        self.size = max(message.octets - start, 0)
        self._transactions = transactions
        self._id = message.id
        self._check = ContentCheck(message)
        self._at = 0
        self._start = start
        self._end = message.octets
        self._ahead = memoryview(b"")

    async def next_chunk(self) -> bytes:
        """See `IBody.next_chunk`."""
        while not self._ahead and self._at < self._end:
            await self._read_ahead()
        chunk = bytes(self._ahead[:_CHUNK])
        self._ahead = self._ahead[_CHUNK:]
        return chunk

    def close(self) -> None:
        """Let the octets go."""
        self._ahead = memoryview(b"")
        self._end = 0

    async def _read_ahead(self) -> None:
        number = self._at // _PART
        wanted = min(_PART, self._end - self._at)
        query = select(content_part.c.octets).where(
            content_part.c.message_id == self._id, content_part.c.number == number
        )

        def work(connection: Connection) -> bytes:
            octets = self._transactions.dialect.octets(connection, query)
            if octets is None or len(octets) != wanted:
                raise CorruptContentError(
                    f"The content of message {show_id(self._id)} is corrupt: a part is missing."
                )
            return octets

        octets = await shielded(self._transactions.read(work))
        if self._end == 0:  # closed meanwhile
            return
        self._check.update(octets)
        skipped = max(self._start - self._at, 0)
        self._ahead = memoryview(octets)[skipped:]
        self._at += wanted


@implementer(IContentWriter)
class _RowWriter:
    """Parts being written, one after the other."""

    def __init__(
        self, rows: LargeRows, transactions: Transactions, insert: ManySql, message_id: int
    ) -> None:
        self._rows = rows
        self._transactions = transactions
        self._insert = insert
        self._id = message_id
        self._pending = bytearray()
        self._number = 0
        self._open = True
        self._running: Deferred[None] = succeed(None)

    def write(self, data: bytes) -> Awaitable[None]:
        """See `IContentWriter.write`."""
        self._must_be_open()
        self._pending += data
        if len(self._pending) < _PART:
            return succeed(None)
        return self._put_all_but(len(self._pending) % _PART, last=False)

    def finish(self) -> Awaitable[None]:
        """See `IContentWriter.finish`."""
        self._must_be_open()
        self._open = False
        return self._put_all_but(0, last=True)

    def discard(self) -> Awaitable[None]:
        """See `IContentWriter.discard`."""
        self._open = False
        self._pending.clear()

        def work(transaction: Transaction) -> None:
            self._rows.remove(transaction, self._id)

        def remove(_: object) -> Deferred[None]:
            return self._transactions.in_files(self._transactions.alone, work)

        done: Deferred[None] = Deferred()
        self._running.addBoth(remove).addBoth(lambda _: done.callback(None))
        return done

    def _put_all_but(self, rest: int, *, last: bool) -> Awaitable[None]:
        """Write what is pending but for the last `rest` octets."""
        whole = len(self._pending) - rest
        octets = bytes(self._pending[:whole])
        del self._pending[:whole]
        rows = [
            (self._id, self._number + at, octets[at * _PART : (at + 1) * _PART])
            for at in range(max(-(-len(octets) // _PART), int(last and not self._number)))
        ]
        self._number += len(rows)

        def work(transaction: Transaction) -> None:
            if not last:
                transaction.execute(text("SET LOCAL synchronous_commit = off"))
            self._put(transaction, rows, last=last)

        self._running = self._transactions.in_files(self._transactions.alone, work)
        return shielded(self._running)

    def _put(self, transaction: Transaction, rows: list[Any], *, last: bool) -> None:
        transaction.many(self._insert, rows)
        if last and not rows:
            # Nothing is left to write, and still the log has to reach the disk up to here.
            transaction.execute(text("SELECT pg_current_xact_id()"))

    def _must_be_open(self) -> None:
        if not self._open:
            raise StoreUnavailableError("The content is finished or discarded.")
