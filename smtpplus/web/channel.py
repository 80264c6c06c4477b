"""The HTTP connection: Twisted's parser with limits it does not have.

Guarantees: a request is complete within `REQUEST_SECONDS` of its first octet, however slowly it
trickles in (Twisted's own time-out starts anew with every octet); a body over `MOST_OCTETS` is
refused by its declared length or as soon as it gets there, never stored; content is not parsed
here. Answers go out at once where they can. Does not answer requests: `site` does; what it can
answer by the octets alone is never parsed by Twisted.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.basic import LineReceiver
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from smtpplus.net.direct_write import write_directly

__all__ = ["IDLE_SECONDS", "MOST_OCTETS", "REQUEST_SECONDS", "PageChannel", "PageRequest"]

MOST_OCTETS = 1 << 20
REQUEST_SECONDS = 30.0
IDLE_SECONDS = 75.0
_TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
    b"Content-Length: 25\r\n\r\n"
    b"At most 1 MiB is taken.\r\n"
)


class PageRequest(Request):
    """A request whose body is bounded."""

    _is_refused = False
    _received = 0

    def gotLength(self, length: int | None) -> None:
        """The head is complete."""
        if length is not None and length > MOST_OCTETS:
            self._refuse()
            length = 0
        super().gotLength(length)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        self._received += len(data)
        if self._received > MOST_OCTETS:
            self._refuse()
        if not self._is_refused:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete."""
        if not self._is_refused:
            super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    def _refuse(self) -> None:
        if not self._is_refused:
            self._is_refused = True
            self.channel.write(_TOO_LARGE)  # type: ignore[no-untyped-call]
            self.channel.loseConnection()  # type: ignore[no-untyped-call]


class PageChannel(HTTPChannel):
    """A connection with a deadline per request."""

    _in_request = False
    _peer = ""

    def connectionMade(self) -> None:
        """A client is there."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.site: Any
        self.site.channels.add(self)
        self._peer = str(getattr(self.getPeer(), "host", ""))  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Octets came: the first of a request start its deadline, later ones do not move it."""
        if not self._in_request and not self._handlingRequest:
            if self._is_at_rest() and (answer := self.site.answered(data, self._peer)):
                self.resetTimeout()  # type: ignore[no-untyped-call]
                write_directly(self.transport, answer)
                return
            self._in_request = True
            self.setTimeout(REQUEST_SECONDS)  # type: ignore[no-untyped-call]
        LineReceiver.dataReceived(self, data)  # type: ignore[no-untyped-call]

    def _is_at_rest(self) -> bool:
        """Is nothing under way, so that what comes is the beginning of a request?"""
        return bool(self.persistent and not self._buffer and not self._busyReceiving)

    def allContentReceived(self) -> None:
        """The request is complete; while it is answered nothing runs out."""
        self._in_request = False
        super().allContentReceived()  # type: ignore[no-untyped-call]

    def requestDone(self, request: Any) -> None:
        """The answer is out; the connection may idle."""
        self._savedTimeOut = IDLE_SECONDS
        super().requestDone(request)  # type: ignore[no-untyped-call]

    def close_soon(self) -> None:
        """Close now, or after the answer that is under way."""
        if self._handlingRequest:
            self.persistent = 0
        else:
            self.loseConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any = None) -> None:
        """The connection ended."""
        self.site.channels.discard(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
