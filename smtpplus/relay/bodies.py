"""The octets of a copy: what was made for this recipient, then what is stored.

`LeasedBody` never comes to its end once the lease does not hold, so that no final dot is sent.

Guarantees: pieces of at most 64 KiB; a large content is read from its file piece by piece, so
that memory does not grow with the message.
"""

from __future__ import annotations

from collections import deque

from zope.interface import implementer

from smtpplus.message.edits import Span
from smtpplus.ports import IBody, ILease

__all__ = ["JoinedBody", "LeaseEndedError", "LeasedBody", "SplicedBody"]

_PIECE = 64 * 1024


@implementer(IBody)
class JoinedBody:
    """`head`, then `rest`, then (where given) a stored body; `size` is the sum."""

    def __init__(self, head: bytes, rest: bytes, stored: IBody | None = None) -> None:
        self._octets = head + rest if len(rest) < _PIECE else head
        self._rest = b"" if len(rest) < _PIECE else rest
        self._stored = stored
        self._at = 0
        self.size: int = len(head) + len(rest) + (stored.size if stored is not None else 0)

    async def next_chunk(self) -> bytes:
        """The next piece; empty at the end."""
        if self._at >= len(self._octets) and self._rest:
            self._octets, self._rest, self._at = self._rest, b"", 0
        if self._at < len(self._octets):
            piece = self._octets[self._at : self._at + _PIECE]
            self._at += _PIECE
            return piece
        return await self._stored.next_chunk() if self._stored is not None else b""

    def close(self) -> None:
        """Release the stored body's file."""
        if self._stored is not None:
            self._stored.close()


class LeaseEndedError(Exception):
    """The delivery may be another process's by now: it must not be sent by this one."""


@implementer(IBody)
class LeasedBody:
    """`body`, under a lease."""

    __slots__ = ("_body", "_lease", "size")

    def __init__(self, body: IBody, lease: ILease) -> None:
        self._body = body
        self._lease = lease
        self.size: int = body.size

    async def next_chunk(self) -> bytes:
        """The next piece; empty at the end.

        Raises:
            LeaseEndedError: at the end, where the lease does not hold.
        """
        piece = await self._body.next_chunk()
        if not piece and not self._lease.holds:
            raise LeaseEndedError
        return piece

    def close(self) -> None:
        """See `IBody.close`."""
        self._body.close()


@implementer(IBody)
class SplicedBody:
    """A stored body with some of it replaced: octets, and spans of the content in their order.

    `stored` gives the content from octet `start` on. It is read to its end, so that what is
    wrong with it is found out.
    """

    def __init__(self, stored: IBody, start: int, pieces: tuple[bytes | Span, ...]) -> None:
        self._stored = stored
        self._position = start  # of the content: what `_ahead` begins with
        self._ahead = b""
        self._pieces = deque(pieces)
        self.size: int = sum(
            len(one) if isinstance(one, bytes) else one.end - one.start for one in pieces
        )

    async def next_chunk(self) -> bytes:
        """The next piece; empty at the end."""
        while self._pieces:
            piece = self._pieces[0]
            if isinstance(piece, bytes):
                self._pieces.popleft()
                if len(piece) > _PIECE:
                    self._pieces.appendleft(piece[_PIECE:])
                if piece:
                    return piece[:_PIECE]
                continue
            octets = await self._read(piece)
            if octets:
                return octets
        while await self._stored.next_chunk():
            pass
        return b""

    def close(self) -> None:
        """Release the stored one."""
        self._stored.close()

    async def _read(self, span: Span) -> bytes:
        """The next octets of a span; what stands before it goes by."""
        while self._position + len(self._ahead) <= span.start and span.end > span.start:
            self._position += len(self._ahead)
            self._ahead = await self._stored.next_chunk()
            if not self._ahead:
                break
        begin = max(span.start - self._position, 0)
        octets = self._ahead[begin : span.end - self._position]
        used = begin + len(octets)
        self._position += used
        self._ahead = self._ahead[used:]
        self._pieces.popleft()
        if octets and self._position < span.end:
            self._pieces.appendleft(Span(self._position, span.end))
        return octets
