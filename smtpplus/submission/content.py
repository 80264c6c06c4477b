"""One message's content on its way in: small in memory, large streamed to a file.

Up to `MEMORY_OCTETS` stay in memory; what is larger goes to the store's file, piece by piece as
it comes. A piece is taken when `add` says so (back-pressure). While all contents together fill
their `ContentMemory`, whatever is larger than `CROWDED_OCTETS` goes to a file when it grows.

Guarantees: the content kept is the content given, octet for octet (M1). A failed write is
remembered and raised by `keep`; what comes after it is only counted. `discard` removes what was
written, also what is being written just then; `release` gives its memory back, at the end.
Does not look inside, but for the head, which
it keeps.
"""

from __future__ import annotations

from collections.abc import Awaitable

from smtpplus.message.facts import ContentFacts
from smtpplus.message.headers import head_length
from smtpplus.ports import IContents, IContentWriter
from smtpplus.values.errors import (
    SmtpplusError,
    StoreBrokenError,
    StoreFullError,
    StoreUnavailableError,
)

__all__ = ["MEMORY_OCTETS", "STORE_ERRORS", "ContentMemory", "IncomingContent"]

MEMORY_OCTETS = 128 * 1024
CROWDED_OCTETS = 16 * 1024
STORE_ERRORS = (StoreFullError, StoreUnavailableError, StoreBrokenError)


class ContentMemory:
    """How much the contents of all conversations hold, and how much they should at most."""

    __slots__ = ("held", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    @property
    def is_full(self) -> bool:
        """Is there as much as there should be?"""
        return self.held >= self.most


class IncomingContent:
    """Collects the content of the message `message_id`, in `memory` while it is small."""

    __slots__ = (
        "_contents",
        "_failure",
        "_head",
        "_is_over",
        "_memory",
        "_mine",
        "_pieces",
        "_writer",
        "facts",
        "is_large",
        "is_promised",
        "message_id",
    )

    def __init__(self, contents: IContents, memory: ContentMemory, message_id: int) -> None:
        self.message_id = message_id
        self.facts = ContentFacts()
        self.is_large = False  # does it go to a file?
        self.is_promised = False  # may a row of the store name it by now?
        self._contents = contents
        self._memory = memory
        self._mine = 0  # octets of it that `memory` counts
        self._pieces: list[bytes] = []
        self._head: bytes | None = None  # of a large one
        self._writer: IContentWriter | None = None
        self._failure: SmtpplusError | None = None
        self._is_over = False

    def add(self, chunk: bytes) -> Awaitable[None] | None:
        """Take a piece. Where an awaitable comes back, wait for it before the next one."""
        self.facts.update(chunk)
        if self._failure is not None or self._is_over:
            return None
        if self.is_large:
            return self._write(chunk)
        self._pieces.append(chunk)
        self._mine += len(chunk)
        memory = self._memory
        memory.held += len(chunk)
        most = CROWDED_OCTETS if memory.held >= memory.most else MEMORY_OCTETS
        return self._grow() if self._mine > most else None

    def release(self) -> None:
        """It holds no memory any more, or somebody else's. May be called more than once."""
        self._memory.held -= self._mine
        self._mine = 0

    def head(self) -> bytes | None:
        """The head, its empty line included; None where it is longer than the memory."""
        if self.is_large:
            return self._head
        content = self._joined()
        length = head_length(content)
        return content if length is None else content[:length]

    async def keep(self) -> bytes | None:
        """The content of a small message; of a large one its file is synced, and None.

        Raises:
            StoreFullError, StoreUnavailableError, StoreBrokenError: it was not kept.
        """
        if not self.is_large:
            return self._joined()
        if self._failure is not None:
            raise self._failure
        assert self._writer is not None
        await self._writer.finish()
        return None

    async def discard(self) -> None:
        """Forget everything, and remove the file. May be called more than once."""
        self._is_over = True
        self._pieces = []
        self.release()
        await self._remove()

    async def _remove(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.discard()

    def _joined(self) -> bytes:
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    def _grow(self) -> Awaitable[None]:
        """It is too large for the memory there is."""
        piece = self._joined()
        length = head_length(piece)
        self.is_large = True
        self._head = None if length is None else piece[:length]
        self._pieces = []
        self.release()
        return self._write(piece)

    async def _write(self, piece: bytes) -> None:
        try:
            writer = self._writer or await self._contents.begin(self.message_id)
            self._writer = None  # while it writes, `discard` leaves it to this method
            try:
                await writer.write(piece)
            finally:
                self._writer = writer
        except STORE_ERRORS as error:
            self._failure = error
        if self._is_over:
            await self._remove()
