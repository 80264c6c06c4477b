"""An outbound SMTP session over a real connection: `ISmtpSession`.

Guarantees: one method runs at a time; a method that is cancelled, or fails in a way that leaves
the conversation's state unknown, aborts the session; credentials go over TLS or stay on this
machine; a content that turns out shorter or longer than announced is never ended with a final
dot. Raises `SessionLostError` as the port says, ValueError for what the caller had to check
(SMTPUTF8), RuntimeError for methods called out of order. Does not judge replies.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from twisted.internet.defer import CancelledError
from zope.interface import implementer

from smtpplus.net.client_wire import ClientWire, is_loopback
from smtpplus.net.timeouts import Timeouts
from smtpplus.net.tls import OutboundTls, channel_binding
from smtpplus.ports import (
    Extensions,
    IBody,
    IClock,
    ISmtpSession,
    SessionLostError,
    TransactionReplies,
)
from smtpplus.smtp.client import ClientConversation
from smtpplus.smtp.client_events import (
    BodyWanted,
    ClientEvent,
    Command,
    HandshakeWanted,
    Replied,
    TransactionEnded,
)
from smtpplus.smtp.client_sasl import choose_exchange
from smtpplus.smtp.client_states import AFTER_COMMAND, ClientState
from smtpplus.smtp.transcript import Transcript
from smtpplus.values.envelope import Envelope
from smtpplus.values.errors import StoreUnavailableError
from smtpplus.values.outcome import TlsFacts
from smtpplus.values.reply import Reply

__all__ = ["ClientSession"]

_OPEN, _CLOSED = ClientState.OPEN, ClientState.CLOSED


@implementer(ISmtpSession)
class ClientSession:
    """One session; `wire` is its protocol, to be connected by whoever made it.

    Args:
        host: name of the remote, for the record.
        ip: its address.
        port: its port.
        clock: measures and waits.
        tls: contexts for STARTTLS.
        timeouts: how long each step may take.
        nonce: a fresh random text at each call, for SCRAM.
    """

    def __init__(
        self,
        *,
        host: str,
        ip: str,
        port: int,
        clock: IClock,
        tls: OutboundTls,
        timeouts: Timeouts,
        nonce: Callable[[], str],
    ) -> None:
        self.host = host
        self.ip = ip
        self.port = port
        self.source_ip = ""
        self.extensions = Extensions()
        self.tls: TlsFacts | None = None
        self.messages = 0
        self._outbound_tls = tls
        self._nonce = nonce
        self._transcript = Transcript(clock.monotonic)
        self._conversation = ClientConversation(self._transcript)
        self.wire = ClientWire(self._conversation, self._transcript, clock, timeouts)
        self._is_busy = False
        self._turn = _Turn(self)

    @property
    def is_open(self) -> bool:
        """False once the session was lost, quit or aborted."""
        return self.wire.is_open

    def connected(self) -> None:
        """The wire is connected."""
        self.source_ip = self.wire.source_ip
        self._transcript.note(f"connected to {self.ip} port {self.port} from {self.source_ip}")

    async def greeting(self) -> Reply:
        """The 220 banner, or the refusal in its place."""
        with self._turn:
            return _replied(await self.wire.event())

    async def hello(self, name: str) -> Reply:
        """EHLO; HELO where EHLO is not known (5xx). Sets `extensions`."""
        with self._turn:
            self._conversation.hello(name)
            reply = _replied(await self.wire.event())
            self.extensions = Extensions(self._conversation.keywords)
            return reply

    async def start_tls(self, server_name: str) -> Reply:
        """STARTTLS and, after 220, the handshake."""
        with self._turn:
            self._conversation.start_tls()
            event = await self.wire.event()
            if not isinstance(event, HandshakeWanted):
                return _replied(event)
            await self.wire.shake_hands(self._outbound_tls.wrap(server_name))
            self._conversation.tls_started()
            self.extensions = Extensions()
            self.tls = self._outbound_tls.facts(self.wire.tls_connection, server_name)
            self._transcript.note(f"TLS: {self.tls.version} {self.tls.cipher}")
            return event.reply

    async def log_in(self, username: str, password: str) -> Reply:
        """AUTH by the best mechanism both sides know; over TLS, or to this machine."""
        with self._turn:
            if self.tls is None and not is_loopback(self.ip):
                raise self.wire.lose(
                    f"{self.host} got no credentials: the session is not protected by TLS."
                )
            try:
                exchange = choose_exchange(
                    self.extensions.auth,
                    username,
                    password,
                    nonce=self._nonce(),
                    exporter=channel_binding(self.wire.tls_connection) if self.tls else None,
                )
            except ValueError as error:
                raise self.wire.lose(
                    "The credentials hold a character that SASL forbids: set them anew."
                ) from error
            if exchange is None:
                offered = " ".join(sorted(self.extensions.auth)) or "none"
                raise self.wire.lose(
                    f"{self.host} offers no mechanism of AUTH that is known here ({offered})."
                )
            self._conversation.authenticate(exchange)
            return _replied(await self.wire.event())

    async def send(self, envelope: Envelope, body: IBody) -> TransactionReplies:
        """One transaction; after one that was given up, RSET first.

        What was refused stays refused where the session ends on top of it.

        Raises:
            SessionLostError: the session ended before the transaction did.
            StoreUnavailableError: the content could not be read, or not whole.
            ValueError: SMTPUTF8 is needed and not offered, or there is no recipient.
        """
        try:
            with self._turn:
                conversation = self._conversation
                if conversation.state is _OPEN:
                    await self._reset_before_mail()
                conversation.begin(envelope, body.size)
                self.messages += 1
                try:
                    event = await self.wire.event()
                    if type(event) is BodyWanted:
                        event = await self._send_body(body)
                except SessionLostError:
                    refused = conversation.refused
                    if refused is None:
                        raise
                    event = refused
                assert isinstance(event, TransactionEnded)
                if conversation.state is _CLOSED:
                    self.wire.lose("The remote refused the message before its end.")
                return TransactionReplies(event.mail, event.recipients, event.data, event.final)
        finally:
            body.close()

    async def reset(self) -> Reply:
        """RSET."""
        with self._turn:
            self._conversation.reset()
            return _replied(await self.wire.event())

    async def quit(self) -> None:
        """QUIT, wait briefly for its reply, close. Never raises but when it is cancelled."""
        can_be_said = (self._conversation.state, Command.QUIT) in AFTER_COMMAND
        if not self.is_open or self._is_busy or not can_be_said:
            self.abort()
            return
        with suppress(SessionLostError), self._turn:
            self._conversation.quit()
            await self.wire.event()
            self.wire.close()

    def abort(self) -> None:
        """Close at once. Who waits for something gets `SessionLostError`."""
        self.wire.lose("The session was aborted by this side.")

    def withdraw(self) -> None:
        """Close at once, unless the final dot was sent: then its reply is still waited for."""
        if not self._conversation.final_dot_unanswered:
            self.wire.lose("The session was given up by this side.")

    def transcript(self) -> str:
        """What was said since the last call."""
        return self._transcript.take()

    def _begin_turn(self) -> None:
        if self._is_busy:
            raise RuntimeError("Another method of this SMTP session is still running.")
        self.wire.check()
        self._is_busy = True

    def _end_turn(self, error: BaseException | None) -> None:
        self._is_busy = False
        if error is None or isinstance(error, SessionLostError):
            return
        is_cancelled = isinstance(error, CancelledError)
        how = "cancelled" if is_cancelled else "given up"
        self.wire.lose(f"The session was {how} by this side.")

    async def _reset_before_mail(self) -> None:
        self._conversation.reset()
        reply = _replied(await self.wire.event())
        if not reply.is_positive:
            raise self.wire.lose(f'The remote answered RSET with "{reply}".', reply)

    async def _send_body(self, body: IBody) -> ClientEvent:
        """The content; returns early with what the remote said in the middle of it.

        The last piece and the final dot are one write.
        """
        octets = 0
        try:
            chunk = await body.next_chunk()
            while chunk:
                if (early := self.wire.poll()) is not None:
                    return early
                octets += len(chunk)
                self._conversation.body(chunk)
                chunk = await body.next_chunk()
                if chunk and (early := await self.wire.drain()) is not None:
                    return early
            if octets != body.size:
                raise StoreUnavailableError(
                    f"The content has {octets} octets where {body.size} were expected."
                )
            if (early := self.wire.poll()) is not None:
                return early
        finally:
            self.wire.stop_streaming()
        self._conversation.end_body()
        return await self.wire.event()


class _Turn:
    """One method of a session at a time."""

    __slots__ = ("_session",)

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    def __enter__(self) -> None:
        self._session._begin_turn()  # noqa: SLF001 - a part of it

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._session._end_turn(error)  # noqa: SLF001 - a part of it


def _replied(event: ClientEvent) -> Reply:
    assert isinstance(event, Replied)
    return event.reply
