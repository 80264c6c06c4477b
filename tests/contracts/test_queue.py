"""The queue's contract over memory, over SQLite with threads, with a writer beside it, and as the
command line has it.
"""

from __future__ import annotations

from smtpplus.store.memory import MemoryContents, MemoryQueue
from smtpplus.values.ids import IdSource
from tests.contracts import queue_contract
from tests.store.writer_case import WriterCase


class MemoryQueueTests(queue_contract.QueueContract):
    def setUp(self) -> None:
        super().setUp()
        contents = MemoryContents()
        self.contents = contents
        self.queue = MemoryQueue(contents)
        self.ids = IdSource(0)


class SqliteQueueTests(queue_contract.QueueContract):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        store = await self.started()
        self.queue, self.contents, self.ids = store.queue, store.contents, store.ids


class WrittenQueueTests(WriterCase, queue_contract.QueueContract):
    """Another process writes what is accepted and settled."""

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        store = await self.written()
        self.queue, self.contents, self.ids = store.queue, store.contents, store.ids


class BlockingQueueTests(queue_contract.QueueContract):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        store = self.open_blocking()
        self.queue, self.contents, self.ids = store.queue, store.contents, store.ids
