"""One message's content on its way in: small in memory, large streamed to a file.

Up to `MEMORY_OCTETS` stay in memory; what is larger goes to the store's file, piece by piece as
it comes. A piece is taken when `add` says so (back-pressure). While all contents together fill
their `ContentMemory`, whatever is larger than `CROWDED_OCTETS` goes to a file when it grows.

Control headers are no part of what is kept. They may be much longer than a head may be otherwise
(10,000 recipients in X-SMTPAPI), so a head that has some is waited for, up to `CONTROL_OCTETS`;
`leave_out` takes them out, and where a content goes to a file before its end they are out by then.

Guarantees: the content kept is the content given, octet for octet (M1), but for control headers;
`facts` are those of what is kept. A failed write is remembered and raised by `keep`; what comes
after it is only counted. `discard` removes what was written, also what is being written just
then; `release` gives its memory back, at the end. Does not look inside, but for the head, which
it keeps. `head` raises `RefusedError`.
"""

from __future__ import annotations

from collections.abc import Awaitable

from smtpplus.message.controls import control_spans, may_have_controls
from smtpplus.message.facts import ContentFacts
from smtpplus.message.headers import MAX_HEAD_OCTETS, cut_spans, head_length
from smtpplus.message.submitted import HEAD_TOO_LARGE, check_count
from smtpplus.ports import IContents, IContentWriter
from smtpplus.values.errors import STORE_ERRORS, RefusedError, SmtpplusError
from smtpplus.values.ids import show_id
from smtpplus.values.reply import Reply

__all__ = ["CONTROL_OCTETS", "MEMORY_OCTETS", "ContentMemory", "IncomingContent"]

MEMORY_OCTETS = 128 * 1024
CROWDED_OCTETS = 16 * 1024
CONTROL_OCTETS = 5 * 1024 * 1024  # of a head with control headers; the JSON of one may have four

_CONTROLS_TOO_LARGE = Reply.of(
    552, "5.6.0", f"The message's control headers are larger than {CONTROL_OCTETS >> 20} MiB."
)
_NO_MEMORY = Reply.of(452, "4.3.1", "Too much mail is coming in, please try again in a moment")


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
        "_is_cut",
        "_is_over",
        "_look_at",
        "_memory",
        "_mine",
        "_pieces",
        "_refusal",
        "_size",
        "_writer",
        "facts",
        "is_large",
        "is_promised",
        "message_id",
        "shown_id",
    )

    def __init__(self, contents: IContents, memory: ContentMemory, message_id: int) -> None:
        self.message_id = message_id
        self.shown_id = show_id(message_id)
        self.facts = ContentFacts()
        self.is_large = False  # does it go to a file?
        self.is_promised = False  # may a row of the store name it by now?
        self._contents = contents
        self._memory = memory
        self._mine = 0  # octets of it that `memory` counts
        self._size = 0  # octets in `_pieces`
        self._look_at = 0  # so many of them, before the end of the head is looked for again
        self._pieces: list[bytes] = []
        self._head: bytes | None = None  # as submitted, where it is not in `_pieces` any more
        self._is_cut = False  # are the control headers out of what is kept?
        self._writer: IContentWriter | None = None
        self._failure: SmtpplusError | None = None
        self._refusal: Reply | None = None
        self._is_over = False

    def add(self, chunk: bytes) -> Awaitable[None] | None:
        """Take a piece. Where an awaitable comes back, wait for it before the next one."""
        self.facts.update(chunk)
        if self._failure is not None or self._is_over:
            return None
        if self.is_large:
            return self._write(chunk)
        self._pieces.append(chunk)
        size = self._size = self._size + len(chunk)
        self._mine += len(chunk)
        memory = self._memory
        memory.held += len(chunk)
        if size <= CROWDED_OCTETS or (size <= MEMORY_OCTETS and memory.held < memory.most):
            return None
        return self._grow() if size >= self._look_at else None

    def release(self) -> None:
        """It holds no memory any more, or somebody else's. May be called more than once."""
        self._memory.held -= self._mine
        self._mine = 0

    def head(self) -> bytes:
        """The head as submitted, its empty line included.

        Raises:
            RefusedError: it is too long.
        """
        if self._refusal is not None:
            raise RefusedError(self._refusal)
        if self._head is not None:
            return self._head
        content = self._joined()
        length = head_length(content)
        return content if length is None else content[:length]

    def leave_out(self, spans: tuple[tuple[int, int], ...]) -> bytes:
        """Do not keep these octets of the head, the control headers; the head that is kept."""
        head = self.head()
        kept = cut_spans(head, spans)
        if spans and not self._is_cut:
            self._cut(kept + self._joined()[len(head) :])
        return kept

    def in_memory(self) -> bytes:
        """The content of a small message."""
        return self._joined()

    async def keep(self) -> None:
        """Sync the file of a large message.

        Raises:
            StoreFullError, StoreUnavailableError, StoreBrokenError: it was not kept.
        """
        if self._failure is not None:
            raise self._failure
        assert self._writer is not None
        await self._writer.finish()

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

    def _grow(self) -> Awaitable[None] | None:
        """It is too large for the memory there is, if that is not the control headers' doing."""
        piece = self._joined()
        if self._head is None:
            length = head_length(piece)
            if length is None:
                self._wait_for_head(piece)
                return None
            self._take_head(piece, length)
            if self._refusal is not None or self._size <= self._most:
                return None
            piece = self._joined()
        self.is_large = True
        self._pieces = []
        self.release()
        self._hold(len(self._head or b""))
        return self._write(piece)

    @property
    def _most(self) -> int:
        return CROWDED_OCTETS if self._memory.is_full else MEMORY_OCTETS

    def _wait_for_head(self, piece: bytes) -> None:
        """Its end has not come yet; a long one is waited for where control headers are in it."""
        size = len(piece)
        if size > MAX_HEAD_OCTETS and not may_have_controls(piece):
            self._refuse(HEAD_TOO_LARGE)
        elif size > CONTROL_OCTETS:
            self._refuse(_CONTROLS_TOO_LARGE)
        elif size > MAX_HEAD_OCTETS and self._memory.is_full:
            self._refuse(_NO_MEMORY)
        else:
            most = MAX_HEAD_OCTETS if size <= MAX_HEAD_OCTETS else CONTROL_OCTETS
            self._look_at = min(2 * size, most + 1)

    def _take_head(self, piece: bytes, length: int) -> None:
        """The head is whole: keep it for its reader, and the content without its controls."""
        head = piece[:length]
        try:
            check_count(head)
        except RefusedError as refusal:
            self._refuse(refusal.reply)
            return
        self._head = head
        self._look_at = 0
        self._hold(length)
        spans = control_spans(head)
        if spans:
            self._cut(cut_spans(head, spans) + piece[length:])

    def _cut(self, content: bytes) -> None:
        self._is_cut = True
        self._hold(len(content) - self._size)
        self._pieces = [content]
        self._size = len(content)
        self.facts = ContentFacts()
        self.facts.update(content)

    def _hold(self, octets: int) -> None:
        self._mine += octets
        self._memory.held += octets

    def _refuse(self, reply: Reply) -> None:
        """It will be refused: nothing of it need be kept."""
        self._refusal = reply
        self._is_over = True
        self._pieces = []
        self.release()

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
