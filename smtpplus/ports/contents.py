"""The contents of queued messages: coming in, kept, and on their way out."""

from __future__ import annotations

from collections.abc import Awaitable

from zope.interface import Attribute, Interface

from smtpplus.values.message import Message

__all__ = ["IBody", "IContentWriter", "IContents"]


class IBody(Interface):
    """Octets to be sent as a message's content, CRLF line ends, dots not stuffed."""

    size = Attribute("Octets in all (int).")

    async def next_chunk() -> bytes:
        """The next piece, at most 64 KiB; empty at the end.

        Raises:
            StoreUnavailableError, StoreBrokenError: the content cannot be read now.
            CorruptContentError: it is not what was accepted; at its last piece at the latest.
        """

    def close() -> None:
        """Release what is open; may be called at any time, more than once."""


class IContentWriter(Interface):
    """A large message's content on its way to a file of the queue directory."""

    def write(data: bytes) -> Awaitable[None]:
        """Append. Await it before the next call.

        Raises:
            StoreFullError: the disk is full; `discard` is still to be called.
        """

    def finish() -> Awaitable[None]:
        """Sync, rename into place, sync the folder. After it the content survives a crash."""

    def discard() -> Awaitable[None]:
        """Remove what was written, finished or not. Never raises."""


class IContents(Interface):
    """The contents of queued messages: rows when small, files when large."""

    def begin(message_id: int) -> Awaitable[IContentWriter]:
        """A new file. Without a row that names it, the next start takes it away."""

    async def read(message: Message) -> bytes | None:
        """The whole content (head and body) of a small message; None when it is gone.

        Raises:
            StoreUnavailableError, StoreBrokenError: it cannot be read now.
            CorruptContentError: it is not what was accepted.
        """

    async def body(message: Message, start: int) -> IBody:
        """The content from octet `start`, to be streamed.

        Raises:
            NotFoundError: the content is gone.
            StoreUnavailableError, StoreBrokenError: it cannot be read now.
            CorruptContentError: it is not what was accepted.
        """

    async def head(message: Message) -> bytes:
        """The head as submitted, `message.head_octets` long. Raises as `body`."""

    async def quarantine(message: Message) -> str:
        """Set a content aside that must not be sent, for people to look at.

        Where it is now; empty where it stays in its row, or is gone. Never raises.
        """
