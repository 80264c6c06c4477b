"""The connection under an outbound SMTP session: octets, deadlines, back-pressure, TLS.

`ClientWire` carries a `ClientConversation` over a Twisted transport. Guarantees: one write per
turn; each reply has one deadline, which the octets of a reply do not prolong (R7); while a
content is streamed no more than the transport's buffer and one piece are held; what the remote
says or does on its own is noticed at once, also while nobody waits. Everything that ends the
session arrives as `SessionLostError`, and the transport is gone then. One coroutine waits at a
time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IPushProducer,
    ITCPTransport,
    ITLSTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpplus.net.direct_write import write_directly
from smtpplus.net.timeouts import Timeouts
from smtpplus.ports import IClock, SessionLostError
from smtpplus.smtp.client import ClientConversation
from smtpplus.smtp.client_events import ClientEvent, Command, RemoteClosed
from smtpplus.smtp.events import Wait
from smtpplus.smtp.reply_reader import RemoteProtocolError
from smtpplus.smtp.transcript import Transcript
from smtpplus.values.reply import Reply

__all__ = ["ClientWire", "is_loopback"]

_NEED_DATA = Wait.NEED_DATA


def is_loopback(ip: str) -> bool:
    """Does a connection to `ip` stay on this machine?"""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


@implementer(IHandshakeListener, IPushProducer)
class ClientWire(Protocol):
    """One connection; made before it is connected."""

    def __init__(
        self,
        conversation: ClientConversation,
        transcript: Transcript,
        clock: IClock,
        timeouts: Timeouts,
    ) -> None:
        self._conversation = conversation
        self._transcript = transcript
        self._clock = clock
        self._timeouts = timeouts
        self._waiter: Deferred[ClientEvent | None] | None = None
        self._wants_event = False  # does who waits, wait for an event of the conversation?
        self._overheard: ClientEvent | None = None
        self._lost: SessionLostError | None = None
        self._reason: Failure | None = None
        self._is_secure = False
        self._is_paused = False
        self._is_streaming = False
        self._turn = -1
        self._deadline: float | None = None
        self._awaited: str | Command = ""  # what is due then, and in how many seconds
        self._seconds = 0.0
        self._timer_at = 0.0
        self._cancel_timer: Callable[[], None] | None = None

    # ------------------------------------------------------------ for the session

    @property
    def is_open(self) -> bool:
        """Can anything still be said?"""
        return self._lost is None and self._reason is None

    @property
    def source_ip(self) -> str:
        """Our own address."""
        return cast("ITCPTransport", self.transport).getHost().host

    @property
    def tls_connection(self) -> SSL.Connection:
        """The OpenSSL connection; only after a handshake."""
        assert self._is_secure
        return cast("SSL.Connection", self.transport.getHandle())  # type: ignore[union-attr]

    def check(self) -> None:
        """Raises SessionLostError: the session has ended."""
        if self._lost is not None:
            raise _again(self._lost)

    def poll(self) -> ClientEvent | None:
        """The next event, if there is one already.

        Raises:
            SessionLostError: the session has ended.
        """
        if self._overheard is not None:
            event, self._overheard = self._overheard, None
            return event
        self.check()
        try:
            found = self._conversation.next_event()
        except RemoteProtocolError as error:
            raise self.lose(str(error)) from error
        if found is _NEED_DATA:
            return None
        if type(found) is RemoteClosed:
            raise self.lose(found.text + self._why(), found.reply)
        assert not isinstance(found, Wait)
        return found

    async def event(self) -> ClientEvent:
        """Send what is to be sent, wait for the next event.

        Raises:
            SessionLostError: the session ended, or the reply did not come in time.
        """
        event = self.poll()
        while event is None:
            self._flush()
            self._expect_reply()
            self._wants_event = True
            event = await self._wait() or self.poll()
        self._deadline = None
        return event

    async def drain(self) -> ClientEvent | None:
        """Send a piece of content; return when the next may come, or something was said.

        Raises:
            SessionLostError: the session ended, or the remote did not take it in time.
        """
        if not self._is_streaming:
            self._is_streaming = True
            self.transport.registerProducer(self, True)  # type: ignore[union-attr]
        self._flush()
        self._expect("room for more of the message", self._timeouts.block.seconds)
        while (event := self.poll()) is None and self._is_paused:
            await self._wait()
        self._deadline = None
        return event

    def stop_streaming(self) -> None:
        """The content is over: pieces are no longer held back."""
        if self._is_streaming:
            self._is_streaming = self._is_paused = False
            self.transport.unregisterProducer()  # type: ignore[union-attr]

    async def shake_hands(self, creator: IOpenSSLClientConnectionCreator) -> None:
        """Begin TLS; return when the handshake is done.

        Raises:
            SessionLostError: it failed, with OpenSSL's reason, or took too long.
        """
        self._expect("end of the TLS handshake", self._timeouts.tls.seconds)
        cast("ITLSTransport", self.transport).startTLS(creator)
        while not self._is_secure:
            self.check()
            if self._reason is not None:
                raise self.lose(f"The TLS handshake failed: {_words(self._reason)}.")
            await self._wait()
        self._deadline = None

    def lose(self, text: str, reply: Reply | None = None) -> SessionLostError:
        """End the session at once, for the reason `text`; the error to raise."""
        if self._lost is None:
            self._lost = SessionLostError(
                text,
                after_final_dot=self._conversation.final_dot_unanswered,
                reply=reply,
            )
            self._transcript.note(text)
            self._close(abort=True)
        return _again(self._lost)

    def close(self) -> None:
        """End the session in order, soon (after QUIT)."""
        if self._lost is None:
            self._lost = SessionLostError("The session has been closed.")
            self._close(abort=False)

    # ------------------------------------------------------------ from Twisted

    def connectionMade(self) -> None:
        """Connected."""
        cast("ITCPTransport", self.transport).setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Octets, already decrypted."""
        if self._lost is None:
            self._conversation.receive(data)
            if self._wants_event:
                self._look()
            else:
                self._wake()

    def handshakeCompleted(self) -> None:
        """TLS is there."""
        self._is_secure = True
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Closed, by whomever."""
        self._reason = reason
        self._conversation.receive_eof()
        if self._lost is not None:
            self._stop_timer()
        self._wake()

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        self._is_paused = False
        self._wake()

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` comes too."""
        self._is_paused = False

    # ------------------------------------------------------------ inside

    def _flush(self) -> None:
        octets = self._conversation.bytes_to_send()
        if octets:
            write_directly(self.transport, octets)

    async def _wait(self) -> ClientEvent | None:
        """Until anything has happened; the event, where it was one of the conversation."""
        assert self._waiter is None
        waiter: Deferred[ClientEvent | None] = Deferred()
        self._waiter = waiter
        try:
            return await waiter
        finally:
            self._waiter = None
            self._wants_event = False

    def _look(self) -> None:
        """Octets came for who waits for an event: let it go on once there is one, not before."""
        try:
            event = self.poll()
        except SessionLostError:  # it is kept; `lose` has let who waits go on
            return
        if event is None:
            self._flush()
            self._expect_reply()
        else:
            self._wake(event)

    def _wake(self, event: ClientEvent | None = None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._wants_event = False
            waiter.callback(event)
        elif self._lost is None and self._overheard is None:
            self._overhear()

    def _overhear(self) -> None:
        """Nobody waits: the session is idle, or the next piece of content is being read."""
        with suppress(SessionLostError):  # it is kept, and raised when the session is used next
            self._overheard = self.poll()

    def _close(self, *, abort: bool) -> None:
        self._deadline = None
        self._stop_timer()
        if self.transport is not None and self._reason is None:
            self.stop_streaming()
            if abort:
                cast("ITCPTransport", self.transport).abortConnection()
            else:
                self.transport.loseConnection()
                # A remote that reads nothing, or never ends TLS, would keep the socket.
                self._cancel_timer = self._clock.call_later(
                    self._timeouts.quit.seconds, self._abort_transport
                )
        self._wake()

    def _abort_transport(self) -> None:
        self._cancel_timer = None
        if self._reason is None:
            cast("ITCPTransport", self.transport).abortConnection()

    def _why(self) -> str:
        """What a connection's end had to say, beyond that it ended."""
        if self._reason is None or isinstance(self._reason.value, ConnectionDone):
            return ""
        return f" ({_words(self._reason)})"

    # ------------------------------------------------------------ deadlines

    def _expect_reply(self) -> None:
        """Another reply than before is due now, where that is so."""
        conversation = self._conversation
        awaited = conversation.awaited
        if awaited is not None and self._turn != conversation.turn:
            self._turn = conversation.turn
            self._expect(awaited, self._timeouts.reply_to(awaited))

    def _expect(self, what: str | Command, seconds: float) -> None:
        """From now on `what` is due within `seconds`. The timer is only moved where it must be."""
        now = self._clock.monotonic()
        self._awaited, self._seconds = what, seconds
        self._deadline = now + seconds
        if self._cancel_timer is None or self._deadline < self._timer_at:
            self._stop_timer()
            self._start_timer(now)

    def _start_timer(self, now: float) -> None:
        assert self._deadline is not None
        self._timer_at = self._deadline
        self._cancel_timer = self._clock.call_later(self._deadline - now, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._cancel_timer = None
        if self._deadline is None:
            return
        now = self._clock.monotonic()
        if now < self._deadline:
            self._start_timer(now)
        else:
            what = self._awaited
            if isinstance(what, Command):
                what = f"reply to {what}"
            self.lose(f"No {what} within {self._seconds:g} s.")

    def _stop_timer(self) -> None:
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None


def _again(lost: SessionLostError) -> SessionLostError:
    """The same error, to be raised once more without the other's traceback."""
    return SessionLostError(str(lost), after_final_dot=lost.after_final_dot, reply=lost.reply)


def _words(reason: Failure) -> str:
    """A connection's end in words fit for a page."""
    value = reason.value
    if isinstance(value, SSL.Error):
        queue = value.args[0] if value.args and isinstance(value.args[0], list) else []
        texts = [str(entry[-1]) for entry in queue if entry and entry[-1]]
        return "; ".join(texts) or "TLS ended without a reason given"
    if isinstance(value, ConnectionDone):
        return "the remote closed the connection"
    # Twisted says "Connection to the other side was lost in a non-clean fashion: <the reason>."
    return str(value).partition(": ")[2].rstrip(".") or "the connection was lost"
