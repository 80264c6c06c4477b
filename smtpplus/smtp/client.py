"""The client's side of an SMTP conversation, without I/O (RFC 5321, RFC 2920).

Octets go in by `receive`, what is to be sent comes out of `bytes_to_send`, what happened out of
`next_event`. Replies are matched to commands by order alone: a reply nobody asked for ends the
conversation, so a reply never counts for the wrong command. With PIPELINING a transaction is
one write up to DATA; without, one command at a time.

Guarantees: what is sent holds CRLF line ends only and one CRLF.CRLF per message (S2, SM3).
`next_event` raises `RemoteProtocolError` when the remote breaks protocol; after that, and after
`RemoteClosed`, the state is CLOSED. Commands raise `RuntimeError` where the state forbids them
and ValueError for arguments that cannot be said: both are the caller's mistakes.
Does not measure time, open connections, or decide what a refusal means.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable

from smtpplus.smtp.client_commands import (
    command_line,
    command_lines,
    ehlo_keywords,
    mail_command,
    rcpt_command,
)
from smtpplus.smtp.client_events import (
    BodyWanted,
    ClientEvent,
    Command,
    HandshakeWanted,
    RemoteClosed,
    Replied,
    TransactionEnded,
)
from smtpplus.smtp.client_sasl import SaslExchange
from smtpplus.smtp.client_states import AFTER_COMMAND, AFTER_REPLY, ClientState
from smtpplus.smtp.dotcodec import DotEncoder
from smtpplus.smtp.events import Wait
from smtpplus.smtp.reply_reader import RawReply, RemoteProtocolError, ReplyReader
from smtpplus.smtp.transcript import Transcript
from smtpplus.values.envelope import Envelope
from smtpplus.values.errors import ProtocolError
from smtpplus.values.reply import Reply

__all__ = ["ClientConversation"]

# A member looked up in its Enum takes four times as long, and these are asked for by each message.
_MAIL, _RCPT, _DATA, _FINAL = Command.MAIL, Command.RCPT, Command.DATA, Command.FINAL
_BODY, _READY, _NEED_DATA = ClientState.BODY, ClientState.READY, Wait.NEED_DATA


class _Transaction:
    """One transaction on its way; `unsaid` are the commands that wait for their turn."""

    __slots__ = (
        "asked",
        "data",
        "encoder",
        "final",
        "mail",
        "octets",
        "pipelined",
        "recipients",
        "unsaid",
    )

    def __init__(
        self, unsaid: deque[tuple[Command, str]], recipients: int, *, pipelined: bool
    ) -> None:
        self.unsaid = unsaid
        self.recipients: list[Reply | None] = [None] * recipients
        self.pipelined = pipelined
        self.mail: Reply | None = None
        self.data: Reply | None = None
        self.final: Reply | None = None
        self.asked = 0
        self.encoder = DotEncoder()
        self.octets = 0

    @property
    def accepted(self) -> bool:
        """Has the remote taken MAIL and at least one RCPT?"""
        return any(reply is not None and reply.is_positive for reply in self.recipients)

    @property
    def is_refused(self) -> bool:
        """Has the remote said that nobody is to get it, whatever else it may say?"""
        said = (self.mail, self.data, self.final)
        return any(reply is not None and not reply.is_positive for reply in said) or all(
            reply is not None and not reply.is_positive for reply in self.recipients
        )

    def ended(self, final: Reply | None) -> TransactionEnded:
        """All that was said to it."""
        return TransactionEnded(self.mail, tuple(self.recipients), self.data, final)

    def close(self, command: Command | None, reply: Reply) -> None:
        """421 came in place of the reply to `command`."""
        if command is _MAIL:
            self.mail = reply
        elif command is _RCPT and self.mail is not None and self.mail.is_positive:
            self.recipients[self.asked] = reply
        elif command is _DATA:
            self.data = reply
        elif command is _FINAL:
            self.final = reply


class ClientConversation:
    """One conversation, from the greeting on."""

    def __init__(self, transcript: Transcript) -> None:
        self.state = ClientState.CONNECTED
        self.keywords: dict[str, str] = {}
        self.turn = 0  # counts replies: a new one means that another is awaited
        self._reader = ReplyReader()
        self._awaited: deque[Command] = deque([Command.GREETING])
        self._out: list[bytes] = []
        self._transcript = transcript
        self._ended: RemoteClosed | None = None
        self._eof = False
        self._transaction: _Transaction | None = None
        self._sasl: SaslExchange | None = None
        self._hello_name = ""
        self._replied: dict[Command, Callable[[RawReply, Reply], ClientEvent | None]] = {
            Command.GREETING: self._plain_replied(Command.GREETING),
            Command.EHLO: self._ehlo_replied,
            Command.HELO: self._plain_replied(Command.HELO),
            Command.STARTTLS: self._starttls_replied,
            Command.AUTH: self._auth_replied,
            Command.MAIL: self._mail_replied,
            Command.RCPT: self._rcpt_replied,
            Command.DATA: self._data_replied,
            Command.FINAL: self._final_replied,
            Command.DISCARD: self._discard_replied,
            Command.RSET: self._plain_replied(Command.RSET),
            Command.QUIT: self._plain_replied(Command.QUIT),
        }

    # ------------------------------------------------------------ wire

    @property
    def awaited(self) -> Command | None:
        """The command whose reply comes next, or None."""
        return self._awaited[0] if self._awaited else None

    @property
    def final_dot_unanswered(self) -> bool:
        """May the remote have taken a message without our knowing (RFC 1047)?"""
        return _FINAL in self._awaited

    @property
    def refused(self) -> TransactionEnded | None:
        """The transaction that the session's end cut short, where it was refused before that."""
        transaction = self._transaction
        if transaction is None or not transaction.is_refused:
            return None
        return transaction.ended(transaction.final)

    def receive(self, octets: bytes) -> None:
        """Take what arrived."""
        self._reader.receive(octets)

    def receive_eof(self) -> None:
        """The remote has closed; replies that arrived before are still events."""
        self._eof = True

    def bytes_to_send(self) -> bytes:
        """What is to be written now, in one write."""
        if not self._out:
            return b""
        out = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out = []
        return out

    def next_event(self) -> ClientEvent | Wait:
        """What happened, or NEED_DATA.

        Raises:
            RemoteProtocolError: the remote broke protocol; the conversation is closed.
        """
        try:
            while self._ended is None:
                raw = self._reader.next_reply()
                if raw is None:
                    return self._closed_silently() if self._eof else _NEED_DATA
                event = self._take(raw)
                if event is not None:
                    return event
        except RemoteProtocolError:
            self.state = ClientState.CLOSED
            raise
        return self._ended

    # ------------------------------------------------------------ commands

    def hello(self, name: str) -> None:
        """EHLO, and HELO by itself where EHLO is refused for good. Answered by `Replied`."""
        self._hello_name = name
        self._say(Command.EHLO, f"EHLO {name}")

    def start_tls(self) -> None:
        """STARTTLS. Answered by `HandshakeWanted`, or `Replied` with the refusal."""
        self._say(Command.STARTTLS, "STARTTLS")

    def tls_started(self) -> None:
        """The handshake is done: what was offered in the clear is forgotten (RFC 3207 §4.2)."""
        if self.state is not ClientState.HANDSHAKE:
            raise RuntimeError(f"No TLS handshake is due: {self.state.value}.")
        self.state = ClientState.GREETED
        self.keywords = {}

    def authenticate(self, exchange: SaslExchange) -> None:
        """AUTH (RFC 4954 §4). Answered by `Replied` with the last reply."""
        initial = exchange.initial_response()
        line = shown = f"AUTH {exchange.mechanism}"
        if initial is not None:
            # RFC 4954 §4: "=" stands for an initial response without octets.
            line, shown = f"{line} {_base64(initial) or '='}", f"{line} *"
        self._say(Command.AUTH, line, shown)
        self._sasl = exchange

    def begin(self, envelope: Envelope, size: int) -> None:
        """MAIL, RCPT and DATA, for content of `size` octets.

        Answered by `BodyWanted` or `TransactionEnded`.
        """
        if not envelope.recipients:
            raise ValueError("The envelope has no recipient.")
        offered = self.keywords
        lines = [(_MAIL, mail_command(envelope, size, offered))]
        for recipient in envelope.recipients:
            lines.append((_RCPT, rcpt_command(recipient, offered)))  # noqa: PERF401 - one, mostly
        lines.append((_DATA, "DATA"))
        # Nothing is said of a transaction that cannot be said whole.
        octets = command_lines([line for _, line in lines])
        pipelined = "PIPELINING" in offered
        transaction = _Transaction(deque(lines), len(envelope.recipients), pipelined=pipelined)
        if not pipelined:
            self._say_next(transaction)
        else:  # RFC 2920 §3.1: DATA is the last of its group
            for command, line in lines:
                self._await(command)
                self._transcript.sent(line)
            transaction.unsaid.clear()
            self._out.append(octets)
        self._transaction = transaction

    def body(self, chunk: bytes) -> None:
        """The next piece of the content, CRLF line ends, dots not stuffed."""
        transaction = self._expect_body()
        transaction.octets += len(chunk)
        self._out.append(transaction.encoder.feed(chunk))

    def end_body(self) -> None:
        """The content is complete. Answered by `TransactionEnded`."""
        transaction = self._expect_body()
        self._transcript.sent(f"({transaction.octets} octets)")
        self._await(_FINAL)
        self._out.append(transaction.encoder.finish())
        self._transcript.sent(".")

    def reset(self) -> None:
        """RSET. Answered by `Replied`."""
        self._say(Command.RSET, "RSET")

    def quit(self) -> None:
        """QUIT. Answered by `Replied`."""
        self._say(Command.QUIT, "QUIT")

    # ------------------------------------------------------------ saying

    def _say(self, command: Command, line: str, shown: str | None = None) -> None:
        octets = command_line(line)
        self._await(command)
        self._out.append(octets)
        self._transcript.sent(shown or line)

    def _say_next(self, transaction: _Transaction) -> None:
        command, line = transaction.unsaid[0]
        self._await(command)
        transaction.unsaid.popleft()
        self._out.append(command_line(line))
        self._transcript.sent(line)

    def _await(self, command: Command) -> None:
        state = AFTER_COMMAND.get((self.state, command))
        if state is None:
            raise RuntimeError(f"{command} cannot be said now: {self.state.value}.")
        self.state = state
        self._awaited.append(command)

    def _expect_body(self) -> _Transaction:
        if self.state is not _BODY or self._transaction is None:
            raise RuntimeError(f"No content is due: {self.state.value}.")
        return self._transaction

    # ------------------------------------------------------------ hearing

    def _take(self, raw: RawReply) -> ClientEvent | None:
        reply = raw.reply()
        code = reply.code
        command = self._awaited[0] if self._awaited else None
        self._transcript.received(
            Reply(code, None, ("*",)) if code == 334 else reply  # a challenge
        )
        # RFC 5321 §3.8: 421 may come at any time, to any command.
        if reply.closes and command is not Command.QUIT:
            return self._closed_by(reply, command)
        if command is None:
            return self._unasked(reply)
        state = AFTER_REPLY.get((self.state, command, code // 100))
        if state is None:
            raise RemoteProtocolError(f'The remote answered {command} with "{reply}".')
        self.state = state
        self._awaited.popleft()
        self.turn += 1
        return self._replied[command](raw, reply)

    def _unasked(self, reply: Reply) -> ClientEvent:
        if self.state is ClientState.BODY and not reply.is_positive:
            # A refusal in the middle of the content. Without the final dot nothing can have been
            # taken, and with it a part might be: the reply stands, the session ends here.
            assert self._transaction is not None
            self._ended = RemoteClosed("The remote refused the message before its end.", reply)
            return self._conclude(ClientState.CLOSED, final=reply)
        raise RemoteProtocolError(f'The remote said "{reply}" without being asked.')

    def _closed_by(self, reply: Reply, command: Command | None) -> RemoteClosed:
        if command is Command.FINAL:
            self._awaited.popleft()  # 421 is an answer: the message was not taken
        if self._transaction is not None:
            self._transaction.close(command, reply)
        place = f" in place of its reply to {command}" if command else ""
        if command is Command.GREETING:
            place = " in place of a greeting"
        self.state = ClientState.CLOSED
        self._ended = RemoteClosed(f'The remote ended the session{place}: "{reply}".', reply)
        return self._ended

    def _closed_silently(self) -> RemoteClosed:
        if self.awaited is Command.GREETING:
            what = "before its greeting"
        elif self.awaited is not None:
            what = f"while its reply to {self.awaited} was awaited"
        elif self.state is ClientState.BODY:
            what = "while the message was sent"
        else:
            what = "between two commands"
        rest = "" if self._reader.is_empty else ", in the middle of a reply"
        self.state = ClientState.CLOSED
        self._ended = RemoteClosed(f"The remote closed the connection {what}{rest}.")
        return self._ended

    def _plain_replied(self, command: Command) -> Callable[[RawReply, Reply], ClientEvent]:
        return lambda _, reply: Replied(command, reply)

    def _ehlo_replied(self, raw: RawReply, reply: Reply) -> ClientEvent | None:
        self.keywords = ehlo_keywords(raw.lines[1:]) if reply.is_positive else {}
        if reply.is_permanent:  # RFC 5321 §3.2: EHLO is not known here
            self._say(Command.HELO, f"HELO {self._hello_name}")
            return None
        return Replied(Command.EHLO, reply)

    def _starttls_replied(self, raw: RawReply, reply: Reply) -> ClientEvent:
        if not reply.is_positive:
            return Replied(Command.STARTTLS, reply)
        if not self._reader.is_empty:
            # Said in the clear, to be taken for said under TLS (T2, CVE-2011-0411's mirror).
            raise RemoteProtocolError(
                "The remote sent more in the clear after it had agreed to STARTTLS."
            )
        return HandshakeWanted(reply)

    def _auth_replied(self, raw: RawReply, reply: Reply) -> ClientEvent | None:
        assert self._sasl is not None
        try:
            if reply.code // 100 == 3:
                challenge = base64.b64decode(raw.lines[-1], validate=True)
                self._await_again(_base64(self._sasl.respond(challenge)))
                return None
            if reply.is_positive:
                self._sasl.succeeded()
        except (ProtocolError, ValueError) as error:
            raise RemoteProtocolError(f"The remote's part of AUTH is wrong: {error}") from error
        self._sasl = None
        return Replied(Command.AUTH, reply)

    def _await_again(self, response: str) -> None:
        self._awaited.append(Command.AUTH)
        self._out.append(response.encode("ascii") + b"\r\n")
        self._transcript.sent("*")

    # ------------------------------------------------------------ transaction

    def _mail_replied(self, raw: RawReply, reply: Reply) -> ClientEvent | None:
        transaction = self._current()
        transaction.mail = reply
        if transaction.pipelined:
            return None
        if not reply.is_positive:
            return self._conclude(ClientState.READY)
        self._say_next(transaction)
        return None

    def _rcpt_replied(self, raw: RawReply, reply: Reply) -> ClientEvent | None:
        transaction = self._current()
        if transaction.mail is not None and transaction.mail.is_positive:
            transaction.recipients[transaction.asked] = reply
        transaction.asked += 1
        if transaction.pipelined:
            return None
        if transaction.unsaid[0][0] is _DATA and not transaction.accepted:
            return self._conclude(ClientState.OPEN)
        self._say_next(transaction)
        return None

    def _data_replied(self, raw: RawReply, reply: Reply) -> ClientEvent | None:
        transaction = self._current()
        transaction.data = reply
        if not reply.is_positive:
            return self._conclude(ClientState.OPEN)
        if transaction.accepted:
            return BodyWanted()
        # RFC 2920 §3.1: nobody is to get it, but 354 came: an empty message goes nowhere.
        self._await(Command.DISCARD)
        self._out.append(b".\r\n")
        self._transcript.sent(".")
        return None

    def _final_replied(self, raw: RawReply, reply: Reply) -> ClientEvent:
        return self._conclude(_READY, final=reply)

    def _discard_replied(self, raw: RawReply, reply: Reply) -> ClientEvent:
        return self._conclude(ClientState.READY)

    def _current(self) -> _Transaction:
        assert self._transaction is not None
        return self._transaction

    def _conclude(self, state: ClientState, final: Reply | None = None) -> TransactionEnded:
        transaction = self._current()
        self._transaction = None
        self.state = state
        return transaction.ended(final)


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
