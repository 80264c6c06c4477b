"""The server side of an SMTP conversation (RFC 5321, RFC 6409), without I/O.

The driver gives octets to `receive`, asks `next_event` until it says NEED_DATA or PAUSED,
answers each question, and sends what `bytes_to_send` gives. Guarantees: replies in the order
of commands however the client pipelines (ES2); nothing of a content is ever run as a command
(ES3); only CRLF.CRLF ends DATA (S1); memory is bounded by what the driver lets be buffered.
Never raises because of what a client sent. Checks no password, no sender and no quota: these
are questions to the driver. Turns are in `server_turns`, AUTH in `server_auth`, DATA and BDAT
in `server_content`.
"""

# ruff: noqa: SLF001  the tables at the end name methods of this class
from __future__ import annotations

import secrets
from collections.abc import Callable

from smtpplus.smtp import server_replies as replies
from smtpplus.smtp.events import (
    BodyEnded,
    BodyStarted,
    Connected,
    HelloReceived,
    MailReceived,
    PasswordOffered,
    RcptReceived,
    ScramProved,
    ScramStarted,
    ServerEvent,
    StartTls,
)
from smtpplus.smtp.grammar import parse_hello, split_command
from smtpplus.smtp.proxy_protocol import ProxyError, read_proxy_header
from smtpplus.smtp.server_content import ContentTurns
from smtpplus.smtp.server_settings import ServerSettings, TlsChannel
from smtpplus.smtp.server_states import State, Step
from smtpplus.smtp.server_transaction import Transaction, read_mail, read_recipient
from smtpplus.smtp.server_turns import with_code
from smtpplus.smtp.time_parameters import keywords
from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply

__all__ = ["ServerConversation", "ServerSettings", "State", "TlsChannel"]

_HTTP = frozenset(
    {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PRI"}
)


class ServerConversation(ContentTurns):
    """One connection.

    Args:
        settings: what the listener wants.
        client_ip: the peer's address; a PROXY header replaces it.
        client_port: the peer's port.
        tls: the channel where TLS was up from the beginning.
        trusted_network: MAIL is taken without AUTH and TLS.
        nonce: makes SCRAM nonces.
        more: does the driver hold back octets that came? They are too early where any are.
        now: Unix seconds; asked where FUTURERELEASE is offered.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        client_ip: str,
        client_port: int,
        tls: TlsChannel | None = None,
        trusted_network: bool = False,
        nonce: Callable[[], str] = lambda: secrets.token_urlsafe(18),
        more: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__(settings, tls, nonce)
        self._more = more
        self._now = now
        self.client_ip = client_ip
        self.client_port = client_port
        self.hello = ""
        self.extended = False
        self._without_auth = trusted_network
        self._mails = 0
        self._mail: MailReceived | None = None
        if not settings.proxied:
            self._ask(Connected(client_ip, client_port, proxied=False))

    # ------------------------------------------------------------ the driver's side

    def answer(self, reply: Reply) -> None:
        """Answer the open question; its enhanced code is supplied where it has none.

        Raises:
            RuntimeError: no question is open.
        """
        question = self._question
        if question is None:
            if self._is_closed:
                return
            raise RuntimeError(f"no question is open to be answered with {reply}")
        self._question = None
        if reply.enhanced is None:
            reply = with_code(reply)
        _ANSWERS[type(question)](self, reply, question)

    def tls_started(self, channel: TlsChannel) -> None:
        """The handshake after `StartTls` is done; everything before it is forgotten (T3).

        Raises:
            RuntimeError: no handshake was due.
        """
        if self._is_closed:
            return
        if self.state is not State.TLS:
            raise RuntimeError("no TLS handshake was due")
        if self._read_in_handshake():
            return
        self.tls = channel
        self.hello, self.extended = "", False
        self.authenticated_as, self.mechanism = None, ""
        self._go(Step.TLS_UP)

    def allow_without_auth(self) -> None:
        """The client's network is a user's: MAIL is taken without AUTH and TLS."""
        self._without_auth = True

    # ------------------------------------------------------------ reading

    def _read(self) -> bool:
        try:
            reader = _READERS.get(self.state)
            return self._read_command() if reader is None else reader(self)
        except RefusedError as refused:
            self._complain(refused.reply)
            return True

    def _read_nothing(self) -> bool:
        return False

    def _read_proxy_header(self) -> bool:
        received = self._in.take_all()
        try:
            header = read_proxy_header(received)
        except ProxyError as error:
            self._close(str(error))
            return True
        if header is None:
            self._in.add(received)
            return False
        self._in.add(received[header.octets :])
        if header.client_ip is not None:
            self.client_ip, self.client_port = header.client_ip, header.client_port
        self._go(Step.PROXY_READ)
        self._ask(Connected(self.client_ip, self.client_port, proxied=True))
        return True

    def _read_in_handshake(self) -> bool:
        """Octets in the clear after our 220 end the connection (SM5, RFC 3207 §4.2)."""
        if not self.buffered:
            return False
        self._close("octets in the clear after STARTTLS")
        return True

    def _read_command(self) -> bool:
        line = self._line()
        if line is None:
            return False
        verb, argument = split_command(line)
        command = _COMMANDS.get(verb)
        if command is not None:
            command(self, argument)
        elif verb in _HTTP:
            self._say(replies.NOT_HTTP)
            self._close("the client speaks HTTP")
        elif self._count_junk():
            raise RefusedError(Reply.of(500, "5.5.2", f"{verb[:20]!a} is not a command"))
        return True

    # ------------------------------------------------------------ the greeting

    def _connection_answered(self, reply: Reply, _question: ServerEvent) -> None:
        if not reply.is_positive:
            self._go(Step.TURNED_AWAY)  # RFC 5321 §3.1: wait for QUIT
            self._say(reply)
        elif self._came_early:  # S7
            self._say(replies.TOO_EARLY)
            self._close("octets before the greeting")
        else:
            self._go(Step.GREETED)
            self._say(Reply(reply.code, None, reply.lines))

    def _ehlo(self, argument: str) -> None:
        self._greet_back(argument, extended=True)

    def _helo(self, argument: str) -> None:
        self._greet_back(argument, extended=False)

    def _greet_back(self, argument: str, *, extended: bool) -> None:
        self._require(Step.HELLO)
        name = parse_hello(argument)
        if self.state is not State.START and not self._count_junk():
            return
        self._forget_transaction()
        self._go(Step.HELLO)
        self.hello, self.extended = name, extended
        self._say(
            Reply.of(250, None, self._settings.hostname, *(self._keywords() if extended else ()))
        )
        self._events.append(HelloReceived(name, extended))

    def _keywords(self) -> list[str]:
        settings = self._settings
        offered = self._offered()
        limits = f"LIMITS RCPTMAX={settings.max_recipients}"  # RFC 9422 §4
        if settings.max_messages:
            limits += f" MAILMAX={settings.max_messages}"
        words = {
            "PIPELINING": True,
            f"SIZE {settings.max_message_bytes}": True,
            "STARTTLS": settings.starttls and self.tls is None,
            f"AUTH {' '.join(offered)}": bool(offered),
            "ENHANCEDSTATUSCODES": True,
            "8BITMIME": True,
            "SMTPUTF8": settings.smtputf8,
            "DSN": settings.dsn,
            "CHUNKING": settings.chunking,
            limits: True,
        }
        return [word for word, offer in words.items() if offer] + keywords(settings, self._now())

    def _starttls(self, argument: str) -> None:
        if argument:
            raise RefusedError(replies.NO_ARGUMENT)
        if not self._settings.starttls or self.tls is not None:
            raise RefusedError(replies.NOT_OFFERED if self.tls is None else replies.TLS_IS_UP)
        self._require(Step.STARTTLS)
        if self._came_early:  # S7, SM5
            self._say(replies.TOO_EARLY)
            self._close("octets in the clear after STARTTLS")
            return
        self._go(Step.STARTTLS)
        self._say(replies.READY_FOR_TLS)
        self._events.append(StartTls())

    # ------------------------------------------------------------ the transaction

    def _mail_from(self, argument: str) -> None:
        self._require(Step.MAIL)
        settings = self._settings
        if settings.require_auth and not self._without_auth and self.authenticated_as is None:
            tls_first = settings.starttls and settings.auth_needs_tls and self.tls is None
            raise RefusedError(replies.TLS_FIRST if tls_first else replies.AUTH_FIRST)
        if 0 < settings.max_messages <= self._mails:  # RFC 9422 §4.1
            raise RefusedError(replies.TOO_MANY_MESSAGES)
        self._ask(read_mail(argument, settings, self._now))

    def _mail_answered(self, reply: Reply, question: ServerEvent) -> None:
        assert isinstance(question, MailReceived)
        if not reply.is_positive:
            self._refuse_politely(reply)
            return
        self._mails += 1
        self._transaction = Transaction(question)
        self._go(Step.MAIL)
        self._say(reply)

    def _rcpt_to(self, argument: str) -> None:
        self._require(Step.RCPT)
        transaction = self._open_transaction
        transaction.asked += 1
        smtputf8 = transaction.mail.smtputf8
        recipient = read_recipient(argument, self._settings, smtputf8=smtputf8)
        if transaction.holds(recipient):
            self._say(replies.DUPLICATE)
        elif len(transaction) >= self._settings.max_recipients:
            self._say(replies.TOO_MANY_RECIPIENTS)  # not an error: ES4
        else:
            self._ask(RcptReceived(recipient))

    def _rcpt_answered(self, reply: Reply, question: ServerEvent) -> None:
        assert isinstance(question, RcptReceived)
        transaction = self._open_transaction
        if reply.is_positive:
            transaction.add(question.recipient)
            self._go(Step.RCPT)
            self._say(reply)
        else:
            transaction.refused += 1
            self._refuse_politely(reply)

    def _refuse_politely(self, reply: Reply) -> None:
        """The driver said no. From a client that is known this is no sign of abuse."""
        known = self._without_auth or self.authenticated_as is not None
        if known or reply.is_transient or not self._settings.refusals_count:
            self._say(reply)
        else:
            self._complain(reply)

    # ------------------------------------------------------------ the rest

    def _rset(self, argument: str) -> None:
        if argument:
            raise RefusedError(replies.NO_ARGUMENT)
        self._require(Step.RSET)
        if self._count_junk():
            self._forget_transaction()
            self._go(Step.RSET)
            self._say(replies.OK)

    def _noop(self, _argument: str) -> None:
        self._say_junk(replies.OK)

    def _help(self, _argument: str) -> None:
        self._say_junk(replies.HELP)

    def _vrfy(self, argument: str) -> None:
        if not argument:
            raise RefusedError(replies.ARGUMENT_MISSING)
        self._say_junk(replies.CANNOT_VERIFY)  # S20

    def _expn(self, _argument: str) -> None:
        self._require(Step.NOOP)
        if self._count_junk():
            raise RefusedError(replies.NOT_OFFERED)

    def _say_junk(self, reply: Reply) -> None:
        self._require(Step.NOOP)
        if self._count_junk():
            self._say(reply)

    def _quit(self, argument: str) -> None:
        if argument:
            raise RefusedError(replies.NO_ARGUMENT)
        self._require(Step.QUIT)
        self._say(replies.BYE)


_READERS: dict[State, Callable[[ServerConversation], bool]] = {
    State.PROXY: ServerConversation._read_proxy_header,
    State.GREETING: ServerConversation._read_nothing,
    State.TLS: ServerConversation._read_in_handshake,
    State.AUTH: ServerConversation._read_response,
    State.DATA: ServerConversation._read_dotted,
    State.CHUNK: ServerConversation._read_chunk,
    State.SWALLOW: ServerConversation._read_swallowed,
    State.CLOSED: ServerConversation._read_nothing,
}

_COMMANDS: dict[str, Callable[[ServerConversation, str], None]] = {
    "EHLO": ServerConversation._ehlo,
    "HELO": ServerConversation._helo,
    "STARTTLS": ServerConversation._starttls,
    "AUTH": ServerConversation._auth,
    "MAIL": ServerConversation._mail_from,
    "RCPT": ServerConversation._rcpt_to,
    "DATA": ServerConversation._data,
    "BDAT": ServerConversation._bdat,
    "RSET": ServerConversation._rset,
    "NOOP": ServerConversation._noop,
    "HELP": ServerConversation._help,
    "VRFY": ServerConversation._vrfy,
    "EXPN": ServerConversation._expn,
    "QUIT": ServerConversation._quit,
}

_ANSWERS: dict[type[ServerEvent], Callable[[ServerConversation, Reply, ServerEvent], None]] = {
    Connected: ServerConversation._connection_answered,
    PasswordOffered: lambda talk, reply, _: talk._password_answered(reply),
    ScramStarted: lambda talk, reply, _: talk._auth_refused(reply),
    ScramProved: lambda talk, reply, _: talk._scram_proof_answered(reply),
    MailReceived: ServerConversation._mail_answered,
    RcptReceived: ServerConversation._rcpt_answered,
    BodyStarted: ServerConversation._body_start_answered,
    BodyEnded: ServerConversation._body_answered,
}
