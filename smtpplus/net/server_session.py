"""One inbound connection: octets between a socket and a `ServerConversation`, events to a role.

Guarantees: one question at a time, in the order of the commands; output beyond 64 KiB stops
everything until the client reads (R4); not more than 64 KiB and one read are held of what it
sends; each wait for the client has an end: a whole command, a handshake, a minimum rate of
content (R3, T5). A role's exception costs the client a 451, never the service. Octets sent in
the clear after STARTTLS never reach the conversation behind it (SM5, T1). A message whose
connection ends before its last octet is discarded (T9). Raises nothing. Knows neither SMTP
nor what is done with a message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.interfaces import IHandshakeListener, IProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpplus.net.direct_write import write_directly, write_in_turn
from smtpplus.net.role_calls import INJECTION, STOPPING, TIMED_OUT, TOO_SLOW
from smtpplus.net.role_dialog import RoleDialog
from smtpplus.net.session_home import Phase, SessionHome
from smtpplus.net.tls import channel_binding
from smtpplus.ports import IConversationRole
from smtpplus.smtp.events import Wait
from smtpplus.smtp.proxy_protocol import ProxyError, read_proxy_header
from smtpplus.smtp.server import ServerConversation, State
from smtpplus.smtp.server_settings import ServerSettings, TlsChannel
from smtpplus.values.reply import Reply

__all__ = ["ServerSession"]

HANDSHAKE_SECONDS = 30.0  # T5
LINGER_SECONDS = 10.0  # for the last reply, or close_notify, to go out
_IDLE_LINGER_SECONDS = 2.0  # likewise, at a stop, where the client waits for nothing
BODY_SECONDS = 180.0  # the longest pause in content, RFC 5321 §4.5.3.2.5
BODY_RATE = 500.0  # octets per second, the least (R3)
_LOOKS = 2.0  # seconds: between two looks at the time, and some; for who has begun a command
_SLICE = 4_096  # commands taken in at once: what they can cause to be written is bounded
_HELD = 16_384  # octets not taken in, beyond which reading stops

_SMALL = 8_192  # octets of content that may wait for more

_CONTENT = (State.DATA, State.CHUNK, State.SWALLOW)
_GOES_ON = (Phase.ASKING, Phase.TARPIT, Phase.GONE)  # or is over already
# A member looked up in its Enum takes four times as long, and these are asked for at each read.
_TALKING, _DATA, _NEED_DATA = Phase.TALKING, State.DATA, Wait.NEED_DATA


@implementer(IProtocol, IHandshakeListener, IPushProducer)
class ServerSession(RoleDialog):
    """The Twisted protocol of one connection; made by `smtpplus.net.listener`."""

    __slots__ = (
        "_has_begun",
        "_heard_eof",
        "_in_body",
        "_in_turn",
        "_is_blocked",
        "_is_hungry",
        "_is_reading",
        "_pending",
        "_progressed",
        "_reason",
        "_settings",
        "client_port",
        "counted_as",
        "transport",
    )

    def __init__(
        self,
        home: SessionHome,
        role: IConversationRole,
        settings: ServerSettings,
        phase: Phase,
        client_ip: str,
        client_port: int,
    ) -> None:
        super().__init__(home, role, phase, client_ip)
        self._settings = settings
        self.client_port = client_port
        self.counted_as = ""  # the listener's: under which address this session is counted
        self.transport: Any = None
        self._pending = b""  # octets the conversation was not given yet
        self._reason = ""
        self._has_begun = False  # the client has sent a part of a command
        self._in_body = False  # the client was last waited for amid content
        self._progressed = False  # something was answered in this turn
        self._in_turn = False
        self._is_blocked = False  # the client does not read
        self._is_hungry = False  # the conversation wants octets, and there were none
        self._heard_eof = False
        self._is_reading = True

    # ------------------------------------------------------------ from the transport

    def makeConnection(self, transport: Any) -> None:
        """The connection is there."""
        self.transport = transport
        transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self.connectionMade()

    def connectionMade(self) -> None:
        """Begin: with TLS, or with the conversation."""
        if self._phase is Phase.HANDSHAKE:
            self._shake_hands()
        elif self._phase is Phase.PROXY:
            self._deadline = self._until(HANDSHAKE_SECONDS)
        else:
            self._converse(None)

    def dataReceived(self, octets: bytes) -> None:
        """Octets came, in the clear or out of TLS."""
        phase = self._phase
        if phase is _TALKING:
            self._pending = self._pending + octets if self._pending else octets
            if not self._can_wait(octets):
                self._turn()
        elif phase is Phase.CLOSING or phase is Phase.GONE:
            return
        else:
            self._pending = self._pending + octets if self._pending else octets
            if phase is Phase.PROXY:
                self._read_proxy_header()
        if self._pending and len(self._pending) > _HELD and self._is_reading:
            self._is_reading = False
            self.transport.pauseProducing()

    def _can_wait(self, octets: bytes) -> bool:
        """Is this but a small piece of a content, so that nothing is due before the next one?

        Clients that write line by line make a TLS record of each: 360,000 in 20 MiB. What may
        hold the end of the content, or complete one that has begun, does not wait.
        """
        return (
            self._in_body
            and 2 < len(octets) < _SMALL
            and len(self._pending) < _SMALL
            and octets[0] not in b"\r\n"
            and b".\r\n" not in octets
            and self._conversation is not None
            and self._conversation.state is _DATA
        )

    def handshakeCompleted(self) -> None:
        """TLS is up: go on, or begin."""
        if self._phase is not Phase.HANDSHAKE:
            return
        connection = self.transport.getHandle()
        channel = TlsChannel(
            connection.get_protocol_version_name(),
            connection.get_cipher_name() or "",
            channel_binding(connection),
        )
        self._tell(lambda: self._role.secured(channel.version, channel.cipher))
        self._phase = Phase.TALKING
        if self._conversation is None:
            self._converse(channel)
        else:
            self._conversation.tls_started(channel)
            self._progressed = True
            self._turn()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone. What came before is still worked off, a question answered."""
        self._is_lost = True
        self._is_blocked = False
        if not self._reason:
            doing = " during the TLS handshake" if self._phase is Phase.HANDSHAKE else ""
            self._reason = f"Connection lost{doing}: {reason.getErrorMessage()}"
        if self._phase is Phase.TALKING:
            self._turn()
        elif self._phase not in {Phase.ASKING, Phase.TARPIT}:
            self._finish()

    def pauseProducing(self) -> None:
        """The client does not read: take in nothing more (R4)."""
        self._is_blocked = True
        if self._conversation is not None:
            self._deadline = self._until(self._conversation.timeout)

    def resumeProducing(self) -> None:
        """It reads."""
        self._is_blocked = False
        if self._phase is Phase.TALKING:
            self._progressed = True
            self._turn()

    def stopProducing(self) -> None:
        """The connection goes; `connectionLost` follows."""

    # ------------------------------------------------------------ from the listener

    def check(self, now: float) -> None:
        """Has the client's time run out? Comes about once a second."""
        phase = self._phase
        if now < self._deadline or phase in {Phase.ASKING, Phase.TARPIT, Phase.GONE}:
            return
        if phase is not Phase.TALKING or self._is_blocked:
            self.abort("Timed out: the client neither reads nor answers")
        elif self._in_body:
            self._end(TOO_SLOW, "The message came too slowly")
        else:
            self._end(TIMED_OUT, "Timed out")

    def stressed(self) -> None:
        """Stress began or ended (R10)."""
        stress = self._home.stress
        if stress is not None:
            self._deadline = min(self._deadline, self._until(stress.patience_seconds))
        if self._conversation is not None:
            self._limit_errors(self._conversation)

    def stop(self) -> None:
        """Say 421 as soon as no message is under way (D12)."""
        self._is_stopping = True
        if self._phase in {Phase.HANDSHAKE, Phase.PROXY}:
            self.abort("The service is stopping")
        elif self._phase is Phase.TALKING and not self._in_turn:
            self._turn()
            self._linger_less()

    def cut_short(self, reason: str) -> None:
        """Say 421 now, also amid a message; what has begun to be answered is dropped."""
        if self._phase is Phase.TALKING and not self._in_turn:
            self._end(STOPPING, reason)
        else:
            self.abort(reason)

    def abort(self, reason: str) -> None:
        """Drop the connection, whatever it is doing; an open question is still answered."""
        self._reason = self._reason or reason
        self._pending = b""
        if self._phase not in {Phase.ASKING, Phase.GONE}:
            self._phase = Phase.CLOSING
        self.transport.abortConnection()

    # ------------------------------------------------------------ the turn

    def _converse(self, channel: TlsChannel | None) -> None:
        self._conversation = ServerConversation(
            self._settings,
            client_ip=self.client_ip,
            client_port=self.client_port,
            tls=channel,
            more=lambda: bool(self._pending),
            now=self._home.clock.now,
        )
        self._limit_errors(self._conversation)
        self._progressed = True
        self._turn()

    def _until(self, seconds: float) -> float:
        """The moment in `seconds`, or sooner under stress."""
        stress = self._home.stress
        patience = seconds if stress is None else min(seconds, stress.patience_seconds)
        return self._home.clock.monotonic() + patience

    def _limit_errors(self, conversation: ServerConversation) -> None:
        stress = self._home.stress
        most = self._settings.max_errors
        conversation.most_errors = most if stress is None else min(most, stress.most_errors)

    def _turn(self) -> None:
        """Work on until client, role or socket must do something first; then write, once."""
        if self._in_turn:
            return
        self._in_turn = True
        try:
            self._work()
        except Exception:  # noqa: BLE001 - a fault of ours: this connection ends, no other
            self._home.log.failure("The conversation with {ip} failed", ip=self.client_ip)
            self.abort("A fault of ours")
        finally:
            self._in_turn = False
        if self._is_lost and self._phase not in _GOES_ON:
            self._finish()

    def _work(self) -> None:
        conversation = self._conversation
        assert conversation is not None
        is_hungry, self._is_hungry = self._is_hungry, False
        if is_hungry and self._pending:
            self._feed(conversation)  # it said so the last time: it need not be asked again
        while self._phase is _TALKING and not self._is_blocked:
            event = conversation.next_event()
            if event is _NEED_DATA:
                if not self._feed(conversation):
                    self._is_hungry = True
                    break
            else:
                self._progressed = True
                self._dispatch(conversation, event)
        self._flush(conversation, write_in_turn if self._phase is _TALKING else write_directly)
        if self._phase is not _TALKING or self._is_blocked or self._is_lost:
            return
        if self._is_stopping and conversation.state not in _CONTENT:
            self._end(STOPPING, "The service is stopping")
        else:
            self._await_client(conversation)

    def _feed(self, conversation: ServerConversation) -> bool:
        """Give the conversation the next octets; False when there are none to give."""
        pending = self._pending
        in_content = conversation.state in _CONTENT
        if self._is_stopping and not in_content:
            return False
        if not pending:
            if not self._is_lost or self._heard_eof:
                return False
            self._heard_eof = True
            conversation.receive_eof()
            return True
        if self._in_body:
            # A bucket that fills with what comes and empties with time (R3).
            full = self._until(BODY_SECONDS)
            self._deadline = min(full, self._deadline + len(pending) / BODY_RATE)
        if in_content:
            self._pending = b""
            conversation.receive(pending)
            return True
        self._flush(conversation)
        if self._is_blocked:
            return False
        self._pending = pending[_SLICE:]
        conversation.receive(pending[:_SLICE])
        return True

    def _flush(
        self,
        conversation: ServerConversation,
        write: Callable[[Any, bytes], None] = write_directly,
    ) -> None:
        output = conversation.bytes_to_send()
        if output:
            self._progressed = True
            if not self._is_lost:
                write(self.transport, output)

    def _await_client(self, conversation: ServerConversation) -> None:
        in_body = conversation.state in _CONTENT
        if in_body and not self._in_body:
            self._deadline = self._until(BODY_SECONDS)
        elif not in_body and self._progressed:
            # A whole command has this long: octets that answer nothing do not renew it (R3). One
            # that was begun has to end so much sooner that the look at the time is within it.
            self._deadline = self._until(conversation.timeout)
            self._has_begun = False
        elif not in_body and not self._has_begun:
            self._deadline -= _LOOKS
            self._has_begun = True
        self._in_body = in_body
        self._progressed = False
        if not self._is_reading:
            self._is_reading = True
            self.transport.resumeProducing()

    # ------------------------------------------------------------ TLS

    def _start_tls(self, conversation: ServerConversation) -> None:
        if self._pending or conversation.buffered:
            # RFC 3207 §4: what follows STARTTLS in the clear came from somebody else (SM5).
            conversation.bytes_to_send()
            self._end(INJECTION, "Octets in the clear after STARTTLS")
            return
        self._flush(conversation)
        self._shake_hands()

    def _shake_hands(self) -> None:
        self._phase = Phase.HANDSHAKE
        self._is_blocked = False
        self._deadline = self._until(HANDSHAKE_SECONDS)
        if not self._is_lost:
            self.transport.startTLS(self._home.tls)

    def _read_proxy_header(self) -> None:
        try:
            header = read_proxy_header(self._pending)
        except ProxyError as error:
            self.abort(str(error))
            return
        if header is None:
            return
        rest, self._pending = self._pending[header.octets :], b""
        self._settings = replace(self._settings, proxied=False)
        if header.client_ip is not None:
            self.client_ip, self.client_port = header.client_ip, header.client_port
        self._shake_hands()
        if rest:
            self.transport.protocol.dataReceived(rest)

    # ------------------------------------------------------------ the end

    def _end(self, reply: Reply | None, reason: str) -> None:
        """Write what is left, then `reply`; close; do not wait for long."""
        self._reason = self._reason or reason
        self._phase = Phase.CLOSING
        self._pending = b""
        self._deadline = self._home.clock.monotonic() + LINGER_SECONDS
        if self._is_lost:
            return
        output = self._conversation.bytes_to_send() if self._conversation else b""
        if reply is not None:
            output += reply.encode()
        write_directly(self.transport, output)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _linger_less(self) -> None:
        """A restart does not wait for a client that reads nothing."""
        if self._phase is Phase.CLOSING:
            self._deadline = self._home.clock.monotonic() + _IDLE_LINGER_SECONDS

    def _finish(self) -> None:
        if self._phase is Phase.GONE:
            return
        self._phase = Phase.GONE
        self._conversation = None
        self._pending = b""
        self._tell(lambda: self._role.closed(self._reason))
        self._home.ended(self)
